# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Reading by libsndfile, through soundfile: forward only, and so that Ctrl-C is not lost."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Iterator

import numpy as np

BLOCK = 2**18  # samples, all channels, that are decoded at a time
# Hz: outside is a damaged header. Resampled, a few kilobytes at 1 Hz are hours, seconds at 2**31 Hz gigabytes.
LOWEST_RATE, HIGHEST_RATE = 100, 2**24
UNKNOWN_LENGTH = 2**63 - 1  # samples, where a FLAC header does not tell


@functools.cache
def forward_sound_file() -> type:
    """A `soundfile.SoundFile` that does not seek between reads, which spoils MP3s and fails in pipes."""
    import soundfile

    class Forward(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return Forward


def read_blocks(sound, stop: float, name: str, size: int = BLOCK) -> Iterator[np.ndarray]:
    """
    Yields the next `stop` samples or fewer, as blocks (samples, channels) with `size` values each.

    Raises:
        ValueError: libsndfile fails, which it does in damaged sound.
    """
    import soundfile

    while stop > 0:
        try:
            with interrupt_held():
                block = sound.read(min(stop, max(1, size // sound.channels)), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{name} is truncated or damaged: {error.error_string or 'reading failed'}") from error
        if not len(block):
            return
        stop -= len(block)
        yield block


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Defers Ctrl-C to the end of the block: libsndfile would drop it in the methods of a file that it calls."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held = []
    signal.signal(signal.SIGINT, lambda *given: held.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


def check_header_rate(name: str, rate: int) -> None:
    """Raises ValueError for a sampling rate that no recording has."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(f"{name} states {rate} samples per second; expected {LOWEST_RATE} to {HIGHEST_RATE}")
