# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Windows of long sounds: where they lie, how sound is cut into them, and how their scores are joined. The only place
with these formulas. Needs numpy alone, so that exported models use them without torch.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

AGGREGATES = ("mean", "max")


@dataclass(frozen=True)
class Windows:
    """
    Windows of `length` samples, one every `hop` samples.

    A sound's last window may be shorter. It is left out if the window before it reaches the end of the sound, or if it
    holds less than `shortest` samples; a sound's first window always exists.

    Args:
        rate (`int`): Hz.
        length (`int`): Samples of a whole window.
        hop (`int`): Samples from the start of a window to the start of the next.
        shortest (`int`): Samples of the shortest last window.
    """

    rate: int
    length: int
    hop: int
    shortest: int

    @classmethod
    def of_frames(
        cls, rate: int, frame: int, shift: int, max_length: int, window: float | None = None, hop: float | None = None
    ) -> "Windows":
        """
        Windows of a model that takes `max_length` frames of `frame` samples, one every `shift` samples.

        Args:
            window (`float`, *optional*): Seconds in a window, at least one frame. Default, and the most: `max_length`
                frames.
            hop (`float`, *optional*): Seconds from start to start. Default: `window`; without that, `max_length`
                frames, so that the windows' frames are those of the whole sound.

        Raises:
            ValueError: `window` or `hop` is out of range.
        """
        longest = (max_length - 1) * shift + frame
        for name, value in (("window", window), ("hop", hop)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"`{name}` is {value}, expected a finite number of seconds above 0.")
        length = longest if window is None else round(window * rate)
        step = round(hop * rate) if hop is not None else max_length * shift if window is None else length
        if not frame <= length <= longest:
            raise ValueError(
                f"`window` is {window} s, expected {frame / rate:g} to {longest / rate:g} s, the model's max_length "
                f"of {max_length} frames."
            )
        if step < 1:
            raise ValueError(f"`hop` is {hop} s, expected at least one sample, {1 / rate:g} s.")
        return cls(rate, length, step, frame)

    @classmethod
    def of_steps(
        cls, rate: int, frame: int, shift: int, max_length: int, patch: int, stride: int, steps: int
    ) -> "Windows":
        """
        Windows of `max_length` frames that follow on each other such that time steps are equally far apart in the
        whole sound, also where `max_length` is no multiple of the stride. A window holds at least one step.

        Args:
            patch (`int`), stride (`int`): Frames of a time step, and from one step to the next.
            steps (`int`): Time steps in `max_length` frames.
        """
        longest = (max_length - 1) * shift + frame
        return cls(rate, longest, steps * stride * shift, (patch - 1) * shift + frame)

    def exists(self, index: int, end: int) -> bool:
        """Whether a sound of `end` samples has a window of this index, from 0."""
        start = index * self.hop
        return index == 0 or (end - start >= self.shortest and start - self.hop + self.length < end)

    def spans(self, samples: int) -> list[tuple[int, int]]:
        """First sample and end of each window of a sound of so many samples."""
        spans: list[tuple[int, int]] = []
        while self.exists(len(spans), samples):
            start = len(spans) * self.hop
            spans.append((start, min(samples, start + self.length)))
        return spans

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """
        Cuts a sound of unknown length as it arrives.

        Args:
            blocks: Arrays (samples,), end to end.

        Yields:
            The first sample of each window and its samples, as [`Windows.spans`] has them.
        """
        buffer, origin, index = np.zeros(0, np.float32), 0, 0  # the buffer begins at sample `origin`
        for block in blocks:
            buffer = np.concatenate([buffer, block])
            while origin + len(buffer) >= index * self.hop + self.length:
                start = index * self.hop
                yield start, buffer[start - origin : start - origin + self.length]
                index += 1
            drop = min(index * self.hop - origin, len(buffer))
            buffer, origin = buffer[drop:], origin + drop
        if self.exists(index, origin + len(buffer)):
            yield index * self.hop, buffer[index * self.hop - origin :]


class ScoreJoiner:
    """
    Joins the scores of a sound's windows, one window at a time.

    Args:
        aggregate (`str`, defaults to `"mean"`): `"mean"`, weighted by how much sound each window holds, or `"max"`.

    Raises:
        ValueError: Another `aggregate`.
    """

    def __init__(self, aggregate: str = "mean"):
        if aggregate not in AGGREGATES:
            raise ValueError(f"`aggregate` is {aggregate!r}, expected one of {', '.join(map(repr, AGGREGATES))}.")
        self.aggregate = aggregate
        self.scores: np.ndarray | None = None
        self.weight = 0.0

    def add(self, scores: np.ndarray, weight: float) -> None:
        """Scores or embeddings of a window, of one shape for all, and the samples or steps that it holds."""
        if self.aggregate == "max":
            self.scores = scores if self.scores is None else np.maximum(self.scores, scores)
        else:
            self.scores = weight * scores.astype(np.float64) + (0 if self.scores is None else self.scores)
        self.weight += weight

    def take(self) -> np.ndarray | None:
        """The joined scores, None where there was no window. Starts again with the next sound."""
        scores, weight, self.scores, self.weight = self.scores, self.weight, None, 0.0
        return scores if scores is None or self.aggregate == "max" else scores / weight
