# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests: `.csv`, `.tsv` and `.jsonl` files, and the original's `.json`, that list clips."""

import json
import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..utils.logs import get_logger
from ..utils.parsing import delimiter_of, normalized, parse_csv, parse_json
from .clips import Clip
from .label_text import label_of, labels_in, looks_listed, parse_labels
from .time_columns import SLACK, accept_decimal_commas, time_columns

logger = get_logger(__name__)

FILE_COLUMNS = ("file", "file_name", "filename", "path", "audio", "wav")  # of a manifest, whichever comes first
MORE_FILE_COLUMNS = ("file_path", "audio_file", "audio_filename", "sound_file", "wav_file")
LABEL_COLUMNS = ("label", "labels", "event_label")  # whichever comes first
# Without these, the only one of: (Kaleidoscope, BirdNET, BirdCLEF and tables that people make)
MORE_LABEL_COLUMNS = (
    "species", "class", "class_name", "category", "target", "tag", "common_name", "scientific_name", "species_code",
    "primary_label", "manual_id", "annotation", "call_type",
)  # fmt: skip
FOLDERS = ("indir", "folder")  # of Kaleidoscope, before the column "IN FILE"
MANIFESTS = (".csv", ".tsv", ".jsonl")


def manifest_rows(path: Path) -> list[tuple[str, Any]]:
    """The rows of a manifest (.csv, .tsv, .jsonl or the official .json), each with its place in it, for messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from None
    suffix = path.suffix.lower()
    if suffix == ".json":
        entries = parse_json(text, str(path))
        entries = entries.get("data") if isinstance(entries, dict) else entries
        if not isinstance(entries, list):
            raise ValueError(f'{path} holds no list, expected {{"data": [{{"wav": PATH, "labels": LABELS}}, ...]}}.')
        return [(f"entry {number}", row) for number, row in enumerate(entries, start=1)]
    if suffix == ".jsonl":
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    rows.append((f"line {number}", parse_json(line, "it")))
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: not a JSON object ({error})") from None
        return rows
    delimiter = "\t" if suffix == ".tsv" else delimiter_of(text, str(path))
    table = parse_csv(text, str(path), delimiter)
    if delimiter == ";" and table:
        accept_decimal_commas((row for _, row in table), time_columns(table[0][1], str(path)))
    return [(f"line {number}", row) for number, row in table]


def manifest_clips(
    path: Path,
    rows: list[tuple[str, Any]],
    labelled: bool,
    column: str | None = None,
    label: str | None = None,
    several: bool = False,
) -> list[Clip]:
    """
    The clips of a manifest's rows, in their order.

    Args:
        column (`str`, *optional*), label (`str`, *optional*): The columns with the files and labels. Default: those
            that look like it.
        several (`bool`): Whether a clip may have several labels, or none: an empty one.

    Raises:
        ValueError: A row names no file or different ones, has no label if `labelled` or different ones in several
            columns, or its times are not understood.
    """
    clips, places, table = [], [], path.suffix.lower() in (".csv", ".tsv")
    for place, row in rows:
        where = f"{path}, {place}"
        file = _file(row, where, path.parent, column)
        offset, duration = time_columns(row, str(path)).part(row, where)
        clips.append(Clip(file, _label(row, where, several, label, table) if labelled else None, offset, duration))
        places.append(place)
    # Labelled clips are all looked for before training, and there may be millions of others: one tells.
    first = next((clip.path for clip in clips[:1] if not labelled and not os.path.exists(clip.path)), None)
    if first and (hint := relative_hint([first], str(path.parent))):
        logger.warning("%s: %s does not exist.%s", path, first, hint)
    _warn_of_ends(path, clips, places)
    return clips


def relative_hint(missing: list[str], folder: str) -> str:
    """A sentence on missing files that exist relative to the working directory instead of `folder`; empty if none."""
    here = [path for path in missing if folder and os.path.exists(os.path.relpath(path, folder))]
    if not here or os.path.samefile(folder, "."):
        return ""
    return (
        f" {len(here)} of them exist relative to the working directory, such as {os.path.relpath(here[0], folder)}; "
        f"paths are expected relative to {folder}."
    )


@lru_cache(1024)
def _plain(name) -> str:
    """`File Name`, `file-name` and `FileName` -> filename."""
    return re.sub(r"[\W_]+", "", str(name).lower())


def _columns(row, names: Iterable[str]) -> list[str]:
    """The row's columns of these names, in any case and spacing, in the names' order. Two of one are a ValueError."""
    wanted = list(dict.fromkeys(map(_plain, names)))
    found: dict[str, str] = {}
    for key in row if isinstance(row, dict) else ():
        if (plain := _plain(key)) in wanted and found.setdefault(plain, key) != key:
            raise ValueError(
                f"the columns {found[plain]} and {key} may both be meant, expected one: rename the other."
            )
    return [found[plain] for plain in wanted if plain in found]


def _filled(row, names: Iterable[str]) -> list[str]:
    """Those of [`_columns`] that are not empty: blank, null or NaN, as pandas has it."""
    found = ((name, row[name]) for name in _columns(row, names))
    return [name for name, cell in found if cell is not None and cell == cell and str(cell).strip()]


def _check_alike(row, where: str, means: dict[str, Any], what: str) -> None:
    """Raises ValueError where columns (name -> what its cell means) that may hold the same differ in a row."""
    names = list(means)
    other = next((name for name in names if means[name] != means[names[0]]), None)
    if other is not None:
        raise ValueError(
            f"{where}: {names[0]} is {row[names[0]]!r} and {other} is {row[other]!r}; name the column with the "
            f"{what}s: MANIFEST,{'column' if what == 'file' else what}={names[0]}."
        )


def _listed(row) -> str:
    return ", ".join(map(str, row)) if isinstance(row, dict) else json.dumps(row)


def _given(row, where: str, name: str) -> str:
    """The row's column of a name that the user gave."""
    found = _columns(row, [name])
    if not found:
        raise ValueError(f"{where}: no column {name}, found {_listed(row)}.")
    return found[0]


def group_of_row(row, where: str, clip: Clip, folder: Path, column: str, files: str | None = None) -> str:
    """
    The group of a row's clip.

    Args:
        row, where (`str`): The row, and its place for messages.
        clip ([`Clip`]): What it lists.
        folder (`Path`): The manifest's.
        column (`str`): Where the group stands, in any case and spacing; of a column of files the real path counts.
            `file` is the clip's, whatever its column is called.
        files (`str`, *optional*): The column of files that the user named.

    Raises:
        ValueError: There is no such column, or nothing in it; begins with `where`.
    """
    if column == "file" and (files is None or not _columns(row, [column])):
        return os.path.realpath(clip.path)
    name = _given(row, where, column)
    if _plain(name) in map(_plain, (*FILE_COLUMNS, *MORE_FILE_COLUMNS)) and isinstance(row[name], str) and row[name]:
        return os.path.realpath(_path(folder, row[name]))
    return group_text(row[name], where, column)


def group_text(value: Any, where: str, column: str) -> str:
    """A group as text, as [`label_of`] reads labels. Raises ValueError where there is nothing."""
    known = value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))
    text = label_of(value, where) if known else normalized(str(value))
    if not text:
        raise ValueError(f"{where}: nothing in the column {column}.")
    return text


def _path(folder: Path, cell: str) -> str:
    """
    The file that a cell names. Spaces around the name and backslashes, as in tables of Windows, belong to it only if
    such a file exists.
    """
    plain = cell.strip().replace("\\", "/")
    return str(folder / (cell if plain == cell or os.path.exists(folder / cell) else plain))


def _file(row, where: str, folder: Path, column: str | None) -> str:
    """The file that a row names."""
    names = [_given(row, where, column)] if column else _filled(row, (*FILE_COLUMNS, *MORE_FILE_COLUMNS))
    if len(names) > 1:
        paths = {key: os.path.realpath(_path(folder, str(row[key]))) for key in names}
        there = [key for key, path in paths.items() if os.path.exists(path)]
        if len(there) != 1 or len({os.path.basename(path) for path in paths.values()}) > 1:
            _check_alike(row, where, paths, "file")
        else:  # the same name, with and without its folder
            names = there
    name = names[0] if names else None
    if name is not None and row[name] not in (None, ""):
        return _path(folder, str(row[name]))
    if name is None and (names := _columns(row, ["in_file"])) and row[names[0]]:
        parts = [str(row[key]).replace("\\", "/") for key in _columns(row, FOLDERS) if row[key]]
        whole = os.path.join(folder, *parts, row[names[0]])
        beside = os.path.join(folder, row[names[0]])
        return beside if os.path.exists(beside) and not os.path.exists(whole) else whole
    if name is None and _columns(row, ["begin_file", "begin_path"]):
        raise ValueError(
            f"{where}: a selection table of Raven is no manifest; write annotations:TABLE,margin=0 for a clip of each "
            "selection, or annotations:TABLE,window=S for windows of S seconds."
        )
    raise ValueError(
        f"{where}: no file name in {_listed(row)}, expected a column named {' or '.join(FILE_COLUMNS)}; or name the "
        "column with the files: MANIFEST,column=NAME."
    )


def _label(row: dict, where: str, several: bool, column: str | None, table: bool) -> str:
    """The label of a row, or several; `table` says that None is a cell that is not there, not JSON's null."""
    names = _label_columns(row, where, column)
    texts = {name: text for name in names if (text := _label_text(row[name], where))}
    if len(texts) > 1:
        _check_alike(row, where, {name: set(parse_labels(text, where)) for name, text in texts.items()}, "label")
    if not texts and table and (cut := next((name for name in names if row[name] is None), None)):
        raise ValueError(f"{where}: the row ends before its column {cut}, expected {len(row)} columns.")
    if not texts and not several:
        raise ValueError(
            f"{where}: the label is empty; expected one, or several labels (--multi_label), or the row gone."
        )
    return next(iter(texts.values()), "")


def _label_columns(row: dict, where: str, given: str | None) -> list[str]:
    """The columns that hold the label: the one that the user gave, or those of the usual names."""
    names = [_given(row, where, given)] if given else _columns(row, LABEL_COLUMNS)
    if not names:
        names = _columns(row, MORE_LABEL_COLUMNS)
        if len(names) > 1:
            raise ValueError(
                f"{where}: the label may be in the column {' or '.join(names)}; name it: MANIFEST,label={names[0]}."
            )
    if not names:
        raise ValueError(
            f"{where}: no label in {_listed(row)}, expected a column named {' or '.join(LABEL_COLUMNS)}; or name the "
            "column with the labels: MANIFEST,label=NAME."
        )
    return names


def _label_text(value: Any, where: str) -> str:
    """What a cell or a value of JSON states: a label, `a;b`, a JSON list of several, or "" for none."""
    if isinstance(value, list):
        labels = labels_in(value, where)
    else:
        text = label_of(value, where)
        if not text.startswith("[") and not looks_listed(text):
            return text
        labels = parse_labels(text, where)
        if labels == [text]:  # such as [laughter]
            return text
    return json.dumps(labels) if labels else ""


def _warn_of_ends(path: Path, clips: list[Clip], places: list[str]) -> None:
    """Warns once of the clips that reach past the end of their file, by the files' headers."""
    lengths = {file: Clip(file).seconds() for file in {clip.path for clip in clips if clip.offset or clip.duration}}
    late = []
    for clip, place in zip(clips, places):
        length = lengths.get(clip.path)
        if length is not None and clip.offset + (clip.duration or 0) > length + SLACK:
            late.append((clip, place, length))
    if late:
        clip, place, length = late[0]
        more = f" So do {len(late) - 1} more." if len(late) > 1 else ""
        logger.warning(
            "%s, %s: the clip ends at %.3f s, and %s after %.3f s.%s",
            path, place, clip.offset + (clip.duration or 0), clip.path, length, more,
        )  # fmt: skip
