# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast stats`: mean and standard deviation of log-mel features, for the normalisation of other sound."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..data.clips import Clip, Held, encoded
from ..data.skipped import reason_unusable
from ..data.sources import Source
from ..feature_extraction_ssast import log_mel_filterbank, num_frames
from ..utils.processes import end_with_parent
from ..utils.text import reason_of

BLOCK_SECONDS = 60.0  # of a long clip, which is read in blocks
MIN_SECONDS = 0.025


@dataclass
class Statistics:
    """Mean and standard deviation over all frames and bins, and what they were computed of."""

    mean: float
    std: float
    clips: int
    hours: float
    skipped: dict[str, str]


class Moments(Dataset):
    """Per clip: frames, and sum and sum of squares of its features; or its name and why it cannot be read."""

    def __init__(self, clips: list[Clip], sampling_rate: int = 16000, num_mel_bins: int = 128):
        self.clips, self.sampling_rate, self.num_mel_bins = clips, sampling_rate, num_mel_bins

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[int, float, float] | tuple[str, str]:
        clip = self.clips[index]
        try:
            blocks = list(self._blocks(clip))
        except (OSError, ValueError) as error:
            return clip.name, reason_of(error, clip.name)
        frames, sums, squares = map(sum, zip(*blocks))
        return frames, sums, squares

    def _blocks(self, clip: Clip) -> Iterator[tuple[int, float, float]]:
        seconds = clip.seconds()
        count = 1 if seconds is None else max(1, int(seconds // BLOCK_SECONDS))
        for block in range(count):
            length = BLOCK_SECONDS if block < count - 1 else None
            waveform = clip.load(self.sampling_rate, block * BLOCK_SECONDS, length)
            reason = reason_unusable(waveform, round(MIN_SECONDS * self.sampling_rate), self.sampling_rate)
            if reason is not None and count == 1:
                raise ValueError(reason)
            if num_frames(len(waveform), self.sampling_rate):
                features = log_mel_filterbank(
                    torch.from_numpy(waveform)[None], self.num_mel_bins, self.sampling_rate
                ).double()
                yield features.shape[1], features.sum().item(), features.square().sum().item()


def statistics(
    sources: list[Source], max_clips: int | None = None, seed: int = 0, workers: int = 0, num_mel_bins: int = 128
) -> Statistics:
    """
    Mean and standard deviation of the log-mel features over all real frames and bins, padding left out; where sources
    have weights, of the mixture.

    Args:
        sources (`list[Source]`): What [`read_sources`] gave.
        max_clips (`int`, *optional*): Draw so many clips of each source instead of reading all.
        seed (`int`): Of the draw of `max_clips`.
        workers (`int`): Processes that read.
        num_mel_bins (`int`): Mel bins.

    Raises:
        ValueError: A source is a stream and `max_clips` is not given, or no clip can be used.
    """
    moments, clips, frames, skipped = np.zeros(3), 0, 0, {}
    for source in sources:
        found = source.clips
        if source.stream is not None:
            found = _first(source, max_clips)
        elif max_clips is not None and max_clips < len(found):
            chosen = np.random.default_rng(seed).choice(len(found), max_clips, replace=False)
            found = [found[index] for index in sorted(chosen)]
        sums = np.zeros(3)
        loader = DataLoader(
            Moments(found, num_mel_bins=num_mel_bins),
            batch_size=None,
            num_workers=workers,
            worker_init_fn=end_with_parent,
        )
        for result in loader:
            if isinstance(result[0], str):
                skipped[result[0]] = result[1]
                continue
            sums += result
            clips += 1
        if not sums[0]:
            raise ValueError(f"{source.name} holds no sound to measure: {next(iter(skipped.values()), 'no frames')}")
        frames += int(sums[0])
        moments += sums if source.weight is None else source.weight * sums / sums[0]
    mean, square = moments[1:] / (moments[0] * num_mel_bins)
    std = max(square - mean * mean, 0.0) ** 0.5
    return Statistics(float(mean), float(std), clips, frames / 100 / 3600, skipped)


def _first(source: Source, count: int | None) -> list[Clip]:
    if count is None:
        raise ValueError(f"{source.name} is a stream: say with --clips how many clips to take from its beginning.")
    rows = source.stream.take(count)
    return [
        Clip(f"{source.name}[{index}]", member=Held(encoded(row[source.column]))) for index, row in enumerate(rows)
    ]
