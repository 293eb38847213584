# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A corpus in one array of 16-bit samples, and random crops of it without a file or a Python loop per crop."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

RATE = 16000  # Hz
FULL_SCALE = 32767
KINDS = ("speech", "music", "effect", "synth", "other")  # what a recording is, by its number in `FlatCorpus.kinds`
NEARBY_SECONDS = 10.0  # between the starts of two crops that count as of the same sound


@dataclass(frozen=True)
class Recording:
    """A recording in a pack or in a flat array: its place there in samples, its name, kind and source."""

    name: str
    kind: str
    group: str
    start: int
    samples: int


class FlatCorpus:
    """
    Recordings in one array of 16-bit samples, and random crops of them, drawn and cut on the array's device.

    Every recording's chance is proportional to its length to the power of `tempering`, within its kind; a kind's
    chance is its weight. A crop starts anywhere in the recording where it fits in. A crop that is
    longer than the recording holds the whole recording, at its beginning in half of the cases. The rest of the crop is
    sound of the neighbours in the array, instead of silence.

    Args:
        samples (`torch.Tensor` of shape `(S,)`, int16): All recordings, end to end.
        recordings (`list[Recording]`): Where they are.
        weights (`dict[str, float]`, *optional*): Kind -> its share of the crops. Kinds that it lacks are left out.
            Default: as much of each kind as there is.
        tempering (`float`): 1 draws seconds evenly, 0 recordings.
        onsets (`float`): Share of the crops that start where their recording does.
    """

    def __init__(
        self,
        samples: torch.Tensor,
        recordings: Sequence[Recording],
        weights: dict[str, float] | None = None,
        tempering: float = 0.75,
        onsets: float = 0.1,
    ):
        device = samples.device
        self.samples = samples
        self.names = [recording.name for recording in recordings]
        kinds = [recording.kind if recording.kind in KINDS else "other" for recording in recordings]
        groups = {group: number for number, group in enumerate(dict.fromkeys(r.group for r in recordings))}
        self.group_names = list(groups)
        starts, lengths = (np.array([getattr(r, name) for r in recordings], np.int64) for name in ("start", "samples"))
        self.starts, self.lengths = torch.from_numpy(starts).to(device), torch.from_numpy(lengths).to(device)
        self.kinds = torch.tensor([KINDS.index(kind) for kind in kinds], device=device)
        self.groups = torch.tensor([groups[r.group] for r in recordings], device=device)
        self.configure(weights, tempering, onsets)

    def configure(self, weights: dict[str, float] | None, tempering: float, onsets: float) -> None:
        """Sets what crops are drawn by."""
        number, lengths = self.kinds.cpu().numpy(), self.lengths.cpu().numpy()
        chance = lengths.astype(np.float64).clip(1) ** tempering
        if weights:
            share = np.array([weights.get(kind, 0.0) for kind in KINDS])
            totals = np.bincount(number, chance, minlength=len(KINDS))
            chance = chance * (share / np.maximum(totals, 1e-9))[number]
        if not chance.sum() > 0:
            raise ValueError(f"no recording is of a kind with a weight above 0: {weights}")
        self.onsets = onsets
        self.cumulative = torch.from_numpy(np.cumsum(chance / chance.sum())).to(self.samples.device)

    @classmethod
    def of(cls, waveforms: torch.Tensor, kind: str, **kwargs) -> FlatCorpus:
        """Of equally long int16 waveforms (B, S)."""
        return cls(*extend(waveforms.new_zeros(0), [], waveforms, kind), **kwargs)

    @classmethod
    def load(cls, path: str | os.PathLike, device: torch.device | str = "cpu", extra=(), **kwargs) -> FlatCorpus:
        """
        Of the files that `packed.unpack` wrote; on the CPU memory-mapped, unless there is `extra`: pairs of int16
        arrays (B, S) and a kind, recordings to add.
        """
        path = Path(path)
        rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        recordings = [Recording(*row) for row in rows]
        array = np.load(path.with_suffix(".npy"), mmap_mode="r" if torch.device(device).type == "cpu" else None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable")  # it is only read
            samples = torch.from_numpy(array).to(device)
        for waveforms, kind in extra:
            samples, recordings = extend(samples, recordings, waveforms.to(device), kind)
        return cls(samples, recordings, **kwargs)

    @property
    def hours(self) -> dict[str, float]:
        """Hours of each kind."""
        totals = torch.zeros(len(KINDS), dtype=torch.float64, device=self.lengths.device)
        totals.index_add_(0, self.kinds, self.lengths.double())
        return {kind: value / RATE / 3600 for kind, value in zip(KINDS, totals.tolist()) if value}

    def draw(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Numbers of recordings (count,), each drawn with its chance."""
        place = torch.rand(count, generator=generator, device=self.cumulative.device, dtype=torch.float64)
        return torch.searchsorted(self.cumulative, place * self.cumulative[-1]).clamp(max=len(self.starts) - 1)

    def places(
        self,
        recordings: torch.Tensor,
        span: torch.Tensor,
        near: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """
        First samples (B,) of crops of `span` samples (B,) in recordings (B,); with `near` (B,), other crops' first
        samples in the same recordings, at most 10 s from these.
        """

        def uniform() -> torch.Tensor:
            return torch.rand(len(recordings), generator=generator, device=span.device)

        low = self.starts[recordings]
        spare = self.lengths[recordings] - span  # below 0: shorter than the crop
        high = low + spare.clamp(min=0)
        if near is not None:
            reach = int(NEARBY_SECONDS * RATE)
            low, high = torch.maximum(low, near - reach), torch.minimum(high, near + reach)
            high = torch.maximum(low, high)
        start = low + (uniform() * (high - low + 1)).long()
        # What is shorter than the crop is there whole, at any place in it.
        before = (uniform() * (-spare).clamp(min=0)).long() * (uniform() < 0.5)
        start = torch.where(spare < 0, low - before, start)
        if near is None and self.onsets:
            start = torch.where(uniform() < self.onsets, self.starts[recordings], start)
        return torch.minimum(start, len(self.samples) - 2 - span).clamp(min=0)

    def cut(self, start: torch.Tensor, samples: int, speed: torch.Tensor | None = None) -> torch.Tensor:
        """
        Crops float32 (B, samples) in [-1, 1] from the given first samples (B,) on, played at `speed` (B,): above 1 is
        faster and higher. Linear interpolation.
        """
        index = torch.arange(samples, device=start.device)
        if speed is None:
            return self.samples[start[:, None] + index].float() / FULL_SCALE
        place = index * speed[:, None]  # float32 is exact enough: below 2^18, to 1/64 of a sample
        whole = place.floor()
        left = start[:, None] + whole.long()
        last = len(self.samples) - 1
        a, b = self.samples[left.clamp(max=last)].float(), self.samples[(left + 1).clamp(max=last)].float()
        return torch.lerp(a, b, place - whole).div_(FULL_SCALE)

    def pairs(
        self,
        count: int,
        samples: int,
        speeds: tuple[float, float] = (1.0, 1.0),
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Two crops of each of `count` drawn recordings, at most 10 s apart, at one speed between `speeds`.

        Returns:
            Waveforms float32 (2 * count, samples), the first of all pairs before the second; recordings (count,).
        """
        chosen = self.draw(count, generator)
        low, high = (math.log(speed) for speed in speeds)
        speed = None
        span = torch.full((count,), samples, device=chosen.device)
        if high > low:
            speed = (low + (high - low) * torch.rand(count, generator=generator, device=chosen.device)).exp()
            span = (span * speed).ceil().long()
        first = self.places(chosen, span, None, generator)
        second = self.places(chosen, span, first, generator)
        both = torch.cat([first, second])
        return self.cut(both, samples, None if speed is None else speed.repeat(2)), chosen


def extend(
    samples: torch.Tensor, recordings: list[Recording], waveforms: torch.Tensor, kind: str
) -> tuple[torch.Tensor, list[Recording]]:
    """Adds int16 waveforms (B, S) as recordings of a kind."""
    first, length = len(samples), waveforms.shape[1]
    more = [Recording(f"{kind}-{i}", kind, kind, first + i * length, length) for i in range(len(waveforms))]
    return torch.cat([samples, waveforms.reshape(-1)]), [*recordings, *more]
