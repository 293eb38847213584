# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Windows and ends of sounds, as models are run on them. Needs no torch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np


@dataclass
class Window:
    """
    A window of a source.

    Args:
        index (`int`): Of the source.
        start (`float`), end (`float`): Seconds.
        features (`np.ndarray` of shape `(frames, mel bins)`): Normalised; empty where the model computes them.
        weight (`int`): Samples, by which windows are joined.
        output: What the model gives for it.
    """

    index: int
    start: float
    end: float
    features: np.ndarray
    weight: int = 1
    output: Any = None


@dataclass
class End:
    """The end of a source, after its windows: its length as far as it could be read, and why it could not."""

    index: int
    seconds: float
    error: Exception | None = None


def is_live(source) -> bool:
    """Whether a source gives blocks of samples rather than an encoded file."""
    return hasattr(source, "__next__") and not hasattr(source, "read")


def batched(iterable: Iterable, size: int) -> Iterator[tuple]:
    """Tuples of `size` items, the last perhaps shorter."""
    iterator = iter(iterable)
    while batch := tuple(islice(iterator, size)):
        yield batch
