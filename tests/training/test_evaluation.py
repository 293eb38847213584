# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Held-out clips are judged alike during training, at its end and by `ssast evaluate`."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from scipy.special import expit, softmax

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.cli import main
from ssast_hf.data.sources import Clip
from ssast_hf.inference.classify import run_classifier
from ssast_hf.training.evaluation import compute_metrics, describe, logits_of, scores_of

QUIET = ["--report_to", "none", "--disable_tqdm", "True", "--logging_steps", "1"]
FIELDS = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Clips of 1.3 s for a model of 0.5 s: 0.4 s of faint noise, then what tells the labels apart."""
    folder, rng = tmp_path_factory.mktemp("judged"), np.random.default_rng(0)
    lines = ["file,label"]
    for index in range(8):
        label, time = "ab"[index % 2], np.arange(14400) / 16000
        tone = 0.4 * np.sin(2 * np.pi * (300 if label == "a" else 3000) * time)
        soundfile.write(folder / f"{index}.wav", np.concatenate([1e-3 * rng.standard_normal(6400), tone]), 16000)
        lines.append(f"{index}.wav,{label}")
    (folder / "clips.csv").write_text("\n".join(lines))
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "some.csv").write_text("\n".join([*lines, "broken.wav,a"]))
    torch.manual_seed(0)
    for name, problem in (("single", "single_label_classification"), ("several", "multi_label_classification")):
        config = SSASTConfig(**FIELDS, max_length=48, id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1},
                             problem_type=problem, output_hidden_states=True)  # fmt: skip
        SSASTForAudioClassification(config).save_pretrained(folder / name)
        SSASTFeatureExtractor(max_length=48, return_attention_mask=True).save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_training_judges_whole_clips_as_evaluation_does(place, tmp_path, loss):
    """The last evaluation's loss, accuracy and mAP, from the predictions that are written at the end."""
    data = ["--data", place / "clips.csv", "--validation_data", place / "some.csv", "--model", place / "single"]
    flags = ["--loss", loss, "--max_steps", 4, "--eval_strategy", "steps", "--eval_steps", 2, "--save_strategy", "no"]
    command = ["finetune", *data, *flags, "--save_predictions", "True", "--learning_rate", "1e-2"]
    assert main([*map(str, command), "--output_dir", str(tmp_path), *QUIET]) == 1  # a clip could not be read
    log = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    logged = [entry for entry in log if "eval_loss" in entry][-1]
    results = json.loads((tmp_path / "eval_results.json").read_text())
    assert (logged["eval_samples"], logged["eval_unreadable_samples"]) == (8, 1)
    assert (results["eval_samples"], results["eval_unreadable_samples"]) == (8, 1)
    for name in ("accuracy", "mAP", "mAUC", "f1_macro"):
        assert logged[f"eval_{name}"] == pytest.approx(results[f"eval_{name}"])
    rows = np.genfromtxt(tmp_path / "eval_predictions.csv", delimiter=",", skip_header=1, dtype=str)
    scores, targets = rows[:, 3:].astype(float), np.stack([rows[:, 1] == "a", rows[:, 1] == "b"], axis=1)
    plain = -np.log(scores[targets]).mean()
    if loss == "bce":
        plain = -(targets * np.log(scores) + ~targets * np.log(1 - scores)).mean()
    assert logged["eval_loss"] == pytest.approx(plain, abs=1e-4)


def test_logits_give_their_probabilities_back():
    logits = np.random.default_rng(0).normal(0, 4, (6, 3))
    np.testing.assert_allclose(softmax(logits_of(softmax(logits, axis=1), None), axis=1), softmax(logits, axis=1))
    np.testing.assert_allclose(logits_of(expit(logits), "multi_label_classification"), logits, atol=1e-8)


def test_a_multi_label_model_is_judged_as_one_whatever_the_clips_have(place, tmp_path, capsys):
    command = ["evaluate", "--data", str(place / "some.csv"), "--output-dir", str(tmp_path / "o"), "--model"]
    assert main([*command, str(place / "several")]) == 1
    assert "on 8 of 9 clips, 1 unreadable" in capsys.readouterr().out
    results = json.loads((tmp_path / "o/test_results.json").read_text())
    assert "test_accuracy" not in results and (results["test_samples"], results["test_unreadable_samples"]) == (8, 1)


def test_average_precision_is_at_most_1():
    """Of perfect rankings, some of which scikit-learn sums to 1.0000000000000002."""
    rng = np.random.default_rng(0)
    for count in range(2, 60, 2):
        targets = np.zeros((count + 3, 2))
        targets[:count, 0] = targets[count:, 1] = 1
        found = compute_metrics(targets * 0.5 + rng.random(targets.shape) / 4, targets, several=False)
        assert found["mAP"] <= 1 and all(row["AP"] <= 1 for row in found["per_class"])


def test_unreadable_clips_are_warned_of_once(place, caplog):
    model = SSASTForAudioClassification.from_pretrained(place / "single")
    extractor = SSASTFeatureExtractor.from_pretrained(place / "single")
    clips, warned = [Clip(str(place / name)) for name in ("0.wav", "broken.wav", "1.wav")], set()
    for _ in range(2):
        scores, readable = scores_of(model, extractor, clips, warned=warned)
        assert readable == [0, 2] and scores.shape == (2, 2)
    assert caplog.text.count("Skipped") == 1


def test_windows_of_a_long_recording_are_scored_while_it_is_read(place):
    """Features of at most two batches are held, whatever its length."""
    model = SSASTForAudioClassification.from_pretrained(place / "single").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(place / "single")
    sound = 0.1 * np.random.default_rng(0).standard_normal(40 * 48 * 160).astype(np.float32)
    read = []

    class Recording(Clip):
        def stream(self, sampling_rate):
            for start in range(0, len(sound), 48 * 160):
                read.append(start)
                yield sound[start : start + 48 * 160]

    held = [len(read) - number for number, _ in enumerate(run_classifier(model, extractor, [Recording("long")], 2))]
    assert len(read) == 40 and len(held) == 41 and max(held) <= 2 * 2 + 1


def test_judging_needs_neither_evaluate_nor_datasets():
    """Importing these takes seconds and memory."""
    code = "import sys, ssast_hf.training.evaluation; print(sorted({'evaluate', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_infinite_d_prime_is_said():
    perfect = compute_metrics(np.eye(2), np.eye(2), several=False)
    assert perfect["d_prime"] is None  # valid JSON, which has no infinity
    said = describe({f"test_{name}": value for name, value in perfect.items()} | {"test_samples": 2}, "test")
    assert said == "accuracy 1.000, macro F1 1.000, mAP 1.000, mAUC 1.000, d-prime not finite (mAUC is 1) on 2 clips"
    assert "d-prime" not in describe({"test_f1_macro": 1.0, "test_samples": 2}, "test")  # not defined: no mAUC


def test_data_that_is_read_again_is_warned_of_once(place, tmp_path, capsys, caplog):
    for index in range(8):
        (tmp_path / "data" / "ab"[index % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(place / f"{index}.wav", tmp_path / "data" / "ab"[index % 2])
    (tmp_path / "data/README.md").touch()
    command = ["--data", str(tmp_path / "data"), "--model", str(place / "single"), "--output_dir", str(tmp_path / "m")]
    assert main(["finetune", *command, "--max_steps", "1", *QUIET]) == 0
    caplog.clear()
    flags = ["--model", str(tmp_path / "m"), "--output-dir", str(tmp_path / "judged")]
    assert main(["evaluate", "--data", str(tmp_path / "data"), *flags]) == 0
    assert "8 of 8 clips are in" in capsys.readouterr().err
    assert caplog.text.count("1 file(s) passed over: 1 .md") == 1


def test_clips_that_the_model_was_trained_on_are_named(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    command = [
        "finetune",
        "--data",
        "clips.csv",
        "--model",
        str(place / "single"),
        "--output_dir",
        str(tmp_path / "m"),
    ]
    assert main([*command, "--max_steps", "1", *QUIET]) == 0
    shutil.copy(place / "1.wav", tmp_path / "copy.wav")
    (tmp_path / "mixed.csv").write_text(f"file,label\n{place}/0.wav,a\ncopy.wav,b\n")
    (tmp_path / "part.csv").write_text(f"file,label,offset,duration\n{place}/1.wav,b,0.5,0.6\n")
    (tmp_path / "other.csv").write_text("file,label\ncopy.wav,b\n")

    def said_of(data: str, model=tmp_path / "m") -> str:
        capsys.readouterr()
        flags = ["--data", str(data), "--model", str(model), "--output-dir", str(tmp_path / "judged"), "--overwrite"]
        assert main(["evaluate", *flags]) == 0
        return capsys.readouterr().err

    heard = f"clips are in clips.csv, on which {tmp_path / 'm'} was trained or chosen: expect worse results on other"
    assert f"ssast: 8 of 8 {heard} clips\n" in said_of(place / "clips.csv")
    assert f"ssast: 1 of 2 {heard} clips\n" in said_of(tmp_path / "mixed.csv")
    assert f"ssast: 1 of 1 {heard} clips\n" in said_of(tmp_path / "part.csv")
    assert "trained or chosen" not in said_of(tmp_path / "other.csv")
    assert "trained or chosen" not in said_of("clips.csv", place / "single")  # a directory that does not say
    shutil.copytree(place, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")  # where "clips.csv" is another
    assert f"ssast: 8 of 8 {heard} clips\n" in said_of(place / "clips.csv")
    assert "trained or chosen" not in said_of("clips.csv")
    (tmp_path / "m/_run.json").write_text('{"command": "finetune", "flags": []}')
    assert "trained or chosen" not in said_of("clips.csv")


def test_results_stay_in_their_directory_and_thresholds_replace_no_labels(place, tmp_path, capsys):
    command = ["evaluate", "--data", str(place / "clips.csv"), "--model", str(place / "single"), "--overwrite"]
    labels = (place / "clips.csv").read_bytes()
    for flags, reason in (
        (
            ["--output-dir", str(tmp_path / "o"), "--name", "../x"],
            "--name is '../x', expected the beginning of a file's",
        ),
        (
            ["--output-dir", str(tmp_path / "o"), "--suggest-thresholds", str(place / "clips.csv")],
            "which is read from",
        ),
    ):
        assert main([*command, *flags]) == 2
        assert reason in capsys.readouterr().err
    assert (place / "clips.csv").read_bytes() == labels and not list(tmp_path.glob("x*"))
