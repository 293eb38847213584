# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: their names, finding and loading them, their layouts, cards and pushing. Needs no torch to import."""

from .locate import DEFAULT_CLASSIFIER, DEFAULT_PRETRAINED, FAMILY, find, table

__all__ = ["DEFAULT_CLASSIFIER", "DEFAULT_PRETRAINED", "FAMILY", "find", "table"]
