# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Trained models on files: labels and embeddings, batched by length, going on past files that cannot be read."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from .audio import find_audio_files, load_audio
from .feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, SSASTFeatureExtractor
from .modeling_ssast import NUM_SPECIAL_TOKENS, SSASTForAudioClassification, SSASTModel

LEVELS = ("clip", "frame", "patch")
FILES_PER_ROUND = 8  # batches of files that are read, sorted by length and worked off together

Outputs = tuple[str, dict[str, np.ndarray] | Exception]


def expand_paths(paths: Iterable[str | os.PathLike]) -> list[str]:
    """The files, and in place of each folder the sounds in it. Raises ValueError for a folder without any."""
    files = []
    for path in paths:
        if not Path(path).is_dir():
            files.append(os.fspath(path))
            continue
        found = find_audio_files(path)
        if not found:
            raise ValueError(f"{os.fspath(path)} holds no audio files.")
        files.extend(map(str, found))
    return files


def load_classifier(path: str | os.PathLike, **kwargs) -> SSASTForAudioClassification:
    """[`SSASTForAudioClassification`] in eval mode. Raises ValueError for a checkpoint that has no classifier."""
    model, info = SSASTForAudioClassification.from_pretrained(path, output_loading_info=True, **kwargs)
    if info["missing_keys"]:
        raise ValueError(
            f"{path} is not fine-tuned: it has no {', '.join(sorted(info['missing_keys']))}. Train a classifier first "
            "(`ssast finetune`)."
        )
    return model.eval()


def classify(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike],
    batch_size: int = 16,
) -> Iterator[tuple[str, dict[str, float] | Exception]]:
    """
    Classifies sound files. What is longer than the model's `max_length` is cut into windows of that length, whose
    scores are averaged.

    Args:
        model ([`SSASTForAudioClassification`]), extractor ([`SSASTFeatureExtractor`]): A fine-tuned checkpoint.
        files: Paths.
        batch_size (`int`, defaults to 16): Windows per forward pass.

    Yields:
        For each file, in order, its path and its scores by label, the best first: probabilities (softmax, or sigmoid
        where `config.problem_type` is multi-label) or, for regression, values; or the exception, where it cannot be
        read.
    """
    activation = {
        "multi_label_classification": torch.sigmoid,
        "regression": lambda logits: logits,
    }.get(model.config.problem_type, lambda logits: logits.softmax(dim=-1))

    def scores(inputs) -> list[dict[str, np.ndarray]]:
        return [{"scores": row} for row in activation(model(**inputs).logits.float()).cpu().numpy()]

    for path, windows in _run(model, extractor, files, batch_size, scores):
        if isinstance(windows, Exception):
            yield path, windows
            continue
        mean = np.mean([window["scores"] for window in windows], axis=0)
        order = np.argsort(-mean, kind="stable")
        yield path, {model.config.id2label[int(index)]: float(mean[index]) for index in order}


def embed(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike],
    level: str = "clip",
    batch_size: int = 16,
) -> Iterator[Outputs]:
    """
    Embeds sound files. What is longer than the model's `max_length` is embedded in windows of that length.

    Args:
        model ([`SSASTModel`]), extractor ([`SSASTFeatureExtractor`]): Any checkpoint.
        files: Paths.
        level (`str`, defaults to `"clip"`): `"clip"` for one vector per file (`pooler_output`, averaged over windows
            by their length), `"frame"` for one per step in time (mean over frequency), `"patch"` for one per patch.
        batch_size (`int`, defaults to 16): Windows per forward pass.

    Yields:
        For each file, in order, its path and a dict of arrays, or the exception where it cannot be read:
        `embeddings` (hidden,), (T, hidden) or (T * F, hidden), float32; for frames and patches `time`, the start in
        seconds of each row; for patches `mel_bin`, the lowest bin of each row.
    """
    if level not in LEVELS:
        raise ValueError(f"`level` is {level!r}, expected one of {', '.join(map(repr, LEVELS))}.")
    rows = model.config.num_frequency_patches

    def embeddings(inputs) -> list[dict[str, np.ndarray]]:
        outputs = model(**inputs)
        lengths = model.num_real_time_patches(inputs["attention_mask"]).tolist()
        if level == "clip":
            return [{"embeddings": row, "weight": n} for row, n in zip(outputs.pooler_output.float().cpu(), lengths)]
        patches = outputs.last_hidden_state[:, NUM_SPECIAL_TOKENS:].float().cpu()
        by_time = patches.unflatten(1, (rows, -1)).transpose(1, 2)  # (B, T, F, hidden)
        return [{"embeddings": clip[:n].numpy()} for clip, n in zip(by_time, lengths)]

    window_seconds = _window_samples(extractor, model.config.max_length)[0] / extractor.sampling_rate
    for path, windows in _run(model, extractor, files, batch_size, embeddings):
        if isinstance(windows, Exception):
            yield path, windows
            continue
        if level == "clip":
            weights = [window["weight"] for window in windows]
            mean = np.average([window["embeddings"].numpy() for window in windows], axis=0, weights=weights)
            yield path, {"embeddings": mean.astype(np.float32)}
            continue
        step = SHIFT_SECONDS * model.config.time_stride
        arrays = [window["embeddings"] for window in windows]
        time = np.concatenate([i * window_seconds + step * np.arange(len(array)) for i, array in enumerate(arrays)])
        values = np.concatenate(arrays)  # (T, F, hidden)
        if level == "frame":
            yield path, {"embeddings": values.mean(axis=1), "time": time}
        else:
            mel_bin = np.tile(model.config.frequency_stride * np.arange(rows), len(time))
            yield path, {
                "embeddings": values.reshape(-1, values.shape[-1]), "time": time.repeat(rows), "mel_bin": mel_bin
            }  # fmt: skip


def _window_samples(extractor: SSASTFeatureExtractor, max_length: int) -> tuple[int, int]:
    """Samples from one window to the next, and in a window: windows of `max_length` frames that follow on directly."""
    shift, length = (int(extractor.sampling_rate * seconds) for seconds in (SHIFT_SECONDS, FRAME_SECONDS))
    return max_length * shift, (max_length - 1) * shift + length


def _batched(iterable: Iterable, size: int) -> Iterator[tuple]:
    iterator = iter(iterable)
    while batch := tuple(islice(iterator, size)):
        yield batch


def _windows(waveform: np.ndarray, hop: int, length: int, shortest: int) -> list[np.ndarray]:
    starts = range(0, max(1, len(waveform) - shortest + 1), hop)
    return [waveform[start : start + length] for start in starts]


@torch.inference_mode()
def _run(
    model: torch.nn.Module,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike],
    batch_size: int,
    compute: Callable[[dict[str, torch.Tensor]], list],
) -> Iterator[tuple[str, list | Exception]]:
    """Yields each path with what `compute` gives for each of its windows, or with the error in reading it."""
    rate, config = extractor.sampling_rate, model.config
    hop, length = _window_samples(extractor, config.max_length)
    shortest = int(FRAME_SECONDS * rate)
    for paths in _batched(map(os.fspath, files), FILES_PER_ROUND * batch_size):
        errors: dict[int, Exception] = {}
        windows: list[tuple[int, np.ndarray]] = []  # (index of the file, samples), in order
        for index, path in enumerate(paths):
            try:
                waveform = load_audio(path, rate)
                if len(waveform) < shortest:
                    raise ValueError(f"{path} has {len(waveform)} samples at {rate} Hz; expected {shortest} or more")
                windows.extend((index, window) for window in _windows(waveform, hop, length, shortest))
            except (OSError, ValueError) as error:
                errors[index] = error
        results: dict[int, object] = {}
        by_length = sorted(range(len(windows)), key=lambda i: len(windows[i][1]))
        for batch in _batched(by_length, batch_size):
            inputs = extractor(
                [windows[i][1] for i in batch],
                sampling_rate=rate,
                padding="longest",
                max_length=config.max_length,
                pad_to_multiple_of=config.time_patch_size,
                return_attention_mask=True,
                return_tensors="pt",
            ).to(model.device)
            results.update(zip(batch, compute(inputs)))
        for index, path in enumerate(paths):
            yield path, errors.get(index) or [results[i] for i in range(len(windows)) if windows[i][0] == index]
