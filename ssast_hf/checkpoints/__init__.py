# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints. From the bottom up: `files` (what a checkpoint consists of), `names` (the table of short names), `fetch`
(the Hub's cache), `locate` (finding one), `layouts` (the official code's and AST's tensors), `loading` (what
`from_pretrained` does beyond transformers), `convert`, `cards` (model cards), `push`. Importing the package needs no
torch.
"""

from .locate import find
from .names import BUNDLED, DEFAULT_CLASSIFIER, DEFAULT_PRETRAINED, DEFAULT_RECONSTRUCTION, FAMILY, table

__all__ = ["BUNDLED", "DEFAULT_CLASSIFIER", "DEFAULT_PRETRAINED", "DEFAULT_RECONSTRUCTION", "FAMILY", "find", "table"]
