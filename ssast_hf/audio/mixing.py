# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""From several channels to one."""

from __future__ import annotations

import numpy as np

from ..utils.logs import get_logger

logger = get_logger(__name__)

CANCELLED = 20.0  # dB by which the mix of channels that cancel each other is below the loudest of them
AUDIBLE = 1e-6  # mean square of samples, -60 dB of full scale: below, nothing is worth a warning


class Mixer:
    """
    Blocks (samples, channels) of a sound -> blocks (samples,): the mean of the channels, or one of them.

    Args:
        name: Of the sound, for messages.
        channel: Which channel to take, counted from 1; `None` takes the mean of all.
    """

    warned: set[str] = set()  # names of sounds

    def __init__(self, name: str, channel: int | None = None):
        check_channel(channel)
        self.name, self.channel = name, channel
        self.mixed, self.samples = 0.0, 0  # sum of squares of the mix, and how many samples it has
        self.energy: np.ndarray | None = None  # sums of squares of each channel

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Raises ValueError if there is no such channel."""
        channels = block.shape[1]
        if self.channel is not None:
            if self.channel > channels:
                raise ValueError(f"channel is {self.channel}; {self.name} has {channels}, counted from 1")
            return np.ascontiguousarray(block[:, self.channel - 1])
        with np.errstate(all="ignore"):  # NaN and huge samples of a damaged file, which are refused later
            mixed = block.mean(axis=1)
            if channels > 1:
                self.mixed += float(np.dot(mixed, mixed))
                energy = np.einsum("sc,sc->c", block, block, dtype=np.float64)
                self.energy = energy if self.energy is None else self.energy + energy
                self.samples += len(block)
        return mixed

    def warn(self) -> None:
        """Logs, once for each sound, that its channels cancel each other."""
        message = self.cancellation()
        if message is not None and self.name not in self.warned:
            self.warned.add(self.name)
            logger.warning("%s", message)

    def cancellation(self) -> str | None:
        """The warning that the mix is more than `CANCELLED` dB below the loudest channel; None if it is not."""
        if self.energy is None or not np.isfinite(self.energy).all():
            return None
        loudest = int(self.energy.argmax())
        top = float(self.energy[loudest])
        if top / self.samples < AUDIBLE or self.mixed * 10 ** (CANCELLED / 10) >= top:
            return None
        below = 10 * np.log10(top / self.mixed) if self.mixed else np.inf
        return (
            f"{self.name}: its {len(self.energy)} channels cancel each other: their mean is {below:.0f} dB below "
            f"channel {loudest + 1}; choose one by channel={loudest + 1} (--channel {loudest + 1})"
        )


def check_channel(channel: int | None) -> None:
    """Raises ValueError unless `channel` is None or a whole number of at least 1."""
    if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int) or channel < 1):
        raise ValueError(f"channel is {channel!r}; expected a whole number of at least 1, or None")
