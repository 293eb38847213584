# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a model's features are worth without training it: the labelled tasks, which of their clips are trained on and
judged by, features of the frozen model and of mel bands, and logistic regression on them.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ssast_hf import SSASTFeatureExtractor, SSASTModel, load_audio
from ssast_hf.inference.batches import cut_windows
from ssast_hf.training.baseline import statistics

from ..manifests import read_table
from .tasks import COLUMNS, at_most

TASKS = ("drums", "vocal", "language", "digits", "speakers", "emotion")
MANIFESTS = {"digits": "fsdd", "speakers": "fsdd", "emotion": "emodb"}  # of tasks that lie in the speech folder
LABELS = {"digits": "digit", "speakers": "speaker", "emotion": "emotion"}  # their columns
LANGUAGES = ("es", "fr", "it")
THIRDS = 3
TRAINED_ON = "train"  # a fold that nothing is judged by
FEW = 10  # clips per class
MOST = {"train": 500, "test": 200}  # clips per class of language, which has thousands
BATCH = 32  # windows
FILES_AT_ONCE = 512  # whose spectrograms are in memory


def read(dest: Path, task: str, speech: Path | None = None) -> list[dict]:
    """
    The clips of a task, each with `file`, `label`, `group`, and `fold`: those of one fold are judged by a model that
    was trained on all others. No group is in two folds, except that every speaker of `speakers` says some digits in
    each. The fold "train" of `language` is only trained on.

    Args:
        dest: Where prepare.py wrote the tasks.
        speech: Folder of fsdd.csv and emodb.csv, or of fsdd/fsdd.csv and emodb/emodb.csv, for the last three tasks.

    Raises:
        ValueError: The task's table is not there, lacks a column, or has clips of one fold or label only; or it lies
            in `speech`, which is not given.
    """
    rows = _divided(dest, task, speech)
    for column in ("fold", "label"):
        found = {row[column] for row in rows}
        if len(found) < 2:
            raise ValueError(f"{task} has {len(rows)} clips of {len(found)} {column}(s), expected 2 or more")
    return rows


def _divided(dest: Path, task: str, speech: Path | None) -> list[dict]:
    if task in MANIFESTS:
        if speech is None:
            raise ValueError(f"the task {task} needs --speech, the folder that has {MANIFESTS[task]}.csv")
        if not speech.is_dir():
            raise ValueError(f"--speech is {speech}, which is no folder; expected one with {MANIFESTS[task]}.csv")
        name = f"{MANIFESTS[task]}.csv"
        path = speech / name if (speech / name).exists() else speech / MANIFESTS[task] / name
        rows = readable(path, ("file", LABELS[task], "speaker"))
        rows = [{"file": row["file"], "label": row[LABELS[task]], "group": row["speaker"],
                 "fold": row["speaker"], "digit": row.get("digit")} for row in rows]  # fmt: skip
    else:
        rows = _rows(dest / "tasks" / f"{task}.csv", COLUMNS)
    if task == "language":
        rows = [row for row in rows if row["label"] in LANGUAGES]
        parts = [[row for row in rows if (row["fold"] == "test") == (part == "test")] for part in MOST]
        return [row for part, most in zip(parts, MOST.values()) for row in at_most(part, most, random.Random(0))]
    if task == "speakers":
        return [row | {"fold": "0-4" if int(row["digit"]) < 5 else "5-9"} for row in rows]
    if task == "digits":
        return rows
    parts = thirds(rows)
    return [row | {"fold": str(parts[row["fold"]])} for row in rows]


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict]:
    if not path.exists():
        command = f"{path.stem}.prepare" if path.stem in MANIFESTS.values() else "debian_audio.prepare tasks"
        raise ValueError(f"{path} does not exist, expected it from python -m recipes.{command}")
    return [row | {"file": str((path.parent / row["file"]).resolve())} for row in read_table(path, columns)]


@cache
def readable(path: Path, columns: tuple[str, ...]) -> list[dict]:
    """The rows of a manifest whose files can be read; names the others."""
    rows = []
    for row in _rows(path, columns):
        try:
            load_audio(row["file"])
        except (ValueError, OSError) as error:
            print(f"left out: {error}", flush=True)
        else:
            rows.append(row)
    return rows


def thirds(rows: list[dict]) -> dict[str, int]:
    """Folds -> one of three parts, of about as many clips: the largest fold first, to the smallest part."""
    sizes, parts = [0] * THIRDS, {}
    for fold, count in sorted(Counter(row["fold"] for row in rows).items(), key=lambda entry: (-entry[1], entry[0])):
        parts[fold] = sizes.index(min(sizes))
        sizes[parts[fold]] += count
    return parts


def folds_of(rows: list[dict]) -> list[str]:
    """The folds that are judged by."""
    return sorted({row["fold"] for row in rows} - {TRAINED_ON})


def divide(rows: list[dict], clips: str, fold: str, draw: int) -> tuple[list[dict], list[dict]]:
    """The clips to train on, `few` (10 per class, by the number of the draw) or `all`, and those to judge by."""
    train = [row for row in rows if row["fold"] != fold]
    test = [row for row in rows if row["fold"] == fold]
    return (at_most(train, FEW, random.Random(draw)) if clips == "few" else train), test


def load(name: str, random_weights: bool = False) -> tuple[SSASTModel, SSASTFeatureExtractor, str]:
    """A checkpoint's encoder, or one of its shape with random weights; its feature extractor; the digest of both."""
    model = SSASTModel.from_pretrained(name)
    if random_weights:
        torch.manual_seed(0)
        model = SSASTModel(model.config)
    extractor = SSASTFeatureExtractor.from_pretrained(name)
    digest = hashlib.sha256(f"{extractor.mean} {extractor.std}".encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode() + value.float().contiguous().numpy().tobytes())
    return model.eval(), extractor, digest.hexdigest()[:12]


def silence(extractor: SSASTFeatureExtractor) -> float:
    """The value that digital silence has in the features."""
    value = float(np.log(np.finfo(np.float32).eps))
    return (value - extractor.mean) / (2 * extractor.std) if extractor.do_normalize else value


@torch.inference_mode()
def row_means(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: Sequence[str],
    layers: Sequence[int],
    padded: int = 0,
) -> np.ndarray:
    """
    The mean over time of each row of patches, in the outputs of layers. A clip that is longer than the model's
    `max_length` is taken in windows, which count by their patches.

    Args:
        layers: Counted from 1; 0 is what goes into the first.
        padded: Frames up to which shorter clips are followed by silence, which is attended to but not averaged.

    Returns:
        float32 array of shape (layers, clips, rows of patches, hidden size).
    """
    config, fill = model.config, silence(extractor)
    sums = np.zeros((len(layers), len(files), config.num_frequency_patches, config.hidden_size))
    counts = np.zeros(len(files))
    for start in range(0, len(files), FILES_AT_ONCE):
        windows = [
            (index, window.features)
            for index, file in enumerate(files[start : start + FILES_AT_ONCE], start)
            for window in cut_windows(extractor, file, config.max_length)
        ]
        windows.sort(key=lambda window: len(window[1]))
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH]
            lengths = torch.tensor([max(len(features), config.time_patch_size) for _, features in batch])
            attended = lengths.clamp(min=padded)
            values = torch.full((len(batch), int(attended.max()), config.num_mel_bins), fill)
            for row, (_, features) in zip(values, batch):
                row[: len(features)] = torch.from_numpy(features)
            mask = (torch.arange(values.shape[1]) < attended[:, None]).long()
            hidden = model(values, attention_mask=mask, output_hidden_states=True).hidden_states
            found = torch.stack([hidden[layer] for layer in layers])[:, :, 2:].unflatten(2, (sums.shape[2], -1))
            columns = config.num_time_patches(lengths)
            real = torch.arange(found.shape[3]) < columns[:, None]  # (B, T)
            totals = torch.einsum("lbftd,bt->lbfd", found, real.to(found.dtype)).numpy()
            for place, (index, _) in enumerate(batch):
                sums[:, index] += totals[:, place]
                counts[index] += int(columns[place])
    return (sums / counts[:, None, None]).astype(np.float32)


def mel_statistics(files: Sequence[str]) -> np.ndarray:
    """Mean, deviation, least and largest over time of 64 log-mel bins: float32 array of shape (clips, 256)."""
    return np.stack([statistics(load_audio(file)) for file in files])


def cached(folder: Path, name: str, files: Sequence[str], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """What `compute` gives for these files, kept in `folder` under their digest."""
    digest = hashlib.sha256("\n".join(files).encode()).hexdigest()[:12]
    path = folder / f"{name}-{digest}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, compute())
    return np.load(path)


def judge(
    inputs: np.ndarray, labels: np.ndarray, train: Sequence[int], test: Sequence[int], strength: float = 0.05
) -> dict[str, float]:
    """Logistic regression (C = `strength`) on standardised inputs: accuracy, and the mean of the classes' recalls."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    with threadpool_limits(1):  # products of so few rows are slower on several threads
        right = model.fit(inputs[train], labels[train]).predict(inputs[test]) == labels[test]
    recalls = [right[labels[test] == label].mean() for label in np.unique(labels[test])]
    return {"accuracy": float(right.mean()), "balanced": float(np.mean(recalls))}
