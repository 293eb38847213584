# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests: `.csv`, `.tsv` and `.jsonl` files, and the original's `.json`, that list clips."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from .clips import Clip

FILE_COLUMNS = ("file", "file_name", "filename", "path", "audio", "wav")  # of a manifest, whichever comes first
MANIFESTS = (".csv", ".tsv", ".jsonl")


def manifest_rows(path: Path) -> list[tuple[str, Any]]:
    """The rows of a manifest (.csv, .tsv, .jsonl or the official .json), each with its place in it, for messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from None
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        entries = entries.get("data") if isinstance(entries, dict) else entries
        if not isinstance(entries, list):
            raise ValueError(f'{path} holds no list, expected {{"data": [{{"wav": PATH, "labels": LABELS}}, ...]}}.')
        return [(f"entry {number}", row) for number, row in enumerate(entries, start=1)]
    if suffix == ".jsonl":
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                rows.append((f"line {number}", json.loads(line))) if line.strip() else None
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not a JSON object ({error}).") from None
        return rows
    head = text.partition("\n")[0]  # spreadsheets write semicolons where the comma is the decimal sign
    delimiter = "\t" if suffix == ".tsv" else ";" if ";" in head and "," not in head else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [(f"line {reader.line_num}", row) for row in reader]


def read_manifest(path: Path, labelled: bool) -> list[Clip]:
    clips = []
    for place, row in manifest_rows(path):
        column = next((name for name in FILE_COLUMNS if isinstance(row, dict) and row.get(name)), None)
        if column is None:
            found = ", ".join(map(str, row)) if isinstance(row, dict) else json.dumps(row)
            raise ValueError(
                f"{path}, {place}: no file name in {found}, expected a column named {' or '.join(FILE_COLUMNS)}."
            )
        label = row.get("label", row.get("labels"))
        if labelled and (label is None or str(label).strip() == ""):
            raise ValueError(f"{path}, {place}: no label, expected a column named label.")
        offset = _seconds(row, "offset", f"{path}, {place}")
        duration = _seconds(row, "duration", f"{path}, {place}")
        if duration == 0:
            raise ValueError(f"{path}, {place}: duration is 0, expected a number of seconds above 0.")
        if isinstance(label, list):  # of a clip with several
            label = json.dumps(label)
        file = str(path.parent / str(row[column]))
        clips.append(Clip(file, str(label).strip() if labelled else None, offset or 0.0, duration))
    return clips


def _seconds(row: dict, name: str, place: str) -> float | None:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{place}: {name} is {value!r}, expected a number of seconds of at least 0.")
    return seconds
