# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Windows and what their scores are joined to: more sound of the same kind changes hardly anything."""

import numpy as np
import pytest
import torch

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, load_audio
from ssast_hf.checkpoints import BUNDLED
from ssast_hf.export.to_onnx import export_onnx
from ssast_hf.inference import classify, load_classifier
from ssast_hf.inference.batches import windows_of
from ssast_hf.inference.classify import run_classifier
from ssast_hf.inference.windows import ScoreJoiner, Windows

from ..conftest import SMALL

NAME = "ssast-tiny-patch-debian-kinds"
RATE, FRAME, SHIFT = 16000, 400, 160
WINDOW = 511 * SHIFT + FRAME  # samples, of the classifier's 512 frames
LONGEST = 3 * WINDOW
few = settings(
    max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def kinds():
    model, extractor = load_classifier(NAME), SSASTFeatureExtractor.from_pretrained(NAME)
    assert windows_of(extractor, model.config.max_length).length == WINDOW
    return model, extractor


def sound_of(kind: str, value: float) -> np.ndarray:
    """Sound that stays as it is, in three windows' length."""
    time = np.arange(LONGEST) / RATE
    if kind == "tone":
        return (0.3 * np.sin(2 * np.pi * 100 * 30**value * time)).astype(np.float32)
    if kind == "buzz":
        return (0.2 * np.sign(np.sin(2 * np.pi * 100 * 10**value * time))).astype(np.float32)
    noise = np.random.default_rng(int(1000 * value)).standard_normal(LONGEST)
    noise = lfilter([1], [1, -(1.8 * value - 0.9)], noise)
    return (0.3 * noise / np.abs(noise).max()).astype(np.float32)


def scores_of(kinds, waveform: np.ndarray) -> np.ndarray:
    joiner = ScoreJoiner()
    for event in run_classifier(*kinds, [iter([waveform])]):
        if hasattr(event, "output"):
            joiner.add(event.output, event.weight)
        else:
            assert event.error is None
    return joiner.take()


@few
@given(
    kind=st.sampled_from(["tone", "buzz", "noise"]), value=st.floats(0, 1),
    samples=st.integers(WINDOW, LONGEST - 1600), more=st.integers(0, 1600),
)  # fmt: skip
def test_up_to_100_ms_more_of_the_same_sound_change_no_score_by_more_than_a_twentieth(
    kinds, kind, value, samples, more
):
    sound = sound_of(kind, value)
    before, after = scores_of(kinds, sound[:samples]), scores_of(kinds, sound[: samples + more])
    assert np.abs(after - before).max() <= 0.05


@pytest.mark.parametrize("name", ["loop/loop_breakbeat", "guitar/guit_harmonics", "effect/misc_crow", "tom/drum"])
def test_75_ms_beyond_a_window_change_no_score_of_a_recording_by_more_than_a_twentieth(kinds, name):
    """A last window of 30 ms used to count as much as a whole one: up to 0.43 here."""
    waveform = load_audio(next((BUNDLED / "sounds").glob(f"{name}*")))
    waveform = np.tile(waveform, -(-2 * WINDOW // len(waveform)))
    for samples in (WINDOW, WINDOW + 480, WINDOW + 1000):
        before, after = (scores_of(kinds, waveform[:n]) for n in (samples, samples + 1200))
        assert np.abs(after - before).max() <= 0.05


@few
@given(
    length=st.integers(FRAME, 5000), hop=st.integers(1, 6000), samples=st.integers(1, 20000),
    block=st.sampled_from([1000, 333, 7777]),
)  # fmt: skip
def test_windows_equal_a_plain_loop_however_the_sound_arrives(length, hop, samples, block):
    windows = Windows(RATE, length, hop, FRAME)
    expected, start, reached = [], 0, 0
    while start == 0 or (samples - start >= FRAME and reached < samples):
        reached = min(samples, start + length)
        expected.append((start, reached))
        start += hop
    assert windows.spans(samples) == expected
    waveform = np.arange(samples, dtype=np.float32)
    cut = list(windows.cut(waveform[i : i + block] for i in range(0, samples, block)))
    assert [(start, start + len(values)) for start, values in cut] == expected
    assert all((values == waveform[start : start + len(values)]).all() for start, values in cut)


def test_a_mean_is_weighted_by_the_sound_in_each_window():
    rng = np.random.default_rng(0)
    scores, weights = rng.random((5, 3)), rng.integers(400, 40000, 5)
    for aggregate, expected in (("mean", np.average(scores, axis=0, weights=weights)), ("max", scores.max(axis=0))):
        joiner = ScoreJoiner(aggregate)
        for _ in range(2):  # it starts again
            for row, weight in zip(scores, weights):
                joiner.add(row, int(weight))
            np.testing.assert_allclose(joiner.take(), expected)
            assert joiner.take() is None
    with pytest.raises(ValueError, match="'mean', 'max'"):
        ScoreJoiner("median")


def test_exported_models_join_the_same_windows(tmp_path):
    """Two windows and a rest, by torch and by onnxruntime."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("ssast_hf.export.runtime")
    soundfile = pytest.importorskip("soundfile")
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, initializer_range=0.2)
    for mask in (True, False):
        model = SSASTForAudioClassification(config).eval()
        extractor = SSASTFeatureExtractor(max_length=64, return_attention_mask=mask)
        export_onnx(model, extractor, tmp_path / f"{mask}.onnx")
        rng = np.random.default_rng(0)
        path = tmp_path / "long.wav"
        soundfile.write(path, np.linspace(0.01, 0.5, 24000) * rng.standard_normal(24000).clip(-1, 1), RATE)
        ((_, expected),) = classify(model, extractor, [path])
        ((_, found, seconds),) = runtime.classify(runtime.OnnxModel(tmp_path / f"{mask}.onnx"), [path])
        assert found == pytest.approx(expected, abs=1e-4) and seconds == 1.5
