# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast pretrain` and `ssast finetune` as users run them, and the data they read."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining
from ssast_hf.cli import main
from ssast_hf.data.labelled import clip_seconds, label_names, split
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.data.sources import Clip, read_clips
from ssast_hf.training.augment import LabelledClips, LabelledCollator

from ..fork_server import ssast_command

CONFIG = json.dumps({"hidden_size": 48, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 96})


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> Path:
    """Two easily told labels, 12 clips each of 0.4 s, and one file that is no sound."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    time = np.arange(6400) / 16000
    for label, low in (("low", 200), ("high", 3000)):
        (folder / label).mkdir()
        for i in range(12):
            tone = 0.3 * np.sin(2 * np.pi * low * rng.uniform(0.9, 1.1) * time) + 0.01 * rng.standard_normal(6400)
            soundfile.write(folder / label / f"{i}.wav", tone, 16000)
    (folder / "low" / "broken.wav").write_bytes(b"no sound")
    return folder


def run(*arguments) -> subprocess.CompletedProcess:
    command = [*ssast_command(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def pretrained(tones, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "pretrained"
    done = run("pretrain", "--data", tones, "--size", "tiny", "--config", CONFIG, "--max_length", 64, "--max_steps", 6,
               "--per_device_train_batch_size", 8, "--logging_steps", 2, "--output_dir", output)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Model saved in" in done.stdout
    return output


def test_pretraining_leaves_a_model_and_its_metrics(pretrained):
    model = SSASTForPreTraining.from_pretrained(pretrained)
    assert (model.config.hidden_size, model.config.max_length, model.config.num_mask_patches) == (48, 64, 25)
    assert SSASTFeatureExtractor.from_pretrained(pretrained).max_length == 64
    log = json.loads((pretrained / "trainer_state.json").read_text())["log_history"]
    training = [entry for entry in log if "loss" in entry]
    assert len(training) == 3
    for entry in training:
        joint = entry["loss_discriminative"] + 10 * entry["loss_generative"]
        assert entry["loss"] == pytest.approx(joint, rel=1e-3)
        assert 0 <= entry["accuracy"] <= 1
    assert {"eval_loss", "eval_loss_discriminative", "eval_loss_generative", "eval_accuracy"} <= (
        json.loads((pretrained / "eval_results.json").read_text()).keys()
    )


def test_evaluation_masks_the_same_patches_every_time(pretrained):
    log = json.loads((pretrained / "trainer_state.json").read_text())["log_history"]
    last = [entry["eval_loss"] for entry in log if "eval_loss" in entry][-2:]  # after the last step, and at the end
    assert last[0] == pytest.approx(last[1], rel=1e-6)


def test_fine_tuning_learns_and_reloads(tones, pretrained, tmp_path):
    output = tmp_path / "classifier"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {tones}\nmodel: {pretrained}\nlearning_rate: 2.0e-3\nnum_train_epochs: 1\n")
    done = run("finetune", recipe, "--num_train_epochs", 8, "--per_device_train_batch_size", 6, "--test_data", tones,
               "--validation_fraction", 0.25, "--output_dir", output)  # fmt: skip
    assert done.returncode == 1, done.stderr  # a file could not be read
    assert "Skipped" in done.stderr
    assert "broken.wav" in done.stderr
    results = json.loads((output / "test_results.json").read_text())
    assert results["test_accuracy"] >= 0.9
    model = SSASTForAudioClassification.from_pretrained(output)
    assert model.config.id2label == {0: "high", 1: "low"}
    state = json.loads((output / "trainer_state.json").read_text())
    assert state["epoch"] == 8  # the flag, not the recipe
    classified = run("classify", tones / "high", "--model", output, "--json")
    best = [json.loads(line)["labels"][0]["label"] for line in classified.stdout.splitlines()]
    assert best.count("high") >= 11


def test_training_twice_with_one_seed_is_the_same(tones, tmp_path):
    losses = []
    for name in ("a", "b"):
        assert main(["pretrain", "--data", str(tones / "high"), "--size", "tiny", "--config", CONFIG, "--max_length",
                     "32", "--max_steps", "3", "--logging_steps", "1", "--per_device_train_batch_size", "4",
                     "--output_dir", str(tmp_path / name)]) == 0  # fmt: skip
        log = json.loads((tmp_path / name / "trainer_state.json").read_text())["log_history"]
        losses.append([entry["loss"] for entry in log if "loss" in entry])
    assert losses[0] == losses[1]


def test_training_resumes_from_a_checkpoint(tones, tmp_path):
    """Stopped after an epoch and resumed, it ends where an uninterrupted run ends."""
    common = ["pretrain", "--data", str(tones / "high"), "--size", "tiny", "--config", CONFIG, "--max_length", "64",
              "--per_device_train_batch_size", "4", "--logging_steps", "1", "--num_train_epochs", "2",
              "--lr_scheduler_type", "constant", "--warmup_steps", "0"]  # fmt: skip
    assert main([*common, "--output_dir", str(tmp_path / "whole")]) == 0
    assert main([*common, "--output_dir", str(tmp_path / "parts")]) == 0
    checkpoints = sorted((tmp_path / "parts").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert len(checkpoints) == 2
    resumed = ["--output_dir", str(tmp_path / "parts"), "--resume_from_checkpoint", str(checkpoints[0])]
    assert main([*common, *resumed]) == 0
    weights = [SSASTForPreTraining.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "parts")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-6, msg=name)


def test_from_scratch_takes_the_shape_but_not_the_weights(tones, pretrained, tmp_path):
    arguments = ["finetune", "--data", str(tones), "--model", str(pretrained), "--max_steps", "1", "--learning_rate",
                 "0", "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
    for name, flags in (("tuned", []), ("scratch", ["--from_scratch", "True"])):
        assert main([*arguments, *flags, "--output_dir", str(tmp_path / name)]) == 1  # a file could not be read
    source = SSASTForPreTraining.from_pretrained(pretrained).ssast.layers[0].mlp.fc1.weight
    tuned, scratch = (
        SSASTForAudioClassification.from_pretrained(tmp_path / name).ssast.layers[0].mlp.fc1.weight
        for name in ("tuned", "scratch")
    )
    torch.testing.assert_close(tuned, source)
    assert not torch.allclose(scratch, source, atol=1e-3)


def test_a_label_that_training_lacks_is_an_error_before_training(tones, pretrained, tmp_path, capsys):
    (tmp_path / "manifest.csv").write_text(f"file,label\n{tones}/low/0.wav,middle\n")
    status = main(["finetune", "--data", str(tones), "--model", str(pretrained), "--output_dir", str(tmp_path / "o"),
                   "--validation_data", str(tmp_path / "manifest.csv")])  # fmt: skip
    assert status == 2
    assert "label(s) middle, which the training data has not" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_folders_and_manifests_give_the_same_clips(tones, tmp_path):
    clips = read_clips(tones, labelled=True)
    assert len(clips) == 25
    assert label_names(clips) == ["high", "low"]
    assert {clip.label for clip in read_clips(tones, labelled=False)} == {None}
    rows = [{"file": clip.path, "label": clip.label} for clip in clips]
    with open(tmp_path / "m.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "label"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "m.tsv").write_text("label\tpath\n" + "\n".join(f"{row['label']}\t{row['file']}" for row in rows))
    (tmp_path / "semicolons.csv").write_bytes(
        b"\xef\xbb\xbffilename;label\r\n" + "".join(f"{row['file']};{row['label']}\r\n" for row in rows).encode()
    )
    for name in ("m.csv", "m.jsonl", "m.tsv", "semicolons.csv"):
        assert read_clips(tmp_path / name, labelled=True) == clips
    (tones / "relative.csv").write_text("file_name,label\nlow/0.wav,low\n")
    assert read_clips(tones / "relative.csv", labelled=True)[0].path == str(tones / "low/0.wav")
    (tones / "relative.csv").unlink()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "name,label\nx.wav,low\n", "line 2: no file name in name, label, expected a column named file or"),
        ("a.csv", '"a\nname",label\nx.wav,low\n', "line 3: no file name"),
        ("a.csv", "file,label\nx.wav,h\xf6her\n".encode("latin-1"), "a.csv is not UTF-8"),
        ("a.csv", "file\nx.wav\n", "line 2: no label"),
        ("a.csv", "file,label\n", "no sound files"),
        ("a.jsonl", "{", "line 1: not a JSON object"),
        ("a.jsonl", "[1]", "line 1: no file name"),
        ("a.txt", "x.wav", "neither a folder nor a manifest"),
    ],
)
def test_bad_manifests_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_clips(tmp_path / name, labelled=True)


def test_lines_of_jsonl_end_at_line_feeds_alone(tmp_path):
    """Characters that Python, too, takes for ends of lines stand in names as they are."""
    (tmp_path / "m.jsonl").write_text('{"file": "a\u2028b.wav", "label": "x"}\n', encoding="utf-8")
    assert [clip.path for clip in read_clips(tmp_path / "m.jsonl", labelled=True)] == [str(tmp_path / "a\u2028b.wav")]


def test_validation_is_drawn_from_every_label():
    clips = [
        Clip(f"{label}/{i}", label)
        for label, count in (("a", 20), ("b", 10), ("c", 2), ("d", 1))
        for i in range(count)
    ]
    train, held_out = split(clips, 0.2, seed=0)
    assert sorted(train + held_out, key=str) == sorted(clips, key=str)
    counts = {label: sum(clip.label == label for clip in held_out) for label in "abcd"}
    assert counts == {"a": 4, "b": 2, "c": 1, "d": 0}
    assert split(clips, 0.2, seed=0) == (train, held_out)
    assert split(clips, 0.2, seed=1) != (train, held_out)
    with pytest.raises(ValueError, match="above 0 and below 1"):
        split(clips, 1.0, seed=0)


def test_unreadable_clips_are_left_out_of_a_batch(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 16000)
    soundfile.write(tmp_path / "short.wav", np.full(100, 0.1), 16000)
    clips = [Clip(str(tmp_path / name), "x") for name in ("a.wav", "short.wav", "missing.wav")]
    reader = Reader(16000, Skipped())
    dataset = LabelledClips(clips, reader, np.ones((3, 1), np.float32), 1.0)
    collate = LabelledCollator(SSASTFeatureExtractor(), 16)
    batch = collate([dataset[i] for i in range(3)])
    assert batch["input_values"].shape == (1, 48, 128)
    assert batch["attention_mask"].tolist() == [[1] * 48]
    assert batch["labels"].tolist() == [[1.0]]
    assert reader.skipped.seen == {clips[1].path, clips[2].path}
    with pytest.raises(ValueError, match="None of the 2 sound files"):
        collate([dataset[1], dataset[2]])


def test_a_crop_of_max_length_frames_has_max_length_frames():
    from ssast_hf.feature_extraction_ssast import num_frames

    for frames in (1, 64, 100, 1024):
        assert num_frames(round(clip_seconds(frames) * 16000)) == frames


def test_accumulated_gradients_equal_those_of_one_batch(tones, pretrained, tmp_path):
    """Two batches of 4 clips accumulated, and one of 8: the same weights after a step."""
    manifest = tmp_path / "clips.csv"
    rows = [f"{tones}/{label}/{i}.wav,{label}" for label in ("low", "high") for i in range(12)]
    manifest.write_text("\n".join(["file,label", *rows]))
    common = ["finetune", "--data", str(manifest), "--model", str(pretrained), "--max_steps", "2",
              "--eval_strategy", "no", "--save_strategy", "no", "--learning_rate", "1e-3",
              "--optim", "sgd"]  # fmt: skip
    for size, steps in ((4, 2), (8, 1)):
        flags = ["--per_device_train_batch_size", str(size), "--gradient_accumulation_steps", str(steps)]
        assert main([*common, *flags, "--output_dir", str(tmp_path / str(size))]) == 0
    weights = [SSASTForAudioClassification.from_pretrained(tmp_path / name).state_dict() for name in ("4", "8")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-6, msg=name)
