# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Windows whose score reaches a threshold, joined into events; files of thresholds by label. Needs numpy alone."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..utils.files import replacing
from ..utils.parsing import delimiter_of, normalized, number_of, parse_table, with_point

ROUNDING = 1e-6  # seconds, less than a sample
THRESHOLD_COLUMNS = ("label", "threshold")


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of sound with one label: seconds, and the highest score of its windows."""

    start: float
    end: float
    label: str
    score: float


@dataclass(frozen=True)
class EventRules:
    """
    How scores of windows become events.

    Args:
        threshold (`float`, defaults to 0.5): An event has a window that scores at least this.
        thresholds (`Mapping[str, float]`, *optional*): Thresholds of single labels, instead of `threshold`.
        hysteresis (`float`, defaults to 1): From such a window an event goes on, in both directions, as long as the
            score is at least `hysteresis` times the threshold. Above 0, at most 1; 1 is no hysteresis.
        gap (`float`, defaults to 0): Events of a label that are at most so many seconds apart are joined.
        shortest (`float`, defaults to 0): After that, events of fewer seconds are left out.

    Raises:
        ValueError: A value is out of range.
    """

    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    hysteresis: float = 1.0
    gap: float = 0.0
    shortest: float = 0.0

    def __post_init__(self):
        for label, value in ((None, self.threshold), *self.thresholds.items()):
            if not 0 <= value <= 1:
                name = "The threshold" if label is None else f"The threshold of {label}"
                raise ValueError(f"{name} is {value:g}, expected a probability from 0 to 1.")
        if not 0 < self.hysteresis <= 1:
            raise ValueError(f"The hysteresis is {self.hysteresis:g}, expected a share of the threshold, up to 1.")
        for name, value in (("gap", self.gap), ("shortest event", self.shortest)):
            if not 0 <= value < np.inf:
                raise ValueError(f"The {name} is {value:g}, expected a number of seconds of at least 0.")

    def of(self, labels: Sequence[str]) -> np.ndarray:
        """The thresholds (labels,). Raises ValueError for thresholds of labels that are not among them."""
        own = {normalized(label): value for label, value in self.thresholds.items()}
        names = [normalized(label) for label in labels]
        unknown = sorted(set(own) - set(names))
        if unknown:
            raise ValueError(f"There is a threshold for {', '.join(unknown[:5])}, which is no label of the model.")
        return np.array([own.get(name, self.threshold) for name in names], dtype=np.float64)


def find_events(
    windows: Iterable[tuple[float, float, Mapping[str, float]]], rules: EventRules | None = None
) -> Iterator[Event]:
    """
    The events of one sound, each as soon as it is complete.

    Args:
        windows: Start and end in seconds and scores by label, as [`~ssast_hf.inference.classify_windows`] yields them.
        rules ([`EventRules`], *optional*): Default: windows of at least 0.5.
    """
    joiner = None
    for start, end, scores in windows:
        joiner = joiner or EventJoiner(sorted(scores), rules or EventRules())
        yield from joiner.add(start, end, np.array([scores[label] for label in joiner.labels]))
    if joiner is not None:
        yield from joiner.finish()


class EventJoiner:
    """
    Joins the windows of one sound after another into events.

    Windows may overlap. Each stands for the part of the sound that it is the best judge of: where two overlap, up to
    the middle of the overlap. So events do not grow with the windows' overlap: where windows were labelled by at least
    half their length, a long sound has its own start and end, to half a hop.

    Args:
        labels (`Sequence[str]`): Of the scores.
        rules ([`EventRules`]): How they become events.
        chosen (`Sequence[str]`, *optional*): Labels to look for; default: all.
    """

    def __init__(self, labels: Sequence[str], rules: EventRules, chosen: Sequence[str] | None = None):
        self.labels = list(labels if chosen is None else chosen)
        self.columns = None if chosen is None else np.array([list(labels).index(label) for label in chosen], int)
        thresholds = rules.of(labels)
        self.thresholds = thresholds if self.columns is None else thresholds[self.columns]
        self.rules = rules
        self._begin()

    def _begin(self) -> None:
        self.held: tuple[float, float, np.ndarray] | None = None  # the window whose part's end is not known yet
        self.start = 0.0  # of its part
        # Rows: start, end and highest score; of the run of windows that goes on, and of the event before it, if that
        # may still be joined to what comes. NaN where there is none.
        self.run = np.full((3, len(self.labels)), np.nan)
        self.event = np.full((3, len(self.labels)), np.nan)

    def add(self, start: float, end: float, scores: np.ndarray) -> list[Event]:
        """
        The next window, in order of their starts.

        Args:
            start (`float`), end (`float`): Seconds.
            scores (`np.ndarray` of shape `(labels,)`): Probabilities.

        Returns:
            The events that are complete.
        """
        found: list[Event] = []
        if self.held is None:
            self.start = start
        else:
            _, before, earlier = self.held
            boundary = (before + start) / 2 if start < before else before
            found = self._part(self.start, boundary, earlier)
            self.start = max(boundary, start)
        self.held = (start, end, np.asarray(scores) if self.columns is None else np.asarray(scores)[self.columns])
        return found

    def finish(self) -> list[Event]:
        """The events that the end of the sound completes. The next window is another sound's first."""
        found: list[Event] = []
        if self.held is not None:
            _, end, scores = self.held
            found = self._part(self.start, end, scores)
        for index in np.flatnonzero(~np.isnan(self.run[0])).tolist():
            found += self._end_run(index)
        for index in np.flatnonzero(~np.isnan(self.event[0])).tolist():
            found += self._end_event(index)
        self._begin()
        return found

    def _part(self, start: float, end: float, scores: np.ndarray) -> list[Event]:
        """Takes the part of a window; returns what is complete with it."""
        found: list[Event] = []
        active = scores >= self.rules.hysteresis * self.thresholds
        for index in np.flatnonzero(active | ~np.isnan(self.run[0]) | ~np.isnan(self.event[0])).tolist():
            if not active[index] or start > self.run[1, index] + ROUNDING:  # sound that no window heard ends a run
                found += self._end_run(index)
            if active[index]:
                run = self.run[:, index]
                self.run[:, index] = np.fmin(run[0], start), end, np.fmax(run[2], scores[index])
            elif end - self.event[1, index] > self.rules.gap + ROUNDING:
                found += self._end_event(index)
        return found

    def _end_run(self, index: int) -> list[Event]:
        """Makes a run that reached the threshold an event, or part of the one before."""
        found: list[Event] = []
        run, event = self.run[:, index].copy(), self.event[:, index]
        self.run[:, index] = np.nan
        if run[2] >= self.thresholds[index]:
            if run[0] - event[1] > self.rules.gap + ROUNDING:
                found = self._end_event(index)
            event = self.event[:, index]
            self.event[:, index] = np.fmin(event[0], run[0]), run[1], np.fmax(event[2], run[2])
        return found

    def _end_event(self, index: int) -> list[Event]:
        start, end, score = map(float, self.event[:, index])
        self.event[:, index] = np.nan
        long_enough = end - start >= self.rules.shortest - ROUNDING
        return [Event(start, end, self.labels[index], score)] if long_enough else []


def read_thresholds(path: str | os.PathLike) -> dict[str, float]:
    """
    Thresholds by label from a CSV file with the columns `label` and `threshold`, such as `ssast evaluate
    --suggest-thresholds` writes. Other columns are ignored, and so are labels whose threshold is empty.

    Raises:
        ValueError: A column is missing, a label stands twice, or a threshold is no probability.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text, expected CSV with {' and '.join(THRESHOLD_COLUMNS)}.") from None
    delimiter = delimiter_of(text, str(path))
    columns, rows = parse_table(text, str(path), delimiter)
    if not set(THRESHOLD_COLUMNS) <= set(columns):
        found = ", ".join(columns) or "nothing"
        raise ValueError(f"{path} has no columns {' and '.join(THRESHOLD_COLUMNS)}, found {found[:200]}.")
    thresholds: dict[str, float] = {}
    for number, row in rows:
        label, value = normalized(row["label"] or ""), (row["threshold"] or "").strip()
        place = f"{path}, line {number}"
        if value and not label:
            raise ValueError(f"{place}: a threshold without a label, expected one.")
        if label in thresholds:
            raise ValueError(f"{place}: a second threshold for {label}.")
        thresholds[label] = number_of(with_point(value) if delimiter == ";" else value)
        if value and not 0 <= thresholds[label] <= 1:
            raise ValueError(f"{place}: the threshold of {label} is {value!r}, expected a probability from 0 to 1.")
    return {label: value for label, value in thresholds.items() if not np.isnan(value)}


def write_thresholds(path: str | os.PathLike, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes what [`read_thresholds`] reads: a row each with `label`, `threshold` and whatever else `rows` have."""
    with replacing(path) as unfinished, open(unfinished, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
