# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The HEAR 2021 API under the name that its tools import; see `integrations/hear.py`."""

from .integrations.hear import HearModel, get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["HearModel", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
