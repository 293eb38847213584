# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Model cards and pushing under one name, which was a module of its own up to version 0.1."""

from .cards import CARD, FACTS, MARK, MOST_LABELS, model_card, write_card, write_facts
from .push import CODE, explained, make_branch, own_card_on_hub, push, push_directory

__all__ = [
    "CARD", "CODE", "FACTS", "MARK", "MOST_LABELS", "explained", "make_branch", "model_card", "own_card_on_hub",
    "push", "push_directory", "write_card", "write_facts",
]  # fmt: skip
