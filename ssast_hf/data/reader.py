# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The reader of pieces of clips, for pretraining and fine-tuning: one seek and one short read for each piece."""

import math
from collections.abc import Callable

import numpy as np

from .clips import Clip
from .decoded import Decoded
from .skipped import Skipped

ROUNDING = 1e-6  # samples: 0.3 s * 16000 Hz may come out as 4799.999999999


class Reader:
    """
    Reads pieces of clips, from the files or from decoded sound. What cannot be read is reported and comes out as None.

    Args:
        sampling_rate (`int`): Hz.
        skipped (`Skipped`): The report of clips that cannot be read.
        decoded (`Decoded`, *optional*): Decoded sound to read instead of the files.
    """

    def __init__(self, sampling_rate: int, skipped: Skipped, decoded: Decoded | None = None):
        self.sampling_rate = sampling_rate
        self.skipped = skipped
        self.decoded = decoded
        self.lengths: dict[Clip, int | None] = {}
        self.cut: set[Clip] = set()  # clips that are shorter than their headers state, and cannot be read whole

    def length(self, clip: Clip) -> int | None:
        """Samples of a clip by its header, which is read once; None where the header does not state it."""
        if self.decoded is not None:
            return self.decoded.length(clip)
        if clip not in self.lengths:
            seconds = clip.seconds()
            known = None if seconds is None else max(0, math.floor(seconds * self.sampling_rate + ROUNDING))
            self.lengths[clip] = known
        return self.lengths[clip]

    def crop(self, clip: Clip, samples: int, place: Callable[[int], int]) -> np.ndarray | None:
        """
        A crop of a clip: float32 (samples,), or the whole of a shorter clip; None if it cannot be read.

        Args:
            clip (`Clip`): What to read.
            samples (`int`): Samples of the crop.
            place: Called with the surplus of a longer clip in samples, else 0; returns the first sample of the crop,
                from 0 to the surplus. Not called if a clip of unknown length cannot be read.
        """
        length = self.length(clip)
        if length is not None:
            return self.read(clip, place(max(0, length - samples)), samples)
        waveform = self.read(clip)
        if waveform is None:
            return None
        start = place(max(0, len(waveform) - samples))
        return waveform[start : start + samples]

    def read(self, clip: Clip, start: int = 0, samples: int | None = None) -> np.ndarray | None:
        """
        float32 (samples,) of a clip from sample `start` on, fewer at its end, all to its end without `samples`; None
        if it cannot be read.
        """
        if self.decoded is not None:
            return self.decoded.read(clip, start, 2**40 if samples is None else samples)
        rate = self.sampling_rate
        try:
            if samples is None:
                return clip.load(rate, start / rate)
            # One sample more, because resampling may round one off.
            return clip.load(rate, start / rate, (samples + 1) / rate)[:samples]
        except (OSError, ValueError) as error:
            # The header may state more samples than there are.
            if start and samples is not None and clip not in self.cut:
                try:
                    waveform = clip.load(rate)
                    return waveform[max(0, min(start, len(waveform) - samples)) :][:samples]
                except (OSError, ValueError):
                    self.cut.add(clip)
            self.skipped.add(clip.name, error)
            return None
