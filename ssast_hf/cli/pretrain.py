# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast pretrain`; its flags are in `training/pretrain.py`."""

from ..utils.require import require

SUMMARY = "pretrain on unlabeled sound"


def main(argv: list[str]) -> int:
    return require("ssast_hf.training.pretrain", "train", "`ssast pretrain`").main(argv)
