# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Warped copies of spectrograms: the same sound faster or slower, and with its frequencies higher or lower."""

import zlib

import numpy as np
import torch
from torch.nn import functional as F

TEMPO = 0.15  # largest change of the duration, as a share
FREQUENCY = 0.1  # largest change of the scale of the mel axis, as a share


def warp(features: torch.Tensor, tempo: float, frequency: float) -> torch.Tensor:
    """
    A spectrogram with both axes scaled, linearly interpolated. The scale of the mel axis stands for another size of
    what sounds: a vocal tract (Jaitly and Hinton, "Vocal tract length perturbation improves speech recognition",
    2013, who scale the axis in Hz) or a drum.

    Args:
        features (`torch.Tensor` of shape `(frames, mel bins)`): Log-mel spectrogram, normalised or not.
        tempo (`float`): Factor of the duration.
        frequency (`float`): Factor by which sound moves up the mel axis. Above the highest bin nothing is known: its
            value is repeated.

    Returns:
        `torch.Tensor` of shape `(round(frames * tempo), mel bins)`, at least one frame.
    """
    frames, bins = features.shape
    frames = max(1, round(frames * tempo))
    values = F.interpolate(features.T[None], size=frames, mode="linear", align_corners=False)[0]  # (bins, frames)
    source = (torch.arange(bins, device=values.device) / frequency).clamp(max=bins - 1)
    low = source.long()
    high = (low + 1).clamp(max=bins - 1)
    return torch.lerp(values[low], values[high], (source - low).to(values.dtype)[:, None]).T


def random_warp(features: torch.Tensor, seed: int, copy: int) -> torch.Tensor:
    """
    One of the warped copies of a spectrogram (frames, mel bins), tempo and frequency uniform in 1 ± `TEMPO` and
    1 ± `FREQUENCY`. It depends on the seed, the number of the copy and the sound alone, not on what else is read.
    """
    sound = zlib.crc32(features.contiguous().cpu().numpy().tobytes())
    tempo, frequency = np.random.default_rng((seed, copy, sound)).uniform(-1, 1, 2)
    return warp(features, 1 + TEMPO * tempo, 1 + FREQUENCY * frequency)
