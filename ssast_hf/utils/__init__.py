# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Small helpers that every room may use; they import nothing else of the package."""
