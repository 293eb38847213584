# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
from .client import home, hub

__all__ = ["home", "hub"]
