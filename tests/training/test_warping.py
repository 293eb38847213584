# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Warped copies of spectrograms."""

import numpy as np
import pytest
import torch

from ssast_hf.training.warping import FREQUENCY, TEMPO, random_warp, warp


@pytest.mark.parametrize("frequency", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("tempo", [0.85, 1.0, 1.15])
def test_a_peak_moves_by_the_factors(tempo, frequency):
    time, mel = torch.arange(200.0)[:, None], torch.arange(128.0)
    spectrogram = -((time - 100) ** 2) / 200 - (mel - 40) ** 2 / 50
    warped = warp(spectrogram, tempo, frequency)
    assert warped.shape == (round(200 * tempo), 128)
    frame, bin_ = divmod(int(warped.argmax()), 128)
    assert abs(frame - 100 * tempo) <= 1 and abs(bin_ - 40 * frequency) <= 0.5


def test_factors_of_one_change_nothing_and_a_frame_stays_a_frame():
    spectrogram = torch.randn(17, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(warp(spectrogram, 1, 1), spectrogram)
    assert warp(spectrogram[:1], 0.85, 0.9).shape == (1, 24)


def test_lower_and_higher_both_stay_among_the_values_that_were_there():
    spectrogram = torch.linspace(0, 1, 24).repeat(10, 1)
    for frequency in (0.9, 1.1):
        np.testing.assert_allclose(
            warp(spectrogram, 1, frequency)[0], np.minimum(np.arange(24) / frequency, 23) / 23, atol=1e-6
        )


def test_a_copy_depends_on_seed_number_and_sound_alone():
    first, second = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(random_warp(first, 3, 1), random_warp(first.clone(), 3, 1))
    others = [random_warp(*draw) for draw in ((first, 4, 1), (first, 3, 2), (second, 3, 1))]
    assert all(not torch.equal(random_warp(first, 3, 1), other) for other in others)
    lengths = [len(random_warp(first, 0, copy)) for copy in range(200)]
    assert 40 * (1 - TEMPO) <= min(lengths) < 36 and 44 < max(lengths) <= 40 * (1 + TEMPO)
    assert FREQUENCY < 0.5
