# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Pretraining data: sources -> crops of sound -> masked batches.

Which crops an epoch holds, where each is cut and what is masked in it follow from (seed, epoch, crop) alone, so that
neither the number of workers or processes nor an interruption changes them.
"""

import json
import logging
import math
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler

from ..configuration_ssast import SSASTConfig
from ..data.clips import Clip, Held, encoded
from ..data.decoded import Decoded
from ..data.sources import Source
from ..feature_extraction_ssast import SSASTFeatureExtractor, num_frames
from ..masking import sample_masks
from ..utils.files import replacing

logger = logging.getLogger(__name__)

VALIDATION = 2**32 - 1  # stands for the epoch of validation crops, which never change
SILENCE = 1e-4  # peak around the mean, -80 dB of full scale: three steps of 16-bit sound
ATTEMPTS = 100  # crops tried for one place in a batch
PROBES = 200  # crops tried before training, to find one that can be read
ORDER, CROP, PHASE, MASK, STREAM = range(1, 6)  # what a random draw is for
BLANK = 400  # samples: one frame
WARNINGS = 10  # logged per process; all are in the report


def rng(*key: int) -> np.random.Generator:
    """The generator of a key such as (CROP, seed, epoch, crop)."""
    return np.random.default_rng(key)


def flaw(waveform: np.ndarray, min_samples: int, sampling_rate: int) -> str | None:
    """Why a waveform is of no use, or None."""
    if len(waveform) < min_samples:
        seconds, least = len(waveform) / sampling_rate, min_samples / sampling_rate
        return f"too short: {seconds:.3f} s, expected {least:.3f} s or more"
    return "silent" if np.abs(waveform - waveform.mean()).max() < SILENCE else None


class Skipped:
    """
    The report of clips that were skipped: a `.jsonl` file with one `{"file", "reason"}` per line, which every worker
    and process appends to.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = path
        self.seen: set[str] = set()

    def add(self, name: str, reason: str) -> None:
        if name in self.seen:
            return
        self.seen.add(name)
        if len(self.seen) <= WARNINGS:
            logger.warning("Skipped %s: %s", name, reason)
        if self.path is not None:
            line = json.dumps({"file": name, "reason": reason}) + "\n"
            try:
                with open(self.path, "ab", buffering=0) as file:  # one write per line: lines of processes do not mix
                    file.write(line.encode())
            except OSError as error:  # a full disk is no reason to end a run
                logger.warning("%s cannot be written (%s): it will lack %s", self.path, error, name)

    def finish(self) -> dict[str, str]:
        """Leaves one line per clip in the report, sorted; returns reasons by name."""
        found: dict[str, str] = {}
        if self.path is not None and os.path.exists(self.path):
            for line in Path(self.path).read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    found.setdefault(entry["file"], entry["reason"])
                except (json.JSONDecodeError, KeyError, TypeError):  # the end of a line that a kill cut off
                    continue
            lines = [json.dumps({"file": name, "reason": found[name]}) + "\n" for name in sorted(found)]
            with replacing(self.path) as unfinished:
                unfinished.write_text("".join(lines), encoding="utf-8")
        return found


class Reader:
    """
    Reads pieces of clips, from the files or from decoded sound.

    Args:
        sampling_rate (`int`): Hz.
        skipped (`Skipped`): Learns of what could not be read.
        decoded (`Decoded`, *optional*): Decoded sound to read instead of the files.
    """

    def __init__(self, sampling_rate: int, skipped: Skipped, decoded: Decoded | None = None):
        self.sampling_rate = sampling_rate
        self.skipped = skipped
        self.decoded = decoded
        self.lengths: dict[Clip, int | None] = {}
        self.cut: set[Clip] = set()  # shorter than their headers state, and not to be read whole

    def length(self, clip: Clip) -> int | None:
        """Samples of a clip as its header states them; None where it does not."""
        if self.decoded is not None:
            return self.decoded.length(clip)
        if clip not in self.lengths:
            seconds = clip.seconds()
            self.lengths[clip] = None if seconds is None else max(0, math.floor(seconds * self.sampling_rate))
        return self.lengths[clip]

    def piece(self, clip: Clip, start: int, samples: int) -> np.ndarray | None:
        """`samples` of a clip from `start` on, fewer at its end; None (and a report) if it cannot be read."""
        if self.decoded is not None:
            return self.decoded.read(clip, start, samples)
        rate = self.sampling_rate
        try:
            # A sample more, for resampling not to round one off.
            return clip.load(rate, start / rate, (samples + 1) / rate)[:samples]
        except (OSError, ValueError) as error:
            if start and clip not in self.cut:  # a header may promise more than there is
                try:
                    waveform = clip.load(rate)
                    return waveform[max(0, min(start, len(waveform) - samples)) :][:samples]
                except (OSError, ValueError):
                    self.cut.add(clip)
            self.skipped.add(clip.name, str(error))
            return None


class Clips:
    """The crops of a source where each clip gives one per epoch, at a random place of a longer clip."""

    tries = 10  # places of a clip, should they be silent
    silent = f"silent at each of {tries} places"

    def __init__(self, clips: list[Clip], samples: int, reader: Reader):
        self.clips, self.samples, self.reader = clips, samples, reader

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, index: int, random: np.random.Generator, epoch_key: tuple) -> tuple[np.ndarray | None, Clip]:
        """Waveform (samples,), or None if it cannot be read, and its clip. Draws once, whatever the clip's length."""
        clip = self.clips[index]
        length, place = self.reader.length(clip), random.random()
        if length is None:  # the header does not tell: read it all
            waveform = self.reader.piece(clip, 0, 2**40)
            if waveform is not None:
                start = int(place * (max(0, len(waveform) - self.samples) + 1))
                waveform = waveform[start : start + self.samples]
            return waveform, clip
        start = int(place * (max(0, length - self.samples) + 1))
        return self.reader.piece(clip, start, self.samples), clip


class Packed:
    """
    The crops of a source where neighbouring clips are joined and the result is cut into full crops: each second of
    sound comes once per epoch, long clips give as many crops as they hold, and none is padded. Clips of one folder
    stay together; folders too short for a crop join the next.
    """

    tries = 1
    silent = "silent for as long as a crop"

    def __init__(self, clips: list[Clip], samples: int, reader: Reader):
        self.samples, self.reader = samples, reader
        self.clips: list[Clip] = []
        lengths, tracks = [], []  # a track: clips that are joined
        pending = 0
        first = 0
        for _, group in groupby(clips, key=lambda clip: os.path.dirname(clip.path)):
            for clip in group:
                length = reader.length(clip)
                if length is None:
                    waveform = reader.piece(clip, 0, 2**40)
                    length = 0 if waveform is None else len(waveform)
                if length:
                    self.clips.append(clip)
                    lengths.append(length)
                    pending += length
            if pending >= samples:
                tracks.append((first, len(self.clips)))
                first, pending = len(self.clips), 0
        if pending and tracks:
            tracks[-1] = (tracks[-1][0], len(self.clips))
        elif pending:
            tracks = [(0, len(self.clips))]
        self.ends = np.cumsum(lengths, dtype=np.int64)  # of clips, in the joined sound
        self.tracks = np.array([(self._start(a), self._start(b)) for a, b in tracks], np.int64).reshape(-1, 2)
        self.counts = np.maximum(1, (self.tracks[:, 1] - self.tracks[:, 0]) // samples)
        self.firsts = np.cumsum(self.counts) - self.counts

    def _start(self, clip: int) -> int:
        return int(self.ends[clip - 1]) if clip else 0

    def __len__(self) -> int:
        return int(self.counts.sum())

    def read(self, index: int, random: np.random.Generator, epoch_key: tuple) -> tuple[np.ndarray | None, Clip]:
        """As [`Clips.read`]; the first clip of the crop stands for it."""
        track = int(np.searchsorted(self.firsts, index, side="right")) - 1
        begin, end = map(int, self.tracks[track])
        spare = max(0, end - begin - int(self.counts[track]) * self.samples)
        # All crops of a track are moved alike, for none to overlap another.
        phase = int(rng(PHASE, *epoch_key, track).integers(spare + 1))
        start = begin + phase + (index - int(self.firsts[track])) * self.samples
        stop = min(start + self.samples, end)
        first = clip = int(np.searchsorted(self.ends, start, side="right"))
        pieces = []
        while start < stop:
            samples = min(stop, int(self.ends[clip])) - start
            pieces.append(self.reader.piece(self.clips[clip], start - self._start(clip), samples))
            start += samples
            clip += 1
        pieces = [piece for piece in pieces if piece is not None]
        return (np.concatenate(pieces) if pieces else None), self.clips[first]


class Crops(Dataset):
    """
    Crops of sound by (epoch, number): `{"waveform": (samples,), "key": (epoch, number)}`; by a plain number, those
    for validation. One that cannot be read, is silent or too short is reported and another of its source, drawn at
    random, takes its place, so that batches stay full.

    Args:
        sources (`list[Source]`): Clips.
        samples (`int`): Samples of a crop.
        reader (`Reader`): Reads them.
        seed (`int`): For the places of the crops.
        min_samples (`int`): Shorter crops are skipped.
        pack (`bool`): Whether to join neighbouring clips ([`Packed`]), or take one crop of each ([`Clips`]).
    """

    def __init__(
        self,
        sources: list[Source],
        samples: int,
        reader: Reader,
        seed: int,
        min_samples: int,
        pack: bool = False,
    ):
        kind = Packed if pack else Clips
        self.parts = [kind(source.clips, samples, reader) for source in sources]
        self.names = [source.name for source in sources]
        self.weights = [source.weight for source in sources]
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.samples, self.reader, self.seed, self.min_samples = samples, reader, seed, min_samples

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, number = key if isinstance(key, tuple) else (VALIDATION, key)
        source = int(np.searchsorted(self.ends, number, side="right"))
        part = self.parts[source]
        first = int(self.ends[source]) - len(part)
        tries = part.tries
        for attempt in range(ATTEMPTS):
            random = rng(CROP, self.seed, epoch, number, attempt)
            index = number - first if attempt < tries else int(random.integers(len(part)))
            waveform, clip = part.read(index, random, (self.seed, epoch, source))
            if waveform is None:
                continue
            reason = flaw(waveform, self.min_samples, self.reader.sampling_rate)
            if reason is None:
                return {"waveform": waveform, "key": (epoch, number)}
            if len(waveform) < self.samples:  # the whole clip: no other place to try
                tries = 0
                self.reader.skipped.add(clip.name, reason)
            elif attempt == tries - 1:  # more than a quiet moment of a longer one
                self.reader.skipped.add(clip.name, part.silent)
        raise ValueError(
            f"{ATTEMPTS} crops of {self.names[source]} in a row could not be read or are silent or too short, the "
            f"last of them of {clip.name}."
        )

    def check(self) -> None:
        """Raises ValueError if a source gives no crop, before a run starts on it."""
        for source, part in enumerate(self.parts):
            first = int(self.ends[source]) - len(part)
            for index in range(min(len(part), PROBES)):
                random = rng(CROP, self.seed, VALIDATION, first + index, 0)
                waveform, _ = part.read(index, random, (self.seed, VALIDATION, source))
                if waveform is not None and flaw(waveform, self.min_samples, self.reader.sampling_rate) is None:
                    break
            else:
                tried = f"of {min(len(part), PROBES)} tried" if len(part) else "of its clips"
                raise ValueError(
                    f"{self.names[source]} holds no sound to train on: {tried}, all are unreadable, silent or too "
                    f"short{self._example()}."
                )

    def _example(self) -> str:
        return f" (such as {min(self.reader.skipped.seen)})" if self.reader.skipped.seen else ""


class Padded(Dataset):
    """Validation crops and then blank ones, which count for nothing, up to a multiple of a batch of all processes."""

    def __init__(self, crops: Crops, multiple: int):
        self.crops = crops
        self.length = math.ceil(len(crops) / multiple) * multiple

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        if index < len(self.crops):
            return self.crops[index]
        return {"waveform": np.zeros(self.crops.samples, np.float32), "key": None}


class EpochSampler(Sampler):
    """
    The crops of an epoch in random order, as (epoch, number): each once, or, with weights, as many of each source as
    its weight asks for, none again before all of its source came. Whole batches only: what is left over changes from
    epoch to epoch.
    """

    def __init__(self, crops: Crops, batch_size: int, seed: int):
        self.crops, self.seed, self.epoch = crops, seed, 0
        total = len(crops)
        self.length = total // batch_size * batch_size or total
        sizes = [len(part) for part in crops.parts]
        if None in crops.weights:
            self.shares = sizes
        else:
            exact = np.array(crops.weights) / sum(crops.weights) * total
            self.shares = [int(end - begin) for begin, end in zip(
                np.rint(np.cumsum(exact) - exact), np.rint(np.cumsum(exact))
            )]  # fmt: skip

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def order(self) -> np.ndarray:
        """Numbers of the crops of this epoch."""
        chosen = []
        first = 0
        for source, (share, part) in enumerate(zip(self.shares, self.crops.parts)):
            size = len(part)
            # The epochs of one source follow each other in its own passes.
            position, stop = self.epoch * share, (self.epoch + 1) * share
            while position < stop:
                turn, begin = divmod(position, size)
                taken = rng(ORDER, self.seed, turn, source).permutation(size)[begin : begin + stop - position]
                chosen.append(first + taken)
                position += len(taken)
            first += size
        return rng(ORDER, self.seed, self.epoch).permutation(np.concatenate(chosen))[: self.length]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for number in self.order().tolist():
            yield self.epoch, number


class Stream(IterableDataset):
    """
    Endless crops for one process where a source is a stream: each from a source drawn by weight. Streams are split
    among the processes and shuffled in a buffer, anew in each pass. What cannot be used is reported and left out.

    Args:
        streams (`list[Source]`): The streams.
        crops (`Crops`, *optional*): The sources that are no streams.
        samples, reader, seed, min_samples: As [`Crops`] takes them.
        rank (`int`), world_size (`int`): Which of how many processes this is.
        buffer (`int`): Examples to shuffle among.
    """

    def __init__(self, streams, crops, samples, reader, seed, min_samples, rank=0, world_size=1, buffer=1000):
        self.streams, self.crops, self.samples, self.reader, self.seed = streams, crops, samples, reader, seed
        self.min_samples, self.rank, self.world_size, self.buffer = min_samples, rank, world_size, buffer
        # Where a run resumes: examples of this process to pass over without decoding, and blanks to give first, which
        # stand for the crops that they gave and are passed over by the Trainer.
        self.start = self.blanks = 0

    def __iter__(self) -> Iterator[dict]:
        plain = sum(self.crops.weights) if self.crops else 0.0
        bounds = np.cumsum([plain, *(source.weight or 1.0 for source in self.streams)])
        sources = [self._order(), *(self._examples(source) for source in self.streams)]
        failed = 0
        for _ in range(self.blanks):
            yield {"waveform": np.zeros(BLANK, np.float32), "key": None, "position": 0}
        for position in range(2**62):
            number = position * self.world_size + self.rank
            choice = int(np.searchsorted(bounds, rng(STREAM, self.seed, number).random() * bounds[-1], side="right"))
            example = next(sources[choice])
            if position < self.start:
                continue
            waveform = self.crops[example]["waveform"] if choice == 0 else self._read(*example, number)
            if waveform is not None:
                failed = 0
                yield {"waveform": waveform, "key": (0, number), "position": position}
                continue
            failed += 1
            if failed == ATTEMPTS:
                raise ValueError(f"{ATTEMPTS} examples of {self.streams[choice - 1].name} in a row cannot be used.")

    def _order(self) -> Iterator[tuple[int, int]]:
        sampler = EpochSampler(self.crops, 1, self.seed)
        for epoch in range(2**31):
            sampler.set_epoch(epoch)
            yield from list(sampler)[self.rank :: self.world_size]

    def _examples(self, source: Source) -> Iterator[tuple[str, object]]:
        from datasets.distributed import split_dataset_by_node

        table = source.stream.shuffle(seed=self.seed, buffer_size=self.buffer)
        if self.world_size > 1:
            table = split_dataset_by_node(table, self.rank, self.world_size)
        for turn in range(2**31):
            table.set_epoch(turn)
            index = -1
            for index, row in enumerate(table):
                yield f"{source.name}[{index} of pass {turn}]", row[source.column]
            if index < 0:
                raise ValueError(f"{source.name} gives process {self.rank} of {self.world_size} no examples.")

    def _read(self, name: str, value, number: int) -> np.ndarray | None:
        skipped, rate = self.reader.skipped, self.reader.sampling_rate
        try:
            clip = Clip(name, member=Held(encoded(value)))
        except ValueError as error:
            skipped.add(name, str(error))
            return None
        # A reader of its own, which forgets the length with the clip.
        waveform, _ = Clips([clip], self.samples, Reader(rate, skipped)).read(0, rng(CROP, self.seed, number), ())
        reason = None if waveform is None else flaw(waveform, self.min_samples, rate)
        if reason is not None:
            skipped.add(name, reason)
        return waveform if reason is None else None

    def check(self) -> None:
        """Raises ValueError if a source gives no sound, before a run starts on it."""
        if self.crops:
            self.crops.check()
        for source in self.streams:
            alone = Stream([source], None, self.samples, self.reader, self.seed, self.min_samples, buffer=1)
            next(iter(alone))


class MaskingCollator:
    """
    Items of [`Crops`] -> a batch with masks, drawn per crop from (seed, its key) whatever batch it is in.

    Args:
        extractor (`SSASTFeatureExtractor`): Computes features, here or (`on_device`) later.
        config (`SSASTConfig`): How much to mask, in which clusters.
        seed (`int`): For the masks.
        on_device (`bool`): Return `waveforms` (batch, samples) and `samples` (batch,) instead of features, which
            [`features`] then makes on their device.
        full (`bool`): Pad to `max_length` frames instead of to the longest: one shape for a compiled model.

    Returns a dictionary: `input_values` (batch, frames, bins), `attention_mask` (batch, frames) where there is
    padding, `bool_masked_pos` (batch, patches), True is masked, and `frames` (batch,) for the log.
    """

    def __init__(
        self,
        extractor: SSASTFeatureExtractor,
        config: SSASTConfig,
        seed: int,
        on_device: bool = False,
        full: bool = False,
    ):
        self.extractor, self.config, self.seed = extractor, config, seed
        self.on_device, self.full = on_device, full

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        waveforms = [torch.from_numpy(np.ascontiguousarray(item["waveform"], np.float32)) for item in items]
        frames = [num_frames(len(waveform), self.extractor.sampling_rate) for waveform in waveforms]
        batch = {"bool_masked_pos": self.masks([item["key"] for item in items], frames)}
        batch["frames"] = torch.tensor([0 if item["key"] is None else n for item, n in zip(items, frames)])
        if "position" in items[0]:
            batch["position"] = torch.tensor([item["position"] for item in items])
        if not self.on_device:
            return {**batch, **self.features(waveforms)}
        batch["samples"] = torch.tensor([len(waveform) for waveform in waveforms])
        batch["waveforms"] = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        return batch

    def features(self, waveforms: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """`input_values` and, where there is padding, `attention_mask`, on the waveforms' device."""
        batch = self.extractor(
            waveforms,
            sampling_rate=self.extractor.sampling_rate,
            padding="max_length" if self.full else "longest",
            max_length=self.config.max_length,
            pad_to_multiple_of=self.config.time_patch_size,
            return_attention_mask=True,
            return_tensors="pt",
        )
        values, mask = batch["input_values"], batch["attention_mask"]
        frames = {num_frames(len(waveform), self.extractor.sampling_rate) for waveform in waveforms}
        padded = min(frames) // self.config.time_patch_size < values.shape[1] // self.config.time_patch_size
        return {"input_values": values, **({"attention_mask": mask} if padded else {})}

    def masks(self, keys: list[tuple[int, int] | None], frames: list[int]) -> torch.Tensor:
        """`bool_masked_pos` (batch, patches)."""
        config = self.config
        frames = [min(n, config.max_length) for n in frames]
        longest = config.max_length if self.full else max(frames)
        columns = config.patch_grid(math.ceil(longest / config.time_patch_size) * config.time_patch_size)[1]
        rows = config.num_frequency_patches
        masks = torch.zeros(len(keys), rows, columns, dtype=torch.bool)
        for mask, key, length in zip(masks, keys, frames):
            if key is None:  # a blank
                continue
            real = max(1, config.num_time_patches(length))
            seed = int(rng(MASK, self.seed, *key).integers(2**63))
            drawn = sample_masks(
                1,
                (rows, real),
                config.num_masked(rows * real),
                config.mask_cluster_min,
                config.mask_cluster_max,
                generator=torch.Generator().manual_seed(seed),
            )
            mask[:, :real] = drawn.view(rows, real)
        return masks.flatten(1)
