# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Recordings and their annotations: finds tables and recordings, and which belong together. Needs no torch."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from ..audio import audio_extensions, find_audio_files
from ..utils.text import listed, reason_of
from .annotation_tables import TABLES, Annotation, NoAnnotations, Table, base_name, read_table
from .clips import Clip
from .time_columns import SLACK

# What stands between the name of a recording and the suffix of its table: rec.Table.1.selections.txt, rec_labels.txt
WORDS = r"table(?:[._ -]?\d+)?|selections?|labels?|annotations?|events?|birdnet|results"
BETWEEN = re.compile(rf"(.+?)[._ -](?:{WORDS})", re.IGNORECASE)
MOST_NAMED = 3  # files in a message


@dataclass
class Recording:
    """A recording, its length in seconds, and what is in it, by start."""

    path: str
    seconds: float
    annotations: list[Annotation] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)


@dataclass
class Annotated:
    """
    What [`find_annotated`] found.

    Attributes:
        recordings (`list[Recording]`): With a table, by path; all of them if `all_heard`.
        without_table (`list[str]`): Other recordings.
        unreadable (`dict[str, str]`): Recordings that cannot be read, and why.
        notes (`list[str]`): Lines for the user.
    """

    recordings: list[Recording] = field(default_factory=list)
    without_table: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_annotated(
    sources: Iterable[str | os.PathLike],
    label_column: str | None = None,
    default_label: str | None = None,
    all_heard: bool = False,
    ignore: Iterable[str | os.PathLike] = (),
) -> Annotated:
    """
    Reads the tables in `sources` and finds the recording of each.

    A table that names recordings (`Begin File`, `filename`, ...) is about these, looked for beside it and among the
    sources. Any other belongs to the recording of its name: `rec.wav` has `rec.txt`, `rec.wav.txt`,
    `rec.Table.1.selections.txt`, `rec_labels.csv` and the like; of several recordings of a name, the one in the same
    folder, or in folders of the same names.

    Args:
        sources: Folders, searched to any depth, tables and sound files.
        label_column (`str`, *optional*), default_label (`str`, *optional*): As [`read_table`] takes them.
        all_heard (`bool`): Whether recordings without a table hold nothing, instead of being left out.
        ignore: Files that are not looked at.

    Raises:
        ValueError: A table has no recording or could belong to several, a row is not understood, an annotation begins
        after the end of its recording, or there is no table at all.
        FileNotFoundError: A source does not exist.
    """
    found, sources = Annotated(), list(sources)
    sounds, paths = _look(sources, {os.path.realpath(path) for path in ignore})
    index = _Index(sounds)
    tables = _read_tables(paths, index, found.notes, label_column, default_label)
    if not tables:
        raise ValueError(f"{', '.join(map(str, sources))}: no table of annotations ({', '.join(TABLES)}) found.")
    by_path: dict[str, list[tuple[Path, list[Annotation]]]] = defaultdict(list)  # real path -> table, annotations
    names: dict[str, str] = {}
    lonely: list[str] = []
    for table in tables:
        try:
            for sound, annotations in _places(table, index).items():
                real = os.path.realpath(sound)
                names.setdefault(real, sound)
                by_path[real].append((table.path, annotations))
        except _NoRecording as error:
            lonely.append(str(error))
    if lonely:
        raise ValueError(
            f"{listed(lonely, MOST_NAMED)}. Expected a recording of the same name, as rec.wav has rec.txt."
        )
    without = {os.path.realpath(sound): str(sound) for sound in sounds}
    for real in by_path:
        without.pop(real, None)
    if all_heard:
        names.update(without)
        by_path.update({real: [] for real in without})
        without = {}
    found.without_table = sorted(without.values())
    _collect(found, names, by_path)
    return found


def _read_tables(
    paths: list[tuple[Path, bool]],
    index: "_Index",
    notes: list[str],
    label_column: str | None,
    default_label: str | None,
) -> list[Table]:
    """The tables among the files. A file that is none is an error if the user or a recording's name points to it."""
    tables = []
    for path, named_by_user in paths:
        if named_by_user:
            index.look_beside(path)
        try:
            tables.append(read_table(path, label_column, default_label))
        except NoAnnotations as error:
            if named_by_user or index.named_like(path) is not None:
                raise
            notes.append(f"passed over: {error}")
    if repeated := sum(table.repeated for table in tables):
        notes.append(f"{repeated} row(s) repeat a selection for another view of Raven; each counts once")
    return tables


class _NoRecording(ValueError):
    """A table is about a recording that is not there."""


def _look(sources: Iterable[str | os.PathLike], ignored: set[str]) -> tuple[list[Path], list[tuple[Path, bool]]]:
    """The sound files and the tables of sources; of these, whether they were named themselves."""
    sounds: dict[str, Path] = {}
    tables: dict[str, tuple[Path, bool]] = {}
    for source in map(Path, sources):
        if source.is_dir():
            sounds.update({os.path.realpath(path): path for path in find_audio_files(source)})
            for path in find_audio_files(source, extensions=TABLES):
                tables.setdefault(os.path.realpath(path), (path, False))
        elif not source.exists():
            raise FileNotFoundError(f"No such file or folder: {source}")
        elif source.suffix.lower() in TABLES:
            tables[os.path.realpath(source)] = (source, True)
        elif source.suffix.lower() in audio_extensions():
            sounds[os.path.realpath(source)] = source
        else:
            raise ValueError(f"{source} is neither a folder, a table ({', '.join(TABLES)}) nor a sound file.")
    return list(sounds.values()), [entry for real, entry in tables.items() if real not in ignored]


class _Index:
    """Recordings by name."""

    def __init__(self, sounds: list[Path]):
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        self.by_stem: dict[str, list[Path]] = defaultdict(list)
        for sound in sounds:
            self._add(sound)

    def _add(self, sound: Path) -> None:
        if sound not in self.by_name[sound.name]:
            self.by_name[sound.name].append(sound)
            self.by_stem[sound.stem].append(sound)

    def look_beside(self, table: Path) -> None:
        """Adds the recordings in the folder of a table that was given without them."""
        known = {os.path.realpath(sound) for sounds in self.by_name.values() for sound in sounds}
        for path in sorted(table.parent.iterdir()):
            if path.suffix.lower() in audio_extensions() and os.path.realpath(path) not in known:
                self._add(path)

    def named_like(self, table: Path) -> Path | None:
        """The recording that a table's name tells; None if there is none. Raises ValueError for several."""
        base: str | None = table.stem
        while base:
            candidates = self.by_name.get(base) or self.by_stem.get(base)
            if candidates:
                return self._closest(candidates, table.parent.parts, f"{table}")
            shorter = BETWEEN.fullmatch(base)
            base = shorter[1] if shorter else None
        return None

    def named(self, name: str, table: Path) -> Path | None:
        """The recording that a table names. None and ValueError as above."""
        plain = PurePosixPath(name.replace("\\", "/"))
        beside = table.parent / plain
        if beside.is_file():
            return beside
        candidates = self.by_name.get(plain.name, [])
        if len(candidates) > 1 and len(plain.parts) == 1:
            return self._closest(candidates, table.parent.parts, f"{name} in {table}")
        return self._closest(candidates, plain.parts[:-1], f"{name} in {table}") if candidates else None

    @staticmethod
    def _closest(candidates: list[Path], folders: tuple[str, ...], what: str) -> Path:
        """The recording in the folders that are most alike. Raises ValueError for several."""

        def likeness(path: Path) -> tuple[bool, int]:
            pairs = zip(reversed(path.parent.parts), reversed(folders))
            return path.parent.parts == folders, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

        best = max(map(likeness, candidates))
        closest = [path for path in candidates if likeness(path) == best]
        if len(closest) > 1:
            raise ValueError(f"{what} may be about {closest[0]} or {closest[1]}: rename one, or give one of them.")
        return closest[0]


def _places(table: Table, index: _Index) -> dict[str, list[Annotation]]:
    """A table's annotations by recording; one that reaches into a second recording is parted."""
    if not table.files:
        own = index.named_like(table.path)
        if own is None:
            raise _NoRecording(f"{table.path} has no recording")
        return {str(own): table.annotations}
    paths: dict[str, str] = {}
    for name in {*table.files, *(one.end_file for one in table.annotations if one.end_file)}:
        path = index.named(name, table.path)
        if path is None:
            raise _NoRecording(f"{table.path} names {base_name(name)}, which is not there")
        paths[name] = str(path)
    found: dict[str, list[Annotation]] = {paths[name]: [] for name in table.files}
    for one in table.annotations:
        if not one.file:
            raise ValueError(f"{one.place}: no name of a recording, expected one in each row or in none.")
        if one.end_file:
            length = Clip(paths[one.file]).seconds()
            if length is None or one.end < length:
                raise ValueError(f"{one.place}: from {one.file} to {one.end_file}, expected an end after the first.")
            rest = replace(one, start=0.0, end=one.end - length, file=one.end_file)
            found.setdefault(paths[one.end_file], []).append(rest)
            one = replace(one, end=length)
        found[paths[one.file]].append(one)
    return found


def _collect(found: Annotated, names: dict[str, str], by_path: dict[str, list]) -> None:
    """Fills in the recordings: lengths, annotations once each, and none beyond the end."""
    cut = Counter[str]()
    several = []
    for real, path in sorted(names.items(), key=lambda item: item[1]):
        try:
            seconds = length_of(path)
        except (OSError, ValueError) as error:
            found.unreadable[path] = reason_of(error, path)
            continue
        recording = Recording(path, seconds, tables=[str(table) for table, _ in by_path[real]])
        kept: dict[tuple[float, float, str], Annotation] = {}
        for one in (one for _, annotations in by_path[real] for one in annotations):
            if one.start > seconds + SLACK or (one.start >= seconds and one.end > one.start):
                raise ValueError(
                    f"{one.place}: {one.label} begins at {one.start:g} s, and {path} ends at {seconds:.3f} s: do they "
                    "belong together?"
                )
            cut[path] += one.end > seconds + SLACK
            kept.setdefault((one.start, one.end, one.label), replace(one, end=min(one.end, seconds)))
        recording.annotations = sorted(kept.values(), key=lambda one: (one.start, one.end, one.label))
        found.recordings.append(recording)
        if len(recording.tables) > 1:
            several.append(path)
    if several:
        found.notes.append(f"{listed(several, MOST_NAMED)}: several tables each, which are joined")
    if cut.total():
        found.notes.append(
            f"{listed(list(+cut), MOST_NAMED)}: {cut.total()} annotation(s) reach past the end and are cut there"
        )


def length_of(path: str) -> float:
    """Seconds in a recording: by its header, else by decoding it. Raises OSError or ValueError if it is unreadable."""
    seconds = Clip(path).seconds()
    if seconds is None:
        rate = 16000
        seconds = sum(len(block) for block in Clip(path).stream(rate)) / rate
    return seconds
