# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading JSON, CSV, numbers and names that anyone may have written: errors are ValueErrors of one sentence."""

import csv
import io
import json
import math
import re
import unicodedata
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


# Characters without width: soft hyphen, zero-width spaces and joiners, marks of direction, byte order mark. Not the
# tags that end the emoji of some flags.
INVISIBLE = "".join(map(chr, (0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
                              *range(0x2060, 0x2070), 0xFEFF)))  # fmt: skip
_ENDS = INVISIBLE + "".join(filter(str.isspace, map(chr, range(0x3001))))


def normalized(text: str) -> str:
    """
    A name as it is compared with others: in Unicode's composed form (NFC), without spaces and characters without
    width at its ends. `e` and an accent are one letter then.
    """
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text).strip(_ENDS)


_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def number_of(value: object) -> float:
    """
    The finite number that a value of JSON or a cell states; NaN for anything else, such as true, `1_0`, which Python
    takes for 10, and digits of other scripts.
    """
    if isinstance(value, str):
        number = float(value) if _NUMBER.fullmatch(value.strip()) else math.nan
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # of a whole number
            number = math.nan
    else:
        number = math.nan
    return number if math.isfinite(number) else math.nan


_SEPARATOR_LINE = re.compile(r'\A\s*"?sep=([^"\r\n]?)"?[ \t]*\r?(\n|$)', re.IGNORECASE)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def header_of(text: str) -> str:
    """The first line of a table, without the line `sep=;` that Excel takes and writes before it."""
    return _SEPARATOR_LINE.sub("", text, count=1).lstrip().partition("\n")[0]


def delimiter_of(text: str, name: str) -> str:
    """
    What separates the columns of a table: what a first line `sep=;` says, else comma, semicolon or tab, whichever its
    header has most of, quoted names aside. Spreadsheets write semicolons where the comma is the decimal sign.

    Raises:
        ValueError: The header is one column by what `sep=` says, and several by another; begins with `name`.
    """
    head = re.sub('"[^"]*"', "", header_of(text))
    found = max(_SEPARATORS, key=head.count)
    stated = _SEPARATOR_LINE.match(text)
    if not stated:
        return found
    if found in head and (not stated[1] or stated[1] not in head):
        raise ValueError(
            f"{name}: the line {stated[0].strip()!r} contradicts the header, whose columns {_SEPARATORS[found]} "
            f"separate ({header_of(text).strip()[:80]!r}): correct or remove the line."
        )
    return stated[1] or found


def with_point(cell: str) -> str:
    """`0.5` of `0,5`; another text as it is. For numbers in tables whose columns semicolons separate."""
    return re.sub(r"^\s*([0-9]*),([0-9]+)\s*$", r"\1.\2", cell)


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
    there are columns. Rows of empty cells, which spreadsheets write after the last, are left out, and so are spaces
    before quotes and before the columns' names, unless the dialect has no quotes.
    """
    text = _SEPARATOR_LINE.sub(_line_ends, text, count=1)
    quoted = dialect.quoting != csv.QUOTE_NONE
    lines = io.StringIO(_without_spaces_before_quotes(text, delimiter) if quoted else text, newline="")
    # Strict, because else a quote that is never closed takes the rest of the table into its cell.
    reader = csv.DictReader(lines, delimiter=delimiter, dialect=dialect, strict=True)
    try:
        while reader.fieldnames == []:  # an empty line before the header
            reader.fieldnames = None  # which the next line is
        if quoted and reader.fieldnames:
            reader.fieldnames = [name.lstrip(" ") for name in reader.fieldnames]
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


def _without_spaces_before_quotes(text: str, delimiter: str) -> str:
    """
    The text with `a.wav,"0"` for `a.wav, "0"`. Python's `skipinitialspace` would take the spaces of other cells, too,
    and names of files may begin with one.
    """
    between = re.escape(delimiter)
    if delimiter == " " or not re.search(rf'(?:^|{between}) +"', text, re.MULTILINE):
        return text
    cells = re.compile(rf'(\A|[\r\n]|{between})( *)("[^"]*(?:""[^"]*)*"|[^\r\n{between}]*)')
    return cells.sub(lambda cell: cell[1] + ("" if cell[3].startswith('"') else cell[2]) + cell[3], text)


def _line_ends(found: re.Match) -> str:
    return "\n" * found[0].count("\n")


def _too_many_cells(name: str, line: int, columns: int, delimiter: str) -> str:
    hint = " Put text with commas in quotes, and write decimal points, not commas." if delimiter == "," else ""
    return f"{name}, line {line} has more cells than the header has columns ({columns}).{hint}"
