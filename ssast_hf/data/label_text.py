# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The labels of a clip in text: one, or several as `a;b` or a list in JSON or Python. Needs no torch."""

import ast
import json
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from ..utils.parsing import normalized
from .clips import Clip

# What looks like a list of Python, such as ['a', 'b'], [1. 2.] and [None], and is no label such as [laughter], [a, b]
# and the vowel [e]; and like a tuple or set of text
_LIST = re.compile(r"""\[(.*[\[(\s])?[bu]?["'].*\]|\[\s*[+-]?\.?[0-9][\s0-9.,+e-]*\]|\[(None|nan)\]""", re.DOTALL)
_TUPLE_OR_SET = re.compile(r"""[({]\s*["'].*["']\s*,?\s*[)}]""", re.DOTALL)
_STRING = re.compile(r"""u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*\"""", re.DOTALL)
EXPECTED = "expected text, a number, or a list of these"


def labels_of(clip: Clip, several: bool) -> list[str]:
    """The clip's labels, each once. Raises ValueError where there are several or none and may not be."""
    found = parse_labels(clip.label or "", clip.path)
    if not found and not several:
        raise ValueError(f"{clip.path} has no label.")
    if len(found) > 1 and not several:
        raise ValueError(
            f"{clip.path} has {len(found)} labels ({clip.label}): give --multi_label True if that is meant."
        )
    return found


def parse_labels(text: str, where: str) -> list[str]:
    """
    The labels in a text, each once: `a`, `a;b`, a list in JSON, or what Python writes of one, as pandas does.

    Raises:
        ValueError: It looks like a list and is none, or one with null in it; begins with `where`.
    """
    text = normalized(text)
    if text[:1] == "[":
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list):
            return labels_in(listed, where)
    if looks_listed(text):
        return labels_in(_python_list(text, where), where)
    return list(dict.fromkeys(filter(None, map(normalized, text.split(";")))))


def label_of(value: Any, where: str) -> str:
    """
    The label that a value of a table states: 1 and 1.0 are "1"; None and NaN, as pandas has them for empty cells, are
    "". Raises ValueError, which begins with `where`, for what is neither text nor a finite number.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value in (math.inf, -math.inf):
        raise ValueError(f"{where}: the label is {json.dumps(value, default=repr)}, {EXPECTED}.")
    return normalized(str(value))


def labels_in(values: Iterable[Any], where: str) -> list[str]:
    """The labels in a list, each once. Raises ValueError, which begins with `where`, for null and NaN in it."""
    found = []
    for value in values:
        found.append(label_of(value, where))
        if not found[-1] and not isinstance(value, str):
            raise ValueError(f"{where}: {json.dumps(value)} in a list of labels, expected text or a number.")
    return list(dict.fromkeys(filter(None, found)))


def looks_listed(text: str) -> bool:
    """Whether a text looks like a list, tuple or set of Python."""
    brackets = text[:1] + text[-1:] in ("[]", "()", "{}")
    return brackets and bool(_LIST.fullmatch(text) or _TUPLE_OR_SET.fullmatch(text))


def _python_list(text: str, where: str) -> list[Any]:
    """What Python writes of a list, as a list."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know, which it leaves as they are
            tree = ast.parse(text, mode="eval").body
        if isinstance(tree, (ast.List, ast.Tuple, ast.Set)):
            values = [ast.literal_eval(element) for element in tree.elts]
            sources = [ast.get_source_segment(text, element) or "" for element in tree.elts]
            # Python joins strings without a comma between them, as numpy writes arrays.
            if all(_STRING.fullmatch(source) for value, source in zip(values, sources) if isinstance(value, str)):
                return values
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    raise ValueError(
        f"{where}: the label is {text[:80]!r}, which looks like a list and is none of text and numbers; expected "
        """one label, several as a;b, or a list such as ["a", "b"]."""
    )


def label_text(labels: Sequence[str]) -> str:
    """Text that [`labels_of`] reads as these labels: empty, one label, `a;b`, or a JSON list where that is needed."""
    joined = ";".join(labels)
    if any(";" in label or label.startswith("[") for label in labels) or looks_listed(joined):
        return json.dumps(list(labels), ensure_ascii=False)
    return joined
