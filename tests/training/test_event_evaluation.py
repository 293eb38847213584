# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast evaluate --events`: what annotated recordings say of events, with scores that are known beforehand."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.cli import main
from ssast_hf.inference.batches import End, Window
from ssast_hf.inference.events import read_thresholds
from ssast_hf.training import event_evaluation

from ..conftest import SMALL

# Scores of windows of 1 s by recording. Annotated are crow from 2 to 4 and from 7 to 8 s, and snap from 5 to 6 s in a.
SCORES = {
    "a": {"crow": [0, 0.1, 0.9, 0.8, 0.3, 0, 0, 0.4, 0, 0], "snap": [0, 0.7, 0, 0, 0, 0.6, 0, 0, 0, 0]},
    "b": {"crow": [0, 0, 0.2, 0, 0, 0, 0, 0, 0, 0.1], "snap": [0] * 10},
}


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    folder = tmp_path_factory.mktemp("field")
    for name, track in (("a", "2\t4\tcrow\n7\t8\tcrow\n5\t6\tsnap\n"), ("b", "")):
        soundfile.write(folder / f"{name}.wav", np.zeros(160000), 16000)
        (folder / f"{name}.txt").write_text(track)
    torch.manual_seed(0)
    for name, problem in (("model", "multi_label_classification"), ("values", "regression")):
        config = SSASTConfig(**SMALL, max_length=64, id2label={0: "crow", 1: "snap"}, label2id={"crow": 0, "snap": 1},
                             problem_type=problem)  # fmt: skip
        SSASTForAudioClassification(config).save_pretrained(folder / name)
        SSASTFeatureExtractor(max_length=64, return_attention_mask=True).save_pretrained(folder / name)
    return folder


@pytest.fixture
def judge(field, tmp_path, monkeypatch, capsys):
    """Runs the command with the scores above; returns output, results and a reader of the CSV files."""

    def run_classifier(model, extractor, clips, *_):
        for index, clip in enumerate(clips):
            scores = SCORES[clip.path[-5]]
            for second in range(10):
                output = np.array([scores["crow"][second], scores["snap"][second]], dtype=float)
                yield Window(index, float(second), second + 1.0, None, output=output)
            yield End(index, 10.0)

    def rows(name):
        with open(tmp_path / "out" / name, newline="") as file:
            return list(csv.DictReader(file))

    def run(*flags):
        place = ["--data", field, "--model", field / "model", "--output-dir", tmp_path / "out"]
        command = ["evaluate", "--events", *place]
        assert main([*map(str, command), "--overwrite", *map(str, flags)]) == 0
        return capsys.readouterr().out, json.loads((tmp_path / "out/test_results.json").read_text()), rows

    monkeypatch.setattr(event_evaluation, "run_classifier", run_classifier)
    return run


def test_events_are_counted_and_listed(judge):
    """Above 0.5: crow from 2 to 4 s; snap from 1 to 2 and from 5 to 6 s. So 2 of 3 events are hits, and 1 is not."""
    out, results, rows = judge()
    expected = {"event_f1": 4 / 6, "event_precision": 2 / 3, "event_recall": 2 / 3, "segment_f1": 6 / 8,
                "segment_precision": 3 / 4, "segment_recall": 3 / 4, "event_f1_macro": (2 / 3 + 2 / 3) / 2,
                "segment_f1_macro": (4 / 5 + 2 / 3) / 2, "recordings": 2, "hours": 20 / 3600}  # fmt: skip
    for name, value in expected.items():
        assert results[f"test_{name}"] == pytest.approx(value), name
    listed = [(row["start"], row["end"], row["label"], row["outcome"]) for row in rows("test_events.csv")]
    assert listed == [
        ("1.0", "2.0", "snap", "false alarm"), ("2.0", "4.0", "crow", "hit"), ("5.0", "6.0", "snap", "hit"),
        ("7.0", "8.0", "crow", "missed"),
    ]  # fmt: skip
    crow, snap = rows("test_per_class.csv")
    assert (crow["annotated"], crow["found"], crow["hits"], crow["event_recall"]) == ("2", "1", "1", "0.5")
    assert (snap["event_precision"], float(snap["segment_f1"])) == ("0.5", pytest.approx(2 / 3))
    table = [line.split() for line in out.splitlines()[:4]]
    assert table[1] == ["crow", "2", "1", "0.667", "1.000", "0.500", "0.800"]
    assert table[3] == ["all", "3", "3", "0.667", "0.667", "0.667", "0.750"]


def test_suggested_thresholds_are_the_best_and_can_be_used(judge, tmp_path):
    """crow is parted best between 0.3 and 0.4, where segments and events are all right; snap below 0.6, or above."""
    path = tmp_path / "thresholds.csv"
    judge("--suggest-thresholds", path)
    thresholds = read_thresholds(path)
    assert 0.3 < thresholds["crow"] <= 0.4 and 0 < thresholds["snap"] <= 0.6
    _, results, _ = judge("--thresholds", path)
    assert results["test_event_recall"] == 1.0 and results["test_segment_f1"] == pytest.approx(8 / 9)
    judge("--suggest-thresholds", path, "--precision", 0.9)
    assert set(read_thresholds(path)) == {"crow"}  # snap is never that precise
    with open(path, newline="") as file:
        assert next(csv.DictReader(file)) == {
            "label": "crow", "threshold": "0.35", "f1": "1.0", "precision": "1.0", "recall": "1.0", "annotated": "2"
        }  # fmt: skip


def test_rules_and_comparison_are_as_the_flags_say(judge):
    """With hysteresis the first crow lasts until 5 s: its end is no longer met to 0.2 s, but to half its length."""
    _, results, rows = judge("--hysteresis", 0.6)
    assert rows("test_events.csv")[1]["end"] == "5.0" and results["test_event_recall"] == pytest.approx(2 / 3)
    _, results, rows = judge("--gap", 4, "--threshold", 0.35)
    assert [row["outcome"] for row in rows("test_events.csv") if row["label"] == "crow"] == [
        "missed", "false alarm", "missed"
    ]  # fmt: skip
    _, results, rows = judge("--gap", 4, "--threshold", 0.35, "--onset-only", "--segment", 2)
    assert [row["outcome"] for row in rows("test_events.csv") if row["label"] == "crow"] == ["hit", "missed"]
    assert results["test_segment"] == 2.0
    _, results, _ = judge("--min-length", 1.5)
    assert results["test_event_precision"] == 1.0 and results["test_event_recall"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--events", "--save-predictions"], "--save-predictions: not with --events"),
     (["--threshold", "0.3"], "--threshold: only with --events"),
     (["--precision", "0.5"], "is for --suggest-thresholds"),
     (["--suggest-thresholds", "here.csv", "--precision", "2"], "--precision is 2"),
     (["--events", "--hysteresis", "0"], "hysteresis is 0"),
     (["--events", "--data", "model"], "no table of annotations"),
     (["--events", "--model", "values"], "scores are values"), (["--suggest-thresholds", "a.txt"], "a.txt exists")],
)  # fmt: skip
def test_wrong_flags_are_one_line(field, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(field)
    assert main(["evaluate", "--data", ".", "--model", "model", "--output-dir", "out", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_labels_that_the_model_has_not_are_an_error(field, tmp_path, capsys):
    (tmp_path / "c.txt").write_text("1\t2\towl\n")
    soundfile.write(tmp_path / "c.wav", np.zeros(160000), 16000)
    place = ["--data", tmp_path, "--model", field / "model", "--output-dir", tmp_path / "out"]
    command = ["evaluate", "--events", *place]
    assert main(list(map(str, command))) == 2
    assert "the label(s) owl, which the model has not" in capsys.readouterr().err
