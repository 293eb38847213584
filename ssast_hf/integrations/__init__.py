# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSAST in other libraries: transformers' Auto classes and pipelines, HEAR, S3PRL, a page in the browser."""

MAX_MEGABYTES, MAX_SECONDS = 200.0, 3600.0  # of a sound on the page of `ssast demo`
