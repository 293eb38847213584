# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Clips of annotated recordings: single events, or windows with every label in them. Needs no torch."""

import math
import os
import random
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.parsing import number_of
from .annotation_tables import Annotation
from .annotations import Annotated, Recording, find_annotated
from .clips import Clip
from .label_text import label_text

ANNOTATIONS = "annotations:"  # of a source of `ssast finetune` and `evaluate`
# The name of a recorder before date and time: AudioMoth's 24E144036_20260401_043000, SM4's S4A01234_20260401_043000
RECORDER = r"(.+?)[_-]?(?:19|20)\d{6}[T_-]?\d{4}"
ROUNDING = 1e-6  # seconds, less than a sample
GROUPS = ("file", "folder", "recorder")


@dataclass(frozen=True)
class Cutting:
    """
    How clips are cut from annotated recordings: `window` or `margin`.

    Args:
        window (`float`, *optional*): Seconds of each window. Windows cover a whole recording: the last one ends with
            it. A shorter recording is one window.
        hop (`float`, *optional*): Seconds from the start of a window to that of the next; default: `window`.
        share (`float`, defaults to 0.5): A window has the label of an annotation if they overlap by at least this
            share of the annotation, or of the window where that is shorter. A window without label is a negative; it
            is left out if a part of an annotation is in it.
        margin (`float`, *optional*): Each annotation is a clip of its own, with so many seconds before and after.
        negatives (`int`, *optional*): Negatives to draw; default: all windows without label, and none with `margin`.
            With `margin`, they are as long as the events and hold no part of an annotation.
        seed (`int`): Of that draw.
        group (`str`, defaults to `"file"`): What [`group_of`] takes.

    Raises:
        ValueError: Not just one of `window` and `margin` is given, or a value is out of range.
    """

    window: float | None = None
    hop: float | None = None
    share: float = 0.5
    margin: float | None = None
    negatives: int | None = None
    seed: int = 0
    group: str = "file"

    def __post_init__(self):
        if (self.window is None) == (self.margin is None):
            raise ValueError("Expected either a window, for windows, or a margin, for single events.")
        if self.margin is not None and self.hop is not None:
            raise ValueError("A hop is for windows, and a margin for single events: leave out one of them.")
        for name, value in (("window", self.window), ("hop", self.hop)):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"The {name} is {value:g} s, expected more than 0.")
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise ValueError(f"The margin is {self.margin:g} s, expected at least 0.")
        if not 0 < self.share <= 1:
            raise ValueError(f"The share is {self.share:g}, expected above 0 and at most 1.")
        if self.negatives is not None and self.negatives < 0:
            raise ValueError(f"The number of negatives is {self.negatives}, expected at least 0.")
        if self.hop is not None and self.hop > self.window:
            raise ValueError(f"The hop is {self.hop:g} s, expected at most the window, {self.window:g} s.")


@dataclass(frozen=True)
class Part:
    """A clip of a recording: seconds, its labels, and its group."""

    path: str
    start: float
    end: float
    labels: tuple[str, ...]
    group: str

    def clip(self) -> Clip:
        return Clip(self.path, label_text(self.labels), round(self.start, 6), round(self.end - self.start, 6))


@dataclass
class Parts:
    """The clips of [`cut`], in order; annotations that no clip has; windows left out, and negatives not drawn."""

    parts: list[Part]
    lost: list[Annotation]
    left_out: int = 0
    not_drawn: int = 0


def cut(recordings: list[Recording], cutting: Cutting) -> Parts:
    """
    The clips of annotated recordings.

    Raises:
        ValueError: A point has no length and no margin, fewer negatives are there than asked for, or a name does not
        tell the group.
    """
    groups = {recording.path: group_of(recording.path, cutting.group) for recording in recordings}
    if cutting.window is None:
        return _events(recordings, cutting, groups)
    positives, negatives, lost, left_out = [], [], [], 0
    for recording in recordings:
        had: set[int] = set()
        for start, end, inside in _windows(recording, cutting):
            labels = _labels(recording.annotations, inside, start, end, cutting.share, had)
            part = Part(recording.path, start, end, labels, groups[recording.path])
            if labels:
                positives.append(part)
            elif inside:
                left_out += 1
            else:
                negatives.append(part)
        lost += [one for index, one in enumerate(recording.annotations) if index not in had]
    drawn = _draw(negatives, cutting)
    order = {recording.path: index for index, recording in enumerate(recordings)}
    parts = sorted([*positives, *drawn], key=lambda part: (order[part.path], part.start))
    return Parts(parts, lost, left_out, len(negatives) - len(drawn))


def _windows(recording: Recording, cutting: Cutting) -> Iterator[tuple[float, float, list[int]]]:
    """Start and end of each window, and the indices of the annotations that are in it, wholly or in part."""
    length = cutting.window or 0.0
    hop = cutting.hop or length
    last = max(0.0, recording.seconds - length)
    count = 1 + math.ceil(last / hop - 1e-9)
    found = recording.annotations
    longest = max((one.end - one.start for one in found), default=0.0)
    starts = [one.start for one in found]
    for index in range(count):
        start = min(index * hop, last)
        end = min(start + length, recording.seconds)
        near = range(bisect_left(starts, start - longest - ROUNDING), bisect_left(starts, end - ROUNDING))
        yield start, end, [i for i in near if found[i].end > start + ROUNDING or found[i].start >= start - ROUNDING]


def _labels(
    annotations: list[Annotation], inside: list[int], start: float, end: float, share: float, had: set[int]
) -> tuple[str, ...]:
    """The labels of a window, each once; notes in `had` which annotations give them."""
    labels = []
    for index in inside:
        one = annotations[index]
        overlap = min(end, one.end) - max(start, one.start)
        shorter = min(end - start, one.end - one.start)
        if overlap >= share * shorter - ROUNDING:
            labels.append(one.label)
            had.add(index)
    return tuple(dict.fromkeys(labels))


def _events(recordings: list[Recording], cutting: Cutting, groups: dict[str, str]) -> Parts:
    """A clip for each annotation, and negatives of the same lengths between them."""
    parts, margin = [], cutting.margin or 0.0
    for recording in recordings:
        for one in recording.annotations:
            start = max(0.0, one.start - margin)
            end = min(recording.seconds, one.end + margin)
            if end <= start:
                raise ValueError(f"{one.place}: {one.label} is a point, expected a --margin above 0.")
            parts.append(Part(recording.path, start, end, (one.label,), groups[recording.path]))
    if cutting.negatives:
        parts += _between(recordings, [part.end - part.start for part in parts], cutting, groups)
    return Parts(parts, [])


def _between(
    recordings: list[Recording], lengths: list[float], cutting: Cutting, groups: dict[str, str]
) -> list[Part]:
    """Draws clips without any annotation; a gap is drawn by the room that it has for a start."""
    rng = random.Random(cutting.seed)
    gaps = []
    for recording in recordings:
        at = 0.0
        for one in [*recording.annotations, Annotation(recording.seconds, recording.seconds, "")]:
            if one.start > at:
                gaps.append((recording.path, at, one.start))
            at = max(at, one.end)
    found = []
    for _ in range(cutting.negatives or 0):
        length = rng.choice(lengths) if lengths else 1.0
        room = [max(0.0, end - start - length) for _, start, end in gaps]
        if not any(room):
            raise ValueError(f"No gap between annotations is longer than {length:g} s, as a negative would be.")
        path, start, end = rng.choices(gaps, room)[0]
        begin = start + rng.random() * (end - start - length)
        found.append(Part(path, begin, begin + length, (), groups[path]))
    return found


def _draw(negatives: list[Part], cutting: Cutting) -> list[Part]:
    wanted = cutting.negatives
    if wanted is None or wanted == len(negatives):
        return negatives
    if wanted > len(negatives):
        raise ValueError(f"There are {len(negatives)} windows without label, expected {wanted} or more to draw from.")
    return random.Random(cutting.seed).sample(negatives, wanted)


def group_of(path: str, rule: str) -> str:
    """
    What a recording is grouped by.

    Args:
        path (`str`): The recording.
        rule (`str`): `file`, its path; `folder`, the folder that it is in; `recorder`, what stands in its name before
            date and time, as in `24E144036_20260401_043000.wav`; or a regular expression with one group, which is
            looked for in the path.

    Raises:
        ValueError: The rule is neither, or does not fit the name.
    """
    if rule == "file":
        return path
    if rule == "folder":
        return Path(path).absolute().parent.name
    text, pattern = path, rule
    if rule == "recorder":
        text, pattern = Path(path).stem, RECORDER
    try:
        compiled = re.compile(pattern)
    except re.error:
        compiled = None
    if compiled is None or compiled.groups != 1:
        kinds = f"{', '.join(GROUPS)} or a regular expression with one group"
        raise ValueError(f"The group is {rule!r}, expected {kinds}.")
    found = compiled.search(text)
    if not found or not found[1]:
        hint = "a name such as RECORDER_20260401_043000" if rule == "recorder" else f"a match of {rule}"
        raise ValueError(f"{path} does not tell its group, expected {hint}.")
    return found[1]


def summary(recordings: list[Recording], parts: list[Part]) -> list[tuple[str, int, float, int, int, int]]:
    """By label: annotations, their seconds, recordings and groups with it, and clips. The last row is of negatives."""
    events, clips = Counter[str](), Counter[str]()
    seconds: defaultdict[str, float] = defaultdict(float)
    files: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for recording in recordings:
        for one in recording.annotations:
            events[one.label] += 1
            seconds[one.label] += one.end - one.start
            files.setdefault(one.label, set()).add(recording.path)
    for part in parts:
        for label in part.labels or ("",):
            clips[label] += 1
            groups.setdefault(label, set()).add(part.group)
            if not label:
                files.setdefault(label, set()).add(part.path)
    return [(label, events[label], seconds[label], len(files.get(label, ())), len(groups.get(label, ())), clips[label])
            for label in [*sorted(events), ""]]  # fmt: skip


def _number(text: str) -> float:
    if math.isnan(number := number_of(text)):
        raise ValueError(f"{text!r}, expected a number")
    return number


def _whole(text: str) -> int:
    if not re.fullmatch("[+-]?[0-9]{1,18}", text):
        raise ValueError(f"{text!r}, expected a whole number")
    return int(text)


def parse_annotations(text: str) -> tuple[str, Cutting, dict[str, Any]]:
    """`annotations:FOLDER,window=3,hop=1.5,...` -> folder or table, how it is cut, and how tables are read."""
    place, *options = text.removeprefix(ANNOTATIONS).split(",")
    kinds: dict[str, Any] = {"window": _number, "hop": _number, "share": _number, "margin": _number,
             "negatives": _whole, "seed": _whole, "group": str, "label_column": str, "default_label": str}  # fmt: skip
    given: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in kinds or not equals:
            raise ValueError(f"{text}: {option!r} is no option, expected one of {', '.join(f'{k}=' for k in kinds)}.")
        try:
            given[name] = kinds[name](value)
        except ValueError:
            raise ValueError(f"{text}: {name} is {value!r}, expected a number.") from None
    reading: dict[str, Any] = {name: given.pop(name) for name in ("label_column", "default_label") if name in given}
    return place, Cutting(**given), reading


def annotated_parts(text: str) -> tuple[Annotated, Parts]:
    """What a source `annotations:...` holds. Raises ValueError as [`find_annotated`] and [`cut`]."""
    place, cutting, reading = parse_annotations(text)
    found = find_annotated([place], **reading)
    parts = cut(found.recordings, cutting)
    if not parts.parts:
        raise ValueError(f"{text} holds no clips.")
    return found, parts


def column_of(parts: list[Part], column: str) -> list[str]:
    """A column of the manifest that `ssast annotations` would write. Raises ValueError for another."""
    if column not in ("file", "group"):
        raise ValueError(f"Annotations have no column {column}, expected file or group.")
    return [os.path.realpath(part.path) if column == "file" else part.group for part in parts]
