# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Griffe extension of `make docs`. Docstrings here are in transformers' style, which is Google's with Markdown in it:

    size (`int`, defaults to 3), rate (`int`): Text.     ->   one entry per argument, types without backticks
    [`SSASTModel`], [`~ssast_hf.inference.embed`]        ->   `SSASTModel`, `embed`
    Returns: and Yields: with text of any form           ->   a paragraph, not a list of types
"""

import re
import textwrap

import griffe

ARGUMENT = re.compile(r"(\w+)(?: \(((?:[^()]|\([^()]*\))*)\))?")
ENTRY = re.compile(rf"({ARGUMENT.pattern}(?:,\s+{ARGUMENT.pattern})*):\s+(.*)", flags=re.S)
HEADING = re.compile(r"(Args|Attributes|Returns|Yields|Raises):\s*")
LINK = re.compile(r"\[`~?(?:[\w.]+\.)?(\w+)`\](?!\()")


def plain(docstring: str, keep_defaults: bool) -> str:
    """A docstring in Google's style of one in transformers'. A function's signature has its defaults already."""
    lines, out = LINK.sub(r"`\1`", docstring).splitlines(), []
    while lines:
        line = lines.pop(0)
        heading = HEADING.fullmatch(line)
        if heading is None:
            out.append(line)
            continue
        body = []
        while lines and (not lines[0].strip() or lines[0].startswith(" ")):
            body.append(lines.pop(0))
        text = textwrap.dedent("\n".join(body)).strip("\n")
        if heading[1] in ("Returns", "Yields"):
            out += ["", f"**{heading[1]}**", "", *text.splitlines(), ""]
        else:
            entries = _entries(text, keep_defaults) if heading[1] in ("Args", "Attributes") else text
            out += [line, *textwrap.indent(entries, "    ").splitlines(), ""]
    return "\n".join(out)


def _entries(text: str, keep_defaults: bool) -> str:
    """An entry per argument: the description that several share is repeated."""
    entries = []
    for entry in re.split(r"\n(?=\w)", text):
        match = ENTRY.fullmatch(entry)
        if match is None:
            entries.append(entry)
            continue
        for name, kind in ARGUMENT.findall(match[1]):
            kind = re.sub(r",\s*\*optional\*", "", kind)
            kind = kind if keep_defaults else re.sub(r",\s*defaults to .*", "", kind, flags=re.S)
            kind = " ".join(kind.replace("`", "").split())
            entries.append(f"{name}{f' ({kind})' if kind else ''}: {match[match.re.groups]}")
    return "\n".join(entries)


class PlainDocstrings(griffe.Extension):
    """Rewrites every docstring before mkdocstrings parses it."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring is not None:
            has_signature = obj.is_function or (obj.is_class and "__init__" in obj.members)
            obj.docstring.value = plain(obj.docstring.value, keep_defaults=not has_signature)
