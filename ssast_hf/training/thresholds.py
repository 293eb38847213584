# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A threshold for each label, from held-out data: the best F1, or the most that is found at a stated precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..inference.events import write_thresholds
from ..utils.text import printable
from .event_metrics import MEASURES, Count


@dataclass(frozen=True)
class Tried:
    """A threshold, what it finds, and what decides between thresholds that are equally good by that."""

    threshold: float
    count: Count
    second: Count


def best_threshold(tried: Sequence[Tried], precision: float | None = None) -> Tried | None:
    """
    The threshold of the best F1, or with `precision` of the best recall at that precision or more. Of equals that of
    the best second F1, of these the one in the middle. None where no threshold has a hit (or that precision).

    Args:
        tried (`Sequence[Tried]`): In ascending order.
        precision (`float`, *optional*): The lowest.
    """

    def worth(one: Tried) -> tuple[float, float]:
        return (one.count.f1 if precision is None else one.count.recall) or 0.0, one.second.f1 or 0.0

    allowed = [one for one in tried if one.count.hits and (one.count.precision or 0.0) >= (precision or 0.0)]
    if not allowed:
        return None
    best = max(map(worth, allowed))
    equals = [one for one in allowed if worth(one) == best]
    middle = (equals[0].threshold + equals[-1].threshold) / 2
    return min(equals, key=lambda one: abs(one.threshold - middle))


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
    tried: dict[str, list[Tried]] = {name: [] for name in names}
    for name, column, wanted in zip(names, scores.T, targets.T > 0):
        for threshold in thresholds_to_try(column):
            found = column >= threshold
            count = Count(int(wanted.sum()), int(found.sum()), int((found & wanted).sum()))
            tried[name].append(Tried(float(threshold), count, count))
    return suggestions(tried, precision)


def suggestions(tried: dict[str, list[Tried]], precision: float | None) -> list[dict]:
    """A row for each label: its best threshold, empty where there is none, and what it reaches."""
    rows = []
    for name, found in tried.items():
        best = best_threshold(found, precision)
        count = Count() if best is None else best.count
        values = {measure: "" if getattr(count, measure) is None else round(getattr(count, measure), 4)
                  for measure in MEASURES}  # fmt: skip
        annotated = found[0].count.annotated if found else 0
        threshold = "" if best is None else best.threshold
        rows.append({"label": name, "threshold": threshold, **values, "annotated": annotated})
    return rows


def write_suggestions(path: str, rows: list[dict]) -> None:
    """Writes a file of thresholds, and says for which labels there is none."""
    write_thresholds(path, rows)
    without = [row["label"] for row in rows if row["threshold"] == ""]
    more = f"; none for {', '.join(without[:5])}{', ...' if len(without) > 5 else ''}" if without else ""
    line = f"{path}: thresholds of {len(rows) - len(without)} label(s), chosen on this data: judge them by other{more}"
    print(printable(line))
