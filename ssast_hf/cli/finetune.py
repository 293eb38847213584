# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune`; its flags are in `training/finetune.py`."""

from ..utils.require import require

SUMMARY = "train a classifier on labelled sound"


def main(argv: list[str]) -> int:
    return require("ssast_hf.training.finetune", "train", "`ssast finetune`").main(argv)
