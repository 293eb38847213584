# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretraining and fine-tuning scripts on the Hugging Face Trainer."""
