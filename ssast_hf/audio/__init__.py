# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Decoding sound: files, streams, the microphone; and finding sound files in folders."""

from .decoding import (
    AUDIO_EXTENSIONS,
    find_audio_files,
    load_audio,
    resample,
    stream_audio,
    stream_microphone,
    stream_raw,
)

__all__ = [
    "AUDIO_EXTENSIONS", "find_audio_files", "load_audio", "resample", "stream_audio", "stream_microphone",
    "stream_raw",
]  # fmt: skip
