# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests: `.csv`, `.tsv` and `.jsonl` files, and the original's `.json`, that list clips."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..utils.logs import get_logger
from ..utils.parsing import delimiter_of, parse_csv, parse_json
from .clips import Clip
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
    delimiter = "\t" if suffix == ".tsv" else delimiter_of(text)
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
        ValueError: A row names no file, has no label if `labelled`, or its times are not understood.
    """
    clips, places = [], []
    for place, row in rows:
        where = f"{path}, {place}"
        file = _file(row, where, path.parent, column)
        offset, duration = time_columns(row, str(path)).part(row, where)
        clips.append(Clip(file, _label(row, where, several, label) if labelled else None, offset, duration))
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


def _filled(row, names: Iterable[str]) -> str | None:
    """The first of [`_columns`] that is not empty."""
    return next((name for name in _columns(row, names) if row[name] not in (None, "")), None)


def _listed(row) -> str:
    return ", ".join(map(str, row)) if isinstance(row, dict) else json.dumps(row)


def _given(row, where: str, name: str) -> str:
    """The row's column of a name that the user gave."""
    found = _columns(row, [name])
    if not found:
        raise ValueError(f"{where}: no column {name}, found {_listed(row)}.")
    return found[0]


def value_of(row, where: str, column: str):
    """
    What stands in a row's column of this name, in any case and spacing; `file` is the one with the files, whatever it
    is called. Raises ValueError, which begins with `where`, if there is none.
    """
    files = _columns(row, (*FILE_COLUMNS, *MORE_FILE_COLUMNS, "in_file")) if column == "file" else []
    return row[files[0] if files else _given(row, where, column)]


def _path(folder: Path, cell: str) -> str:
    """
    The file that a cell names. Spaces around the name and backslashes, as in tables of Windows, belong to it only if
    such a file exists.
    """
    plain = cell.strip().replace("\\", "/")
    return str(folder / (cell if plain == cell or os.path.exists(folder / cell) else plain))


def _file(row, where: str, folder: Path, column: str | None) -> str:
    """The file that a row names."""
    name = _given(row, where, column) if column else _filled(row, (*FILE_COLUMNS, *MORE_FILE_COLUMNS))
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


def _label(row: dict, where: str, several: bool, column: str | None) -> str:
    names = [_given(row, where, column)] if column else _columns(row, LABEL_COLUMNS)
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
    label = next((row[name] for name in names if row[name] not in (None, "")), "")
    if isinstance(label, list):  # of a clip with several
        label = json.dumps(label) if label else ""
    if isinstance(label, (dict, bool)):
        raise ValueError(f"{where}: the label is {json.dumps(label)}, expected text, a number, or a list of these.")
    if not str(label).strip() and not several:
        raise ValueError(
            f"{where}: the label is empty; expected one, or several labels (--multi_label), or the row gone."
        )
    return str(label).strip()


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
