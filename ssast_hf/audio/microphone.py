# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sound from a microphone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .resampling import check_rate, resampled


def stream_microphone(
    sampling_rate: int = 16000, seconds: float | None = None, device: int | str | None = None
) -> Iterator[np.ndarray]:
    """As [`stream_audio`], of the microphone, by the library `sounddevice`.

    Args:
        sampling_rate: Samples per second of the blocks; the device records at its own rate.
        seconds: When to stop; `None` goes on until the generator is closed or the user interrupts (Ctrl-C), which
            ends the sound instead of raising.
        device: Number or part of the name of the device; `None` for the system's choice.

    Raises:
        ValueError: `sounddevice`, or the library PortAudio under it, is missing; there is no such device.
    """
    check_rate("sampling_rate", sampling_rate)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds is {seconds!r}; expected a finite number > 0, or None")
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio not found
        raise ValueError(f"recording needs sounddevice and PortAudio ({error}): pip install sounddevice") from error

    def blocks():
        try:
            with sounddevice.InputStream(device=device, channels=1, dtype="float32") as stream:
                rate = round(stream.samplerate)
                left = math.inf if seconds is None else round(seconds * rate)
                while left > 0:
                    samples, _ = stream.read(min(rate // 10, left))
                    left -= len(samples)
                    yield samples.mean(axis=1), rate
        except KeyboardInterrupt:
            return
        except (ValueError, sounddevice.PortAudioError) as error:
            raise ValueError(f"the microphone cannot be read: {error}") from error

    return resampled("the microphone", blocks(), sampling_rate)
