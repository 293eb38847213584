# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How long a model takes for a window, and for sound as a whole. Needs no torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RUNS, WARM_UP = 20, 3


@dataclass(frozen=True)
class Latency:
    """
    Args:
        median (`float`), high (`float`): Seconds from the samples of a window to its output, the median and the 95th
            percentile, one window at a time.
        window (`float`): Seconds of sound in it.
    """

    median: float
    high: float
    window: float

    def __str__(self) -> str:
        return (
            f"{1000 * self.median:.1f} ms for a window of {self.window:g} s, one at a time (95 % within "
            f"{1000 * self.high:.1f} ms); real-time factor {self.median / self.window:.4f}"
        )


def measure(run: Callable[[np.ndarray], object], samples: int, rate: int, runs: int = RUNS) -> Latency:
    """
    Runs a model on noise, after a warm-up.

    Args:
        run: Takes a window (samples,), float32.
        samples (`int`), rate (`int`): Of the window, and Hz.
        runs (`int`): How often.
    """
    window = np.random.default_rng(0).standard_normal(samples).astype(np.float32) / 10
    seconds = []
    for index in range(WARM_UP + runs):
        started = time.perf_counter()
        run(window)
        if index >= WARM_UP:
            seconds.append(time.perf_counter() - started)
    return Latency(float(np.median(seconds)), float(np.quantile(seconds, 0.95)), samples / rate)
