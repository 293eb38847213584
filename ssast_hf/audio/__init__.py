# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Decoding sound: files, streams, the microphone; and finding sound files in folders."""

from .decoding import audio_seconds, load_audio
from .find import AUDIO_EXTENSIONS, audio_extensions, find_audio_files
from .microphone import stream_microphone
from .resampling import resample
from .streams import RAW_FORMATS, stream_audio, stream_raw

__all__ = [
    "AUDIO_EXTENSIONS", "RAW_FORMATS", "audio_extensions", "audio_seconds", "find_audio_files", "load_audio",
    "resample", "stream_audio", "stream_microphone", "stream_raw",
]  # fmt: skip
