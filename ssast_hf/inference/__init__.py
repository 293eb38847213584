# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Trained models on sound of any length: labels, embeddings, whole collections."""

from .core import classify, classify_windows, embed, load_classifier

__all__ = ["classify", "classify_windows", "embed", "load_classifier"]
