# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune --frozen` and `--baseline`, as users give them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import pipeline

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining, SSASTModel, classify, load_audio
from ssast_hf.checkpoints.cards import model_card
from ssast_hf.cli import main
from ssast_hf.data.sources import Clip
from ssast_hf.feature_extraction_ssast import log_mel_filterbank
from ssast_hf.inference import load_classifier
from ssast_hf.training import frozen, frozen_choice, tuning
from ssast_hf.training.baseline import statistics, statistics_of_clips
from ssast_hf.training.regression import WindowFeatures, fit
from ssast_hf.training.warping import random_warp

from ..conftest import SMALL

PITCHES = {"high": 3000, "low": 200, "mid": 900}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Tones in `clips/LABEL`, of which one is 2 s long; manifests with speakers and with several labels; a `model`."""
    folder = tmp_path_factory.mktemp("frozen")
    rng = np.random.default_rng(0)
    single, several, two = ["file,label,speaker"], ["file,label"], ["file,label"]
    for label, pitch in PITCHES.items():
        (folder / "clips" / label).mkdir(parents=True)
        for i in range(8):
            time = np.arange(32000 if (label, i) == ("mid", 7) else 9000 - 400 * i) / 16000
            tone = 0.1 * np.sin(2 * np.pi * pitch * rng.uniform(0.5, 1.8) * time)
            path = folder / "clips" / label / f"{i}.wav"
            soundfile.write(path, tone + 0.1 * rng.standard_normal(len(time)), 16000)
            single.append(f"clips/{label}/{i}.wav,{label},speaker{i % 4}")
            several.append(f"clips/{label}/{i}.wav,{label};{'even' if i % 2 == 0 else 'odd'}")
            two += [] if label == "mid" else [f"clips/{label}/{i}.wav,{label}"]
    for name, lines in (("single", single), ("several", several), ("two", two)):
        (folder / f"{name}.csv").write_text("\n".join(lines))
    torch.manual_seed(0)
    config = SSASTConfig(**{**SMALL, "num_hidden_layers": 3}, max_length=64, initializer_range=0.2)
    SSASTForPreTraining(config).save_pretrained(folder / "model")
    SSASTFeatureExtractor(max_length=64).save_pretrained(folder / "model")
    return folder


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    """To choose from, for the time it takes."""
    monkeypatch.setattr(frozen_choice, "STRENGTHS", (0.03, 0.3))


def finetune(folder: Path, output: Path, data: str, *flags) -> int:
    return main(["finetune", "--data", str(folder / data), "--model", str(folder / "model"), "--output_dir",
                 str(output), "--frozen", *map(str, flags)])  # fmt: skip


def pooled(patches: torch.Tensor, pooling: str) -> np.ndarray:
    """Of (rows, steps, size), in a loop."""
    if pooling != "segments":
        return (patches.mean(dim=1).flatten() if pooling == "rows" else patches.mean(dim=(0, 1))).double().numpy()
    steps, parts = patches.shape[1], []
    for part in range(3):
        places = [min(max((step + 0.5) * 3 / steps - 0.5, 0), 2) for step in range(steps)]
        weights = np.array([max(1 - abs(place - part), 1e-3) for place in places])
        parts.append(np.einsum("rsd,s->rd", patches.double().numpy(), weights / weights.sum()).flatten())
    return np.concatenate(parts)


def expected_scores(folder: Path, output: Path, clips: list[Path], targets: np.ndarray) -> np.ndarray:
    """Of scikit-learn, fitted to the encoder's own outputs, clip by clip without padding; clips of one window each."""
    chosen = json.loads((output / "train_results.json").read_text())
    encoder = SSASTModel.from_pretrained(folder / "model").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(folder / "model")
    rows = []
    for clip in clips:
        inputs = extractor(load_audio(clip), sampling_rate=16000, padding="longest", return_tensors="pt")
        with torch.no_grad():
            hidden = encoder(inputs["input_values"], output_hidden_states=True).hidden_states
            patches = encoder.layernorm(hidden[chosen["frozen_layer"]])[0, 2:].unflatten(0, (8, -1))
        rows.append(pooled(patches, chosen["frozen_pooling"]))
    rows, scores = np.stack(rows), []
    scaled = StandardScaler().fit_transform(rows)
    solver = LogisticRegression(C=chosen["frozen_C"], tol=1e-8, max_iter=5000)
    if targets.ndim == 1:
        return solver.fit(scaled, targets).predict_proba(scaled)
    for has in targets.T:
        scores.append(solver.fit(scaled, has).predict_proba(scaled)[:, 1])
    return np.stack(scores, axis=1)


@pytest.mark.parametrize(
    ("data", "flags"),
    [("single", ["--pooling", "rows"]), ("single", ["--pooling", "mean", "--group_column", "speaker"]),
     ("single", ["--pooling", "segments"]), ("two", []), ("several", ["--multi_label", "True", "--pooling", "rows"])],
)  # fmt: skip
def test_the_model_has_scikit_learns_probabilities(folder, tmp_path, capsys, data, flags):
    lines = (folder / f"{data}.csv").read_text().splitlines()
    (folder / "short.csv").write_text("\n".join(line for line in lines if "mid/7" not in line))  # one window each
    alone = ["--validation_fraction", 0, "--warped_copies", 0]
    assert finetune(folder, tmp_path / "out", "short.csv", *alone, *flags) == 0
    told = capsys.readouterr().err
    assert all(f"\n- {name} " in told for name in ("layer", "pooling", "C"))
    assert ("by group" in told) == ("--group_column" in flags)
    rows = [line.split(",") for line in (folder / "short.csv").read_text().splitlines()[1:]]
    clips = [folder / row[0] for row in rows]
    model = load_classifier(tmp_path / "out")
    names = list(model.config.label2id)
    targets = np.array([[name in row[1].split(";") for name in names] for row in rows])
    targets = targets if data == "several" else targets.argmax(axis=1)
    expected = expected_scores(folder, tmp_path / "out", clips, targets)
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "out")
    for (_, found), wanted in zip(classify(model, extractor, clips), expected, strict=True):
        np.testing.assert_allclose([found[name] for name in names], wanted, atol=1e-4)
    chosen = json.loads((tmp_path / "out/train_results.json").read_text())
    assert model.config.num_hidden_layers == len(model.ssast.layers) == chosen["frozen_layer"]
    assert not model.config.classifier_layer_norm


def test_warped_copies_are_fitted_as_more_clips(folder, tmp_path, capsys):
    """Against scikit-learn on the features of the clips and of their copies, each of which counts a third."""
    few = "\n".join(line for line in (folder / "single.csv").read_text().splitlines() if "mid/7" not in line)
    (folder / "few.csv").write_text(few)
    flags = ["--validation_fraction", 0, "--pooling", "mean", "--warped_copies", 2, "--seed", 5]
    assert finetune(folder, tmp_path / "out", "few.csv", *flags) == 0
    assert "Warped copies" not in capsys.readouterr().err  # asked for, not chosen
    chosen = json.loads((tmp_path / "out/train_results.json").read_text())
    assert chosen["frozen_warped_copies"] == 2
    encoder = SSASTModel.from_pretrained(folder / "model").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(folder / "model")
    names = [line.split(",") for line in few.splitlines()[1:]]
    rows, targets = [], []
    for name, label, _ in names:
        waveform = load_audio(folder / name)
        sound = extractor(waveform, sampling_rate=16000, padding=False, return_tensors="pt")["input_values"][0]
        for version in (sound, random_warp(sound, 5, 0), random_warp(sound, 5, 1)):
            padded = torch.nn.functional.pad(version[:64], (0, 0, 0, -len(version[:64]) % 16))
            mask = (torch.arange(len(padded)) < len(version[:64])).long()
            with torch.no_grad():
                hidden = encoder(padded[None], mask[None], output_hidden_states=True).hidden_states
            real = torch.arange(len(padded) // 16) < max(len(version[:64]) // 16, 1)
            patches = encoder.layernorm(hidden[chosen["frozen_layer"]])[0, 2:].unflatten(0, (8, -1))
            rows.append(patches[:, real].mean(dim=(0, 1)).detach().double().numpy())
            targets.append(label)
    scaled = StandardScaler().fit_transform(np.stack(rows))
    solver = LogisticRegression(C=chosen["frozen_C"], tol=1e-8, max_iter=5000)
    expected = solver.fit(scaled, targets, sample_weight=np.full(len(rows), 1 / 3)).predict_proba(scaled[::3])
    model, extractor = (kind(tmp_path / "out") for kind in (load_classifier, SSASTFeatureExtractor.from_pretrained))
    clips = [folder / name for name, *_ in names]
    for (_, found), wanted in zip(classify(model, extractor, clips), expected, strict=True):
        np.testing.assert_allclose([found[name] for name in sorted(PITCHES)], wanted, atol=1e-4)


@pytest.mark.parametrize("copies", [0, 2])
def test_clips_held_out_for_validation_are_fitted_once_they_have_judged(folder, tmp_path, capsys, copies):
    """The saved model is that of all clips, with what was chosen by the others; their results are from before."""
    common = ["--pooling", "rows", "--warped_copies", copies, "--seed", 3]
    assert finetune(folder, tmp_path / "kept", "clips", *common, "--refit", False) == 0
    assert "is fitted to all" not in capsys.readouterr().err
    assert finetune(folder, tmp_path / "all", "clips", *common) == 0
    assert "The saved model is fitted to all 24 clips; --refit False" in capsys.readouterr().err
    kept, whole = (json.loads((tmp_path / name / "all_results.json").read_text()) for name in ("kept", "all"))
    for name in ("eval_accuracy", "eval_loss", "frozen_layer", "frozen_C", "train_samples"):
        assert kept.get(name) == whole.get(name)
    clips = [Clip(str(path), path.parent.name) for path in sorted((folder / "clips").glob("*/*.wav"))]
    encoder = SSASTModel.from_pretrained(folder / "model").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(folder / "model")
    layer = whole["frozen_layer"]
    encoder.layers = encoder.layers[:layer]
    features, _ = frozen.frozen_features(encoder, extractor, clips, [layer], ["rows"])
    versions = [features[layer, "rows"]]
    if copies:
        versions += frozen.warped_features(encoder, extractor, clips, layer, "rows", copies, seed=3)
    targets = np.array([[clip.label == name for name in sorted(PITCHES)] for clip in clips], np.float32)
    (expected,) = fit(WindowFeatures.joined(versions), targets, [whole["frozen_C"]], False)
    for name in ("all", "kept"):
        found = load_classifier(tmp_path / name).classifier.dense.weight.detach().numpy()
        assert np.allclose(found, expected.weight, atol=2e-3) == (name == "all")
    facts = json.loads((tmp_path / "all/training.json").read_text())["arguments"]
    assert facts["clips fitted to"].startswith("24,")
    assert "| clips fitted to |" in model_card(tmp_path / "all", "me/tones")


def test_copies_without_a_mask_are_padded_as_clips_are(folder):
    """As for the original's classifiers: to the model's length, and heard."""
    encoder = SSASTModel.from_pretrained(folder / "model").eval()
    extractor = SSASTFeatureExtractor.from_pretrained(folder / "model")
    extractor.return_attention_mask = False
    files = [folder / "clips/low/0.wav", folder / "clips/mid/7.wav"]
    (found,) = frozen.warped_features(encoder, extractor, [Clip(str(file)) for file in files], 2, "rows", 1, seed=3)
    sound = extractor(load_audio(files[0]), sampling_rate=16000, padding=False, return_tensors="pt")["input_values"][0]
    warped = random_warp(sound, 3, 0)
    padded = torch.full((64, 128), extractor.normalized_padding_value)
    padded[: len(warped)] = warped[:64]
    with torch.no_grad():
        hidden = encoder(padded[None], output_hidden_states=True).hidden_states[2]
        expected = encoder.pool(encoder.layernorm(hidden), None, "rows")[0]
    np.testing.assert_allclose(found.inputs[0], expected.numpy(), atol=1e-5)
    assert found.clip.tolist() == [0, 1, 1, 1, 1] and np.isfinite(found.inputs).all()


@pytest.mark.parametrize("better", [True, False])
def test_warped_copies_of_few_clips_are_chosen_by_cross_validation(folder, tmp_path, capsys, monkeypatch, better):
    found = {}

    def losses(windows, *rest, fitted):
        copies = len(fitted.inputs) // len(windows.inputs) - 1
        found[copies] = windows.weight.sum(), fitted.weight.sum()
        return [(0.5, -1.0 if (copies > 0) == better else -1.25)] * len(frozen_choice.STRENGTHS)

    worth_copies = frozen.worth_copies

    def worth(*arguments):
        monkeypatch.setattr(frozen_choice, "cross_validate", losses)
        return worth_copies(*arguments)

    monkeypatch.setattr(frozen, "worth_copies", worth)
    assert finetune(folder, tmp_path / "out", "clips", "--validation_fraction", 0) == 0
    told = capsys.readouterr().err
    listed = "without 1.250, with 1.000" if better else "without 1.000, with 1.250"
    chosen = 4 if better else 0
    line = "- with 4 warped copies of each clip" if better else "- without warped copies"
    assert "\nChosen by accuracy in cross-validation of 24 clips in 5 parts:\n- pooling " in told
    assert f"\n{line}, by logarithmic loss, mean over all C: {listed}\n" in told
    assert json.loads((tmp_path / "out/train_results.json").read_text())["frozen_warped_copies"] == chosen
    assert set(found) == {0, 4} and np.allclose(list(found.values()), 24)  # a clip counts once, with its copies


def test_many_clips_are_not_copied(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(frozen, "FEW_CLIPS", 7)
    assert finetune(folder, tmp_path / "out", "clips", "--validation_fraction", 0) == 0
    assert "Warped copies" not in capsys.readouterr().err
    assert json.loads((tmp_path / "out/train_results.json").read_text())["frozen_warped_copies"] == 0


def test_copies_of_a_clip_that_is_gone_are_not_tried_unless_asked_for(folder, tmp_path, capsys, monkeypatch):
    def gone(*arguments):
        raise ValueError("x.wav could be read once, but not again.")

    monkeypatch.setattr(frozen, "warped_features", gone)
    assert finetune(folder, tmp_path / "out", "clips", "--validation_fraction", 0) == 0
    assert "Warped copies are not tried: x.wav could be read once" in capsys.readouterr().err
    assert json.loads((tmp_path / "out/train_results.json").read_text())["frozen_warped_copies"] == 0
    assert finetune(folder, tmp_path / "asked", "clips", "--validation_fraction", 0, "--warped_copies", 2) == 2
    assert "x.wav could be read once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [(["--warped_copies", 2, "--frozen", "False"], "--warped_copies is for --frozen, which is not given"),
     (["--warped_copies", -1], "--warped_copies is -1, expected 0 or more"),
     (["--refit", "False", "--frozen", "False"], "--refit is for --frozen, which is not given"),
     (["--refit", "True", "--validation_fraction", 0], "--refit is about clips that are held out of --data")],
)  # fmt: skip
def test_copies_that_mean_nothing_are_refused(folder, tmp_path, capsys, flags, reason):
    assert finetune(folder, tmp_path / "out", "clips", *flags) == 2
    assert reason in capsys.readouterr().err


def test_annotated_recordings_are_training_data(folder, tmp_path):
    """They trained, and ended in an error when the model card asked for the data's name."""
    rows = [f"clips/{label}/{i}.wav,0,0.3,{label}" for label in PITCHES for i in range(6)]
    (folder / "annotated.csv").write_text("\n".join(["file,start,end,label", *rows]))
    output, source = tmp_path / "out", f"annotations:{folder}/annotated.csv,margin=0"
    flags = ["--model", str(folder / "model"), "--output_dir", str(output), "--frozen"]
    assert main(["finetune", "--data", source, *flags]) == 0
    assert json.loads((output / "training.json").read_text())["data"] == "annotated.csv"
    assert json.loads((output / "_run.json").read_text())["finished"]


def test_nothing_of_an_overwritten_run_is_taken_for_the_new_ones(folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert finetune(folder, output, "clips", "--test_data", folder / "single.csv", "--save_predictions", True) == 0
    (output / "checkpoint-notes").mkdir()
    (output / "my_results.json").write_text("{}")
    assert finetune(folder, output, "two.csv", "--validation_fraction", 0, "--overwrite") == 0
    names = {path.name for path in output.iterdir()}
    assert {"checkpoint-notes", "my_results.json", "train_results.json", "all_results.json"} <= names
    assert not [name for name in names if name.startswith(("eval_", "test_"))]
    assert not [
        key for key in json.loads((output / "all_results.json").read_text()) if key.startswith(("eval", "test"))
    ]
    assert "test accuracy" not in model_card(output, "me/tones")


def test_folds_of_an_overwritten_run_are_none_of_the_new_one(folder, tmp_path):
    output = tmp_path / "out"
    assert finetune(folder, output, "clips", "--folds", 3) == 0
    (output / "eval_results.json").mkdir()  # a user's folder, whatever its name
    assert finetune(folder, output, "two.csv", "--folds", 2, "--overwrite") == 0
    assert sorted(path.name for path in (output / "_folds").iterdir()) == ["1", "2"]
    assert (output / "eval_results.json").is_dir()


def test_a_model_that_was_saved_but_not_judged_is_made_again_by_its_own_command_alone(folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert finetune(folder, output, "clips", "--validation_fraction", 0) == 0
    record = json.loads((output / "_run.json").read_text())
    (output / "_run.json").write_text(json.dumps({**record, "finished": False}))
    weights = (output / "model.safetensors").read_bytes()
    assert finetune(folder, output, "two.csv", "--validation_fraction", 0) == 2
    assert "which holds another run (--data was" in capsys.readouterr().err
    assert (output / "model.safetensors").read_bytes() == weights
    assert finetune(folder, output, "clips", "--validation_fraction", 0) == 0
    assert (output / "model.safetensors").read_bytes() == weights
    assert json.loads((output / "_run.json").read_text())["finished"]


def test_clips_that_train_and_judge_are_warned_of(folder, tmp_path, caplog):
    flags = ["--test_data", folder / "single.csv", "--validation_fraction", 0]
    assert finetune(folder, tmp_path / "a", "clips", *flags) == 0
    told = f"{folder / 'single.csv'}: 24 of 24 clips are in the training data {folder / 'clips'}, too"
    assert any(message.startswith(told) for message in caplog.messages)
    lines = (folder / "single.csv").read_text().splitlines()
    (folder / "twice.csv").write_text(
        "\n".join([*lines, *(line.replace("/", "/../clips/", 1) for line in lines[1:9])])
    )
    caplog.clear()
    assert finetune(folder, tmp_path / "b", "twice.csv", "--folds", 2) == 0
    assert sum("are in training and held out" in message for message in caplog.messages) == 1


def test_pipelines_onnx_and_cards_take_the_model(folder, tmp_path, capsys):
    output = tmp_path / "out"
    held_out = ["--validation_data", folder / "single.csv", "--test_data", folder / "clips"]
    assert finetune(folder, output, "clips", *held_out, "--baseline", "--pooling", "rows") == 0
    out = capsys.readouterr().out
    assert "Validation: accuracy" in out and "by the baseline, logistic regression on mel statistics" in out
    results = json.loads((output / "all_results.json").read_text())
    assert results["eval_baseline_accuracy"] == results["test_baseline_accuracy"] > 0.9
    card = model_card(output, "me/tones")
    assert "| test baseline accuracy |" in card and "| encoder | frozen |" in card and "learning_rate" not in card
    assert card.count("type: accuracy") == 2  # the model's alone

    path = folder / "clips/high/3.wav"
    (found,) = classify(load_classifier(output), SSASTFeatureExtractor.from_pretrained(output), [path])
    answer = pipeline("audio-classification", model=str(output))(load_audio(path))
    assert {entry["label"]: entry["score"] for entry in answer} == pytest.approx(found[1], abs=1e-4)
    assert main(["export", "--model", str(output), "--onnx", str(tmp_path / "x.onnx")]) == 0
    capsys.readouterr()
    assert main(["classify", str(path), "--model", str(tmp_path / "x.onnx"), "--json", "--top-k", "3"]) == 0
    labels = json.loads(capsys.readouterr().out)["labels"]
    assert {entry["label"]: entry["score"] for entry in labels} == pytest.approx(found[1], abs=1e-4)

    assert finetune(folder, output, "clips") == 2
    assert "which holds another run" in capsys.readouterr().err


def test_a_long_clip_is_fitted_and_judged_window_by_window(folder):
    encoder = SSASTModel.from_pretrained(folder / "model")
    extractor = SSASTFeatureExtractor.from_pretrained(folder / "model")
    clips = [Clip(str(folder / "clips/mid" / name)) for name in ("7.wav", "missing.wav", "0.wav")]
    features, readable = frozen.frozen_features(encoder, extractor, clips, [1, 3], ("mean", "rows", "cls"))
    assert readable == [0, 2]
    assert {key: windows.inputs.shape[1] for key, windows in features.items()} == {
        (layer, pooling): size for layer in (1, 3) for pooling, size in (("mean", 32), ("rows", 256), ("cls", 32))
    }
    windows = features[3, "mean"]
    assert windows.clip.tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(windows.weight[:4].sum(), 1)
    assert windows.weight[4] == 1


def test_flags_without_meaning_are_named(folder, tmp_path, capsys):
    assert finetune(folder, tmp_path / "out", "clips", "--lora_rank", 4, "--mixup", 0.5, "--num-train-epochs", 3) == 2
    error = capsys.readouterr().err
    assert "--frozen trains no encoder and has no use for --lora_rank, --mixup, --num_train_epochs" in error
    assert not (tmp_path / "out").exists()


def test_flags_of_reading_are_taken(folder, tmp_path, capsys):
    """`--channel` and `--accept_truncated` say how clips are read, not how to train."""
    lines = ["file,label", *(f"{folder}/clips/{label}/{i}.wav,{label}" for label in ("high", "low") for i in (0, 1))]
    cut_off = tmp_path / "cut_off.wav"
    cut_off.write_bytes((folder / "clips/low/2.wav").read_bytes()[:9000])
    (tmp_path / "clips.csv").write_text("\n".join([*lines, f"{cut_off},low"]))
    flags = ["--channel", 1, "--accept_truncated", "True", "--validation_fraction", 0]
    assert frozen.is_default(["data", "model", "channel", "accept_truncated"], 60, 3)
    assert finetune(folder, tmp_path / "out", str(tmp_path / "clips.csv"), *flags) == 0
    assert json.loads((tmp_path / "out/train_results.json").read_text())["train_samples"] == 5


def test_a_label_whose_samples_cannot_be_read_is_refused(folder, tmp_path, capsys):
    """Headers are in order, and the samples are not finite."""
    lines = ["file,label", *(f"{folder}/clips/{label}/{i}.wav,{label}" for label in ("high", "low") for i in (0, 1))]
    for i in range(2):
        soundfile.write(tmp_path / f"{i}.wav", np.full(8000, np.nan), 16000, subtype="FLOAT")
        lines.append(f"{tmp_path}/{i}.wav,ghost")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    common = [folder, tmp_path / "out", str(tmp_path / "clips.csv"), "--validation_fraction", 0]
    assert finetune(*common) == 2
    assert "has no clip of ghost that can be read" in capsys.readouterr().err
    assert finetune(*common, "--allow_missing_labels", "True", "--overwrite", "True") == 1
    assert "2 clip(s) could not be read" in capsys.readouterr().err


def test_one_clip_per_label_is_enough_and_said(folder, tmp_path, capsys):
    lines = ["file,label", *(f"clips/{label}/0.wav,{label}" for label in PITCHES)]
    (folder / "one.csv").write_text("\n".join(lines))
    assert finetune(folder, tmp_path / "out", "one.csv", "--validation_fraction", 0) == 0
    told = capsys.readouterr().err
    assert "Layer 2, pooling rows and C 0.05: not chosen by the clips, no label has two clips" in told


def test_clips_that_are_all_alike_get_the_shares_of_the_labels():
    """Such as silence: scikit-learn refused their features, of which none was left."""
    alike = WindowFeatures.of_clips(np.ones((6, 8), np.float32))
    (found,) = fit(alike, np.eye(2)[[0, 0, 0, 0, 1, 1]], [0.3], several=False)
    assert not found.weight.any()
    np.testing.assert_allclose(found.scores(alike), [[2 / 3, 1 / 3]] * 6, atol=1e-3)


def test_layers_are_evenly_spaced():
    assert frozen.layers_to_try(12) == [2, 4, 6, 8, 10, 12]
    assert frozen.layers_to_try(4) == [1, 2, 3, 4]
    assert frozen.layers_to_try(1) == [1]


def test_a_single_lucky_combination_is_not_chosen():
    """By hand: rows are better but for one layer and C; among rows layer 2 with its neighbour, and C 0.1; layer 6 is
    0.013 worse, and nearer two thirds of 8 layers."""
    worth = {(layer, pooling, c): (0.5 if pooling == "rows" else 0.4, 0.0)
             for layer in (2, 4, 6, 8) for pooling in ("mean", "rows") for c in (0.01, 0.1)}  # fmt: skip
    worth[8, "mean", 0.01] = (0.9, 0.0)
    worth[2, "rows", 0.1] = worth[4, "rows", 0.1] = (0.6, 0.0)
    worth[8, "rows", 0.01] = (0.65, 0.0)
    worth[6, "rows", 0.1] = worth[8, "rows", 0.1] = (0.5, 0.1)
    choice, (layers, poolings, strengths) = frozen_choice._best(worth, 0.005)
    assert choice == (2, "rows", 0.1)
    assert frozen_choice._best(worth, 0.014)[0] == (6, "rows", 0.1)
    assert poolings["mean"][0] == pytest.approx(0.4625) and poolings["rows"][0] == pytest.approx(4.35 / 8)
    assert [value[0] for value in layers.values()] == pytest.approx([0.55, 1.6 / 3, 1.625 / 3, 0.5375])
    assert [value[0] for value in strengths.values()] == pytest.approx([2.15 / 4, 2.2 / 4])


def test_statistics_are_those_of_the_whole_sound(tmp_path):
    """Against NumPy on all frames at once, also where the sound is read in pieces."""
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal(16000 * 70)).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", sound, 16000, subtype="FLOAT")
    bands = log_mel_filterbank(torch.from_numpy(sound)[None], num_mel_bins=64)[0].numpy()
    expected = np.concatenate([bands.mean(0), bands.std(0), bands.min(0), bands.max(0)])
    np.testing.assert_allclose(statistics(sound), expected, rtol=1e-4, atol=1e-4)
    rows, readable = statistics_of_clips([Clip(str(tmp_path / "no.wav")), Clip(str(tmp_path / "long.wav"))], 16000)
    assert readable == [1]
    np.testing.assert_allclose(rows[0], expected, rtol=1e-4, atol=1e-4)


def test_evaluate_tells_the_baseline(folder, tmp_path, capsys):
    rows = (folder / "single.csv").read_text().splitlines()
    parts = {"train": rows[1::2], "held": rows[2::2]}
    for name, part in parts.items():
        (folder / f"{name}.csv").write_text("\n".join([rows[0], *part]))
    assert finetune(folder, tmp_path / "model", "train.csv", "--validation_fraction", 0) == 0
    command = ["evaluate", "--data", str(folder / "held.csv"), "--model", str(tmp_path / "model"), "--output-dir"]
    assert main([*command, str(tmp_path / "out"), "--baseline", str(folder / "train.csv")]) == 0
    results = json.loads((tmp_path / "out/test_results.json").read_text())
    shown = f"accuracy {results['test_baseline_accuracy']:.3f} by the baseline"
    assert shown in capsys.readouterr().out

    inputs, labels = ({}, {})
    for name, part in parts.items():
        inputs[name] = np.stack([statistics(load_audio(folder / row.split(",")[0])) for row in part])
        labels[name] = [row.split(",")[1] for row in part]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))
    expected = model.fit(inputs["train"], labels["train"]).score(inputs["held"], labels["held"])
    assert results["test_baseline_accuracy"] == pytest.approx(expected)

    assert main([*command, str(tmp_path / "again"), "--baseline", str(folder / "single.csv")]) == 2
    assert "which has 12 of the 12 clips of --data" in capsys.readouterr().err


def test_few_clips_leave_the_encoder_frozen_unless_a_flag_says_how_to_train(folder, tmp_path, capsys, monkeypatch):
    common = ["finetune", "--data", str(folder / "clips"), "--disable_tqdm", "True"]
    model = ["--model", str(folder / "model")]

    def run(name: str, *flags: str) -> str:
        assert main([*common, *flags, "--output_dir", str(tmp_path / name)]) == 0
        return capsys.readouterr().err

    told = run("few", *model)
    assert "clips of 3 labels are few" in told and "--frozen False" in told and "frozen encoder" in told
    assert "frozen_layer" in json.loads((tmp_path / "few/train_results.json").read_text())
    for name, flags in (
        ("told", ["--max_steps", "1"]), ("refused", ["--frozen", "False", "--max_steps", "1"]),
        ("scratch", ["--from_scratch", "True", "--max_steps", "1"]),
    ):  # fmt: skip
        assert "M parameters to train" in run(name, *model, *flags)
    # A classifier for the same labels is trained on, with all its layers.
    monkeypatch.setattr(tuning, "LEAST_STEPS", 1)
    assert "M parameters to train" in run("again", "--model", str(tmp_path / "told"))
    assert frozen.is_default(["data", "model"], 60, 3) and not frozen.is_default(["data", "model"], 61, 3)
    assert not frozen.is_default(["learning_rate"], 3, 3)
