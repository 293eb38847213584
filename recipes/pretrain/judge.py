#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What checkpoints are worth frozen, with 10 clips per class, in seconds: logistic regression on the outputs of several
layers, over a pack of labelled tasks.

    python -m recipes.pretrain.judge PACK MODEL ...

The pack is what `recipes.debian_audio.pack_tasks` writes: `index.json`, a list of {task, label, group, fold, start,
samples}, and the clips, end to end, in `clips_NN.ogg` with `parts.json` (samples of each), or in `clips.npy` (int16).
A fold is judged by regressions on 10 clips per class of the other folds, drawn several times. All numbers are balanced
accuracy.

The regression is scikit-learn's (`StandardScaler`, `LogisticRegression(C=C)`): the same minimum, found for all draws,
folds and layers at once. With n clips to learn from, the weights lie in the space that these span: n numbers per clip
will do.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTModel
from ssast_hf.feature_extraction_ssast import log_mel_filterbank
from ssast_hf.training.packed import decode_opus

LAYERS = (4, 6, 8, 10, 12)
POOLS = ("mean", "rows")
STRENGTHS = (0.05, 1.0)  # C of the regression
DRAWS = 5
FEW = 10  # clips per class
TRAINED_ON = "train"  # a fold that nothing is judged by
BATCH_FRAMES = {"cpu": 2**13, "cuda": 2**16}
STEPS = 2000  # of the regression, at most


@dataclass
class Pack:
    """Labelled clips: rows of the index, and all sound as int16 (S,)."""

    rows: list[dict]
    samples: np.ndarray

    @classmethod
    def read(cls, folder: str | Path) -> "Pack":
        folder = Path(folder)
        rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if (folder / "clips.npy").exists():
            return cls(rows, np.load(folder / "clips.npy"))
        parts = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
        found = [decode_opus(folder / f"clips_{number:02}.ogg", length) for number, length in enumerate(parts)]
        return cls(rows, np.concatenate(found))

    @property
    def places(self) -> list[tuple[int, int]]:
        """(start, samples) of each clip, which several rows may share."""
        return sorted({(row["start"], row["samples"]) for row in self.rows})

    @property
    def tasks(self) -> dict[str, list[dict]]:
        """Rows by task, each with `clip`, its number in `places`."""
        number = {place: index for index, place in enumerate(self.places)}
        tasks = defaultdict(list)
        for row in self.rows:
            tasks[row["task"]].append(row | {"clip": number[row["start"], row["samples"]]})
        return dict(tasks)


def divisions(rows: list[dict], draws: int = DRAWS) -> list[tuple[list[int], list[int]]]:
    """Pairs of rows to learn from, `FEW` per class, and rows to judge by, for each fold and draw."""
    pairs = []
    for fold in sorted({row["fold"] for row in rows} - {TRAINED_ON}):
        test = [index for index, row in enumerate(rows) if row["fold"] == fold]
        by_label = defaultdict(list)
        for index, row in enumerate(rows):
            if row["fold"] != fold:
                by_label[row["label"]].append(index)
        for draw in range(draws):
            chance = random.Random(f"{fold} {draw}")
            train = [index for _, own in sorted(by_label.items()) for index in chance.sample(own, min(FEW, len(own)))]
            pairs.append((train, test))
    return pairs


def spectrograms(pack: Pack, device: torch.device, num_mel_bins: int = 128) -> list[torch.Tensor]:
    """Log-mel spectrograms (frames, bins) of all clips, on the device; zeros after what is shorter than a patch."""
    found = []
    for start, samples in pack.places:
        waveform = torch.from_numpy(pack.samples[start : start + samples].astype(np.float32) / 32768).to(device)
        waveform = torch.nn.functional.pad(waveform, (0, max(0, 2800 - samples)))
        found.append(log_mel_filterbank(waveform[None], num_mel_bins)[0])
    return found


@torch.inference_mode()
def features(
    model: SSASTModel, mean: float, std: float, mels: Sequence[torch.Tensor], layers: Sequence[int] = LAYERS
) -> torch.Tensor:
    """
    Means over time of each row of patches in layers' outputs, (layers, clips, F, D). What is longer than `max_length`
    is taken in windows, which count by their patches.
    """
    config, device = model.config, mels[0].device
    windows = []
    for clip, mel in enumerate(mels):
        for first in range(0, len(mel), config.max_length):
            part = mel[first : first + config.max_length]
            if len(part) >= config.time_patch_size:
                windows.append((clip, part))
    windows.sort(key=lambda window: len(window[1]))
    sums = torch.zeros(len(layers), len(mels), config.num_frequency_patches, config.hidden_size, device=device)
    counts = torch.zeros(len(mels), device=device)
    budget, first = BATCH_FRAMES["cpu" if device.type == "cpu" else "cuda"], 0
    while first < len(windows):
        size = max(1, budget // len(windows[min(first + 64, len(windows) - 1)][1]))
        batch = windows[first : first + size]
        first += size
        values = torch.nn.utils.rnn.pad_sequence([(part - mean) / (2 * std) for _, part in batch], batch_first=True)
        lengths = torch.tensor([len(part) for _, part in batch])
        mask = (torch.arange(values.shape[1]) < lengths[:, None]).long().to(device)
        hidden = model(values, attention_mask=mask, output_hidden_states=True).hidden_states
        found = torch.stack([hidden[layer] for layer in layers])[:, :, 2:].unflatten(2, (sums.shape[2], -1)).float()
        columns = config.num_time_patches(lengths).to(device)
        real = (torch.arange(found.shape[3], device=device) < columns[:, None]).float()  # (B, T)
        clips = torch.tensor([clip for clip, _ in batch], device=device)
        sums.index_add_(1, clips, torch.einsum("lbftd,bt->lbfd", found, real))
        counts.index_add_(0, clips, columns.float())
    return sums / counts[:, None, None]


def mel_statistics(pack: Pack, device: torch.device) -> torch.Tensor:
    """Mean, deviation, least and largest over time of 64 log-mel bins, (clips, 256): what a model has to beat."""
    bands = spectrograms(pack, device, num_mel_bins=64)
    return torch.stack([torch.cat([b.mean(0), b.std(0, unbiased=False), b.amin(0), b.amax(0)]) for b in bands])


def regress(train: torch.Tensor, labels: torch.Tensor, classes: int, strength: float) -> tuple:
    """
    Logistic regressions, many at once: the minimum of half the squared weights plus `strength` times the summed
    cross-entropy, the intercepts free.

    Args:
        train (`torch.Tensor` of shape `(K, n, d)`): What each learns from; float64, as its condition asks for it.
        labels (`torch.Tensor` of shape `(K, n)`): From 0 to `classes - 1`; below 0 are left out.

    Returns:
        Weights (K, d, classes), intercepts (K, 1, classes).
    """
    counted = (labels >= 0).double()[..., None]
    wanted = torch.nn.functional.one_hot(labels.clamp(min=0), classes).double() * counted
    # A column of ones is the intercept; its own weight decays too little to notice.
    inputs = torch.cat([train, torch.ones_like(train[..., :1])], dim=2) * counted
    decay = torch.ones(inputs.shape[2], 1, dtype=torch.float64, device=train.device)
    decay[-1] = 1e-4
    gram = inputs @ inputs.transpose(1, 2)
    largest = torch.linalg.eigvalsh(gram)[:, -1, None, None]
    step = 1 / (1 + 0.5 * strength * largest)
    weights = torch.zeros(len(train), inputs.shape[2], classes, dtype=torch.float64, device=train.device)
    ahead, pace = weights, torch.ones(len(train), 1, 1, dtype=torch.float64, device=train.device)
    for number in range(STEPS):  # Nesterov's method, restarted where it overshoots (O'Donoghue and Candes 2015)
        error = (inputs @ ahead).softmax(dim=-1) * counted - wanted
        gradient = decay * ahead + strength * inputs.transpose(1, 2) @ error
        update = ahead - step * gradient
        over = ((gradient * (update - weights)).sum(dim=(1, 2), keepdim=True) > 0).double()
        following = (1 + (1 + 4 * pace.square()).sqrt()) / 2
        ahead = update + (1 - over) * (pace - 1) / following * (update - weights)
        pace = following * (1 - over) + over
        weights = update
        if number % 100 == 99 and float(gradient.abs().max()) < 1e-3:
            break
    return weights[:, :-1], weights[:, -1:]


class Divided:
    """
    A task's divisions as tensors, the shorter ones filled up.

    Args:
        rows: Of the task.
        pairs: Rows to learn from and to judge by, as [`divisions`] gives them.
        device (`torch.device`): Where to.
    """

    def __init__(self, rows: list[dict], pairs: Sequence[tuple[list[int], list[int]]], device: torch.device):
        names = sorted({row["label"] for row in rows})
        labels = torch.tensor([names.index(row["label"]) for row in rows])
        self.classes = len(names)
        self.train, self.known = self._filled([train for train, _ in pairs], labels, device)  # (K, n)
        self.test, self.truth = self._filled([test for _, test in pairs], labels, device)  # (K, t)

    @staticmethod
    def _filled(
        parts: list[list[int]], labels: torch.Tensor, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        index = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(part) for part in parts], batch_first=True, padding_value=-1
        )
        return index.clamp(min=0).to(device), torch.where(index < 0, -1, labels[index.clamp(min=0)]).to(device)

    def spans(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (rows, d) -> coordinates in the span of the rows to learn from: (K, n, n) and (K, t, n)."""
        real = (self.known >= 0).double()[..., None]
        own, other = values.double()[self.train], values.double()[self.test]
        count = real.sum(dim=1, keepdim=True)
        center = (own * real).sum(dim=1, keepdim=True) / count
        scale = (((own - center) * real).square().sum(dim=1, keepdim=True) / count).sqrt()
        scale = torch.where(scale > 1e-12, scale, 1.0)
        own, other = (own - center) / scale * real, (other - center) / scale
        gram = own @ own.transpose(1, 2)
        jitter = 1e-9 * gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]  # centred rows span n - 1 dimensions
        lower = torch.linalg.cholesky(gram + jitter * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device))
        cross = own @ other.transpose(1, 2)
        return lower, torch.linalg.solve_triangular(lower, cross, upper=False).transpose(1, 2)

    def scores(self, values: torch.Tensor, strengths: Sequence[float]) -> list[float]:
        """Balanced accuracy, mean over the divisions, of features (rows, d), for each C."""
        train, test = self.spans(values)
        found = []
        for strength in strengths:
            weights, intercepts = regress(train, self.known, self.classes, strength)
            right = ((test @ weights + intercepts).argmax(dim=2) == self.truth).double()
            one_hot = torch.nn.functional.one_hot(self.truth + 1, self.classes + 1)[
                ..., 1:
            ].double()  # (K, t, classes)
            counts = one_hot.sum(dim=1)
            recalls = (one_hot * right[..., None]).sum(dim=1) / counts.clamp(min=1)
            there = (counts > 0).double()
            found.append(float(((recalls * there).sum(dim=1) / there.sum(dim=1)).mean()))
        return found


class Judge:
    """
    A pack, ready to judge models by.

    Args:
        folder (`str`): The pack.
        device (`torch.device`): Where to.
        draws (`int`): Of the clips to learn from.
        tasks (`list[str]`, *optional*): Default: all.
    """

    def __init__(
        self, folder: str | Path, device: torch.device, draws: int = DRAWS, tasks: Sequence[str] | None = None
    ):
        self.pack, self.device = Pack.read(folder), device
        self.mels = spectrograms(self.pack, device)
        self.tasks = {name: rows for name, rows in self.pack.tasks.items() if tasks is None or name in tasks}
        self.divided = {name: Divided(rows, divisions(rows, draws), device) for name, rows in self.tasks.items()}
        self.clips = {
            name: torch.tensor([row["clip"] for row in rows], device=device) for name, rows in self.tasks.items()
        }
        self.found: dict[str, dict[str, float]] = {}

    def score(self, name: str, kinds: Sequence[str], inputs: Sequence[torch.Tensor], strengths=STRENGTHS) -> dict:
        """Judges inputs, each (clips, d): {"kind, C": {task: balanced accuracy}}; remembered as `name`'s."""
        result: dict[str, dict[str, float]] = {}
        for task, divided in self.divided.items():
            for kind, values in zip(kinds, inputs):
                for strength, value in zip(strengths, divided.scores(values[self.clips[task]], strengths)):
                    result.setdefault(f"{name} {kind} C={strength:g}", {})[task] = value
        self.found |= result
        return result

    def baseline(self) -> dict:
        """Of mel statistics."""
        return self.score("mel", ["statistics"], [mel_statistics(self.pack, self.device)], STRENGTHS[:1])

    def judge(self, name: str, model: SSASTModel, mean: float, std: float, layers=LAYERS, strengths=STRENGTHS) -> dict:
        """Of a model's layers, both as means over patches and over rows of patches."""
        training = model.training
        rows = features(model.eval(), mean, std, self.mels, layers)
        model.train(training)
        kinds = [f"{layer} {pool}" for layer in layers for pool in POOLS]
        inputs = [values for own in rows for values in (own.mean(dim=1), own.flatten(1))]
        return self.score(name, kinds, inputs, strengths)


def table(found: dict[str, dict[str, float]], best: int | None = None) -> str:
    """Lines of `name: mean, task scores`, the best `best` of each pool by mean first."""
    entries = sorted(
        ((sum(scores.values()) / len(scores), name, scores) for name, scores in found.items()), reverse=True
    )
    if best is not None:
        kept: list = []
        for pool in (*POOLS, "statistics"):
            kept += [entry for entry in entries if f" {pool} " in entry[1]][:best]
        entries = sorted(kept, reverse=True)
    tasks = list(next(iter(found.values())))
    width = max(len(name) for _, name, _ in entries)
    lines = [" ".join([" " * width, "  mean", *(f"{task:>9}" for task in tasks)])]
    for mean, name, scores in entries:
        lines.append(" ".join([f"{name:{width}}", f"{mean:6.3f}", *(f"{scores[task]:9.3f}" for task in tasks)]))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", help="folder of the labelled clips")
    parser.add_argument(
        "models", nargs="+", help="checkpoints; 'random:CHECKPOINT' is one's shape with random weights"
    )
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS, help="(%(default)s)")
    parser.add_argument("--draws", type=int, default=DRAWS, help="of the clips to learn from (%(default)s)")
    parser.add_argument("--tasks", nargs="+", help="default: all")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS, help="C (%(default)s)")
    parser.add_argument("--best", type=int, help="print only so many lines of a model and pool")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    options = parser.parse_args()
    judge = Judge(options.pack, torch.device(options.device), options.draws, options.tasks)
    print(table(judge.baseline()), flush=True)
    for name in options.models:
        path = name.removeprefix("random:")
        model = SSASTModel.from_pretrained(path, dtype=torch.float32)
        if path != name:
            torch.manual_seed(0)
            model = SSASTModel(model.config)
        extractor = SSASTFeatureExtractor.from_pretrained(path)
        short = f"{'random:' if path != name else ''}{Path(path).name}"
        found = judge.judge(
            short, model.to(judge.device), extractor.mean, extractor.std, options.layers, options.strengths
        )
        print(table(found, options.best), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
