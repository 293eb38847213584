# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The labels of a clip in text: one, or several as `a;b` or a JSON list. Needs no torch."""

import json
from collections.abc import Sequence

from .clips import Clip


def labels_of(clip: Clip, several: bool) -> list[str]:
    """The clip's labels, each once. Raises ValueError where there are several or none and may not be."""
    text = clip.label or ""
    found = [text]
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list):
            found = [str(label).strip() for label in listed]
    elif ";" in text:
        found = [label.strip() for label in text.split(";")]
    found = list(dict.fromkeys(label for label in found if label))
    if not found and not several:
        raise ValueError(f"{clip.path} has no label.")
    if len(found) > 1 and not several:
        raise ValueError(f"{clip.path} has {len(found)} labels ({text}): give --multi_label True if that is meant.")
    return found


def label_text(labels: Sequence[str]) -> str:
    """Text that [`labels_of`] reads as these labels: empty, one label, `a;b`, or a JSON list where that is needed."""
    if any(";" in label or label.startswith("[") for label in labels):
        return json.dumps(list(labels), ensure_ascii=False)
    return ";".join(labels)
