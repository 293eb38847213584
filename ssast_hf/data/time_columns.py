# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Time columns of manifests: which column states where in its file a clip starts and ends, in seconds.

The spellings are those of DCASE and sed_eval (`onset`, `offset`), Raven (`Begin Time (s)`, `End Time (s)`), Audacity
and most tables (`start`, `end`), and of this package (`offset`, `duration`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..utils.parsing import number_of, with_point

UNDERSTOOD = (
    "start and end, onset and offset, begin and end, or offset (or start) and duration (or length), all in seconds"
)
STARTS, ENDS, LENGTHS = ("start", "begin", "onset"), ("end", "stop"), ("duration", "length")
OFFSET = "offset"  # the end beside onset (DCASE), else the start
SECONDS = {"time", "times", "s", "sec", "secs", "second", "seconds", "in"}
UNITS = {"ms", "msec", "millisecond", "milliseconds", "sample", "samples", "frame", "frames", "minutes", "min"}
OTHER = {"path", "file", "clock", "date", "delta", "freq", "frequency", "hz"}  # Begin Path, Delta Time (s), End Date
POSITIONS = {*STARTS, *ENDS, *LENGTHS, OFFSET}
PAIRS = [{"from", "to"}, {"t0", "t1"}, {"tmin", "tmax"}, {"xmin", "xmax"}]  # of a start and an end, in some tables
BARE = {"time", "times", "timestamp", "timestamps"}  # alone, they may be a start
SLACK = 0.05  # seconds: rounding of ends and durations that people write


@dataclass(frozen=True)
class TimeColumns:
    """The columns of a manifest that state a clip's start and its end or length in seconds; None where it has none."""

    start: str | None = None
    end: str | None = None
    length: str | None = None

    def part(self, row: Mapping, place: str) -> tuple[float, float | None]:
        """
        Offset and duration of a row's clip in seconds; (0, None) where nothing is stated.

        Raises:
            ValueError: A cell is no number of seconds, the end is not after the start, or the start is not stated.
        """
        start, end, length = (seconds(row, name, place) for name in (self.start, self.end, self.length))
        if start is None:
            if end is not None or length is not None:
                stated = self.length if end is None else self.end
                raise ValueError(f"{place}: {stated} is stated and {self.start} is not; expected both, or neither.")
            return 0.0, None
        if length == 0:
            raise ValueError(f"{place}: {self.length} is 0, expected a number of seconds above 0.")
        if end is None:
            return start, length
        if end <= start:
            raise ValueError(f"{place}: {self.end} is {end:g}, expected more than {self.start}, which is {start:g}.")
        if length is not None and abs(end - start - length) > SLACK:
            raise ValueError(
                f"{place}: {self.start} is {start:g}, {self.end} is {end:g} and {self.length} is {length:g}; expected "
                f"{end - start:g} for the last."
            )
        return start, end - start


def seconds(row: Mapping, name: str | None, place: str) -> float | None:
    """The number of seconds in a cell; None without one. Raises ValueError for anything else."""
    value = None if name is None else row.get(name)
    if value is None or str(value).strip() == "":
        return None
    number = number_of(value)
    if not number >= 0:
        raise ValueError(f"{place}: {name} is {value!r}, expected {expected_seconds(value)}.")
    return number


def accept_decimal_commas(rows: Iterable[dict], columns: TimeColumns) -> None:
    """Writes the times of rows with decimal points. For tables whose columns semicolons separate, not commas."""
    names = [name for name in (columns.start, columns.end, columns.length) if name is not None]
    for row in rows:
        row.update({name: with_point(row[name]) for name in names if row[name]})


def expected_seconds(found: object) -> str:
    """What messages on a cell without a usable number of seconds say that they expect."""
    comma = re.fullmatch(r"\s*([0-9]*),([0-9]+)\s*", str(found))
    point = f" with a decimal point, {comma[1] or 0}.{comma[2]}" if comma else ""
    return f"a number of seconds of at least 0{point}"


def time_columns(names: Iterable, source: str) -> TimeColumns:
    """
    The time columns among the columns of a manifest.

    Args:
        names: The columns. What is not text is ignored.
        source (`str`): The manifest, for messages.

    Raises:
        ValueError: A column looks like a time column and is not understood, several state the same, or an end or
            length has no start.
    """
    try:
        return _time_columns(tuple(name for name in names if isinstance(name, str)))
    except ValueError as error:
        raise ValueError(f"{source}: {error} Understood are {UNDERSTOOD}.") from None


@lru_cache(maxsize=64)
def _time_columns(names: tuple[str, ...]) -> TimeColumns:
    found: dict[str, str] = {}  # start, end, length or offset -> column
    unclear: dict[str, set[str]] = {}  # column -> its words of position
    for name in names:
        words = _words(name)
        plain = [word for word in words if word not in SECONDS]
        if len(plain) == 1 and plain[0] in POSITIONS:
            kind = _kind(plain[0])
            if kind in found:
                raise ValueError(f"the columns {found[kind]} and {name} both state the {kind} of a clip.")
            found[kind] = name
        elif (set(words) & POSITIONS and not set(words) & OTHER) or set(words) == {"file", OFFSET} or (
            set(words) & BARE and not set(words) - BARE - SECONDS
        ):  # fmt: skip
            units = {_kind(word) for word in set(words) & POSITIONS if set(words) & UNITS}
            unclear[name] = {"start"} if set(words) & BARE and not set(words) & POSITIONS else units
    if OFFSET in found:
        beside = _words(found["start"]) if "start" in found else []
        if "start" in found and "onset" not in beside:
            raise ValueError(f"the column {found[OFFSET]} beside {found['start']} may be a start or an end.")
        kind = "end" if "start" in found else "start"
        if kind in found:
            raise ValueError(f"the columns {found[kind]} and {found[OFFSET]} both state the {kind} of a clip.")
        found[kind] = found.pop(OFFSET)
    lowered = {name.strip().lower(): name for name in names}
    unclear |= {lowered[min(pair)]: set() for pair in PAIRS if pair <= lowered.keys()}
    # Begin Sample beside Begin Time (s) states the same again; TIME beside OFFSET is that of the day (Kaleidoscope).
    left = [name for name, kinds in unclear.items() if not kinds or not kinds <= found.keys()]
    if left:
        raise ValueError(f"the column {left[0]} looks like a time column and is not understood: rename or remove it.")
    if "start" not in found and found:
        name = next(iter(found.values()))
        raise ValueError(f"the column {name} has no start beside it: add one, or rename or remove {name}.")
    return TimeColumns(**found)


def _words(name: str) -> list[str]:
    """`Begin Time (s)`, `beginTime_s` and `begintime_s` -> begin, time, s."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.findall(
        r"[^\W\d_]+", re.sub(rf"({'|'.join(POSITIONS)})(times?|secs?|seconds?)(?![a-z])", r"\1 \2", text)
    )


def _kind(word: str) -> str:
    return "start" if word in STARTS else "end" if word in ENDS else "length" if word in LENGTHS else word
