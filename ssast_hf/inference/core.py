# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Trained models on sound of any length: labels and embeddings, batched by length, going on past unreadable files."""

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from ..audio.decoding import stream_audio
from ..data.sources import Clip
from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, SSASTFeatureExtractor
from ..modeling_ssast import NUM_SPECIAL_TOKENS, SSASTForAudioClassification, SSASTModel

LEVELS = ("clip", "frame", "patch")
AGGREGATES = ("mean", "max")
BATCHES_PER_ROUND = 8  # batches of windows that are held, sorted by length and worked off together
CHUNKS_AHEAD = 4  # pieces of sound, up to a batch of windows each, that a worker process prepares ahead

Outputs = tuple[str, dict[str, np.ndarray] | Exception]


@dataclass
class Window:
    """A stretch of a source, from `start` to `end` seconds, its features (frames, mel bins) and a model's output."""

    index: int  # of the source
    start: float
    end: float
    features: np.ndarray
    output: object = None


@dataclass
class End:
    """The end of a source, after its windows: its length as far as it could be read, and why it could not."""

    index: int
    seconds: float
    error: Exception | None = None


def load_classifier(path: str | os.PathLike, **kwargs) -> SSASTForAudioClassification:
    """[`SSASTForAudioClassification`] in eval mode. Raises ValueError for a checkpoint that has no classifier."""
    model, info = SSASTForAudioClassification.from_pretrained(path, output_loading_info=True, **kwargs)
    if missing := sorted(info["missing_keys"]):
        lacks = "classifier" if all(name.startswith("classifier.") for name in missing) else ", ".join(missing)
        raise ValueError(
            f"{path} is not fine-tuned: it has no {lacks}. Train one first (`ssast finetune`), or take its embeddings "
            "(`ssast embed`, `ssast export --level clip`)."
        )
    return model.eval()


def classify(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike | Clip],
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
    aggregate: str = "mean",
    num_workers: int = 0,
) -> Iterator[tuple[str, dict[str, float] | Exception]]:
    """
    Classifies sound files of any length, which are read bit by bit. What is longer than a window is cut into windows,
    whose scores are averaged.

    Args:
        model ([`SSASTForAudioClassification`]), extractor ([`SSASTFeatureExtractor`]): A fine-tuned checkpoint.
        files: Paths, or [`~ssast_hf.sources.Clip`]s, as [`~ssast_hf.sources.find_sounds`] finds them.
        batch_size (`int`, defaults to 16): Windows per forward pass.
        window (`float`, *optional*): Seconds in a window; default, and at most, the model's `max_length`.
        hop (`float`, *optional*): Seconds from the start of a window to that of the next; default: no overlap.
        aggregate (`str`, defaults to `"mean"`): `"mean"` or `"max"` of the windows' scores.
        num_workers (`int`, defaults to 0): Processes that decode and compute features; 0 is none but this one.

    Yields:
        For each file, in order, its path and its scores by label, the best first: probabilities (softmax, or sigmoid
        where `config.problem_type` is multi-label) or, for regression, values; or the exception, where it cannot be
        read.
    """
    files = list(files)
    total = Total(aggregate)
    for event in run_classifier(model, extractor, files, batch_size, window, hop, num_workers):
        if isinstance(event, Window):
            total.add(event.output)
            continue
        scores = total.take()
        yield source_name(files[event.index]), event.error or named_scores(model, scores)


def classify_windows(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    source,
    window: float | None = None,
    hop: float | None = None,
    batch_size: int = 16,
) -> Iterator[tuple[float, float, dict[str, float]]]:
    """
    Classifies a sound window by window, as it is read.

    Args:
        source: Whatever [`stream_audio`] takes; or an iterator of blocks (samples,) at the extractor's rate, such as
            [`stream_microphone`] gives, whose windows are classified one by one, without waiting for a batch.
        model, extractor, window, hop, batch_size: As for [`classify`].

    Yields:
        Start and end of each window, in seconds, and its scores by label, the best first.

    Raises:
        ValueError or OSError: Where the sound cannot be read (on).
    """
    for event in run_classifier(model, extractor, [source], batch_size, window, hop):
        if isinstance(event, Window):
            yield event.start, event.end, named_scores(model, event.output)
        elif event.error is not None:
            raise event.error


class Total:
    """Running mean or maximum of windows' scores."""

    def __init__(self, aggregate: str = "mean"):
        if aggregate not in AGGREGATES:
            raise ValueError(f"`aggregate` is {aggregate!r}, expected one of {', '.join(map(repr, AGGREGATES))}.")
        self.aggregate, self.scores, self.count = aggregate, None, 0

    def add(self, scores: np.ndarray, weight: float = 1) -> None:
        if self.aggregate == "max":
            self.scores = scores if self.scores is None else np.maximum(self.scores, scores)
        else:
            self.scores = weight * scores.astype(np.float64) + (0 if self.scores is None else self.scores)
        self.count += weight

    def take(self) -> np.ndarray | None:
        """The result, None if there was nothing to add; and starts again."""
        scores, count, self.scores, self.count = self.scores, self.count, None, 0
        return scores if scores is None or self.aggregate == "max" else scores / count


def named_scores(model: SSASTForAudioClassification, scores: np.ndarray) -> dict[str, float]:
    """Scores (labels,) by label, the best first."""
    order = np.argsort(-scores, kind="stable")
    return {model.config.id2label[int(index)]: float(scores[index]) for index in order}


def run_classifier(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    sources: Iterable,
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
    num_workers: int = 0,
) -> Iterator[Window | End]:
    """[`classify`]'s windows, with their scores (labels,) as `output`, and ends of files, as they come."""
    activation = {
        "multi_label_classification": torch.sigmoid,
        "regression": lambda logits: logits,
    }.get(model.config.problem_type, lambda logits: logits.softmax(dim=-1))

    def scores(inputs) -> list[np.ndarray]:
        return list(activation(model(**inputs).logits.float()).cpu().numpy())

    cut = Cut.of(extractor, model.config.max_length, window, hop)
    return _run(model, extractor, sources, batch_size, scores, cut, num_workers)


def cut_windows(extractor: SSASTFeatureExtractor, source, max_length: int, batch_size: int = 16) -> Iterator[Window]:
    """
    The windows of up to `max_length` frames in which a model takes a sound, with their features, as it is read.
    Raises ValueError or OSError where it cannot be read (on).
    """
    cut = Cut.of(extractor, max_length)
    for chunk in _Chunks(extractor, [source], cut, max_length, batch_size):
        for start, end, features in chunk.windows:
            yield Window(0, start / cut.rate, end / cut.rate, features)
        if chunk.end is not None and chunk.end.error is not None:
            raise chunk.end.error


def embed(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike | Clip],
    level: str = "clip",
    batch_size: int = 16,
    layers: Iterable[int] | None = None,
    num_workers: int = 0,
) -> Iterator[Outputs]:
    """
    Embeds sound files. What is longer than the model's `max_length` is embedded in windows of that length.

    Args:
        model ([`SSASTModel`]), extractor ([`SSASTFeatureExtractor`]): Any checkpoint.
        files: Paths, or [`~ssast_hf.sources.Clip`]s, as [`~ssast_hf.sources.find_sounds`] finds them.
        level (`str`, defaults to `"clip"`): `"clip"` for one vector per file (`pooler_output`, averaged over windows
            by their length), `"frame"` for one per step in time (mean over frequency), `"patch"` for one per patch.
        batch_size (`int`, defaults to 16): Windows per forward pass.
        layers (`list[int]`, *optional*): Take the mean of the outputs of these layers, counted from 1; 0 is what goes
            into the first. Default: the last layer's, after the final LayerNorm (`last_hidden_state`).
        num_workers (`int`, defaults to 0): Processes that decode and compute features; 0 is none but this one.

    Yields:
        For each file, in order, its path and a dict of arrays, or the exception where it cannot be read:
        `embeddings` (hidden,), (T, hidden) or (T * F, hidden), float32; for frames and patches `time`, the start in
        seconds of each row; for patches `mel_bin`, the lowest bin of each row.
    """
    files = list(files)
    parts: list[dict[str, np.ndarray]] = []
    for index, part in embed_parts(model, extractor, files, level, batch_size, layers, num_workers):
        if isinstance(part, dict):
            parts.append(part)
            continue
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        parts = []
        if level == "clip" and arrays:
            arrays["embeddings"] = arrays["embeddings"][0]
        yield source_name(files[index]), part.error or arrays


def embed_parts(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: list[str | os.PathLike | Clip],
    level: str = "clip",
    batch_size: int = 16,
    layers: Iterable[int] | None = None,
    num_workers: int = 0,
) -> Iterator[tuple[int, dict[str, np.ndarray] | End]]:
    """[`embed`]'s arrays window by window, rows first, with the index of the file, and the ends of files."""
    if level not in LEVELS:
        raise ValueError(f"`level` is {level!r}, expected one of {', '.join(map(repr, LEVELS))}.")
    layers = check_layers(layers, model.config.num_hidden_layers)
    rows = model.config.num_frequency_patches

    def embeddings(inputs) -> list:
        outputs = model(**inputs, output_hidden_states=layers is not None)
        hidden, pooled = outputs.last_hidden_state, outputs.pooler_output
        lengths = model.num_real_time_patches(inputs["attention_mask"])
        if layers is not None:
            hidden = torch.stack([outputs.hidden_states[layer] for layer in layers]).mean(dim=0)
            pooled = model.pool(hidden, model.real_patches(inputs["input_values"], lengths))
        if level == "clip":
            return list(zip(pooled.float().cpu().numpy(), lengths.tolist()))
        by_time = hidden[:, NUM_SPECIAL_TOKENS:].unflatten(1, (rows, -1)).transpose(1, 2)  # (B, T, F, hidden)
        if level == "frame":
            by_time = by_time.mean(dim=2, keepdim=True)
        return [clip[:n].numpy() for clip, n in zip(by_time.float().cpu(), lengths.tolist())]

    step = SHIFT_SECONDS * model.config.time_stride
    cut = Cut.of(extractor, model.config.max_length)
    total = Total()
    for event in _run(model, extractor, files, batch_size, embeddings, cut, num_workers):
        if isinstance(event, End):
            if level == "clip" and (mean := total.take()) is not None and event.error is None:
                yield event.index, {"embeddings": mean.astype(np.float32)[None]}
            yield event.index, event
        elif level == "clip":
            total.add(*event.output)
        else:
            values = event.output  # (T, F or 1, hidden)
            time = event.start + step * np.arange(len(values))
            arrays = {"embeddings": values.reshape(-1, values.shape[-1]), "time": time.repeat(values.shape[1])}
            if level == "patch":
                arrays["mel_bin"] = np.tile(model.config.frequency_stride * np.arange(rows), len(time))
            yield event.index, arrays


def check_layers(layers: Iterable[int] | None, num_hidden_layers: int) -> list[int] | None:
    """Sorted and without repetitions. Raises ValueError for a layer that the model does not have."""
    if layers is None:
        return None
    layers = sorted(set(layers))
    wrong = [layer for layer in layers if isinstance(layer, bool) or not 0 <= layer <= num_hidden_layers]
    if wrong or not layers:
        raise ValueError(f"`layers` has {wrong or 'nothing'}, expected numbers from 0 to {num_hidden_layers}.")
    return layers


@dataclass(frozen=True)
class Cut:
    """How sound is cut into windows: `length` samples every `hop`; a rest below `shortest` is not worth one."""

    rate: int
    length: int
    hop: int
    shortest: int

    @classmethod
    def of(
        cls, extractor: SSASTFeatureExtractor, max_length: int, window: float | None = None, hop: float | None = None
    ) -> "Cut":
        """
        Of seconds. By default windows of `max_length` frames whose frames follow on directly. Raises ValueError for
        a window shorter than a frame or longer than `max_length`.
        """
        rate = extractor.sampling_rate
        shift, shortest = int(rate * SHIFT_SECONDS), int(rate * FRAME_SECONDS)
        longest = (max_length - 1) * shift + shortest
        for name, value in (("window", window), ("hop", hop)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"`{name}` is {value}, expected a finite number of seconds above 0.")
        length = longest if window is None else round(window * rate)
        step = round(hop * rate) if hop is not None else max_length * shift if window is None else length
        if not shortest <= length <= longest:
            raise ValueError(
                f"`window` is {window} s, expected {FRAME_SECONDS} to {longest / rate:g} s, the model's max_length of "
                f"{max_length} frames."
            )
        if step < 1:
            raise ValueError(f"`hop` is {hop} s, expected at least one sample, {1 / rate:g} s.")
        return cls(rate, length, step, shortest)

    def windows(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """
        Blocks (samples,), end to end, -> first sample and samples of each window. The last may be shorter; it is left
        out if an earlier one reaches the end, or if it has less than `shortest`, unless it is the only one.
        """
        buffer, origin, start = np.zeros(0, np.float32), 0, 0  # the buffer begins at sample `origin`
        for block in blocks:
            buffer = np.concatenate([buffer, block])
            while origin + len(buffer) >= start + self.length:
                yield start, buffer[start - origin : start - origin + self.length]
                start += self.hop
            drop = min(start - origin, len(buffer))
            buffer, origin = buffer[drop:], origin + drop
        end = origin + len(buffer)
        if start == 0 or (end - start >= self.shortest and start - self.hop + self.length < end):
            yield start, buffer[start - origin :]


@dataclass
class _Chunk:
    """Some windows of a source: (start, end) in samples and features (frames, mel bins)."""

    index: int
    windows: list[tuple[int, int, np.ndarray]] = field(default_factory=list)
    end: End | None = None  # in the source's last chunk
    live: bool = False  # to be worked off at once


class _Chunks(IterableDataset):
    """The chunks of sources, in order; each source's last has an `end`."""

    def __init__(self, extractor: SSASTFeatureExtractor, sources: Iterable, cut: Cut, max_length: int, size: int):
        self.extractor, self.sources, self.cut, self.max_length, self.size = extractor, sources, cut, max_length, size

    def __iter__(self) -> Iterator[_Chunk]:
        for index, source in enumerate(self.sources):
            yield from self.chunks_of(index, source)

    def chunks_of(self, index: int, source) -> Iterator[_Chunk]:
        end, error = 0, None
        try:
            cut = self.cut.windows(_blocks(source, self.cut.rate))
            for batch in _batched(cut, 1 if is_live(source) else self.size):
                (start, waveform) = batch[-1]
                end = max(end, start + len(waveform))
                if len(waveform) < self.cut.shortest:
                    raise ValueError(
                        f"{source_name(source)} has {len(waveform)} samples at {self.cut.rate} Hz; expected "
                        f"{self.cut.shortest} or more"
                    )
                features = self.extractor(
                    [waveform for _, waveform in batch],
                    sampling_rate=self.cut.rate,
                    padding=False,
                    max_length=self.max_length,
                    return_attention_mask=False,
                )["input_values"]
                spans = [(start, start + len(waveform)) for start, waveform in batch]
                windows = [(*span, feature) for span, feature in zip(spans, features)]
                yield _Chunk(index, windows, live=is_live(source))
        except (OSError, ValueError) as failure:
            error = failure
        yield _Chunk(index, end=End(index, end / self.cut.rate, error))


def is_live(source) -> bool:
    """Whether a source gives blocks of samples rather than an encoded file."""
    return hasattr(source, "__next__") and not hasattr(source, "read")


def _blocks(source, rate: int) -> Iterable[np.ndarray]:
    if isinstance(source, Clip):
        return source.stream(rate)
    return source if is_live(source) else stream_audio(source, rate)


def source_name(source) -> str:
    """For results and messages."""
    if isinstance(source, Clip):
        return source.name
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    return "the audio" if isinstance(source, (bytes, bytearray, memoryview)) else str(getattr(source, "name", "sound"))


def _batched(iterable: Iterable, size: int) -> Iterator[tuple]:
    iterator = iter(iterable)
    while batch := tuple(islice(iterator, size)):
        yield batch


def _same(item):
    return item


def _in_workers(chunks: _Chunks, num_workers: int) -> Iterator[_Chunk]:
    """
    The chunks, in the same order, prepared by worker processes. Each works off every n-th source and waits when it is
    a few chunks ahead, so that a long file neither holds up nor piles up the others.
    """
    sources = list(chunks.sources)
    if any(is_live(source) or isinstance(source, io.IOBase) for source in sources):
        raise ValueError("`num_workers` is above 0, expected 0 for sound that is no file.")
    num_workers = min(num_workers, len(sources))
    loaders = []
    for worker in range(num_workers):
        part = _Chunks(chunks.extractor, sources[worker::num_workers], chunks.cut, chunks.max_length, chunks.size)
        loader = DataLoader(part, batch_size=None, num_workers=1, prefetch_factor=CHUNKS_AHEAD, collate_fn=_same)
        loaders.append(iter(loader))
    for index in range(len(sources)):
        while True:
            chunk = next(loaders[index % num_workers])
            chunk.index = index
            yield chunk
            if chunk.end is not None:
                chunk.end.index = index
                break


def _padded(extractor: SSASTFeatureExtractor, features: list[np.ndarray], multiple: int) -> dict[str, torch.Tensor]:
    """Features of several windows as a batch, as the extractor's `padding="longest"` makes it."""
    frames = math.ceil(max(map(len, features)) / multiple) * multiple
    fill = torch.tensor(extractor.padding_value)
    if extractor.do_normalize:
        fill = (fill - extractor.mean) / (2 * extractor.std)
    values = torch.full((len(features), frames, features[0].shape[1]), fill.item())
    mask = torch.zeros(len(features), frames, dtype=torch.long)
    for row, feature in enumerate(features):
        values[row, : len(feature)] = torch.from_numpy(feature)
        mask[row, : len(feature)] = 1
    return {"input_values": values, "attention_mask": mask}


def _run(
    model: torch.nn.Module,
    extractor: SSASTFeatureExtractor,
    sources: Iterable,
    batch_size: int,
    compute: Callable[[dict[str, torch.Tensor]], list],
    cut: Cut,
    num_workers: int = 0,
) -> Iterator[Window | End]:
    """Yields each source's windows, with what `compute` gives for them as `output`, and its end, in order."""
    config = model.config
    chunks = _Chunks(extractor, sources, cut, config.max_length, batch_size)

    @torch.inference_mode()
    def worked_off(events: list[Window | End]) -> list[Window | End]:
        windows = sorted((event for event in events if isinstance(event, Window)), key=lambda w: len(w.features))
        for batch in _batched(windows, batch_size):
            inputs = _padded(extractor, [window.features for window in batch], config.time_patch_size)
            outputs = compute({name: value.to(model.device) for name, value in inputs.items()})
            for window, output in zip(batch, outputs):
                window.output = output
        return events

    events, count, enough = [], 0, BATCHES_PER_ROUND * batch_size
    for chunk in _in_workers(chunks, num_workers) if num_workers > 0 else chunks:
        events += [Window(chunk.index, a / cut.rate, b / cut.rate, features) for a, b, features in chunk.windows]
        events += [] if chunk.end is None else [chunk.end]
        count += len(chunk.windows)
        if (
            chunk.live or count >= enough or len(events) >= 4 * enough
        ):  # where no file can be read, there are only ends
            yield from worked_off(events)
            events, count = [], 0
    yield from worked_off(events)
