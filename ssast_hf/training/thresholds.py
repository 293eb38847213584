# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A threshold for each label, from held-out data: the best F1, or the most that is found at a stated precision."""

import math
from collections.abc import Sequence

import numpy as np

from ..inference.events import write_thresholds
from .event_metrics import MEASURES, Count


def best_threshold(
    counts: Sequence[tuple[float, Count]], precision: float | None = None
) -> tuple[float, Count] | None:
    """
    Of the counts by threshold those of the best F1, or with `precision` of the best recall at that precision or more;
    of equals, the highest threshold. None where no threshold has a hit (or that precision).
    """
    allowed = [(threshold, count) for threshold, count in counts if count.hits]
    if precision is not None:
        allowed = [(threshold, count) for threshold, count in allowed if count.precision >= precision]
    return max(allowed, key=lambda one: (one[1].f1 if precision is None else one[1].recall, one[0]), default=None)


def thresholds_to_try(scores: np.ndarray, most: int = 50) -> np.ndarray:
    """
    Thresholds that part the scores (any number,) of a label, between neighbouring ones, dense among high scores.

    Returns:
        At most `most`, ascending, in [0, 1].
    """
    ordered = np.unique(scores)[::-1]  # the highest first
    if len(ordered) < 2:
        return ordered
    ranks = np.unique(np.geomspace(1, len(ordered), most).round().astype(int))
    lower = np.append(ordered[1:], -np.inf)
    return np.unique([_between(float(lower[rank - 1]), float(ordered[rank - 1])) for rank in ranks])


def _between(low: float, high: float) -> float:
    """A number above `low` and at most `high`, with few digits; `high` itself where there is nothing below."""
    middle = high if math.isinf(low) else (low + high) / 2
    return next((value for digits in range(2, 12) if low < (value := round(middle, digits)) <= high), high)


def suggest_by_clips(
    scores: np.ndarray, targets: np.ndarray, names: Sequence[str], precision: float | None
) -> list[dict]:
    """The rows of a file of thresholds, the best by clips: scores and targets are (clips, labels)."""
    counts = {}
    for name, column, wanted in zip(names, scores.T, targets.T > 0):
        found = [(float(threshold), column >= threshold) for threshold in thresholds_to_try(column)]
        counts[name] = [(threshold, Count(int(wanted.sum()), int(hit.sum()), int((hit & wanted).sum())))
                        for threshold, hit in found]  # fmt: skip
    return suggestions(counts, precision)


def suggestions(counts: dict[str, list[tuple[float, Count]]], precision: float | None) -> list[dict]:
    """A row for each label: its best threshold, empty where there is none, and what it reaches."""
    rows = []
    for name, found in counts.items():
        best = best_threshold(found, precision)
        count = Count() if best is None else best[1]
        values = {measure: "" if getattr(count, measure) is None else round(getattr(count, measure), 4)
                  for measure in MEASURES}  # fmt: skip
        annotated = found[0][1].annotated if found else 0
        rows.append({"label": name, "threshold": "" if best is None else best[0], **values, "annotated": annotated})
    return rows


def write_suggestions(path: str, rows: list[dict]) -> None:
    """Writes a file of thresholds, and says for which labels there is none."""
    write_thresholds(path, rows)
    without = [row["label"] for row in rows if row["threshold"] == ""]
    more = f"; none for {', '.join(without[:5])}{', ...' if len(without) > 5 else ''}" if without else ""
    print(f"{path}: thresholds of {len(rows) - len(without)} label(s), chosen on this data: judge them by other{more}")
