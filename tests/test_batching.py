# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sound as `datasets` and torchcodec give it, in the extractor: equal to the file that `load_audio` reads."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
import torch

from ssast_hf import SSASTFeatureExtractor, load_audio

CROW = Path(__file__).parent / "data/sounds/misc_crow.flac"  # 44.1 kHz, mono


class Decoder:
    """As torchcodec's `AudioDecoder`: (channels, samples) at the file's rate."""

    def __init__(self, path):
        samples, self.rate = soundfile.read(path, dtype="float32", always_2d=True)
        self.data = torch.from_numpy(samples.T.copy())

    def get_all_samples(self):
        return SimpleNamespace(data=self.data, sample_rate=self.rate)


@pytest.fixture
def stereo(tmp_path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal((48000, 2))
    soundfile.write(tmp_path / "stereo.wav", noise, 48000)
    return tmp_path / "stereo.wav"


def forms(path: Path) -> dict:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return {
        "array": {"path": str(path), "array": mono, "sampling_rate": rate},
        "raw": {"raw": mono, "sampling_rate": rate},
        "tensor": {"array": torch.from_numpy(mono), "sampling_rate": torch.tensor(rate)},
        "list": {"array": mono.tolist(), "sampling_rate": rate},
        "PCM": {"array": np.round(mono * 2**15).astype(np.int16), "sampling_rate": rate},
        "bytes": {"bytes": path.read_bytes(), "path": "elsewhere.flac"},
        "path": {"bytes": None, "path": str(path)},
        "decoder": Decoder(path),
    }


@pytest.mark.parametrize("form", ["array", "raw", "tensor", "list", "PCM", "bytes", "path", "decoder"])
def test_each_form_equals_the_file(form):
    extractor = SSASTFeatureExtractor()
    expected = extractor(load_audio(CROW), sampling_rate=16000, return_tensors="np").input_values
    given = forms(CROW)[form]
    for batch in (given, [given]):
        found = extractor(batch, return_tensors="np").input_values
        np.testing.assert_allclose(found, expected, atol=0.05 if form == "PCM" else 1e-4)


@pytest.mark.parametrize("form", ["bytes", "path", "decoder"])
def test_channels_are_mixed_and_resampled_by_soxr(stereo, form):
    extractor = SSASTFeatureExtractor()
    samples, _ = soundfile.read(stereo, dtype="float32")
    waveform = soxr.resample(samples.mean(axis=1), 48000, 16000, quality="HQ")
    expected = extractor(waveform, sampling_rate=16000, padding=False)["input_values"][0]
    np.testing.assert_allclose(extractor(forms(stereo)[form], padding=False)["input_values"][0], expected, atol=1e-3)


def test_torchcodecs_decoder_and_datasets_columns(stereo):
    decoders = pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, RuntimeError))
    import datasets

    extractor = SSASTFeatureExtractor()
    expected = extractor([load_audio(CROW), load_audio(stereo)], sampling_rate=16000, return_tensors="np")
    paths = [str(CROW), str(stereo)]
    table = datasets.Dataset.from_dict({"audio": paths}).cast_column("audio", datasets.Audio())
    at_rate = table.cast_column("audio", datasets.Audio(sampling_rate=16000))
    for given, tolerance in (
        ([decoders.AudioDecoder(path) for path in paths], 1e-3),
        (table["audio"], 1e-3),
        ([row["audio"] for row in table], 1e-3),
        (table.cast_column("audio", datasets.Audio(decode=False))["audio"], 1e-4),
    ):
        found = extractor(given, return_tensors="np").input_values
        assert np.abs(found - expected.input_values).max() < tolerance
    # FFmpeg's resampling, whose filter is another: the highest bins differ, by more or less in each version of it.
    found = extractor(at_rate["audio"], return_tensors="np").input_values
    assert np.abs(found - expected.input_values)[..., :112].max() < 0.05


def test_plain_waveforms_and_sounds_that_state_their_rate_mix():
    extractor = SSASTFeatureExtractor()
    waveform = load_audio(CROW)
    found = extractor([{"path": str(CROW)}, waveform], sampling_rate=16000, return_tensors="np").input_values
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_an_array_of_waveforms_of_different_lengths_is_a_batch():
    waveforms = [np.linspace(-0.5, 0.5, samples, dtype=np.float32) for samples in (1680, 3600)]
    ragged = np.empty(2, dtype=object)
    ragged[:] = waveforms
    extractor, how = SSASTFeatureExtractor(), {"sampling_rate": 16000, "padding": True, "return_tensors": "np"}
    found, expected = extractor(ragged, **how), extractor(waveforms, **how)
    assert found["attention_mask"].sum(axis=1).tolist() == [9, 21]
    np.testing.assert_array_equal(found["input_values"], expected["input_values"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"array": np.zeros(500)}, "Waveform 0 is a dict without `sampling_rate`"),
        ({"array": np.zeros(500), "sampling_rate": -1}, "`sampling_rate` -1, expected a whole number of Hz"),
        ({"array": np.zeros(500), "sampling_rate": 22050.5}, "22050.5, expected a whole number"),
        ({"array": np.zeros(500), "sampling_rate": float("nan")}, "nan, expected a whole number"),
        ({"array": np.zeros(500), "sampling_rate": "16000"}, "'16000', expected a whole number"),
        (
            {"array": np.zeros((2, 500)), "sampling_rate": 16000},
            r"Waveform 0 has shape \(2, 500\).*waveform.mean\(0\)",
        ),
        ({"array": np.zeros(500), "sampling_rate": 48000}, "Waveform 0 has 167 samples, expected at least 400"),
        ({"bytes": None, "path": None}, "a dict with bytes, path, expected `array`"),
        ({}, "a dict with nothing, expected `array`"),
        ({"bytes": b"RIFF nonsense"}, "Waveform 0: .*cannot be decoded"),
        ([{"path": str(CROW)}, {"bytes": b""}], "Waveform 1: .*empty"),
    ],
)
def test_what_cannot_be_read_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        SSASTFeatureExtractor()(given)


def test_another_rate_is_an_error_that_says_how():
    extractor = SSASTFeatureExtractor()
    with pytest.raises(ValueError, match=r'44100 Hz, expected 16000 Hz: give {"array": waveform, "sampling_rate'):
        extractor(np.zeros(500), sampling_rate=44100)


def test_the_saved_code_reads_sound_where_the_package_is_missing(tmp_path):
    """In a process that cannot import ssast_hf, from the files that `save_pretrained` writes."""
    extractor = SSASTFeatureExtractor()
    extractor.save_pretrained(tmp_path / "saved")
    expected = extractor({"path": str(CROW)}, return_tensors="np").input_values
    code = f"""
import sys
sys.modules["ssast_hf"] = None
import numpy as np
from transformers import AutoFeatureExtractor, AutoProcessor
for auto in (AutoFeatureExtractor, AutoProcessor):
    extractor = auto.from_pretrained({str(tmp_path / "saved")!r}, trust_remote_code=True)
    features = dict(extractor({{"bytes": open({str(CROW)!r}, "rb").read()}}, padding=False))
    np.save({str(tmp_path / "found.npy")!r}, extractor.pad(features, padding="max_length")["input_values"])
"""
    environment = {"HF_HOME": str(tmp_path / "home"), "PATH": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-4)
