# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The metric module against plain re-computations, and `ssast evaluate`."""

import csv
import json
from statistics import NormalDist

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, classify
from ssast_hf.cli import main
from ssast_hf.training.evaluation import compute_metrics, confusion_matrix, draw_confusion_matrix
from ssast_hf.training.metrics import AUDIO_CLASSIFICATION


def plain_average_precision(scores, positive) -> float:
    """Mean over the positives of the precision among all that score at least as high."""
    return np.mean([positive[scores >= score].mean() for score in scores[positive]])


def plain_auc(scores, positive) -> float:
    """Share of the pairs of a positive and a negative that are in order; a tie is half."""
    difference = scores[positive][:, None] - scores[~positive][None]
    return ((difference > 0) + 0.5 * (difference == 0)).mean()


@pytest.fixture(params=[0, 1])
def drawn(request):
    rng = np.random.default_rng(request.param)
    return np.round(rng.random((60, 5)), 1).astype(np.float32), rng  # rounded: with ties


def test_multi_label_metrics_equal_a_plain_recomputation(drawn):
    scores, rng = drawn
    targets = rng.random((60, 5)) < 0.3
    targets[:, 4] = False  # cannot be measured
    found = compute_metrics(scores, targets.astype(float), several=True)
    ap = [plain_average_precision(scores[:, i], targets[:, i]) for i in range(4)]
    auc = [plain_auc(scores[:, i], targets[:, i]) for i in range(4)]
    assert found["mAP"] == pytest.approx(np.mean(ap)) and found["mAUC"] == pytest.approx(np.mean(auc))
    assert found["d_prime"] == pytest.approx(2**0.5 * NormalDist().inv_cdf(np.mean(auc)))
    predicted = scores >= 0.5
    both = (predicted & targets).sum(axis=0)
    f1 = 2 * both / (predicted.sum(axis=0) + targets.sum(axis=0))
    assert found["f1_macro"] == pytest.approx(f1.mean())
    assert "accuracy" not in found
    rows = found["per_class"]
    assert [row["AP"] for row in rows] == pytest.approx([*ap, None])
    assert [row["AUC"] for row in rows] == pytest.approx([*auc, None])
    assert [row["clips"] for row in rows] == targets.sum(axis=0).tolist()
    assert [row["f1"] for row in rows] == pytest.approx(f1.tolist())
    recall = both[:4] / targets.sum(axis=0)[:4]
    assert [row["recall"] for row in rows][:4] == pytest.approx(recall.tolist())
    assert [row["precision"] for row in rows] == pytest.approx((both / predicted.sum(axis=0)).tolist())


def test_single_label_metrics_equal_a_plain_recomputation(drawn):
    scores, rng = drawn
    scores = scores + rng.random(scores.shape).astype(np.float32) / 100
    classes = rng.integers(0, 4, 60)
    found = compute_metrics(scores, np.eye(5)[classes], several=False)
    predicted = scores.argmax(axis=1)
    assert found["accuracy"] == pytest.approx((predicted == classes).mean())
    occurring = sorted({*classes, *predicted})
    f1 = [2 * ((predicted == c) & (classes == c)).sum() / ((predicted == c).sum() + (classes == c).sum())
          for c in occurring]  # fmt: skip
    assert found["f1_macro"] == pytest.approx(np.mean(f1))
    matrix = confusion_matrix(scores, np.eye(5)[classes])
    assert matrix.shape == (5, 5)
    assert all(matrix[t, p] == ((classes == t) & (predicted == p)).sum() for t in range(5) for p in range(5))


def test_a_perfect_ranking_has_no_d_prime():
    found = compute_metrics(np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 2, 0]], several=False)
    assert found["accuracy"] == found["mAUC"] == 1 and found["d_prime"] is None


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="no label or more than one"):
        compute_metrics(np.ones((2, 3)), np.ones((2, 3)), several=False)
    with pytest.raises(ValueError, match="expected \\(clips, labels\\)"):
        compute_metrics(np.ones((2, 3)), np.ones((2, 2)), several=True)


@pytest.mark.parametrize("size", [2, 40, 100])
def test_confusion_matrices_are_drawn(tmp_path, size):
    matrix = np.random.default_rng(0).integers(0, 9, (size, size))
    draw_confusion_matrix(matrix, tuple(f"label {i}" for i in range(size)), tmp_path / "m.png")
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_labels_that_look_like_formulas_are_drawn(tmp_path, recwarn):
    draw_confusion_matrix(np.eye(3, dtype=int), (r"$\frac$", "a$", "\x1b[2J\n"), tmp_path / "m.png")
    assert (tmp_path / "m.png").stat().st_size and not recwarn.list


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A random classifier for two labels, and clips of 0.2 to 1.6 s (the model's length is 0.5 s), one broken."""
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    for name, problem in (("single", "single_label_classification"), ("several", "multi_label_classification")):
        config = SSASTConfig(
            hidden_size=32, num_attention_heads=2, num_hidden_layers=1, intermediate_size=32, max_length=48,
            id2label={0: "a", 1: "b", 2: "c"}, label2id={"a": 0, "b": 1, "c": 2}, problem_type=problem,
        )  # fmt: skip
        model = SSASTForAudioClassification(config)
        model.classifier.dense.weight.data.mul_(20)  # far from ties
        model.save_pretrained(folder / name)
        SSASTFeatureExtractor(max_length=48).save_pretrained(folder / name)
    rng = np.random.default_rng(0)
    rows, several = ["file,label"], ["file\tlabel"]
    for i in range(9):
        sound = rng.uniform(0.01, 0.5) * rng.standard_normal(3200 * (i + 1) - 700).cumsum() / 50
        soundfile.write(folder / f"{i}.wav", np.clip(sound, -1, 1), 16000)
        rows.append(f"{i}.wav,{'ab'[i % 2]}")
        several.append(f"{i}.wav\t{'a;b' if i % 3 == 0 else 'b'}")
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "single.csv").write_text("\n".join([*rows, "broken.wav,a"]) + "\n")
    (folder / "several.tsv").write_text("\n".join(several) + "\n")
    return folder


def test_evaluate_judges_what_classify_says(place, tmp_path, capsys):
    """Scores of files of any length are those of `ssast classify`, and accuracy is counted from them."""
    status = main(["evaluate", "--model", str(place / "single"), "--data", str(place / "single.csv"), "--output-dir",
                   str(tmp_path), "--save-predictions", "--batch-size", "3"])  # fmt: skip
    assert status == 1  # one file is broken
    said = capsys.readouterr()
    assert "1 file(s) could not be read" in said.err and "no clip has 1 of the model's 3 labels" in said.err
    assert "on 9 of 10 clips, 1 unreadable" in said.out
    model = SSASTForAudioClassification.from_pretrained(place / "single").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(place / "single")
    files = [place / f"{i}.wav" for i in range(9)]
    expected = dict(classify(model, extractor, files))
    with open(tmp_path / "test_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == list(map(str, files))
    right = 0
    for row in rows:
        scores = expected[row["file"]]
        assert {name: float(row[name]) for name in "abc"} == pytest.approx(scores, abs=1e-5)
        assert row["predicted"] == next(iter(scores))
        right += row["predicted"] == row["label"]
    results = json.loads((tmp_path / "test_results.json").read_text())
    assert results["test_accuracy"] == pytest.approx(right / 9)
    assert results["test_samples"] == 9 and results["test_unreadable_samples"] == 1
    with open(tmp_path / "test_per_class.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["label"], row["clips"]) for row in table] == [("a", "5"), ("b", "4"), ("c", "0")]
    with open(tmp_path / "test_confusion_matrix.csv", newline="") as file:
        matrix = np.array([row[1:] for row in list(csv.reader(file))[1:]], dtype=int)
    assert matrix.sum() == 9 and matrix.trace() == right
    assert (tmp_path / "test_confusion_matrix.png").exists()


def test_evaluate_with_several_labels(place, tmp_path):
    arguments = ["evaluate", "--model", str(place / "several"), "--data", str(place / "several.tsv"), "--output-dir",
                 str(tmp_path / "new"), "--name", "held_out"]  # fmt: skip
    assert main(arguments) == 0
    results = json.loads((tmp_path / "new/held_out_results.json").read_text())
    assert {"held_out_mAP", "held_out_mAUC", "held_out_f1_macro"} <= results.keys()
    assert "held_out_accuracy" not in results
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"held_out_results.json", "held_out_per_class.csv"}
    assert main(arguments) == 2  # nothing is overwritten unasked
    assert main([*arguments, "--overwrite"]) == 0


def test_evaluate_names_the_labels_of_the_original(place, tmp_path, capsys):
    entries = [{"wav": f"{i}.wav", "labels": "/m/a,/m/b" if i % 3 == 0 else "/m/b"} for i in range(9)]
    (place / "official.json").write_text(json.dumps({"data": entries}))
    (place / "classes.csv").write_text("index,mid,display_name\n0,/m/a,a\n1,/m/b,b\n2,/m/c,c\n")
    found = []
    for data, flags in (("several.tsv", []), ("official.json", ["--label-file", str(place / "classes.csv")])):
        assert main(["evaluate", "--model", str(place / "several"), "--data", str(place / data), "--output-dir",
                     str(tmp_path / data), *flags]) == 0  # fmt: skip
        found.append((tmp_path / data / "test_results.json").read_text())
    assert found[0] == found[1]
    assert main(["evaluate", "--model", str(place / "several"), "--data", str(place / "several.tsv"), "--output-dir",
                 str(tmp_path / "o"), "--label-file", str(place / "classes.csv")]) == 2  # fmt: skip
    assert "--label-file is a .csv for the original's .json, found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        ("several.tsv", "single", "has 2 labels (a;b)"),
        ("unknown.csv", "single", "has the label(s) z, which the model has not"),
        ("missing.csv", "single", "No such folder or manifest"),
    ],
)
def test_evaluate_refuses_in_one_line(place, tmp_path, capsys, data, model, message):
    (place / "unknown.csv").write_text("file,label\n0.wav,z\n")
    status = main(["evaluate", "--model", str(place / model), "--data", str(place / data), "--output-dir",
                   str(tmp_path / "o")])  # fmt: skip
    assert status == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_the_module_takes_label_numbers_and_the_name_of_a_configuration(drawn):
    """As the Trainer's `EvalPrediction` has them: label ids (clips,) for one label, rows of 0 and 1 for several."""
    import evaluate

    scores, rng = drawn
    numbers = rng.integers(0, 5, 60)
    metric = evaluate.load(AUDIO_CLASSIFICATION)
    expected = compute_metrics(scores, np.eye(5)[numbers], several=False)
    assert metric.compute(predictions=scores, references=numbers) == expected
    assert metric.compute(predictions=scores.tolist(), references=numbers.tolist()) == expected
    for part in (slice(0, 20), slice(20, 60)):
        metric.add_batch(predictions=scores[part], references=numbers[part])
    assert metric.compute() == expected
    assert expected["accuracy"] == np.mean(scores.argmax(axis=1) == numbers)

    several = evaluate.load(AUDIO_CLASSIFICATION, "multilabel")
    targets = rng.integers(0, 2, (60, 5))
    found = several.compute(predictions=scores, references=targets)
    assert found == compute_metrics(scores, targets, several=True) and "accuracy" not in found
    for wrong, message in (
        (np.full(60, 5), "the label 5, expected numbers from 0 to 4"),
        (np.full(60, -1), "label -1"),
    ):
        with pytest.raises(ValueError, match=message):
            metric.compute(predictions=scores, references=wrong)
    with pytest.raises(ValueError, match="'single', expected 'default' or 'multilabel'"):
        evaluate.load(AUDIO_CLASSIFICATION, "single")
