# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a model has to beat: logistic regression on summary statistics of mel bands of the same clips."""

from collections.abc import Iterable

import numpy as np
import torch

from ..data.labels import Labels
from ..data.sources import Clip
from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, log_mel_filterbank
from ..inference.windows import Windows
from ..utils.logs import get_logger
from ..utils.text import reason_of
from .regression import WindowFeatures, fit

logger = get_logger(__name__)

MEL_BINS = 64
STRENGTH = 0.05  # scikit-learn's C
PIECE = 6000  # frames, a minute, that are computed at once


def statistics(waveform: np.ndarray, sampling_rate: int = 16000) -> np.ndarray:
    """
    Mean, standard deviation, minimum and maximum over time of 64 log-mel bands, side by side.

    Args:
        waveform (`np.ndarray` of shape `(samples,)`): At least one frame of 25 ms.
        sampling_rate (`int`): Hz.

    Returns:
        `np.ndarray` of shape `(256,)`, float32.
    """
    return statistics_of_pieces([waveform], sampling_rate)


def statistics_of_pieces(pieces: Iterable[np.ndarray], sampling_rate: int) -> np.ndarray:
    """[`statistics`] of a sound in pieces whose frames are those of the whole, in bounded memory."""
    frames, total, squares = 0, np.zeros(MEL_BINS), np.zeros(MEL_BINS)
    least, largest = np.full(MEL_BINS, np.inf), np.full(MEL_BINS, -np.inf)
    for piece in pieces:
        bands = log_mel_filterbank(torch.from_numpy(piece)[None], MEL_BINS, sampling_rate)[0].double().numpy()
        frames += len(bands)
        total += bands.sum(axis=0)
        squares += np.square(bands).sum(axis=0)
        if len(bands):
            least, largest = np.minimum(least, bands.min(axis=0)), np.maximum(largest, bands.max(axis=0))
    if not frames:
        raise ValueError(f"The sound is shorter than a frame of {1000 * FRAME_SECONDS:g} ms.")
    mean = total / frames
    deviation = np.sqrt(np.maximum(squares / frames - np.square(mean), 0))
    return np.concatenate([mean, deviation, least, largest]).astype(np.float32)


def statistics_of_clips(clips: list[Clip], sampling_rate: int) -> tuple[np.ndarray, list[int]]:
    """[`statistics`] (readable clips, 256) of whole clips, and the indices of these. Warns of unreadable ones."""
    frame, shift = int(sampling_rate * FRAME_SECONDS), int(sampling_rate * SHIFT_SECONDS)
    cut = Windows.of_frames(sampling_rate, frame, shift, PIECE)
    rows, readable = [], []
    for index, clip in enumerate(clips):
        try:
            pieces = (piece for _, piece in cut.cut(clip.stream(sampling_rate)))
            rows.append(statistics_of_pieces(pieces, sampling_rate))
            readable.append(index)
        except (OSError, ValueError) as error:
            logger.warning("Skipped %s for the baseline: %s", clip.name, reason_of(error, clip.name))
    if not rows:
        raise ValueError(f"None of the {len(clips)} sound files can be read: see the warnings above.")
    return np.stack(rows), readable


def baseline_scores(
    clips: list[Clip], parts: dict[str, list[Clip]], labels: Labels, sampling_rate: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """
    Fits logistic regression (C = 0.05) to standardised [`statistics`] of clips, for several labels one per label.

    Args:
        clips (`list[Clip]`): To fit.
        parts (`dict[str, list[Clip]]`): To predict, by name.
        labels ([`Labels`]): Of all clips.
        sampling_rate (`int`): Hz.

    Returns:
        For each part scores and targets, (readable clips, labels) each.
    """
    inputs, readable = statistics_of_clips(clips, sampling_rate)
    targets = labels.targets([clips[index] for index in readable])
    (regression,) = fit(WindowFeatures.of_clips(inputs), targets, [STRENGTH], labels.several)
    found = {}
    for name, part in parts.items():
        inputs, readable = statistics_of_clips(part, sampling_rate)
        scores = regression.scores(WindowFeatures.of_clips(inputs))
        found[name] = scores, labels.targets([part[index] for index in readable])
    return found
