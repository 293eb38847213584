# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Text for terminals and messages."""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

# Access tokens of the Hub, GitHub, GitLab, Slack, AWS and OpenAI, and values of arguments that are named like secrets.
TOKENS = re.compile(
    r"\b(?:hf_|api_org_|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|AKIA|sk-)[A-Za-z0-9_-]{8,}"
    r"|(?<=[?&]token=)[^&\s]+|(?<=Bearer )\S+"
)


def printable(text: str) -> str:
    """
    A text on one line, without control characters: they become escapes such as `\\n` and `\\x1b`. Bytes of a file name
    that is not UTF-8, which Python keeps as lone surrogates, stay as they are.
    """
    return "".join(
        char if char.isprintable() or 0xDC80 <= ord(char) <= 0xDCFF else char.encode("unicode_escape").decode()
        for char in text
    )


def print_error(text: str) -> None:
    """Prints a line on standard error, without control characters."""
    print(printable(text), file=sys.stderr)


def code(text: str) -> str:
    """A text as inline code in Markdown, which it cannot end."""
    text = printable(str(text))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text[:1] in ("`", " ", "") or text[-1:] in ("`", " ") else ""
    return f"{fence}{space}{text}{space}{fence}"


def cell(text: str) -> str:
    """A text as a cell of a table in Markdown, without the cell's end, links, code and HTML."""
    return re.sub(r"([\\`*<>|]|\[(?=[^\]]*\]\())", r"\\\1", printable(str(text)))


def drawn(text: str) -> str:
    """A text for matplotlib, without control characters and formulas."""
    return printable(text).replace("$", r"\$")


def repeated(names: Sequence[str]) -> str | None:
    """The first name that is there more than once; None if each is there once."""
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None)


def listed(names: Sequence[str], most: int = 10) -> str:
    """At most so many of the names, and how many more there are, for messages."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, without control characters: the first column to the left, the others to the right."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    for name, *cells in table:
        yield f"{name:<{widths[0]}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:]))


def first_sentence(error: BaseException) -> str:
    """The first paragraph of an exception's message on one line, without access tokens."""
    return redacted(" ".join(str(error).strip().split("\n\n")[0].split())) or type(error).__name__


def reason_of(error: BaseException | str, name: str) -> str:
    """
    Why a file was skipped, on one line, without its name, which the caller says: the message of an error, or of one
    that was raised elsewhere. `name` may end with the seconds of a part, as in `x.wav#t=0,2`.
    """
    if isinstance(error, OSError) and error.strerror:
        return redacted(error.strerror)
    text = str(error)
    for own in (name, name.rpartition("#t=")[0]):
        text = text.removeprefix(own).lstrip(": ") if own else text
    return first_sentence(ValueError(text or type(error).__name__))


def redacted(text: str) -> str:
    """The text with `***` in place of whatever looks like an access token."""
    return TOKENS.sub("***", text)
