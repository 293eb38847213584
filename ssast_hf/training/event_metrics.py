# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Event-based and segment-based F1 of detected events, as sed_eval defines them (Mesaros, Heittola and Virtanen, Metrics
for Polyphonic Sound Event Detection, Applied Sciences 6(6), 2016).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MEASURES = ("f1", "precision", "recall")  # of a [`Count`]


@dataclass
class Count:
    """How many events or segments are annotated, found, and both."""

    annotated: int = 0
    found: int = 0
    hits: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.annotated + other.annotated, self.found + other.found, self.hits + other.hits)

    @property
    def precision(self) -> float | None:
        """None if nothing is found."""
        return self.hits / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """None if nothing is annotated."""
        return self.hits / self.annotated if self.annotated else None

    @property
    def f1(self) -> float | None:
        """0 if nothing is found of what is annotated, or the reverse. None if there is neither."""
        total = self.annotated + self.found
        return 2 * self.hits / total if total else None


def match_events(
    annotated: Sequence, found: Sequence, collar: float = 0.2, offset_share: float | None = 0.5
) -> list[tuple[int, int]]:
    """
    The most pairs of an annotated and a found event of one label, each event in one pair at most, whose onsets differ
    by at most `collar` seconds, and whose offsets by at most that or `offset_share` of the annotated length.

    Args:
        annotated (`Sequence`), found (`Sequence`): Anything with `start` and `end`, in seconds.
        collar (`float`, defaults to 0.2): Seconds.
        offset_share (`float`, *optional*, defaults to 0.5): None: the offsets do not matter.

    Returns:
        Indices in `annotated` and in `found`.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not annotated or not found:
        return []
    wanted = np.array([(one.start, one.end) for one in annotated])
    given = np.array([(one.start, one.end) for one in found])
    alike = np.abs(wanted[:, None, 0] - given[None, :, 0]) <= collar
    if offset_share is not None:
        allowed = np.maximum(collar, offset_share * (wanted[:, 1] - wanted[:, 0]))
        alike &= np.abs(wanted[:, None, 1] - given[None, :, 1]) <= allowed[:, None]
    partners = maximum_bipartite_matching(csr_array(alike), perm_type="column")
    return [(index, int(partner)) for index, partner in enumerate(partners) if partner >= 0]


def active_segments(events: Iterable, seconds: float, segment: float = 1.0) -> np.ndarray:
    """Which segments of a recording events of one label touch, (segments,) bool; the last one may be shorter."""
    active = np.zeros(math.ceil(seconds / segment), dtype=bool)
    for one in events:
        active[math.floor(one.start / segment) : math.ceil(one.end / segment)] = True
    return active


def count_segments(annotated: Iterable, found: Iterable, seconds: float, segment: float = 1.0) -> Count:
    """The segments of a recording that events of one label touch, annotated, found and both."""
    wanted, given = (active_segments(events, seconds, segment) for events in (annotated, found))
    return Count(int(wanted.sum()), int(given.sum()), int((wanted & given).sum()))
