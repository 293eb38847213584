# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests: `.csv`, `.tsv` and `.jsonl` files, and the original's `.json`, that list clips."""

import json
import os
from pathlib import Path
from typing import Any

from ..utils.logs import get_logger
from ..utils.parsing import parse_csv, parse_json
from .clips import Clip
from .time_columns import SLACK, time_columns

logger = get_logger(__name__)

FILE_COLUMNS = ("file", "file_name", "filename", "path", "audio", "wav")  # of a manifest, whichever comes first
LABEL_COLUMNS = ("label", "labels", "event_label")  # whichever comes first
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
    head = text.partition("\n")[0]  # spreadsheets write semicolons where the comma is the decimal sign
    delimiter = "\t" if suffix == ".tsv" else ";" if ";" in head and "," not in head else ","
    return [(f"line {number}", row) for number, row in parse_csv(text, str(path), delimiter)]


def read_manifest(path: Path, labelled: bool, several: bool = False) -> list[Clip]:
    """
    The clips that a manifest lists, in its order. With `several` labels a clip may have none: an empty one.

    Raises:
        ValueError: A row names no file, has no label if `labelled`, or its times are not understood.
    """
    clips, places = [], []
    for place, row in manifest_rows(path):
        column = _column(row, FILE_COLUMNS)
        if column is None:
            found = ", ".join(map(str, row)) if isinstance(row, dict) else json.dumps(row)
            raise ValueError(
                f"{path}, {place}: no file name in {found}, expected a column named {' or '.join(FILE_COLUMNS)}."
            )
        offset, duration = time_columns(row, str(path)).part(row, f"{path}, {place}")
        label = _label(row, f"{path}, {place}", several) if labelled else None
        clips.append(Clip(str(path.parent / str(row[column])), label, offset, duration))
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


def _column(row, names: tuple[str, ...]) -> str | None:
    """The row's first column of these names, in any case, that is not empty."""
    if not isinstance(row, dict):
        return None
    found = {str(key).strip().lower(): key for key, value in reversed(row.items()) if value not in (None, "")}
    return next((found[name] for name in names if name in found), None)


def _label(row: dict, place: str, several: bool) -> str:
    column = _column(row, LABEL_COLUMNS)
    label = "" if column is None else row[column]
    if isinstance(label, list):  # of a clip with several
        label = json.dumps(label) if label else ""
    if str(label).strip() or (several and _has_label(row)):
        return str(label).strip()
    if _has_label(row):
        raise ValueError(
            f"{place}: the label is empty; expected one, or several labels (--multi_label), or the row gone."
        )
    raise ValueError(f"{place}: no label, expected a column named {' or '.join(LABEL_COLUMNS)}.")


def _has_label(row: dict) -> bool:
    return any(str(key).strip().lower() in LABEL_COLUMNS for key in row)


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
