# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSAST in other libraries: transformers' Auto classes and pipelines, HEAR, S3PRL, a page in the browser."""

# The most that the page of `ssast demo` takes by default, where others reach it: megabytes of a file, seconds of a
# sound, sounds at a time. And where only this machine does.
MAX_MEGABYTES, MAX_SECONDS, MAX_FILES = 200.0, 3600.0, 10
LOCAL_MEGABYTES, LOCAL_SECONDS, LOCAL_FILES = 10000.0, 48 * 3600.0, 500
