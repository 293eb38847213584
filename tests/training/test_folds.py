# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune --folds`, intervals of results, and the curves of a run."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, average_precision_score

from ssast_hf.cli import main
from ssast_hf.data.clips import Clip
from ssast_hf.data.folds import folds_of
from ssast_hf.data.labels import Labels
from ssast_hf.training import cross_validation
from ssast_hf.training.certainty import (
    average_precisions,
    bootstrap_map,
    describe_interval,
    interval_of,
    over_folds,
    wilson,
)
from ssast_hf.training.cross_validation import _report, cross_validate
from ssast_hf.training.curves import draw_curves, series

from .tones import log_of, tune

SINGLE = Labels(("a", "b", "c"))


def clips_of(*labels: str) -> list[Clip]:
    return [Clip(f"{index}.wav", label) for index, label in enumerate(labels)]


def test_folds_hold_each_clip_once_and_each_label_alike():
    clips = clips_of(*"a" * 17, *"b" * 10, *"c" * 5)
    folds = folds_of(clips, SINGLE, 5, seed=3)
    assert sorted(index for fold in folds for index in fold) == list(range(32))
    for label, least, most in (("a", 3, 4), ("b", 2, 2), ("c", 1, 1)):
        counts = [sum(clips[index].label == label for index in fold) for fold in folds]
        assert min(counts) == least and max(counts) == most
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert folds != folds_of(clips, SINGLE, 5, seed=4) and folds == folds_of(clips, SINGLE, 5, seed=3)


def test_folds_of_several_labels_hold_each_label_alike_and_negatives_too():
    clips = clips_of(*["a;b"] * 4, *["b"] * 8, *["c;a"] * 6, *[""] * 12)
    labels = Labels(("a", "b", "c"), several=True)
    folds = folds_of(clips, labels, 2, seed=0)
    for label in (*labels.names, ""):
        counts = [sum(label in labels.of(clips[i]) or clips[i].label == label == "" for i in fold) for fold in folds]
        assert abs(counts[0] - counts[1]) <= 1, label


def test_groups_stay_together_and_lost_labels_are_named():
    clips = clips_of(*"aabbccaabbcc")
    groups = ["x", "y"] * 3 + ["z", "w"] * 3
    folds = folds_of(clips, SINGLE, 2, 0, groups)
    assert sorted(i for fold in folds for i in fold) == list(range(12))
    assert not {groups[i] for i in folds[0]} & {groups[i] for i in folds[1]}
    with pytest.raises(ValueError, match="There are 4 groups, expected 5 or more"):
        folds_of(clips, SINGLE, 5, 0, groups)
    with pytest.raises(ValueError, match="All clips of c are in fold"):
        folds_of(clips_of(*"aaaabbbbc"), SINGLE, 2, 0)
    with pytest.raises(ValueError, match="--folds is 1"):
        folds_of(clips, SINGLE, 1, 0)


@pytest.mark.parametrize("right, count", [(0, 5), (7, 11), (10, 10), (950, 1000)])
def test_the_interval_of_an_accuracy_is_wilsons(right, count):
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_average_precisions_are_scikit_learns_with_ties_and_weights():
    rng = np.random.default_rng(0)
    scores, targets = rng.integers(0, 8, 40) / 8, rng.integers(0, 2, 40)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=5)
    expected = [average_precision_score(targets, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precisions(scores, targets, weights), expected)
    assert np.isnan(average_precisions(scores, np.zeros(40), weights)).all()


def test_the_bootstrap_of_the_map_is_that_of_a_loop():
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, (60, 3))
    scores = targets + rng.normal(0, 1, (60, 3))
    found = []
    for _ in range(150):
        draw = rng.integers(0, 60, 60)
        found.append(np.mean([average_precision_score(targets[draw, i], scores[draw, i]) for i in range(3)]))
    assert bootstrap_map(scores, targets) == pytest.approx(np.quantile(found, (0.025, 0.975)), abs=0.03)


def test_the_interval_over_folds_is_students():
    values = [0.7, 0.8, 0.75, 0.9, 0.6]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert over_folds(values) == pytest.approx((0.75, low, high))


def test_where_nothing_varies_there_is_no_interval(tmp_path, capsys):
    """An interval without width, such as 1.000 to 1.000, would say that other clips are certain to be the same."""
    for values in ([1.0, 1.0, 1.0], [0.7, 0.7], [0.5]):
        mean, low, high = over_folds(values)
        assert mean == pytest.approx(values[0]) and np.isnan([low, high]).all()
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.6]])
    assert interval_of(scores, scores > 0.5, several=True) == {}
    said = describe_interval({"test_mAP": 1.0, "test_samples": 3}, "test")
    assert said == "mAP on other clips: no interval, because all resamples of these 3 have 1.000"
    rows = [{"samples": 6, "accuracy": 1.0, "f1_macro": value} for value in (1.0, 0.5)]
    results = _report(tmp_path, rows)
    assert "folds_accuracy_low" not in results and results["folds_f1_macro_low"] == 0
    said = capsys.readouterr().out
    assert f"{'from':>10}{'':>10}{'-':>10}{0:>10.3f}" in said and "; -: all folds are equal, which gives none)" in said
    assert "All 12 held-out clips: accuracy 1.000, 0.758 to 1.000 (95 %, Wilson's interval)" in said
    assert json.loads((tmp_path / "folds_results.json").read_text()) == results  # without NaN


def test_folds_of_a_few_clips_are_warned_of_and_have_no_interval(tmp_path, capsys):
    clips = [Clip(f"{index}.wav", "ab"[index % 2]) for index in range(12)]

    def train(folder, others, held):
        folder.mkdir(parents=True)
        results = {"fold_accuracy": float(len(others) % 2), "fold_mAP": 1.0, "fold_samples": len(held)}
        (folder / "fold_results.json").write_text(json.dumps(results))

    def said_of(count: int) -> tuple[str, str]:
        folds = [list(range(first, 12, count)) for first in range(count)]
        cross_validate(tmp_path / str(count), clips, folds, train, lambda *_: False)
        return capsys.readouterr()

    out, err = said_of(6)
    assert err == (
        "--folds 6 of 12 clips: the smallest fold has 2 clip(s), and results of fewer than 5 clips say little, and so "
        "does their mean: --folds 2 is better\n"
    )
    assert "no interval of the mean over folds: some have fewer than 5 clips" in out and "Student" not in out
    assert "mAP" not in out
    assert "All 12 held-out clips: accuracy 0.000, 0.000 to 0.242" in out
    out, err = said_of(2)
    assert err == "" and "Student's t" in out and "mAP" in out


def test_cross_validation_judges_each_clip_once_by_a_model_that_did_not_hear_it(tones, pretrained, tmp_path, capsys):
    output = tmp_path / "run"
    command = ["--data", tones / "single.csv", "--group_column", "speaker", "--model", pretrained, "--folds", 3,
               "--output_dir", output, "--frozen", "True", "--baseline"]  # fmt: skip
    assert main(["finetune", *map(str, command), "--report_to", "none"]) == 0
    said = capsys.readouterr()
    rows = list(csv.DictReader((output / "folds.csv").open()))
    judged, accuracies = {}, []
    for number, row in enumerate(rows, 1):
        folder = output / "_folds" / str(number)
        found = list(csv.DictReader((folder / "fold_predictions.csv").open()))
        accuracies.append(accuracy_score([f["label"] for f in found], [f["predicted"] for f in found]))
        assert float(row["accuracy"]) == pytest.approx(accuracies[-1]) and int(row["samples"]) == len(found) == 6
        assert len({int(Path(f["file"]).stem) % 3 for f in found}) == 1  # one speaker
        judged |= {f["file"]: number for f in found}
        baseline = json.loads((folder / "fold_results.json").read_text())["fold_baseline_accuracy"]
        assert float(row["baseline_accuracy"]) == pytest.approx(baseline)
    assert len(judged) == 18
    assert said.out.count("by the baseline") == 3 and f"{'mAP':>10}{'baseline':>10}\n" in said.out
    results = json.loads((output / "folds_results.json").read_text())
    mean, low, high = over_folds(accuracies)
    found = [results.get(f"folds_accuracy{end}", np.nan) for end in ("", "_low", "_high")]
    assert found == pytest.approx([mean, *np.clip([low, high], 0, 1)], nan_ok=True)
    right = round(18 * mean)  # folds of the same size
    expected = stats.binomtest(right, 18).proportion_ci(0.95, method="wilson")
    assert results["folds_all_accuracy"] == pytest.approx(right / 18)
    assert results["folds_all_accuracy_low"] == pytest.approx(expected.low, abs=1e-6)
    assert f"All 18 held-out clips: accuracy {right / 18:.3f}, {expected.low:.3f} to {expected.high:.3f}" in said.out
    assert f"{'mean':>10}{'':>10}{mean:>10.3f}" in said.out
    assert "18 clips for training, 0 for validation" in said.err  # the model in the directory
    assert (output / "model.safetensors").exists()


def test_interrupted_folds_are_not_trained_again(tones, pretrained, tmp_path, monkeypatch, capsys):
    output = tmp_path / "run"
    command = [
        "--data",
        tones / "clips",
        "--model",
        pretrained,
        "--folds",
        2,
        "--output_dir",
        output,
        "--max_steps",
        2,
    ]
    finished = cross_validation.is_finished

    def stop(folder, *arguments):
        if folder.name == "2":
            raise KeyboardInterrupt
        return finished(folder, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("ssast_hf.training.finetune.is_finished", stop)
        assert tune(*command) == 130
    before = (output / "_folds/1/model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert tune(*command) == 0
    assert (output / "_folds/1/model.safetensors").stat().st_mtime_ns == before
    said = capsys.readouterr().out
    assert "Fold 2 of 2" in said and "Fold 1 of 2" not in said
    panels = series(log_of(output))
    assert [step for step, _ in panels["loss"]["training"]] == [1, 2] and "validation" not in panels["loss"]
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert tune(*command, "--seed", 5) == 2  # another run


def test_flags_that_exclude_folds_are_named(tones, pretrained, tmp_path, capsys):
    command = ["--data", tones / "clips", "--model", pretrained, "--output_dir", tmp_path / "x", "--folds", 2]
    assert tune(*command, "--validation_data", tones / "clips") == 2
    assert "--folds and --validation_data exclude each other" in capsys.readouterr().err
    assert tune(*command, "--early_stopping_patience", 2) == 2
    assert "needs validation data, found --folds 2" in capsys.readouterr().err
    assert not (tmp_path / "x" / "model.safetensors").exists()


def test_curves_are_what_was_logged(tmp_path):
    history = [
        {"step": 1, "loss": 2.0, "learning_rate": 1e-3},
        {"step": 2, "loss": 1.0, "learning_rate": 5e-4},
        {"step": 2, "eval_loss": 1.5, "eval_accuracy": 0.5},
        {"step": 2, "train_runtime": 3.0},
    ]
    assert series(history) == {
        "loss": {"training": [(1, 2.0), (2, 1.0)], "validation": [(2, 1.5)]},
        "accuracy": {"validation": [(2, 0.5)]},
        "learning_rate": {"training": [(1, 1e-3), (2, 5e-4)]},
    }
    assert draw_curves(history, tmp_path / "c.png") and (tmp_path / "c.png").stat().st_size > 5000
    assert not draw_curves([{"step": 2, "train_runtime": 3.0}], tmp_path / "d.png")
