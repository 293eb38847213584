# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretraining from streams: datasets whose length and rows are unknown until they arrive."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from ..data.clips import Clip, Held, encoded
from ..data.reader import Reader
from ..data.skipped import reason_unusable
from ..data.sources import Source
from .crops import ATTEMPTS, CROP, STREAM, Clips, EpochSampler, rng

BLANK = 400  # samples: one frame


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
        how (`dict`, *optional*): `channel` and `accept_truncated`, as [`Clip`] takes them.
    """

    def __init__(
        self, streams, crops, samples, reader, seed, min_samples, rank=0, world_size=1, buffer=1000, how=None
    ):
        self.streams, self.crops, self.samples, self.reader, self.seed = streams, crops, samples, reader, seed
        self.min_samples, self.rank, self.world_size, self.buffer = min_samples, rank, world_size, buffer
        self.how = how or {}
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
            example: Any = next(sources[choice])
            if position < self.start:
                continue
            waveform = self.crops[example]["waveform"] if choice == 0 else self._read(example[0], example[1], number)
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
            clip = Clip(name, member=Held(encoded(value)), **self.how)
        except ValueError as error:
            skipped.add(name, error)
            return None
        # A reader of its own, which forgets the length with the clip.
        waveform, _ = Clips([clip], self.samples, Reader(rate, skipped)).read(0, rng(CROP, self.seed, number), ())
        reason = None if waveform is None else reason_unusable(waveform, self.min_samples, rate)
        if reason is not None:
            skipped.add(name, reason)
        return waveform if reason is None else None

    def check(self) -> None:
        """Raises ValueError if a source gives no sound, before a run starts on it."""
        if self.crops:
            self.crops.check()
        for source in self.streams:
            same = (self.samples, self.reader, self.seed, self.min_samples)
            alone = Stream([source], None, *same, buffer=1, how=self.how)
            next(iter(alone))
