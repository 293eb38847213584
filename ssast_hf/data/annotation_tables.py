# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Tables of annotations: what sounds from when to when in a recording.

- Selection tables of Raven: tab-separated, with `Begin Time (s)` and `End Time (s)`. A selection has a row for each
  view (waveform, spectrogram) and counts once. `Begin File` and `File Offset (s)` say where in which of several
  recordings it is.
- Label tracks of Audacity: start, end and label with tabs; lines that begin with a backslash state frequencies.
- The lists of DCASE and sed_eval: `filename`, `onset`, `offset`, `event_label` with tabs, with or without a header.
- CSV and TSV with a header: start, end and label, and perhaps the file; see [`time_columns`].
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..utils.parsing import delimiter_of, header_of, normalized, number_of, parse_table
from .label_text import parse_labels
from .manifests import FILE_COLUMNS
from .time_columns import accept_decimal_commas, expected_seconds, time_columns

TABLES = (".txt", ".tsv", ".csv")
LABELS = (
    "label", "labels", "annotation", "annotations", "event_label", "species", "species code", "common name", "class",
    "tag", "call type",
)  # fmt: skip
RAVEN_FILES = ("begin path", "begin file")
FILES = (*FILE_COLUMNS, "file name", *RAVEN_FILES, "recording")  # whichever comes first
BEGIN, END, IN_FILE = "begin time (s)", "end time (s)", "file offset (s)"  # of Raven
EXPECTED = (
    "a Raven selection table, an Audacity label track, or a table with columns for start, end and label in seconds"
)


class NoAnnotations(ValueError):
    """A file that is no table of annotations."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """
    Something in a recording.

    Args:
        start (`float`), end (`float`): Seconds in the recording; equal for a point.
        label (`str`): What it is.
        file (`str`): The recording as the table names it; empty if it does not.
        end_file (`str`): Where it ends in another recording, which follows on `file`: the name of that one.
        place (`str`): Where it stands, for messages.
    """

    start: float
    end: float
    label: str
    file: str = ""
    end_file: str = ""
    place: str = field(default="", compare=False)


@dataclass
class Table:
    """The annotations of a table, the recordings that it names, and how many rows repeat a selection."""

    path: Path
    annotations: list[Annotation] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    repeated: int = 0


def read_table(path: Path, label_column: str | None = None, default_label: str | None = None) -> Table:
    """
    Reads a table of annotations. An empty file is one without any. A label such as `a;b` is two labels.

    Args:
        path (`Path`): The file.
        label_column (`str`, *optional*): The column with the labels. Default: the only one that looks like it.
        default_label (`str`, *optional*): The label of annotations without one.

    Raises:
        NoAnnotations: The file is no such table.
        ValueError: It is one, and a row is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise NoAnnotations(f"{path} is not UTF-8 text, expected {EXPECTED}.") from None
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "").split("\t")
    columns = _positions(first)
    if not any(first) or columns:
        rows = _listed(path, lines, columns or {})
        table = Table(path)
    else:
        table, rows = Table(path), _with_header(path, text, label_column)
    seen: dict[tuple, tuple[str, str]] = {}
    for annotation, selection, view in rows:
        if annotation.file and annotation.file not in table.files:
            table.files.append(annotation.file)
        if math.isnan(annotation.start):  # a recording without annotations
            continue
        label = normalized(annotation.label) or default_label or ""
        if not (labels := parse_labels(label, annotation.place)):  # `;` is none
            raise ValueError(f"{annotation.place}: no label, expected one (--default-label names it for all).")
        key = (selection, annotation.file, annotation.start, annotation.end)
        if selection and key in seen and seen[key][0] != view:
            if seen[key][1] != label:
                other = seen[key][1]
                raise ValueError(f"{annotation.place}: selection {selection} is {label}, and {other} in another view.")
            table.repeated += 1
            continue
        seen.setdefault(key, (view, label))
        for one in labels:
            table.annotations.append(
                Annotation(annotation.start, annotation.end, one, annotation.file, annotation.end_file,
                           annotation.place)
            )  # fmt: skip
    return table


class _Unquoted(csv.excel):
    """Raven writes text as it is."""

    quoting = csv.QUOTE_NONE


Rows = list[tuple[Annotation, str, str]]  # with the selection's number and view, empty where there is none


def base_name(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2]


def _is_number(text: str) -> bool:
    return not math.isnan(number_of(text))


def _positions(cells: Sequence[str]) -> dict[str, int] | None:
    """Where file, start, end and label stand in the lines of a table without header; None if it is no such table."""
    numeric = [_is_number(cell.replace(",", ".", 1)) for cell in cells]  # a decimal comma is refused by name, later
    if numeric[:2] == [True, True] and len(cells) <= 3:
        return {"start": 0, "end": 1, "label": 2}
    if numeric[1:3] == [True, True] and len(cells) == 4:
        return {"file": 0, "start": 1, "end": 2, "label": 3}
    if numeric[2:4] == [True, True] and len(cells) == 5:  # with the scene
        return {"file": 0, "start": 2, "end": 3, "label": 4}
    return None


def _listed(path: Path, lines: Sequence[str], columns: dict[str, int]) -> Rows:
    """The rows of a table without header."""
    rows: Rows = []
    for number, line in enumerate(lines, start=1):
        place, cells = f"{path}, line {number}", line.split("\t")
        if not line.strip() or (rows and cells[0] == "\\"):  # frequencies of the label before
            continue
        if _positions(cells) != columns:
            raise ValueError(f"{place}: {line[:80]!r}, expected {', '.join(columns)} with tabs, as in the first line.")
        found = {name: cells[index].strip() if index < len(cells) else "" for name, index in columns.items()}
        start, end = _times(found["start"], found["end"], place, point="file" not in columns)
        rows.append((Annotation(start, end, found["label"], found.get("file", ""), place=place), "", ""))
    return rows


def _times(start: str | None, end: str | None, place: str, point: bool = False) -> tuple[float, float]:
    """Seconds from text. Raises ValueError if they are none, or the end is not after the start or the same `point`."""
    for name, text in (("start", start), ("end", end)):
        if text is None or not _is_number(text) or float(text) < 0:
            raise ValueError(f"{place}: the {name} is {text!r}, expected {expected_seconds(text)}.")
    begin, stop = float(start or 0), float(end or 0)
    if stop < begin or (stop == begin and not point):
        raise ValueError(f"{place}: the end is {stop:g} s, expected more than the start, {begin:g} s.")
    return begin, stop


def _with_header(path: Path, text: str, label_column: str | None) -> Rows:
    """The rows of a table with a header."""
    head = header_of(text)
    try:
        delimiter = "\t" if "\t" in head else delimiter_of(text, str(path))
    except ValueError as error:
        raise NoAnnotations(str(error)) from None
    names = {name.strip().casefold() for name in head.split(delimiter)}
    raven = {BEGIN, END} <= names and (not names & set(FILES) or bool(names & set(RAVEN_FILES)))
    dialect = _Unquoted if raven and delimiter == "\t" else csv.excel
    try:
        header, found = parse_table(text, str(path), delimiter, dialect)
    except ValueError as error:
        raise NoAnnotations(f"{error} Expected {EXPECTED}.") from None
    numbered = [(f"{path}, line {number}", row) for number, row in found]
    columns = {(name or "").strip().casefold(): name for name in reversed(header)}
    if raven:
        return _selections(path, numbered, columns, label_column)
    try:
        times = time_columns(header, str(path))
    except ValueError as error:
        raise NoAnnotations(str(error)) from None
    if times.start is None or (times.end is None and times.length is None):
        raise NoAnnotations(f"{path} has no columns for start and end, found {head[:80]!r}; expected {EXPECTED}.")
    if list(columns.values())[::-1] == ["file", "level", "start", "end", "label", "score"]:  # of ssast classify
        other = next((row["level"] for _, row in numbered if row["level"] != "event"), None)
        if other is not None:
            raise NoAnnotations(f"{path} has scores of each {other}, expected events: ssast classify --events.")
    if delimiter == ";":
        accept_decimal_commas((row for _, row in numbered), times)
    label = _label_column(path, columns, label_column)
    files = [columns[name] for name in FILES if name in columns]
    rows: Rows = []
    for place, row in numbered:
        name = _file_name(row, files, place)
        if name and not any((row[column] or "").strip() for column in (times.start, times.end, label) if column):
            rows.append((Annotation(math.nan, math.nan, "", name, place=place), "", ""))
            continue
        start, length = times.part(row, place)
        if length is None:
            raise ValueError(f"{place}: no end, expected a number of seconds.")
        text = row[label] or ""
        rows.append((Annotation(start, start + length, text.strip(), name, place=place), "", ""))
    return rows


def _file_name(row: dict, columns: Sequence[str], place: str) -> str:
    """The recording that a row names; empty without one. Raises ValueError where its columns name different ones."""
    named = {column: name for column in columns if (name := (row[column] or "").strip())}
    if len({base_name(name) for name in named.values()}) > 1:
        found = " and ".join(f"{column} is {name!r}" for column, name in named.items())
        raise ValueError(f"{place}: {found}; expected one column with the recording: rename the others.")
    return next(iter(named.values()), "")


def _label_column(path: Path, columns: dict[str, str], given: str | None) -> str:
    """The column with the labels. Raises ValueError where that is not clear."""
    found = [columns[name] for name in LABELS if name in columns]
    if given is not None:
        if given.casefold() not in columns:
            raise ValueError(f"{path} has no column {given}, found {', '.join(filter(None, columns.values()))}.")
        return columns[given.casefold()]
    if len(found) > 1:
        raise ValueError(f"{path}: the labels may be in {' or '.join(found)}: name the column with --label-column.")
    if not found:
        listed = ", ".join(filter(None, reversed(columns.values())))
        raise ValueError(
            f"{path} has no column {', '.join(LABELS[:3])} or the like, found {listed}: name the one with the labels "
            "with --label-column."
        )
    return found[0]


def _selections(path: Path, numbered: list[tuple[str, dict]], columns: dict[str, str], given: str | None) -> Rows:
    """The rows of a selection table of Raven."""
    if not numbered:
        return []
    label = _label_column(path, columns, given)

    def cell(row: dict, name: str) -> str:
        return (row.get(columns[name]) or "").strip() if name in columns else ""

    files = {cell(row, "begin path") or cell(row, "begin file") for _, row in numbered}
    if len(files) > 1 and IN_FILE not in columns:
        raise ValueError(
            f"{path} is about {len(files)} recordings and does not say where in each the selections are: add the "
            "column File Offset (s) in Raven, and save it again."
        )
    rows: Rows = []
    for place, row in numbered:
        start, end = _times(cell(row, BEGIN), cell(row, END), place)
        if IN_FILE in columns:
            offset, _ = _times(cell(row, IN_FILE), cell(row, IN_FILE), place, point=True)
            start, end = offset, offset + end - start
        name = cell(row, "begin path") or cell(row, "begin file")
        other = cell(row, "end path") or cell(row, "end file")
        same = not other or other in (name, base_name(name), cell(row, "begin file"))
        found = Annotation(start, end, (row[label] or "").strip(), name, "" if same else other, place)
        rows.append((found, cell(row, "selection"), cell(row, "view")))
    return rows
