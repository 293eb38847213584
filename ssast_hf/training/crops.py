# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Pretraining data: sources -> crops of sound. masked_batches.py makes batches of them, streams.py takes streams.

Which crops an epoch holds, where each is cut and what is masked in it depend on (seed, epoch, crop) alone, so that
neither the number of workers or processes nor an interruption changes them.
"""

import math
import os
from collections.abc import Iterator
from itertools import groupby

import numpy as np
from torch.utils.data import Dataset, Sampler

from ..data.clips import Clip
from ..data.reader import Reader
from ..data.skipped import reason_unusable
from ..data.sources import Source

VALIDATION = 2**32 - 1  # stands for the epoch of validation crops, which never change
ATTEMPTS = 100  # crops tried for one place in a batch
PROBES = 200  # crops tried before training, to find one that can be read
ORDER, CROP, PHASE, MASK, STREAM = range(1, 6)  # what a random draw is for


def rng(*key: int) -> np.random.Generator:
    """The generator of a key such as (CROP, seed, epoch, crop)."""
    return np.random.default_rng(key)


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
        clip, place = self.clips[index], random.random()
        return self.reader.crop(clip, self.samples, lambda surplus: int(place * (surplus + 1))), clip


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
                    waveform = reader.read(clip)
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
            piece = self.reader.read(self.clips[clip], start - self._start(clip), samples)
            pieces += [] if piece is None else [piece]
            start += samples
            clip += 1
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
            reason = reason_unusable(waveform, self.min_samples, self.reader.sampling_rate)
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
            rate = self.reader.sampling_rate
            for index in range(min(len(part), PROBES)):
                random = rng(CROP, self.seed, VALIDATION, first + index, 0)
                waveform, _ = part.read(index, random, (self.seed, VALIDATION, source))
                if waveform is not None and reason_unusable(waveform, self.min_samples, rate) is None:
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
        weights = [weight for weight in crops.weights if weight is not None]
        if len(weights) < len(crops.weights):
            self.shares = sizes
        else:
            exact = np.array(weights) / sum(weights) * total
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
