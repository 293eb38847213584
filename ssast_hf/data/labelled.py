# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labelled clips: which labels occur, which clips are held out, how long a clip may be."""

import random
import re

from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS
from .clips import Clip


def label_names(clips: list[Clip]) -> list[str]:
    """The labels that occur, sorted, numbers by their value. Raises ValueError for fewer than two."""
    names = sorted({str(clip.label) for clip in clips})
    if all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names):
        names.sort(key=float)
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


def clip_seconds(max_length: int) -> float:
    """Seconds of sound that make `max_length` frames."""
    return (max_length - 1) * SHIFT_SECONDS + FRAME_SECONDS
