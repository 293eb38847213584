# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of sounds of any length: per clip, time step or patch."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch

from ..checkpoints.loading import load_complete
from ..configuration_ssast import POOLINGS
from ..data.sources import Clip
from ..feature_extraction_ssast import SHIFT_SECONDS, SSASTFeatureExtractor
from ..modeling_ssast import NUM_SPECIAL_TOKENS, SSASTModel
from .batches import End, run_model, source_name, sources_of, windows_of
from .names import takes_names
from .windows import ScoreJoiner

LEVELS = ("clip", "frame", "patch")
Outputs = tuple[str, dict[str, np.ndarray] | Exception]


@takes_names(partial(load_complete, SSASTModel))
def embed(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike | Clip],
    level: str = "clip",
    batch_size: int = 16,
    layers: Iterable[int] | None = None,
    num_workers: int = 0,
    pooling: str | None = None,
) -> Iterator[Outputs]:
    """
    Embeds sound files. What is longer than the model's `max_length` is embedded in windows of that length.
    `embed(files, model="name")` loads the checkpoint of that name, directory or Hub repository.

    Args:
        model ([`SSASTModel`]), extractor ([`SSASTFeatureExtractor`]): Any checkpoint.
        files: Paths, or [`~ssast_hf.sources.Clip`]s, as [`~ssast_hf.sources.find_sounds`] finds them; or waveforms
            (samples,) at the extractor's rate, or sound as `datasets` gives it (`{"array", "sampling_rate"}`,
            `{"bytes", "path"}`, torchcodec's `AudioDecoder`). One of these, or several.
        level (`str`, defaults to `"clip"`): `"clip"` for one vector per file (`pooler_output`, averaged over windows
            by their length), `"frame"` for one per step in time (mean over frequency), `"patch"` for one per patch.
        batch_size (`int`, defaults to 16): Windows per forward pass.
        layers (`list[int]`, *optional*): Take the mean of the outputs of these layers, counted from 1; 0 is what goes
            into the first. Default: the last layer's, after the final LayerNorm (`last_hidden_state`).
        num_workers (`int`, defaults to 0): Processes that decode and compute features; 0 is none but this one.
        pooling (`str`, *optional*): For clips: `"mean"` of the patches; `"cls"`, the mean of the special tokens;
            `"rows"`, the mean over time of each row of patches, concatenated, the lowest frequencies first, as
            BYOL-A, M2D and EAT do; or `"segments"`, the same in each third of a window. Default: the model's
            (`config.pooling`).

    Yields:
        For each file, in order, its path (of an array "sound N", counted from 0) and a dict of arrays, or the
        exception where it cannot be read: `embeddings` (hidden,) or, by rows, (F * hidden,), by segments,
        (3 * F * hidden,); (T, hidden) of frames or (T * F, hidden) of patches; float32. For frames and patches
        `time`, the start in seconds of each row; for patches `mel_bin`, the lowest bin of each row.
    """
    files = sources_of(files)
    parts: list[dict[str, np.ndarray]] = []
    for index, part in embed_parts(model, extractor, files, level, batch_size, layers, num_workers, pooling):
        if isinstance(part, dict):
            parts.append(part)
            continue
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        parts = []
        if level == "clip" and arrays:
            arrays["embeddings"] = arrays["embeddings"][0]
        yield source_name(files[index], index), part.error or arrays


def embed_parts(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: Sequence[str | os.PathLike | Clip],
    level: str = "clip",
    batch_size: int = 16,
    layers: Iterable[int] | None = None,
    num_workers: int = 0,
    pooling: str | None = None,
) -> Iterator[tuple[int, dict[str, np.ndarray] | End]]:
    """[`embed`]'s arrays window by window, rows first, with the index of the file, and the ends of files."""
    if level not in LEVELS:
        raise ValueError(f"`level` is {level!r}, expected one of {', '.join(map(repr, LEVELS))}.")
    check_pooling(pooling, level)
    layers = check_layers(layers, model.config.num_hidden_layers)
    rows, bins = model.config.num_frequency_patches, model.config.frequency_stride or model.config.frequency_patch_size
    embeddings = partial(_embeddings, model, level, layers, pooling)
    step = SHIFT_SECONDS * (model.config.time_stride or model.config.time_patch_size)
    windows = windows_of(extractor, model.config.max_length)
    joiner = ScoreJoiner()
    for event in run_model(model, extractor, files, batch_size, embeddings, windows, num_workers):
        if isinstance(event, End):
            if level == "clip" and (mean := joiner.take()) is not None and event.error is None:
                yield event.index, {"embeddings": mean.astype(np.float32)[None]}
            yield event.index, event
        elif level == "clip":
            joiner.add(*event.output)
        else:
            values = event.output  # (T, F or 1, hidden)
            time = event.start + step * np.arange(len(values))
            arrays = {"embeddings": values.reshape(-1, values.shape[-1]), "time": time.repeat(values.shape[1])}
            if level == "patch":
                arrays["mel_bin"] = np.tile(bins * np.arange(rows), len(time))
            yield event.index, arrays


def _embeddings(
    model: SSASTModel, level: str, layers: list[int] | None, pooling: str | None, inputs: dict, frames: torch.Tensor
) -> list:
    """
    What windows of so many real `frames` give: for clips (vector, time steps) each, else (T, F, hidden), or (T, 1,
    hidden) for time steps, real ones alone.
    """
    outputs = model(**inputs, output_hidden_states=layers is not None, return_dict=True)
    hidden, pooled = outputs.last_hidden_state, outputs.pooler_output
    steps = model.config.num_time_patches(frames).clamp(min=1)
    if layers is not None:
        hidden = torch.stack([outputs.hidden_states[layer] for layer in layers]).mean(dim=0)
    if level == "clip":
        heard = steps if "attention_mask" in inputs else None  # None: all of them, padding too
        if layers is not None or pooling is not None:
            pooled = model.pool(hidden, model.real_patches(inputs["input_values"], heard), pooling)
        return list(zip(pooled.float().cpu().numpy(), steps.tolist()))
    by_time = hidden[:, NUM_SPECIAL_TOKENS:].unflatten(1, (model.config.num_frequency_patches, -1)).transpose(1, 2)
    if level == "frame":
        by_time = by_time.mean(dim=2, keepdim=True)
    return [clip[:n].numpy() for clip, n in zip(by_time.float().cpu(), steps.tolist())]


def check_pooling(pooling: str | None, level: str) -> None:
    """Raises ValueError for a pooling that there is not, or at a level that is not pooled."""
    if pooling is not None and (pooling not in POOLINGS or level != "clip"):
        names = ", ".join(map(repr, POOLINGS))
        raise ValueError(f"`pooling` is {pooling!r} for level={level!r}, expected {names} for level='clip', or None.")


def check_layers(layers: Iterable[int] | None, num_hidden_layers: int) -> list[int] | None:
    """Sorted and without repetitions. Raises ValueError for a layer that the model does not have."""
    if layers is None:
        return None
    layers = sorted(set(layers))
    wrong = [layer for layer in layers if isinstance(layer, bool) or not 0 <= layer <= num_hidden_layers]
    if wrong or not layers:
        raise ValueError(f"`layers` has {wrong or 'nothing'}, expected numbers from 0 to {num_hidden_layers}.")
    return layers
