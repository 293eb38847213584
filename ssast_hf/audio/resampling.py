# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Changes sampling rates, and checks the samples of what was decoded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..utils.logs import get_logger

LARGEST_SAMPLE = 1e12  # above, which a damaged file of floats may hold, the squares of spectra are infinite
LOUD = 32.0  # samples above this are hardly in [-1, 1], as they should be

logger = get_logger(__name__)
_LOUD_SOUNDS: set[str] = set()  # names that were warned of


def resample(waveform: np.ndarray, orig_rate: int, new_rate: int) -> np.ndarray:
    """Changes the sampling rate (soxr, quality "HQ").

    Args:
        waveform: Shape `(samples,)` or `(samples, channels)`.
        orig_rate: Samples per second of `waveform`.
        new_rate: Samples per second of the result.

    Returns:
        float32 array with `samples * new_rate / orig_rate` samples, rounded; `waveform` itself if the rates agree.

    Raises:
        ValueError: A rate is no positive whole number, or `waveform` has another shape.
    """
    import soxr

    check_rate("orig_rate", orig_rate)
    check_rate("new_rate", new_rate)
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim not in (1, 2):
        raise ValueError(f"waveform has shape {waveform.shape}; expected (samples,) or (samples, channels)")
    return waveform if orig_rate == new_rate else soxr.resample(waveform, orig_rate, new_rate, quality="HQ")


def resampled(name: str, blocks: Iterator[tuple[np.ndarray, int]], sampling_rate: int) -> Iterator[np.ndarray]:
    """
    Blocks (samples,) with their rates -> blocks at `sampling_rate`, continuous over the borders of blocks.

    Raises:
        ValueError: A sample is NaN, infinite or above `LARGEST_SAMPLE`, or there is no sample at all.
    """
    import soxr

    stream, of_rate, found = None, None, False
    last = np.zeros(0, np.float32)
    for waveform, rate in blocks:
        if not np.isfinite(waveform).all():
            raise ValueError(f"{name} holds NaN or infinite samples; expected finite ones")
        _check_peak(name, float(np.abs(waveform).max(initial=0)))
        found |= len(waveform) > 0
        if stream is not None and rate != of_rate:  # the next link of a chained Ogg file
            yield stream.resample_chunk(last, last=True)
            stream = None
        of_rate = rate
        if rate == sampling_rate:
            yield waveform
            continue
        stream = stream or soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32", quality="HQ")
        yield stream.resample_chunk(waveform)
    if not found:
        raise ValueError(f"{name} gave zero samples; expected at least one")
    if stream is not None:
        yield stream.resample_chunk(last, last=True)


def _check_peak(name: str, peak: float) -> None:
    """Raises ValueError for an impossible peak; warns, once for each sound, of one far above full scale."""
    if peak > LARGEST_SAMPLE:
        raise ValueError(f"{name} holds samples above {LARGEST_SAMPLE:g}; expected about 1 at most")
    if peak > LOUD and name not in _LOUD_SOUNDS:
        _LOUD_SOUNDS.add(name)
        logger.warning(
            "%s peaks at %.4g, but samples are expected in [-1, 1]: it looks like integers that were saved as floats; "
            "divide them by their full scale (32768 for 16 bits)", name, peak,
        )  # fmt: skip


def check_rate(name: str, rate: int) -> None:
    """Raises ValueError unless `rate` is a positive whole number."""
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate <= 0:
        raise ValueError(f"{name} is {rate!r}; expected a positive whole number of samples per second")
