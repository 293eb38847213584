# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading JSON and CSV that anyone may have written: errors are ValueErrors of one sentence."""

import csv
import io
import json
import re
from typing import Any

from .text import repeated


def parse_json(text: str | bytes, name: str) -> Any:
    """The value that a JSON text holds. Raises ValueError, which begins with `name`, if it is not usable JSON."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"{name} is not usable JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{repeated([name for name, _ in pairs])} is there twice")
    return found


_SEPARATOR_LINE = re.compile(r'\A\s*"?sep=(.)"?[ \t]*\r?(\n|$)', re.IGNORECASE)


def header_of(text: str) -> str:
    """The first line of a table, without the line `sep=;` that Excel takes and writes before it."""
    return _SEPARATOR_LINE.sub("", text, count=1).lstrip().partition("\n")[0]


def delimiter_of(text: str) -> str:
    """
    What separates the columns of a table: what a first line `sep=;` says, else semicolon or comma, whichever its
    header has more of, quoted names aside. Spreadsheets write semicolons where the comma is the decimal sign.
    """
    if stated := _SEPARATOR_LINE.match(text):
        return stated[1]
    head = re.sub('"[^"]*"', "", header_of(text))
    return ";" if head.count(";") > head.count(",") else ","


def with_point(cell: str) -> str:
    """`0.5` of `0,5`; another text as it is. For numbers in tables whose columns semicolons separate."""
    return re.sub(r"^\s*(\d*),(\d+)\s*$", r"\1.\2", cell)


def parse_csv(text: str, name: str, delimiter: str = ",") -> list[tuple[int, dict]]:
    """The rows of [`parse_table`]. Raises ValueError for two columns of one name, too."""
    columns, rows = parse_table(text, name, delimiter)
    if twice := repeated(list(filter(None, columns))):
        raise ValueError(f"{name} has several columns {twice}, expected one: rename or remove the others")
    return rows


def parse_table(
    text: str, name: str, delimiter: str = ",", dialect: type[csv.Dialect] = csv.excel
) -> tuple[list[str], list[tuple[int, dict]]]:
    """
    The columns of a table with a header, and its rows, each with the number of its last line. Raises ValueError, which
    begins with `name`, where a row cannot be read, such as after a quote that is never closed, or has more cells than
    there are columns. Rows of empty cells, which spreadsheets write after the last, are left out.
    """
    lines = io.StringIO(_SEPARATOR_LINE.sub(_line_ends, text, count=1), newline="")
    # Strict, because else a quote that is never closed takes the rest of the table into its cell.
    reader = csv.DictReader(lines, delimiter=delimiter, dialect=dialect, strict=True)
    try:
        while reader.fieldnames == []:  # an empty line before the header
            reader.fieldnames = None  # which the next line is
        rows = []
        for row in reader:
            if any(row.pop(None, ())):
                raise ValueError(_too_many_cells(name, reader.line_num, len(reader.fieldnames or ()), delimiter))
            if any(cell and cell.strip() for cell in row.values()):
                rows.append((reader.line_num, row))
        return list(reader.fieldnames or ()), rows
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {reader.line_num + 1}: not a row of a table ({error}); is there a quote that is not closed?"
        ) from None


def _line_ends(found: re.Match) -> str:
    return "\n" * found[0].count("\n")


def _too_many_cells(name: str, line: int, columns: int, delimiter: str) -> str:
    hint = " Put text with commas in quotes, and write decimal points, not commas." if delimiter == "," else ""
    return f"{name}, line {line} has more cells than the header has columns ({columns}).{hint}"
