# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sounds -> windows -> padded batches for a model, in bounded memory, past unreadable files, by worker processes."""

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from ..audio import stream_audio
from ..batching import read_waveforms, states_its_rate
from ..checkpoints.loading import check_encoder
from ..configuration_ssast import SSASTConfig
from ..data.sources import Clip
from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, SSASTFeatureExtractor
from ..modeling_ssast import SSASTForAudioClassification, SSASTPreTrainedModel
from ..utils.processes import end_with_parent
from .chunks import End, Window, batched, is_live
from .windows import Windows

BATCHES_PER_ROUND = 8  # batches of windows that are held, sorted by length and computed together
LONGEST_PER_ROUND = 2  # batches of windows of `max_length` frames whose features are held at most, for memory's sake
CHUNKS_AHEAD = 4  # chunks of sound, up to a batch of windows each, that a worker process prepares ahead


def frame_samples(extractor: SSASTFeatureExtractor) -> tuple[int, int]:
    """Samples of a frame, and from one frame to the next."""
    return int(extractor.sampling_rate * FRAME_SECONDS), int(extractor.sampling_rate * SHIFT_SECONDS)


def windows_of(
    extractor: SSASTFeatureExtractor, max_length: int, window: float | None = None, hop: float | None = None
) -> Windows:
    """[`Windows.of_frames`] of an extractor's frames."""
    return Windows.of_frames(extractor.sampling_rate, *frame_samples(extractor), max_length, window, hop)


def step_windows(extractor: SSASTFeatureExtractor, config: SSASTConfig) -> Windows:
    """[`Windows.of_steps`] of a model's patches."""
    return Windows.of_steps(
        extractor.sampling_rate,
        *frame_samples(extractor),
        config.max_length,
        config.time_patch_size,
        config.time_stride or config.time_patch_size,
        config.num_time_patches(),
    )


def uses_attention_mask(model: SSASTPreTrainedModel, extractor: SSASTFeatureExtractor) -> bool:
    """
    Whether a model is told which frames are padding. If not, clips are padded to `max_length` frames, all of which the
    model takes for sound, as the original does.

    The saved extractor's `return_attention_mask` decides: True in what `ssast pretrain` and `ssast finetune` write,
    False in a converted official classifier. Where it is None, a classifier gets no mask, as in transformers'
    pipeline: neither the official nor transformers' own fine-tuning has one. An encoder alone gets one: its embedding
    of a clip does not depend on padding.
    """
    if extractor.return_attention_mask is not None:
        return bool(extractor.return_attention_mask)
    return not isinstance(model, SSASTForAudioClassification)


def run_model(
    model: SSASTPreTrainedModel,
    extractor: SSASTFeatureExtractor,
    sources: Iterable,
    batch_size: int,
    compute: Callable[[dict[str, torch.Tensor], torch.Tensor], list],
    windows: Windows,
    num_workers: int = 0,
) -> Iterator[Window | End]:
    """
    Runs a model on sounds of any length.

    Args:
        model, extractor: Of a checkpoint; [`uses_attention_mask`] says how windows are padded.
        sources: Whatever [`stream_audio`] takes, [`Clip`]s, waveforms (samples,) at the extractor's rate, sound as
            `datasets` gives it (see [`SSASTFeatureExtractor`]), or iterators of blocks of samples.
        batch_size (`int`): Windows per forward pass.
        compute: A batch's inputs, on the model's device, and each window's real frames (batch,) -> an output for each
            window.
        windows ([`Windows`]): How sounds are cut.
        num_workers (`int`, defaults to 0): Processes that decode and compute features; 0 is none but this one.

    Yields:
        Each source's windows with their `output`, then its [`End`], in order.

    Raises:
        ValueError: The model's checkpoint lacked weights of the encoder, which are random.
    """
    check_encoder(model)
    config = model.config
    chunks = _Chunks(extractor, sources, windows, config.max_length, batch_size)
    length = None if uses_attention_mask(model, extractor) else config.max_length

    @torch.no_grad()  # not inference mode: sharded weights are gathered here, and go on to be trained
    def computed(events: list[Window | End]) -> list[Window | End]:
        by_length = sorted((event for event in events if isinstance(event, Window)), key=lambda w: len(w.features))
        for batch in batched(by_length, batch_size):
            inputs = pad_features(extractor, [window.features for window in batch], config.time_patch_size, length)
            frames = torch.tensor([len(window.features) for window in batch], device=model.device)
            outputs = compute({name: value.to(model.device) for name, value in inputs.items()}, frames)
            for window, output in zip(batch, outputs):
                window.output = output
        return events

    events: list[Window | End] = []
    count, enough = 0, BATCHES_PER_ROUND * batch_size
    held, most_held = 0, LONGEST_PER_ROUND * batch_size * config.max_length  # frames
    for chunk in _in_workers(chunks, num_workers) if num_workers > 0 else chunks:
        events += [chunk.window(span, features) for span, features in chunk.windows]
        events += [] if chunk.end is None else [chunk.end]
        count += len(chunk.windows)
        held += sum(len(features) for _, features in chunk.windows)
        full = held >= most_held or count >= enough or len(events) >= 4 * enough  # unreadable files have ends alone
        if chunk.live or full:
            yield from computed(events)
            events, count, held = [], 0, 0
    yield from computed(events)


def cut_windows(extractor: SSASTFeatureExtractor, source, max_length: int, batch_size: int = 16) -> Iterator[Window]:
    """
    The windows of up to `max_length` frames of a sound, with their features and no output, as it is read.

    Raises:
        ValueError or OSError: The sound cannot be read (on).
    """
    for chunk in _Chunks(extractor, [source], windows_of(extractor, max_length), max_length, batch_size):
        yield from (chunk.window(span, features) for span, features in chunk.windows)
        if chunk.end is not None and chunk.end.error is not None:
            raise chunk.end.error


def pad_features(
    extractor: SSASTFeatureExtractor, features: list[np.ndarray], multiple: int, length: int | None = None
) -> dict[str, torch.Tensor]:
    """
    Features (frames, mel bins) of several windows as a batch.

    Args:
        multiple (`int`): Frames of a patch.
        length (`int`, *optional*): Frames to pad to, without a mask, as the extractor's `padding="max_length"` does.

    Returns:
        `input_values` (batch, frames, mel bins) and, without `length`, `attention_mask` (batch, frames), as the
        extractor's `padding="longest"` makes them.
    """
    frames = math.ceil(max(map(len, features)) / multiple) * multiple if length is None else length
    values = torch.full((len(features), frames, features[0].shape[1]), extractor.normalized_padding_value)
    mask = torch.zeros(len(features), frames, dtype=torch.long)
    for row, feature in enumerate(features):
        values[row, : len(feature)] = torch.from_numpy(feature)
        mask[row, : len(feature)] = 1
    return {"input_values": values, "attention_mask": mask} if length is None else {"input_values": values}


@dataclass
class _Chunk:
    """Some windows of a source: (first sample, end) and features (frames, mel bins)."""

    index: int
    rate: int
    windows: list[tuple[tuple[int, int], np.ndarray]] = field(default_factory=list)
    end: End | None = None  # in the source's last chunk
    live: bool = False  # to be computed at once

    def window(self, span: tuple[int, int], features: np.ndarray) -> Window:
        start, end = span
        return Window(self.index, start / self.rate, end / self.rate, features, end - start)


class _Chunks(IterableDataset):
    """The chunks of sources, in order; each source's last has an `end`."""

    def __init__(self, extractor: SSASTFeatureExtractor, sources: Iterable, windows: Windows, max_length: int, size):
        self.extractor, self.sources, self.windows = extractor, sources, windows
        self.max_length, self.size = max_length, size

    def __iter__(self) -> Iterator[_Chunk]:
        for index, source in enumerate(self.sources):
            yield from self.chunks_of(index, source)

    def chunks_of(self, index: int, source) -> Iterator[_Chunk]:
        rate, end, error = self.windows.rate, 0, None
        try:
            cut = self.windows.cut(_blocks(source, rate))
            for batch in batched(cut, 1 if is_live(source) else self.size):
                spans = [(start, start + len(waveform)) for start, waveform in batch]
                end = max(end, spans[-1][1])
                if len(batch[-1][1]) < self.windows.shortest:
                    raise ValueError(
                        f"{source_name(source)} has {len(batch[-1][1])} samples at {rate} Hz; expected "
                        f"{self.windows.shortest} or more"
                    )
                features = self.extractor(
                    [waveform for _, waveform in batch],
                    sampling_rate=rate,
                    padding=False,
                    max_length=self.max_length,
                    return_attention_mask=False,
                )["input_values"]
                yield _Chunk(index, rate, list(zip(spans, features)), live=is_live(source))
        except (OSError, ValueError) as failure:
            error = failure
        yield _Chunk(index, rate, end=End(index, end / rate, error))


def _in_workers(chunks: _Chunks, num_workers: int) -> Iterator[_Chunk]:
    """
    The chunks, in the same order, prepared by worker processes. Each prepares every n-th source and waits when it is a
    few chunks ahead, so that a long file neither delays the others nor fills the memory.
    """
    sources = list(chunks.sources)
    if any(is_live(source) or isinstance(source, io.IOBase) for source in sources):
        raise ValueError("`num_workers` is above 0, expected 0 for sound that is no file.")
    num_workers = min(num_workers, len(sources))
    loaders = []
    for worker in range(num_workers):
        part = _Chunks(chunks.extractor, sources[worker::num_workers], chunks.windows, chunks.max_length, chunks.size)
        loader = DataLoader(
            part, batch_size=None, num_workers=1, prefetch_factor=CHUNKS_AHEAD, collate_fn=_same,
            worker_init_fn=end_with_parent,
        )  # fmt: skip
        loaders.append(iter(loader))
    for index in range(len(sources)):
        while True:
            chunk = next(loaders[index % num_workers])
            chunk.index = index
            yield chunk
            if chunk.end is not None:
                chunk.end.index = index
                break


def sources_of(files) -> list:
    """The sounds in what [`classify`] and [`embed`] are called with: one sound, or a sequence of them."""
    one = (
        isinstance(files, (str, os.PathLike, bytes, Clip)) or states_its_rate(files) or getattr(files, "ndim", 0) == 1
    )
    sources = [files] if one else list(files)
    return [np.asarray(sources)] if sources and isinstance(sources[0], Real) else sources


def source_name(source, index: int | None = None) -> str:
    """For results and messages; of sound that has no name, "sound INDEX"."""
    if isinstance(source, Clip):
        return source.name
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    if isinstance(source, Mapping) and source.get("path"):
        return str(source["path"])
    if _is_array(source) or states_its_rate(source):
        return "sound" if index is None else f"sound {index}"
    return "the audio" if isinstance(source, (bytes, bytearray, memoryview)) else str(getattr(source, "name", "sound"))


def _blocks(source, rate: int) -> Iterable[np.ndarray]:
    if isinstance(source, Clip):
        return source.stream(rate)
    if _is_array(source) or states_its_rate(source):
        return [waveform.cpu().numpy() for waveform in read_waveforms([source], rate, name=source_name(source))]
    return source if is_live(source) else stream_audio(source, rate)


def _is_array(source) -> bool:
    return hasattr(source, "ndim") or isinstance(source, (list, tuple))


def _same(item):
    return item
