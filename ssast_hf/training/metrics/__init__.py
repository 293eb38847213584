# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics as modules of `evaluate`, loaded by their path: no Hub needed."""

from pathlib import Path

AUDIO_CLASSIFICATION = str(Path(__file__).with_name("audio_classification"))
