# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning against plain re-computations, and its flags as users give them."""

import csv
import json
import random
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy import stats
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from transformers import TrainingArguments

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining, load_audio
from ssast_hf.cli import main
from ssast_hf.training import augment, finetune, tuning
from ssast_hf.training.augment import Augmentation, LabelledClips, LabelledCollator
from ssast_hf.training.data import AudioClips, Clip, read_clips
from ssast_hf.training.labels import Labels, find_labels, hold_out, labels_of, order_of_model, read_groups
from ssast_hf.training.optimization import (
    BalancedSampler,
    ClassificationLoss,
    class_weights,
    layer_of,
    sampling_weights,
    scale_learning_rates,
    step_decay,
)

CONFIG = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}
PITCHES = {"high": 3000, "low": 200, "mid": 900}
QUIET = ["--report_to", "none", "--disable_tqdm", "True", "--logging_steps", "1"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> Path:
    """Three labels of 6 clips each, 0.3 to 0.4 s, in folders; manifests with speakers and with several labels."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    single, several = ["file,label,speaker"], []
    for label, pitch in PITCHES.items():
        (folder / "clips" / label).mkdir(parents=True)
        for i in range(6):
            time = np.arange(6400 - 300 * i) / 16000
            tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * time)
            path = folder / "clips" / label / f"{i}.wav"
            soundfile.write(path, tone + 0.01 * rng.standard_normal(len(time)), 16000)
            single.append(f"clips/{label}/{i}.wav,{label},speaker{i % 3}")
            labels = [label, "even" if i % 2 == 0 else "odd"]
            several.append({"file": f"clips/{label}/{i}.wav", "label": labels})
    (folder / "single.csv").write_text("\n".join(single) + "\n")
    (folder / "several.jsonl").write_text("\n".join(map(json.dumps, several)) + "\n")
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    SSASTForPreTraining(SSASTConfig(**CONFIG, max_length=48)).save_pretrained(folder)
    SSASTFeatureExtractor(max_length=48).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """Untrained, for the three tones, in another order than the alphabet's."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(1)
    names = dict(enumerate(("mid", "high", "low")))
    config = SSASTConfig(**CONFIG, max_length=48, id2label=names, label2id={v: k for k, v in names.items()},
                         problem_type="single_label_classification")  # fmt: skip
    SSASTForAudioClassification(config).save_pretrained(folder)
    SSASTFeatureExtractor(max_length=48).save_pretrained(folder)
    return folder


def tune(*arguments) -> int:
    return main(["finetune", *map(str, arguments), *QUIET])


def log_of(output: Path) -> list[dict]:
    return json.loads((output / "trainer_state.json").read_text())["log_history"]


def losses_of(output: Path) -> list[float]:
    return [entry["loss"] for entry in log_of(output) if "loss" in entry]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return SSASTForAudioClassification.from_pretrained(path).state_dict()


def assert_same_weights(first: Path, second: Path, atol=0.0) -> None:
    expected = weights_of(second)
    for name, value in weights_of(first).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=atol, msg=name)


# Augmentation


def clips_of(folder: Path) -> tuple[list[Clip], AudioClips, np.ndarray]:
    clips = read_clips(folder / "single.csv", labelled=True)
    return clips, AudioClips(clips, 16000, 1.0, cache=True), find_labels(clips, False).targets(clips)


def test_mixup_mixes_sound_and_labels_by_one_weight(tones):
    """Solved for the partner and the weight, every mixed clip is the weighted sum of two that the files hold."""
    clips, sound, targets = clips_of(tones)
    waves = [load_audio(clip.path) for clip in clips]
    weights, partners, mixed = [], [], 0
    for epoch in range(8):
        dataset = LabelledClips(sound, targets, Augmentation(mixup=0.5), seed=3)
        dataset.set_epoch(epoch)
        for index, first in enumerate(waves):
            item = dataset[index]
            if np.array_equal(item["waveform"], first):
                np.testing.assert_array_equal(item["target"], targets[index])
                continue
            mixed += 1
            errors = {}
            for other, second in enumerate(waves):
                padded = np.zeros_like(first)
                shared = min(len(first), len(second))
                padded[:shared] = second[:shared] - second.mean()
                basis = np.stack([first - first.mean(), padded], axis=1)
                solved = np.linalg.lstsq(basis, item["waveform"], rcond=None)[0]
                errors[other] = (np.abs(basis @ solved - item["waveform"]).max(), solved)
            other = min(errors, key=lambda key: errors[key][0])
            if other != index:
                weight = errors[other][1][0]
                assert errors[other][0] < 1e-4 and errors[other][1].sum() == pytest.approx(1, abs=1e-3)
                expected = weight * targets[index] + (1 - weight) * targets[other]
                np.testing.assert_allclose(item["target"], expected, atol=1e-3)
                weights.append(weight)
            partners.append(other)
    assert 0.35 < mixed / (8 * len(clips)) < 0.65
    assert len(set(partners)) > 12
    assert stats.kstest(weights, stats.beta(10, 10).cdf).pvalue > 0.01


def test_spec_augment_masks_like_torchaudio():
    """How often each position is masked equals a plain simulation of torchaudio's rule; masks are contiguous."""
    rng, plain = np.random.default_rng(0), random.Random(0)
    for size, widest in ((40, 12), (20, 30)):
        counts, expected = np.zeros(size), np.zeros(size)
        for _ in range(6000):
            spectrogram = torch.zeros(size, 2)
            augment.mask_axis(spectrogram, 0, widest, 1.0, rng)
            masked = spectrogram[:, 0].numpy()
            assert np.count_nonzero(np.diff(masked)) <= 2 and masked.sum() < widest
            assert (spectrogram[:, 0] == spectrogram[:, 1]).all()
            counts += masked
            width = plain.random() * min(widest, size)
            start = int(plain.random() * (size - width))
            expected[start : start + int(width)] += 1
        np.testing.assert_allclose(counts / 6000, expected / 6000, atol=0.035)


def test_noise_and_roll():
    spectrogram = torch.arange(50.0)[:, None].repeat(1, 4) * 10
    rng, shifts, amplitudes = np.random.default_rng(0), set(), []
    for _ in range(300):
        out = augment.add_noise_and_roll(spectrogram, rng)
        shift = int(torch.argmin(out[:, 0]))
        residual = torch.roll(out, -shift, 0) - spectrogram
        assert 0 <= residual.min() and residual.max() < 0.1
        shifts.add((shift + 25) % 50 - 25)
        amplitudes.append(residual.max().item())
    assert shifts == set(range(-10, 10))
    assert stats.kstest(np.array(amplitudes) * 10, "uniform").pvalue > 0.001


def test_a_batch_is_augmented_in_its_real_frames_alone(tones):
    """With masks only, what differs from the plain batch is filled with the original's zero, in rows and columns."""
    clips, sound, targets = clips_of(tones)
    extractor = SSASTFeatureExtractor(max_length=64)
    augmentation = Augmentation(frequency_mask=60, time_mask=40)
    collate = LabelledCollator(extractor, 16, augmentation)
    items = [0, 5, 11]
    plain = collate([LabelledClips(sound, targets)[i] for i in items])
    augmented = collate([LabelledClips(sound, targets, augmentation, seed=5)[i] for i in items])
    noisy = LabelledCollator(extractor, 16, Augmentation(noise=True))(
        [LabelledClips(sound, targets, Augmentation(noise=True))[i] for i in items]
    )
    torch.testing.assert_close(plain["labels"], torch.from_numpy(targets[items]))
    fill = (0 - extractor.mean) / (2 * extractor.std)
    for batch in (augmented, noisy):
        padding = batch["attention_mask"] == 0
        assert padding.any()
        assert torch.equal(batch["input_values"][padding], plain["input_values"][padding])
    for index, frames in enumerate(plain["attention_mask"].sum(dim=1)):
        before, after = (batch["input_values"][index, :frames] for batch in (plain, augmented))
        masked = after == torch.tensor(fill, dtype=torch.float32)
        assert torch.equal(before[~masked], after[~masked])
        columns, rows = masked.all(dim=0), masked.all(dim=1)
        assert torch.equal(masked, columns[None] | rows[:, None])
        assert columns.sum() < 60 and rows.sum() < 40 * frames / 64
    assert not torch.equal(augmented["input_values"], plain["input_values"])


def test_augmentation_depends_on_seed_epoch_clip_and_draw_alone(tones):
    _, sound, targets = clips_of(tones)

    def draw(index, seed=0, epoch=0):
        dataset = LabelledClips(sound, targets, Augmentation(mixup=1.0), seed)
        dataset.set_epoch(epoch)
        return dataset[index]["waveform"]

    np.testing.assert_array_equal(draw(4), draw(4))
    others = [draw(4, seed=1), draw(4, epoch=1), draw(4 + len(sound))]
    assert all(not np.array_equal(draw(4), other) for other in others)


def test_impossible_augmentation_is_refused():
    for arguments, message in (({"mixup": 1.5}, "--mixup is 1.5"), ({"time_mask": -1}, "--time_mask is -1")):
        with pytest.raises(ValueError, match=message):
            Augmentation(**arguments)


# Loss, sampling, learning rates


def test_losses_equal_torchs():
    torch.manual_seed(0)
    logits, classes = torch.randn(7, 4), torch.randint(4, (7,))
    one_hot, weights = torch.eye(4)[classes], torch.tensor([0.5, 1.0, 2.0, 4.0])
    smoothed = nn.functional.cross_entropy(logits, classes, label_smoothing=0.1)
    torch.testing.assert_close(ClassificationLoss("ce", 0.1)(logits, one_hot), smoothed)
    weighted = (nn.functional.cross_entropy(logits, classes, reduction="none") * weights[classes]).mean()
    torch.testing.assert_close(ClassificationLoss("ce", weights=weights)(logits, one_hot), weighted)
    soft = torch.rand(7, 4)
    torch.testing.assert_close(
        ClassificationLoss("ce")(logits, soft / soft.sum(dim=1, keepdim=True)),
        nn.functional.cross_entropy(logits, soft / soft.sum(dim=1, keepdim=True)),
    )
    probability = logits.sigmoid()
    plain = -(soft * probability.log() * weights + (1 - soft) * (1 - probability).log()).mean()
    torch.testing.assert_close(ClassificationLoss("bce", weights=weights)(logits, soft), plain)
    torch.testing.assert_close(
        ClassificationLoss("bce", 0.2)(logits, soft), ClassificationLoss("bce")(logits, 0.8 * soft + 0.1)
    )


def test_class_weights_equal_scikit_learns():
    classes = np.array([0, 0, 0, 0, 1, 1, 2])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=classes)
    np.testing.assert_allclose(class_weights(np.eye(3)[classes]), balanced, rtol=1e-6)


def test_sampling_weights_and_sampler():
    """Weights equal a plain count; drawn by them, labels are about equally frequent; repeats are told apart."""
    sets = [{0}] * 30 + [{1}] * 6 + [{0, 2}] * 2
    targets = np.array([[float(label in labels) for label in range(3)] for labels in sets])
    count = {label: sum(label in labels for labels in sets) for label in range(3)}
    weights = sampling_weights(targets)
    np.testing.assert_allclose(weights, [sum(1 / count[label] for label in labels) for labels in sets])
    sampler = BalancedSampler(weights, seed=0)
    drawn = np.zeros(len(sets))
    for epoch in range(200):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert len(indices) == len(sampler) == len(sets) == len(set(indices))
        assert list(sampler) == indices
        np.add.at(drawn, np.array(indices) % len(sets), 1)
    np.testing.assert_allclose(drawn / drawn.sum(), weights / weights.sum(), atol=0.015)


def test_step_decay_equals_the_original_loop():
    """Warm-up within the steps, `MultiStepLR` after each epoch, as in the official `train`."""
    parameter = nn.Parameter(torch.zeros(1))
    ours = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.SGD([parameter], lr=0.1)
    schedule = step_decay(ours, warmup_steps=4, steps_per_epoch=3, start=2, every=2, rate=0.5)
    multi_step = torch.optim.lr_scheduler.MultiStepLR(theirs, list(range(2, 1000, 2)), gamma=0.5)
    step = 0
    for _ in range(9):
        for _ in range(3):
            expected = theirs.param_groups[0]["lr"] * min(1, step / 4)
            assert ours.param_groups[0]["lr"] == pytest.approx(expected)
            ours.step()
            schedule.step()
            step += 1
        theirs.step()
        multi_step.step()


def test_learning_rates_by_layer():
    config = SSASTConfig(**{**CONFIG, "num_hidden_layers": 3})
    model = SSASTForAudioClassification(config)
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1.0)
    scale_learning_rates(optimizer, model, 3, head_factor=10.0, layer_decay=0.5)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert len(found) == len(list(model.parameters()))
    expected = {
        "ssast.embeddings.cls_token": (0.0625, 0.1),
        "ssast.layers.0.mlp.fc1.weight": (0.125, 0.1),
        "ssast.layers.1.mlp.fc1.bias": (0.25, 0.0),
        "ssast.layers.2.attention.qkv.weight": (0.5, 0.1),
        "ssast.layernorm.weight": (1.0, 0.0),
        "classifier.dense.weight": (10.0, 0.1),
        "classifier.layernorm.bias": (10.0, 0.0),
    }
    named = dict(model.named_parameters())
    assert {name: found[id(named[name])] for name in expected} == expected
    assert layer_of("base_model.model.ssast.layers.2.attention.qkv.lora_A.default.weight", 3) == 3
    assert layer_of("base_model.model.classifier.modules_to_save.default.dense.weight", 3) == 4
