# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Trained models on sound of any length: labels, embeddings, whole collections.

Names are imported when first used, because `windows` and `label_formats` serve exported models without torch.
"""

import importlib
import sys
from types import ModuleType

_HOMES = {
    "classify": "classify",
    "classify_windows": "classify",
    "embed": "embed",
    "embed_collection": "collections",
    "load_classifier": "classify",
    "read_embeddings": "collections",
    "similar": "similar",
}
__all__ = sorted(_HOMES)


class _Package(ModuleType):
    """`inference.classify`, `.embed` and `.similar` are functions, also after modules of these names are loaded."""

    def __setattr__(self, name, value):
        if isinstance(value, ModuleType) and name in _HOMES:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __getattr__(self, name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


sys.modules[__name__].__class__ = _Package
