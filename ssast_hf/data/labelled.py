# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labelled training data: clips -> batches of spectrograms. Pretraining has its own, in crops.py."""

import logging
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, SSASTFeatureExtractor
from .clips import Clip

logger = logging.getLogger(__name__)


def label_names(clips: list[Clip]) -> list[str]:
    """The labels that occur, sorted. Raises ValueError for fewer than two."""
    names = sorted({clip.label for clip in clips})
    if len(names) < 2:
        raise ValueError(f"Found {len(names)} label ({', '.join(names)}), expected two or more.")
    return names


def split(clips: list[Clip], fraction: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """
    Draws `fraction` of the clips of each label, rounded but at least one where there are two, for validation.

    Returns:
        The clips for training and those for validation.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"The validation fraction is {fraction}, expected a number above 0 and below 1.")
    groups: dict[str | None, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.label, []).append(clip)
    held_out: set[Clip] = set()
    for label in sorted(groups, key=str):
        group = groups[label]
        count = min(len(group) - 1, max(1, round(fraction * len(group))))
        held_out.update(random.Random(f"{seed} {label}").sample(group, count))
    return [clip for clip in clips if clip not in held_out], [clip for clip in clips if clip in held_out]


class AudioClips(Dataset):
    """
    Waveforms of clips, at most `max_seconds` long, read when asked for: `{"waveform": (samples,), "labels": int}`,
    or None for a file that cannot be read, which is logged once and counted in `unreadable`.

    Args:
        clips (`list[Clip]`): What to read.
        sampling_rate (`int`): Hz.
        max_seconds (`float`): Longer clips are cropped: at random if `random_crop`, else from their beginning.
        label2id (`dict[str, int]`, *optional*): Adds `labels`.
        random_crop (`bool`): See above; drawn from torch's random state.
        cache (`bool`): Whether to keep the decoded sound in memory (64 kB per second and worker).
    """

    def __init__(
        self,
        clips: list[Clip],
        sampling_rate: int,
        max_seconds: float,
        label2id: dict[str, int] | None = None,
        random_crop: bool = False,
        cache: bool = False,
    ):
        self.clips = clips
        self.sampling_rate = sampling_rate
        self.max_samples = round(max_seconds * sampling_rate)
        self.label2id = label2id
        self.random_crop = random_crop
        self.cache: dict[int, np.ndarray] | None = {} if cache else None
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict | None:
        clip = self.clips[index]
        try:
            waveform = self._read(index)
        except (OSError, ValueError) as error:
            if clip.name not in self.unreadable:
                logger.warning("Skipped %s: %s", clip.name, error)
            self.unreadable[clip.name] = str(error)
            return None
        surplus = len(waveform) - self.max_samples
        if surplus > 0:
            start = int(torch.randint(surplus + 1, ())) if self.random_crop else 0
            waveform = waveform[start : start + self.max_samples]
        item = {"waveform": waveform}
        if self.label2id is not None:
            item["labels"] = self.label2id[clip.label]
        return item

    def _read(self, index: int) -> np.ndarray:
        if self.cache is not None and index in self.cache:
            return self.cache[index]
        waveform = self.clips[index].load(self.sampling_rate)
        shortest = int(FRAME_SECONDS * self.sampling_rate)
        if len(waveform) < shortest:
            raise ValueError(f"{len(waveform)} samples at {self.sampling_rate} Hz, expected {shortest} or more")
        if self.cache is not None:
            self.cache[index] = waveform
        return waveform


@dataclass
class Collator:
    """Items of [`AudioClips`] -> a padded batch for the models. Raises ValueError if none could be read."""

    extractor: SSASTFeatureExtractor
    time_patch_size: int

    def __call__(self, items: list[dict | None]) -> dict[str, torch.Tensor]:
        readable = [item for item in items if item is not None]
        if not readable:
            raise ValueError(f"None of the {len(items)} sound files of a batch can be read: see the warnings above.")
        batch = self.extractor(
            [item["waveform"] for item in readable],
            sampling_rate=self.extractor.sampling_rate,
            padding="longest",
            pad_to_multiple_of=self.time_patch_size,
            return_attention_mask=True,
            return_tensors="pt",
        )
        if "labels" in readable[0]:
            batch["labels"] = torch.tensor([item["labels"] for item in readable])
        return dict(batch)


def clip_seconds(max_length: int) -> float:
    """Seconds of sound that make `max_length` frames."""
    return (max_length - 1) * SHIFT_SECONDS + FRAME_SECONDS
