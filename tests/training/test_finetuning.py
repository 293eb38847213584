# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning against plain re-computations, and its flags as users give them."""

import csv
import json
import random
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import soundfile
import torch
from accelerate.data_loader import BatchSamplerShard
from scipy import stats
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.utils.data import BatchSampler
from transformers import pipeline

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    classify,
    load_audio,
)
from ssast_hf.cli import main
from ssast_hf.data.decoded import decode
from ssast_hf.data.labels import (
    Labels,
    find_labels,
    hold_out,
    labels_of,
    name_official_labels,
)
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.data.sources import Clip, read_clips, read_labelled, read_sources, read_with_column
from ssast_hf.inference import load_classifier
from ssast_hf.training import augment, finetune, tuning
from ssast_hf.training.arguments import SharedArguments
from ssast_hf.training.augment import Augmentation, LabelledClips, LabelledCollator
from ssast_hf.training.classifier_labels import order_of_model
from ssast_hf.training.optimization import (
    BalancedSampler,
    ClassificationLoss,
    LengthSampler,
    class_weights,
    layer_of,
    sampling_weights,
    scale_learning_rates,
    step_decay,
    steps_per_epoch,
)

from .tones import CONFIG, PITCHES, QUIET, log_of, tune


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


def losses_of(output: Path) -> list[float]:
    return [entry["loss"] for entry in log_of(output) if "loss" in entry]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return SSASTForAudioClassification.from_pretrained(path).state_dict()


def assert_same_weights(first: Path, second: Path, atol=0.0) -> None:
    expected = weights_of(second)
    for name, value in weights_of(first).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=atol, msg=name)


# Augmentation


def clips_of(folder: Path) -> tuple[list[Clip], Reader, np.ndarray]:
    clips = read_clips(folder / "single.csv", labelled=True)
    return clips, Reader(16000, Skipped()), find_labels(clips, False).targets(clips)


def test_mixup_mixes_sound_and_labels_by_one_weight(tones):
    """Solved for the partner and the weight, every mixed clip is the weighted sum of two that the files hold."""
    clips, reader, targets = clips_of(tones)
    waves = [load_audio(clip.path) for clip in clips]
    weights, partners, mixed = [], [], 0
    for epoch in range(8):
        dataset = LabelledClips(clips, reader, targets, 1.0, Augmentation(mixup=0.5), seed=3)
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
        assert residual.min() >= 0 and residual.max() < 0.1
        shifts.add((shift + 25) % 50 - 25)
        amplitudes.append(residual.max().item())
    assert shifts == set(range(-10, 10))
    assert stats.kstest(np.array(amplitudes) * 10, "uniform").pvalue > 0.001


def test_a_batch_is_augmented_in_its_real_frames_alone(tones):
    """With masks only, what differs from the plain batch is filled with the original's zero, in rows and columns."""
    clips, reader, targets = clips_of(tones)
    extractor = SSASTFeatureExtractor(max_length=64)
    augmentation = Augmentation(frequency_mask=60, time_mask=40)
    collate = LabelledCollator(extractor, 16, augmentation)
    items = [0, 5, 11]
    plain = collate([LabelledClips(clips, reader, targets, 1.0)[i] for i in items])
    augmented = collate([LabelledClips(clips, reader, targets, 1.0, augmentation, seed=5)[i] for i in items])
    noisy = LabelledCollator(extractor, 16, Augmentation(noise=True))(
        [LabelledClips(clips, reader, targets, 1.0, Augmentation(noise=True))[i] for i in items]
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
    clips, reader, targets = clips_of(tones)

    def draw(index, seed=0, epoch=0):
        dataset = LabelledClips(clips, reader, targets, 1.0, Augmentation(mixup=1.0), seed)
        dataset.set_epoch(epoch)
        return dataset[index]["waveform"]

    np.testing.assert_array_equal(draw(4), draw(4))
    others = [draw(4, seed=1), draw(4, epoch=1), draw(4 + len(clips))]
    assert all(not np.array_equal(draw(4), other) for other in others)


def test_long_clips_are_cropped_anew_in_every_epoch(tones):
    """Crops come from anywhere in the clip, and from its beginning where nothing is augmented."""
    clips, reader, targets = clips_of(tones)
    whole = load_audio(clips[0].path)
    np.testing.assert_array_equal(LabelledClips(clips, reader, targets, 0.1)[0]["waveform"], whole[:1600])
    dataset, starts = LabelledClips(clips, reader, targets, 0.1, Augmentation()), []
    windows = np.lib.stride_tricks.sliding_window_view(whole, 1600)
    for epoch in range(200):
        dataset.set_epoch(epoch)
        (start,) = np.flatnonzero((windows == dataset[0]["waveform"]).all(axis=1))
        starts.append(start)
    assert stats.kstest(np.array(starts) / (len(whole) - 1600), "uniform").pvalue > 0.01


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


def test_batches_of_one_length():
    """Each clip once an epoch, in another order; less than half of the padding of random batches."""
    lengths = np.random.default_rng(0).uniform(0.1, 2.0, 320)
    sampler = LengthSampler(lengths.tolist(), 8, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(320)) and len(sampler) == 320
    assert orders[0] == orders[2] != orders[1]
    assert list(LengthSampler(lengths.tolist(), 8, seed=4)) != orders[0]

    def padding(order) -> float:
        batches = lengths[order].reshape(-1, 8)
        return (batches.max(axis=1, keepdims=True) - batches).sum()

    assert padding(orders[0]) < padding(np.random.default_rng(1).permutation(320)) / 2


def test_clips_are_as_long_as_a_crop_at_most(tones):
    clips, reader, targets = clips_of(tones)
    lengths = [min(soundfile.info(clip.path).duration, 0.37) for clip in clips]
    assert LabelledClips(clips, reader, targets, 0.37).seconds() == pytest.approx(lengths)


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


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("accumulated", [1, 3])
def test_steps_per_epoch_are_those_of_the_loaders(processes, drop_last, accumulated):
    args = SimpleNamespace(train_batch_size=4, world_size=processes, dataloader_drop_last=drop_last,
                           gradient_accumulation_steps=accumulated)  # fmt: skip
    for clips in range(4 * processes, 60):
        batches = BatchSampler(range(clips), 4, drop_last)
        loader = BatchSamplerShard(batches, processes) if processes > 1 else batches  # as accelerate shards it
        assert steps_per_epoch(clips, args) == max(1, -(-len(loader) // accumulated)), clips
    assert steps_per_epoch(1, args) == 1


def test_learning_rates_by_layer():
    config = SSASTConfig(**{**CONFIG, "num_hidden_layers": 3})
    model = SSASTForAudioClassification(config)
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1.0
    )
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


# Labels and splits


def test_labels_of_a_clip():
    assert labels_of(Clip("x", "dog; cat;dog"), several=True) == ["dog", "cat"]
    assert labels_of(Clip("x", '["a;b", "c"]'), several=True) == ["a;b", "c"]
    assert labels_of(Clip("x", "[whisper]"), several=False) == ["[whisper]"]
    for label, message in (("a;b", "has 2 labels"), ('["a", "b"]', "has 2 labels"), ("[]", "has no label")):
        with pytest.raises(ValueError, match=message):
            labels_of(Clip("x", label), several=False)


def test_targets_equal_a_plain_loop(tones):
    clips = read_clips(tones / "several.jsonl", labelled=True)
    labels = find_labels(clips, several=True)
    assert labels.names == ("even", "high", "low", "mid", "odd")
    rows = [json.loads(line) for line in (tones / "several.jsonl").read_text().splitlines()]
    expected = [[float(name in row["label"]) for name in labels.names] for row in rows]
    assert labels.targets(clips).tolist() == expected


def test_identifiers_of_the_original_become_names(tmp_path):
    classes = tmp_path / "class_labels_indices.csv"
    classes.write_text('index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/05zppz,"Male speech, man speaking"\n')
    clips = [Clip("a", "/m/05zppz,/m/09x0r"), Clip("b", "/m/05zppz")]
    named = name_official_labels(clips, "data.json", str(classes))
    assert [labels_of(clip, True) for clip in named] == [
        ["Male speech, man speaking", "Speech"], ["Male speech, man speaking"]
    ]  # fmt: skip
    assert name_official_labels(clips, "data.csv", str(classes)) == clips
    with pytest.raises(ValueError, match="b has the label '/m/1', which is not in the column mid"):
        name_official_labels([Clip("b", "/m/1")], "data.json", str(classes))


def test_an_order_of_labels_must_be_that_of_the_data():
    clips = [Clip(str(i), label) for i, label in enumerate("aabbc")]
    assert find_labels(clips, False, ["c", "b", "a"]).names == ("c", "b", "a")
    with pytest.raises(ValueError, match="has the label\\(s\\) c, which --label_file lacks"):
        find_labels(clips, False, ["a", "b"])
    with pytest.raises(ValueError, match="no clip of d"):
        find_labels(clips, False, ["a", "b", "c", "d"])


def test_labels_of_a_fine_tuned_model_lead(pretrained, classifier):
    assert order_of_model(str(classifier), Labels(("high", "low", "mid"))).names == ("mid", "high", "low")
    assert order_of_model(str(pretrained), Labels(("x", "y"))).names == ("x", "y")
    with pytest.raises(ValueError, match="only the model has mid; only the data has top"):
        order_of_model(str(classifier), Labels(("high", "low", "top")))


def test_held_out_groups_are_whole_and_labels_stay_balanced():
    rng = random.Random(0)
    clips = [Clip(str(i), rng.choice("abc")) for i in range(300)]
    groups = [f"g{rng.randrange(40)}" for _ in clips]
    labels = find_labels(clips, False)
    for fraction in (0.2, 0.7):
        train, held_out = hold_out(clips, labels, fraction, 0, groups)
        sides = {clip: clip in set(held_out) for clip in clips}
        assert len(train) + len(held_out) == len(clips)
        assert all(len({sides[c] for c, g in zip(clips, groups) if g == group}) == 1 for group in set(groups))
        assert abs(len(held_out) / len(clips) - fraction) < 0.1
        for label in "abc":
            total = sum(clip.label == label for clip in clips)
            assert abs(sum(clip.label == label for clip in held_out) / total - fraction) < 0.15
    assert hold_out(clips, labels, 0.2, 1, groups) != hold_out(clips, labels, 0.2, 0, groups)
    with pytest.raises(ValueError, match="There are 2 groups, expected 5"):
        hold_out(clips, labels, 0.2, 0, [str(i % 2) for i in range(300)])


def test_several_labels_are_held_out_alike():
    rng = random.Random(1)
    clips = [Clip(str(i), ";".join(rng.sample("abcdef", rng.randint(1, 4)))) for i in range(200)]
    clips += [Clip("rare 1", "g;a"), Clip("rare 2", "g;b"), Clip("single", "h;a")]
    labels = find_labels(clips, True)
    train, held_out = hold_out(clips, labels, 0.25, 0)
    assert sorted(train + held_out, key=str) == sorted(clips, key=str)
    for name, low, high in (*((name, 0.2, 0.4) for name in "abcdef"), ("g", 0.5, 0.5), ("h", 0, 0)):
        members = [clip for clip in clips if name in labels.of(clip)]
        assert low <= sum(clip in held_out for clip in members) / len(members) <= high, name


def test_columns_are_read_from_the_manifest(tones):
    assert read_with_column(str(tones / "single.csv"), True, "speaker")[1] == [f"speaker{i % 3}" for i in range(6)] * 3
    with pytest.raises(ValueError, match="line 2: no column singer, found file, label"):
        read_with_column(str(tones / "single.csv"), True, "singer")
    with pytest.raises(ValueError, match="has no columns, expected a .csv"):
        read_with_column(str(tones / "clips"), True, "speaker")


@pytest.fixture(scope="module")
def dataset(tones, tmp_path_factory) -> Path:
    """The clips of single.csv as a dataset with the splits `train` and `test` (backwards), and as one .parquet."""
    folder = tmp_path_factory.mktemp("dataset")
    with open(tones / "single.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted(PITCHES)
    encoded = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}  # needs no torchcodec
    features = datasets.Features({
        "id": datasets.Value("string"), "audio": encoded, "speaker": datasets.Value("string"),
        "class": datasets.ClassLabel(names=names), "name": datasets.Value("string"),
        "several": datasets.List(datasets.ClassLabel(names=names)), "secret": datasets.ClassLabel(names=names),
        "number": datasets.Value("int64"), "share": datasets.Value("float32"),
    })  # fmt: skip
    content = [{
        "id": str(i), "audio": {"bytes": (tones / row["file"]).read_bytes(), "path": row["file"]},
        "speaker": row["speaker"], "class": names.index(row["label"]), "name": row["label"],
        "several": sorted({names.index(row["label"]), i % 3}), "secret": -1, "number": i % 2, "share": 0.5,
    } for i, row in enumerate(rows)]  # fmt: skip
    (folder / "set").mkdir()
    for split, part in (("train", content), ("test", content[::-1])):
        columns = {name: [row[name] for row in part] for name in features}
        whole = datasets.Dataset.from_dict(columns, features=features).cast_column("audio", datasets.Audio())
        whole.to_parquet(folder / "set" / f"{split}-00000-of-00001.parquet")
    return folder / "set"


def test_datasets_have_labels(dataset, tones):
    expected = [clip.label for clip in read_clips(tones / "single.csv", labelled=True)]
    for options in ("label=class", "column=audio,label=class", "label=name", "split=train,label=class"):
        clips = read_labelled(f"hf:{dataset},{options}")
        assert [clip.label for clip in clips] == expected
    assert read_labelled(f"{dataset}/train-00000-of-00001.parquet,label=name")[0].label == expected[0]
    several = read_labelled(f"hf:{dataset},label=several")
    assert all(label in labels_of(clip, True) for clip, label in zip(several, expected))
    assert {len(labels_of(clip, True)) for clip in several} == {1, 2}
    assert {clip.label for clip in read_labelled(f"hf:{dataset},label=number")} == {"0", "1"}
    assert (
        read_with_column(f"hf:{dataset},label=name", True, "speaker")[1] == [f"speaker{i % 3}" for i in range(6)] * 3
    )
    file = read_clips(tones / "single.csv", labelled=True)[4]
    np.testing.assert_array_equal(clips[4].load(16000), file.load(16000))


def test_splits_of_a_dataset_are_other_clips(dataset, tmp_path):
    """Caches go by clip: what is read of one split must not be taken for the other's."""
    train, test = (read_labelled(f"hf:{dataset},label=class,split={split}") for split in ("train", "test"))
    assert not set(train) & set(test)
    plain = [source.clips for source in read_sources([f"hf:{dataset}", f"hf:{dataset},split=test"])]
    decoded = decode([*plain[0], *plain[1]], 16000, tmp_path, Skipped())
    for clip in (plain[0][2], plain[1][2]):
        np.testing.assert_allclose(decoded.read(clip, 0, 2000), clip.load(16000)[:2000], atol=1 / 32767)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "has no column with labels, found id, audio, .*: name it with label="),  # three columns look like it
        (",label=klass", "has no column klass, found id"),
        (",label=secret", r"\[0\]: no label in the column secret"),
        (",label=share", "0.5 in the column share, expected a name or a whole number"),
        (",label=class,split=validation", "cannot be loaded"),
        (",label=class,streaming=true", "a stream has no known labels"),
        (",label=class,weight=2", "weight= is for pretraining"),
    ],
)
def test_datasets_without_labels_are_named(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        read_labelled(f"hf:{dataset}{options}")


def test_fine_tuning_takes_a_dataset(pretrained, dataset, tmp_path, capsys):
    source = f"hf:{dataset},label=class"
    assert main(["finetune", "--data", source, "--test_data", f"{source},split=test", "--model", str(pretrained),
                 "--output_dir", str(tmp_path / "out"), "--group_column", "speaker", "--validation_fraction", "0.34",
                 "--max_steps", "2", "--save_predictions", "True", *QUIET]) == 0  # fmt: skip
    assert "12 clips for training, 6 for validation" in capsys.readouterr().err
    assert SSASTConfig.from_pretrained(tmp_path / "out").id2label == {0: "high", 1: "low", 2: "mid"}
    assert main(["evaluate", "--data", f"{source},split=test", "--model", str(tmp_path / "out"), "--output-dir",
                 str(tmp_path / "judged")]) == 0  # fmt: skip
    found = [json.loads((tmp_path / place / "test_results.json").read_text()) for place in ("out", "judged")]
    assert found[0] == found[1]
    assert json.loads((tmp_path / "out/training.json").read_text())["data"] == "set"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--data {tones}/several.jsonl", "has 2 labels"),
        ("--data {tones}/single.csv --model {others}", "is a classifier for other labels than the data's"),
        ("--data {tones}/single.csv --label_file {tones}/few.txt", "has the label(s) mid, which --label_file lacks"),
        ("--data {tones}/single.csv --validation_data {tones}/few.csv", "The validation data has no clip of low, mid"),
        ("--data {tones}/single.csv --test_data {tones}/few.csv", "few.csv has no clip of low, mid"),
        ("--data {tones}/once.csv --test_data {tones}/once.csv", "has one clip per label"),
        ("--data {tones}/single.csv --group_column speaker --validation_fraction 0.1", "There are 3 groups"),
        ("--data {tones}/single.csv --group_column speaker --validation_data {tones}/single.csv", "which --valid"),
        ("--data {tones}/single.csv --loss ce --multi_label True", "--loss is ce, expected bce"),
        ("--data {tones}/single.csv --metric_for_best_model f1", "--metric_for_best_model is f1, expected one of"),
        ("--data {tones}/single.csv --linear_probe True --lora_rank 2", "--linear_probe and --lora_rank exclude"),
        ("--data {tones}/single.csv --freeze_layers 3", "--freeze_layers is 3, expected at most 2"),
        ("--data {tones}/single.csv --lora_rank 2 --lora_targets query", "--lora_targets has query, expected some of"),
        ("--data {tones}/single.csv --average_epochs 3 2", "--average_epochs is [3, 2], expected two numbers"),
        ("--data {tones}/single.csv --average_epochs 11 12", "--average_epochs begins with epoch 11 of 10"),
        ("--data {tones}/single.csv --average_epochs 1 2 --load_best_model_at_end True", "exclude each other"),
        ("--data {tones}/single.csv --average_epochs 1 2 --lora_rank 2", "exclude each other"),
        ("--data {tones}/single.csv --early_stopping_patience 1 --save_strategy no", "needs --load_best_model_at_end"),
        ("--data {tones}/single.csv --early_stopping_patience 1 --validation_fraction 0", "needs validation data"),
        ("--data {tones}/single.csv --balanced_sampling True --train_sampling_strategy group_by_length", "exclude"),
        (
            "--data {tones}/single.csv --dataloader_num_workers 1 --dataloader_persistent_workers True",
            "every epoch alike",
        ),
        ("--data {tones}/single.csv --layer_lr_decay 1.1", "--layer_lr_decay is 1.1, expected above 0 and at most 1"),
        ("--data {tones}/single.csv --label_smoothing_factor 1", "--label_smoothing_factor is 1.0, expected"),
        ("--data {tones}/single.csv --mixup 2", "--mixup is 2.0, expected a share"),
        ("--data {tones}/single.csv --eval_only True", "is not fine-tuned"),
    ],
)
def test_wrong_input_is_an_error_before_training(
    tones, pretrained, tmp_path, tmp_path_factory, capsys, flags, message
):
    others = tmp_path_factory.getbasetemp() / "others"
    if not others.exists():
        SSASTForAudioClassification(SSASTConfig(**CONFIG, max_length=48)).save_pretrained(others)
        SSASTFeatureExtractor(max_length=48).save_pretrained(others)
        (tones / "few.txt").write_text("high\nlow\n")
        (tones / "few.csv").write_text("file,label\nclips/high/0.wav,high\n")
        (tones / "once.csv").write_text("file,label\nclips/high/0.wav,high\nclips/low/0.wav,low\n")
    arguments = flags.format(tones=tones, others=others).split()
    model = [] if "--model" in arguments else ["--model", pretrained]
    assert tune(*model, *arguments, "--output_dir", tmp_path / "o") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ssast: error:")]
    assert len(error) == 1 and message in error[0]
    assert not (tmp_path / "o").exists()


# Training


def test_twenty_steps_equal_a_plain_loop(tones, classifier, tmp_path):
    """Losses of 20 whole-batch steps equal those of a loop that knows nothing of the Trainer."""
    output = tmp_path / "o"
    assert tune("--data", tones / "single.csv", "--model", classifier, "--validation_fraction", 0, "--max_steps", 20,
                "--per_device_train_batch_size", 18, "--learning_rate", "3e-3", "--warmup_steps", 5,
                "--lr_decay_start", 8, "--lr_decay_every", 4, "--lr_decay_rate", 0.5, "--head_lr_factor", 2,
                "--layer_lr_decay", 0.7, "--label_smoothing_factor", 0.1, "--weight_decay", 0.01,
                "--save_strategy", "no", "--output_dir", output) == 0  # fmt: skip

    model = SSASTForAudioClassification.from_pretrained(classifier).train()
    extractor = SSASTFeatureExtractor.from_pretrained(classifier)
    with open(tones / "single.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    inputs = extractor([load_audio(tones / row["file"]) for row in rows], sampling_rate=16000, padding="longest",
                       pad_to_multiple_of=16, return_tensors="pt")  # fmt: skip
    classes = torch.tensor([("mid", "high", "low").index(row["label"]) for row in rows])
    groups = []
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        depth = 0 if parts[1] == "embeddings" else int(parts[2]) + 1 if parts[1] == "layers" else 3
        rate = 3e-3 * 0.7 ** (3 - depth) * (2 if parts[0] == "classifier" else 1)
        decay = 0.0 if "bias" in name or "layernorm" in name else 0.01
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay, "base": rate})
    optimizer = torch.optim.AdamW(groups)
    expected = []
    for step in range(20):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1, step / 5) * 0.5 ** len([e for e in (8, 12, 16) if e <= step])
        loss = nn.functional.cross_entropy(model(**inputs).logits, classes, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        expected.append(loss.item())
    assert losses_of(output) == pytest.approx(expected, rel=2e-4)
    assert expected[-1] < expected[0] - 0.05
    for name, value in weights_of(output).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=0, atol=2e-4, msg=name)


EVERYTHING = ["--mixup", 0.5, "--frequency_mask", 24, "--time_mask", 16, "--noise", "True", "--balanced_sampling",
              "True", "--class_weights", "True", "--per_device_train_batch_size", 4,
              "--learning_rate", "2e-3"]  # fmt: skip


def test_two_runs_are_the_same_and_a_killed_one_goes_on(tones, classifier, tmp_path):
    """With every augmentation: one seed gives one result, also where the run went on from the middle of an epoch."""
    common = ["--data", tones / "single.csv", "--model", classifier, "--validation_fraction", 0.34, *EVERYTHING,
              "--num_train_epochs", 3, "--save_strategy", "steps", "--save_steps", 2, "--save_total_limit", 9,
              "--average_epochs", 1, 3, "--max_length", 32]  # fmt: skip
    for name in ("a", "b"):
        assert tune(*common, "--output_dir", tmp_path / name) == 0
    assert losses_of(tmp_path / "a") == losses_of(tmp_path / "b")
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert len(losses_of(tmp_path / "a")) == 9
    assert (tmp_path / "b/checkpoint-4").is_dir()  # one step into the second epoch
    assert tune(*common, "--output_dir", tmp_path / "b", "--resume_from_checkpoint", tmp_path / "b/checkpoint-4") == 0
    assert_same_weights(tmp_path / "a", tmp_path / "b", atol=1e-6)
    assert tune(*common, "--output_dir", tmp_path / "c", "--seed", 1) == 0
    assert losses_of(tmp_path / "c") != losses_of(tmp_path / "a")


def test_epochs_to_average_that_no_step_reaches_are_an_error_before_the_first(tones, classifier, tmp_path, capsys):
    assert tune("--data", tones / "single.csv", "--model", classifier, "--validation_fraction", 0,
                "--per_device_train_batch_size", 9, "--max_steps", 3, "--average_epochs", 2, 3,
                "--output_dir", tmp_path / "o") == 2  # fmt: skip
    assert "--average_epochs begins with epoch 2 of 1.5." in capsys.readouterr().err
    assert not list(tmp_path.glob("o/checkpoint-*"))


def test_workers_do_not_change_what_is_drawn(tones, classifier, tmp_path):
    common = ["--data", tones / "single.csv", "--model", classifier, *EVERYTHING, "--max_steps", 6,
              "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
    for workers in (0, 2):
        assert tune(*common, "--dataloader_num_workers", workers, "--output_dir", tmp_path / str(workers)) == 0
    assert losses_of(tmp_path / "0") == losses_of(tmp_path / "2")


def test_smoothing_binary_targets_warns_of_nothing(tones, classifier, tmp_path, recwarn):
    common = ["--data", tones / "single.csv", "--model", classifier, "--loss", "bce", "--max_steps", 1,
              "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
    assert tune(*common, "--output_dir", tmp_path / "plain") == 0
    assert tune(*common, "--label_smoothing_factor", 0.3, "--output_dir", tmp_path / "smooth") == 0
    assert losses_of(tmp_path / "plain") != losses_of(tmp_path / "smooth")
    assert not [warning for warning in recwarn if "smoothing" in str(warning.message)]


def test_weights_are_averaged_over_a_range_of_epochs(tones, classifier, tmp_path):
    assert tune("--data", tones / "single.csv", "--model", classifier, "--learning_rate", "5e-3",
                "--num_train_epochs", 4, "--average_epochs", 2, 3, "--save_total_limit", 9,
                "--output_dir", tmp_path) == 0  # fmt: skip
    found = sorted(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    epochs = [weights_of(path) for path in found]
    assert len(epochs) == 4
    for name, value in weights_of(tmp_path).items():
        torch.testing.assert_close(value, (epochs[1][name] + epochs[2][name]) / 2, rtol=0, atol=1e-6, msg=name)
    moved = [abs(epochs[i]["classifier.dense.weight"] - epochs[1]["classifier.dense.weight"]).max() for i in (0, 2, 3)]
    assert min(moved) > 1e-4


def test_the_best_checkpoint_is_kept_and_the_test_is_taken_with_it(tones, classifier, tmp_path):
    assert tune("--data", tones / "single.csv", "--model", classifier, "--learning_rate", "3e-2",
                "--num_train_epochs", 4, "--validation_fraction", 0.34,
                "--test_data", tones / "clips", "--save_predictions", "True",
                "--metric_for_best_model", "loss", "--output_dir", tmp_path) == 0  # fmt: skip
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    evaluations = [entry for entry in state["log_history"] if "eval_loss" in entry]
    assert state["best_metric"] == min(entry["eval_loss"] for entry in evaluations)
    assert_same_weights(tmp_path, Path(state["best_model_checkpoint"]))
    best = min(evaluations, key=lambda entry: entry["eval_loss"])
    results = json.loads((tmp_path / "eval_results.json").read_text())
    assert results["eval_accuracy"] == best["eval_accuracy"] and results["eval_mAP"] == pytest.approx(best["eval_mAP"])
    tested = json.loads((tmp_path / "test_results.json").read_text())
    with open(tmp_path / "test_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == tested["test_samples"] == 18
    assert tested["test_accuracy"] == pytest.approx(np.mean([row["label"] == row["predicted"] for row in rows]))
    assert json.loads((tmp_path / "all_results.json").read_text())["test_mAP"] == tested["test_mAP"]
    again = tmp_path / "again"
    assert tune("--data", tones / "single.csv", "--model", tmp_path, "--test_data", tones / "clips", "--eval_only",
                "True", "--output_dir", again) == 0  # fmt: skip
    assert json.loads((again / "test_results.json").read_text()) == tested
    assert not (again / "model.safetensors").exists()
    assert tune("--data", tones / "clips", "--model", tmp_path, "--eval_only", "True", "--mean", 0, "--max_length", 16,
                "--output_dir", tmp_path / "elsewhere") == 0  # fmt: skip
    assert json.loads((tmp_path / "elsewhere/test_results.json").read_text())["test_mAP"] != tested["test_mAP"]


def test_early_stopping(tones, classifier, tmp_path):
    assert tune("--data", tones / "single.csv", "--model", classifier, "--learning_rate", 0, "--num_train_epochs", 9,
                "--early_stopping_patience", 2, "--early_stopping_threshold", 0.01,
                "--output_dir", tmp_path) == 0  # fmt: skip
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["epoch"] == 3
    assert state["best_model_checkpoint"] == str(tmp_path / f"checkpoint-{state['global_step']}")  # of equals the last


def test_few_clips_are_trained_on_for_enough_steps_unless_flags_say_how_long(tones, classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "LEAST_STEPS", 20)

    def run(name: str, *flags) -> tuple[int, list[int], list[int]]:
        """Steps, those after which the model was judged, and those of its checkpoints."""
        output = tmp_path / name
        assert tune("--data", tones / "single.csv", "--model", classifier, *flags, "--save_total_limit", 99,
                    "--output_dir", output) == 0  # fmt: skip
        state = json.loads((output / "trainer_state.json").read_text())
        judged = [entry["step"] for entry in state["log_history"] if "eval_loss" in entry]
        return state["global_step"], judged, sorted(int(path.name[11:]) for path in output.glob("checkpoint-*"))

    tenths = list(range(2, 21, 2))
    assert run("few") == (20, tenths, tenths)
    assert run("unjudged", "--validation_fraction", 0) == (20, [], tenths)
    assert run("unsaved", "--save_strategy", "no") == (20, list(range(1, 21)), [])
    assert run("told", "--num_train_epochs", 2) == (2, [1, 2], [1, 2])
    assert run("many", "--per_device_train_batch_size", 8) == (20, tenths, tenths)  # ten epochs are as many


def changed(before: dict, after: dict) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_what_is_frozen_stays(tones, classifier, tmp_path):
    common = ["--data", tones / "single.csv", "--model", classifier, "--max_steps", 2, "--learning_rate", "1e-2",
              "--warmup_steps", 0, "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
    before = weights_of(classifier)
    assert tune(*common, "--linear_probe", "True", "--output_dir", tmp_path / "probe") == 0
    assert changed(before, weights_of(tmp_path / "probe")) == {n for n in before if n.startswith("classifier.")}
    assert tune(*common, "--freeze_layers", 1, "--output_dir", tmp_path / "upper") == 0
    moved = changed(before, weights_of(tmp_path / "upper"))
    assert moved == {n for n in before if not n.startswith(("ssast.embeddings.", "ssast.layers.0."))}


def test_lora_updates_are_of_low_rank_and_merged(tones, classifier, tmp_path):
    """The saved model is a plain one, whose chosen layers differ by matrices of the given rank; it resumes, too."""
    pytest.importorskip("peft")
    common = ["--data", tones / "single.csv", "--model", classifier, "--num_train_epochs", 2,
              "--learning_rate", "1e-2", "--lora_rank", 2, "--lora_alpha", 4,
              "--lora_targets", "qkv", "fc1", "--test_data", tones / "clips",
              "--metric_for_best_model", "loss", "--save_total_limit", 9]  # fmt: skip
    assert tune(*common, "--output_dir", tmp_path / "a") == 0
    before, after = weights_of(classifier), weights_of(tmp_path / "a")
    assert before.keys() == after.keys()
    moved = changed(before, after)
    updated = {f"ssast.layers.{i}.{name}.weight" for i in range(2) for name in ("attention.qkv", "mlp.fc1")}
    assert {name for name in moved if not name.startswith("classifier.")} == updated
    assert "classifier.dense.weight" in moved
    for name in updated:
        singular = torch.linalg.svdvals(after[name] - before[name])
        assert singular[1] > 1e-5 and singular[2] < 1e-3 * singular[0]
    short = [
        *common,
        "--max_steps",
        3,
        "--save_strategy",
        "no",
        "--eval_strategy",
        "no",
        "--metric_for_best_model",
        "mAP",
    ]
    for name, flags in (("plain", []), ("dropout", ["--lora_dropout", 0.5])):
        assert tune(*short, *flags, "--output_dir", tmp_path / name) == 0
    assert losses_of(tmp_path / "plain")[0] == losses_of(tmp_path / "dropout")[0]  # the updates begin at zero
    assert losses_of(tmp_path / "plain")[2] != losses_of(tmp_path / "dropout")[2]
    checkpoint = min((tmp_path / "a").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert tune(*common, "--output_dir", tmp_path / "a", "--resume_from_checkpoint", checkpoint) == 0
    for name, value in weights_of(tmp_path / "a").items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=1e-5, msg=name)
    tested = json.loads((tmp_path / "a/test_results.json").read_text())
    assert main(["evaluate", "--model", str(tmp_path / "a"), "--data", str(tones / "clips"), "--output-dir",
                 str(tmp_path / "e"), "--device", "cpu"]) == 0  # fmt: skip
    assert json.loads((tmp_path / "e/test_results.json").read_text())["test_mAP"] == pytest.approx(tested["test_mAP"])


def test_several_labels_from_data_to_card(tones, pretrained, tmp_path):
    """Binary cross-entropy learns labels that come together; the card says what was done."""
    from ssast_hf.checkpoints.cards import model_card

    (tmp_path / "recipe").mkdir()
    recipe = tmp_path / "recipe/tones.yaml"
    recipe.write_text(
        f"data: {tones / 'several.jsonl'}\nmodel: {pretrained}\nmulti_label: true\nmixup: 0.3\n"
        "average_epochs: [9, 16]\n"
    )
    (tmp_path / "names.txt").write_text("odd\nmid\nlow\nhigh\neven\n")
    output = tmp_path / "o"
    assert main(["finetune", str(recipe), "--num_train_epochs", "16", "--learning_rate", "5e-3",
                 "--per_device_train_batch_size", "4", "--output_dir",
                 str(output), "--label_file", str(tmp_path / "names.txt"), "--validation_fraction", "0.3",
                 "--test_data", str(tones / "several.jsonl"), "--save_strategy", "no", *QUIET]) == 0  # fmt: skip
    model = SSASTForAudioClassification.from_pretrained(output)
    assert model.config.problem_type == "multi_label_classification"
    assert list(model.config.id2label.values()) == ["odd", "mid", "low", "high", "even"]
    tested = json.loads((output / "test_results.json").read_text())
    assert "test_accuracy" not in tested and tested["test_mAP"] > 0.6
    with open(output / "test_per_class.csv", newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert np.mean([float(rows[name]["AP"]) for name in PITCHES]) > 0.8  # chance: 0.33
    card = model_card(output, "lab/tones")
    assert "with `ssast finetune` and the recipe `recipe/tones.yaml`" in card
    assert "| task | multi-label classification, 5 labels |" in card
    assert f"| test mAP | {tested['test_mAP']:.4g} |" in card and "mAP (test)" in card
    assert str(tmp_path) not in card


def test_single_labels_with_binary_cross_entropy_and_a_new_classifier(tones, classifier, tmp_path):
    (tones / "two.csv").write_text("file,label\n" + "".join(
        f"clips/{name}/{i}.wav,{name}\n" for name in ("high", "low") for i in range(6)
    ))  # fmt: skip
    common = ["--data", tones / "two.csv", "--model", classifier, "--loss", "bce", "--max_steps", 1,
              "--test_data", tones / "two.csv"]  # fmt: skip
    assert tune(*common, "--output_dir", tmp_path / "refused") == 2
    assert tune(*common, "--new_classifier", "True", "--output_dir", tmp_path / "o") == 0
    model = SSASTForAudioClassification.from_pretrained(tmp_path / "o")
    assert model.config.problem_type == "multi_label_classification" and model.config.num_labels == 2
    assert 0 <= json.loads((tmp_path / "o/test_results.json").read_text())["test_accuracy"] <= 1


def test_missing_labels_may_be_allowed(tones, classifier, tmp_path):
    (tones / "high.csv").write_text("file,label\nclips/high/0.wav,high\nclips/high/1.wav,high\n")
    common = ["--data", tones / "single.csv", "--model", classifier, "--max_steps", 1, "--validation_data",
              tones / "high.csv"]  # fmt: skip
    assert tune(*common, "--output_dir", tmp_path / "refused") == 2
    assert tune(*common, "--allow_missing_labels", "True", "--output_dir", tmp_path / "o") == 0
    assert "eval_mAUC" not in json.loads((tmp_path / "o/eval_results.json").read_text())


def test_held_out_speakers_are_not_trained_on(tones, classifier, tmp_path):
    assert tune("--data", tones / "single.csv", "--model", classifier, "--max_steps", 1,
                "--group_column", "speaker", "--validation_fraction", 0.34,
                "--save_predictions", "True", "--output_dir", tmp_path) == 0  # fmt: skip
    with open(tmp_path / "eval_predictions.csv", newline="") as file:
        numbers = {int(Path(row["file"]).stem) % 3 for row in csv.DictReader(file)}
    assert len(numbers) == 1


@pytest.mark.parametrize(
    ("flags", "tolerance"),
    [(["--gradient_checkpointing", "True"], 1e-5), (["--bf16", "True", "--use_cpu", "True"], 0.05)],
)
def test_the_trainers_own_flags_do_not_change_the_result(tones, classifier, tmp_path, flags, tolerance):
    common = ["--data", tones / "single.csv", "--model", classifier, "--max_steps", 3, "--learning_rate", "1e-3",
              "--save_strategy", "no", "--eval_strategy", "no"]  # fmt: skip
    assert tune(*common, "--output_dir", tmp_path / "plain") == 0
    assert tune(*common, *flags, "--output_dir", tmp_path / "other") == 0
    plain, other = losses_of(tmp_path / "plain"), losses_of(tmp_path / "other")
    assert other == pytest.approx(plain, rel=tolerance)
    assert (plain == other) == (flags[0] != "--bf16")


def test_statistics_strides_and_pooling_reach_the_model(tones, classifier, tmp_path):
    assert tune("--data", tones / "single.csv", "--model", classifier, "--max_steps", 1, "--mean", -6.5, "--std", 5.25,
                "--frequency_stride", 10, "--time_stride", 8, "--max_length", 32, "--pooling", "cls", "--cache_audio",
                "True", "--cache_dir", tmp_path / "decoded", "--channel", 1, "--accept_truncated", "True",
                "--output_dir", tmp_path) == 0  # fmt: skip
    config = SSASTForAudioClassification.from_pretrained(tmp_path).config
    assert (config.frequency_stride, config.time_stride, config.max_length, config.pooling) == (10, 8, 32, "cls")
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path)
    assert (extractor.mean, extractor.std, extractor.max_length) == (-6.5, 5.25, 32)


def test_pipelines_answer_as_ssast_classify_does(tones, classifier, tmp_path):
    """Clips are shorter than max_length: transformers' pipeline pads them, and the padding must not be heard."""
    assert tune("--data", tones / "single.csv", "--model", classifier, "--max_steps", 1, "--max_length", 48,
                "--output_dir", tmp_path) == 0  # fmt: skip
    files = sorted((tones / "clips").rglob("*.wav"))
    model, extractor = load_classifier(tmp_path), SSASTFeatureExtractor.from_pretrained(tmp_path)
    answers = pipeline("audio-classification", model=str(tmp_path))([load_audio(path) for path in files], top_k=3)
    for answer, (_, scores) in zip(answers, classify(model, extractor, files), strict=True):
        assert {label["label"]: label["score"] for label in answer} == pytest.approx(scores, abs=1e-5)


def test_every_flag_of_our_own_is_used_in_these_tests():
    """A flag that nothing exercises would be found here; the Trainer's own are its own business."""
    inherited = {field.name for field in fields(SharedArguments)}
    own = [field.name for field in (*fields(finetune.FineTuningDataArguments), *fields(tuning.FineTuningArguments))
           if field.name not in inherited]  # fmt: skip
    names = ("test_finetuning.py", "test_folds.py", "test_frozen.py", "test_training.py")
    text = "".join(Path(__file__).with_name(name).read_text() for name in names)
    assert len(own) > 35
    missing = [name for name in own if f"--{name}" not in text]
    assert not missing
