# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Whatever the length, rate, channels, type and format: finite results of the right shape, or a ValueError."""

import io

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTModel,
    load_audio,
)  # fmt: skip
from ssast_hf.audio import stream_audio
from ssast_hf.feature_extraction_ssast import num_frames

from .conftest import SMALL

few = settings(
    max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
FORMATS = [("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("FLAC", "PCM_24"),
           ("AIFF", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]  # fmt: skip
CONFIG = SSASTConfig(**SMALL, max_length=64, num_labels=3)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


@few
@given(
    kind=st.sampled_from(FORMATS), rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]),
    channels=st.integers(1, 2), samples=st.integers(0, 30000), target=st.sampled_from([4000, 16000, 22050]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_written_sound_is_read_with_its_length(kind, rate, channels, samples, target, seed):
    file = io.BytesIO()
    soundfile.write(file, noise(seed, samples, channels), rate, format=kind[0], subtype=kind[1])
    try:
        waveform = load_audio(file.getvalue(), target)
    except ValueError as error:
        assert samples == 0 or kind[0] in ("OGG", "MP3"), error
        return
    assert waveform.dtype == np.float32 and np.isfinite(waveform).all()
    if kind[0] not in ("OGG", "MP3"):
        assert abs(len(waveform) - samples * target / rate) <= 1
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(file.getvalue(), target))), waveform)


@few
@given(data=st.binary(max_size=2000), head=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"]))
def test_bytes_are_sound_or_a_value_error(data, head):
    try:
        assert np.isfinite(load_audio(head + data)).all()
    except ValueError as error:
        assert str(error)


@few
@given(
    data=st.data(), samples=st.integers(0, 12000),
    dtype=st.sampled_from(["float16", "float32", "float64", "int16", "int32", "int8", "uint8", "int64", "bool"]),
    scale=st.sampled_from([0, 1e-30, 1, 1000, 1e20, 1e38]), padding=st.sampled_from(["max_length", "longest", False]),
)  # fmt: skip
def test_features_are_finite_and_of_the_promised_shape(data, samples, dtype, scale, padding):
    waveform = noise(data.draw(st.integers(0, 99)), samples)
    with np.errstate(over="ignore", invalid="ignore"):
        waveform = (waveform * (scale if "float" in dtype else 100)).astype(dtype)
    extractor = SSASTFeatureExtractor(max_length=64)
    try:
        features = extractor(waveform, sampling_rate=16000, padding=padding, return_tensors="pt")["input_values"]
    except ValueError as error:
        assert samples < 400 or dtype == "bool" or ("float" in dtype and scale >= 1e5), error
        return
    frames = 64 if padding == "max_length" else min(64, num_frames(samples))
    assert features.shape == (1, frames, 128) and features.isfinite().all()


@few
@given(
    frames=st.integers(1, 150), real=st.integers(0, 150), batch=st.integers(1, 3), bins=st.sampled_from([128, 64]),
    kind=st.sampled_from([SSASTModel, SSASTForAudioClassification, SSASTForPreTraining]), seed=st.integers(0, 99),
)  # fmt: skip
def test_models_give_finite_outputs_for_any_length(frames, real, batch, bins, kind, seed):
    torch.manual_seed(0)
    model = kind(CONFIG).eval()
    values = torch.from_numpy(noise(seed, batch, frames, bins))
    mask = (torch.arange(frames) < min(real, frames)).long().expand(batch, -1)
    try:
        with torch.no_grad():
            outputs = model(values, attention_mask=mask)
    except ValueError as error:
        assert frames < 16 or bins != 128, error
        return
    assert all(value.isfinite().all() for value in outputs.values() if torch.is_tensor(value))
    if kind is SSASTForAudioClassification:
        assert outputs.logits.shape == (batch, 3)
    elif kind is SSASTModel:
        assert outputs.last_hidden_state.shape == (batch, 2 + 8 * (frames // 16), 32)
