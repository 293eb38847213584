# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from ssast_hf import SSASTFeatureExtractor
from ssast_hf.feature_extraction_ssast import FRAMES_PER_CHUNK, log_mel_filterbank, mel_filters, num_frames

RATE = {"sampling_rate": 16000}


@pytest.fixture(scope="module")
def extractor() -> SSASTFeatureExtractor:
    return SSASTFeatureExtractor()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def naive_filterbank(waveform: np.ndarray, bins: int, rate: int) -> np.ndarray:
    """Kaldi's definition, frame by frame in float64, with the filters written from their definition."""
    length, shift = rate // 40, rate // 100
    size = 1 << (length - 1).bit_length()
    waveform = waveform.astype(np.float64) - waveform.astype(np.float64).mean()
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(mel(20), mel(rate / 2), bins + 2)
    frames = []
    for start in range(0, len(waveform) - length + 1, shift):
        frame = waveform[start : start + length]
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        frame = frame * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1)))
        power = np.abs(np.fft.rfft(frame, size)) ** 2
        energies = np.zeros(bins)
        for i in range(bins):
            left, centre, right = edges[i : i + 3]
            for k in range(size // 2):
                m = mel(k * rate / size)
                if left < m < right:
                    energies[i] += power[k] * (
                        (m - left) / (centre - left) if m <= centre else (right - m) / (right - centre)
                    )
        frames.append(np.log(np.maximum(energies, 1.1920928955078125e-07)))
    return np.array(frames)


@pytest.mark.parametrize(("bins", "rate", "samples"), [(128, 16000, 2000), (40, 16000, 1234), (64, 8000, 900)])
def test_filterbank_equals_a_naive_loop(bins, rate, samples):
    found = log_mel_filterbank(torch.from_numpy(noise(samples))[None], bins, rate)[0].numpy()
    np.testing.assert_allclose(found, naive_filterbank(noise(samples), bins, rate), atol=2e-3)


def test_long_recordings_are_computed_in_chunks_that_leave_no_trace():
    samples = 400 + 160 * (2 * FRAMES_PER_CHUNK["cpu"] + 7)
    whole = log_mel_filterbank(torch.from_numpy(noise(samples))[None])[0]
    assert len(whole) == num_frames(samples) == 2 * FRAMES_PER_CHUNK["cpu"] + 8
    start = FRAMES_PER_CHUNK["cpu"] - 3
    waveform = noise(samples) - noise(samples).mean(dtype=np.float64).astype(np.float32)
    part = torch.from_numpy(waveform[160 * start : 160 * (start + 5) + 400])[None]
    torch.testing.assert_close(log_mel_filterbank(part)[0], whole[start : start + 6], atol=1e-2, rtol=0)


def test_low_mel_filters_may_be_empty_at_128_bins():
    filters = mel_filters(128, 16000, 512)
    assert filters.shape == (257, 128)
    assert (filters.sum(dim=0) == 0).sum() > 0
    assert (filters[-1] == 0).all()


@pytest.mark.parametrize("samples", [400, 559, 560, 16000, 20001])
def test_frames_are_snipped_as_kaldi_does(extractor, samples):
    features = extractor(noise(samples), **RATE, padding=False)["input_values"]
    assert features[0].shape == ((samples - 400) // 160 + 1, 128)
    assert features[0].dtype == np.float32


def test_default_output_is_padded_with_zeros_before_normalisation(extractor):
    outputs = extractor(noise(16000), **RATE, return_tensors="pt")
    assert outputs.keys() == {"input_values"}
    assert outputs.input_values.shape == (1, 1024, 128)
    padding = (0 - extractor.mean) / (2 * extractor.std)
    torch.testing.assert_close(outputs.input_values[0, 98:], torch.full((926, 128), padding))


def test_normalisation_is_mean_and_twice_the_deviation():
    raw = SSASTFeatureExtractor(do_normalize=False)(noise(16000), **RATE, padding=False)["input_values"][0]
    found = SSASTFeatureExtractor(mean=-6.0, std=3.0)(noise(16000), **RATE, padding=False)["input_values"][0]
    np.testing.assert_allclose(found, (raw + 6) / 6, atol=1e-6)


def test_batches_equal_single_clips_whatever_they_come_as(extractor):
    clips = [noise(5000, 1), noise(7000, 2), noise(5000, 3)]
    alone = [extractor(clip, **RATE, padding=False)["input_values"][0] for clip in clips]
    for batch in (clips, tuple(clips), [torch.from_numpy(clip) for clip in clips], [clip.tolist() for clip in clips],
                  [clip.astype(np.float64) for clip in clips]):  # fmt: skip
        outputs = extractor(batch, **RATE, padding="longest", return_tensors="np")
        assert outputs.input_values.shape == (3, 42, 128)
        np.testing.assert_array_equal(outputs.attention_mask.sum(axis=1), [29, 42, 29])
        for found, expected in zip(outputs.input_values, alone):
            np.testing.assert_allclose(found[: len(expected)], expected, atol=2e-3)
    square = np.stack([clips[0], clips[2]])
    for batch in (square, torch.from_numpy(square)):
        found = extractor(batch, **RATE, padding=True, return_tensors="np").input_values
        np.testing.assert_allclose(found, np.stack([alone[0], alone[2]]), atol=2e-3)


@pytest.mark.filterwarnings("error")
def test_read_only_arrays_and_other_byte_orders_are_taken(extractor):
    """As `np.frombuffer` and files of other machines give them."""
    expected = extractor(noise(1600), **RATE)["input_values"][0]
    for given in (np.frombuffer(noise(1600).tobytes(), np.float32), noise(1600).astype(">f4")):
        np.testing.assert_array_equal(extractor(given, **RATE)["input_values"][0], expected)


def test_a_list_of_numbers_is_one_waveform(extractor):
    waveform = noise(800)
    expected = extractor(waveform, **RATE, return_tensors="np").input_values
    np.testing.assert_array_equal(extractor(waveform.tolist(), **RATE, return_tensors="np").input_values, expected)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero"), [("int16", 2**15, 0), ("int32", 2**31, 0), ("int8", 2**7, 0), ("uint8", 2**7, 128)]
)
def test_integer_pcm_is_scaled(extractor, dtype, scale, zero):
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    pcm = rng.integers(info.min, info.max, 1600, dtype=dtype, endpoint=True)
    expected = extractor(((pcm.astype(np.float64) - zero) / scale).astype(np.float32), **RATE, return_tensors="np")
    for given in (pcm, torch.from_numpy(pcm), list(pcm)):
        found = extractor(given, **RATE, return_tensors="np").input_values
        np.testing.assert_allclose(found, expected.input_values, atol=1e-5)


def test_python_integers_are_taken_as_16_bit_pcm(extractor):
    pcm = (20000 * noise(1600)).astype(np.int16)
    expected = extractor(pcm, **RATE, return_tensors="np").input_values
    np.testing.assert_array_equal(extractor(pcm.tolist(), **RATE, return_tensors="np").input_values, expected)
    with pytest.raises(ValueError, match=r"int64, expected floats in \[-1, 1\] or PCM as int8, uint8, int16 or int32"):
        extractor([10**6] * 1600, **RATE)


def test_a_float_waveform_at_pcm_scale_is_not_taken_silently(extractor, caplog):
    import transformers

    transformers.logging.enable_propagation()
    try:
        extractor(32768 * noise(1600), **RATE)
    finally:
        transformers.logging.disable_propagation()
    assert "divide PCM" in caplog.text


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros(0, np.float32), "Waveform 1 has 0 samples, expected at least 400"),
        (np.zeros(399, np.float32), "Waveform 1 has 399 samples, expected at least 400"),
        (np.full(500, np.nan, np.float32), "Waveform 1 has NaN or infinite samples"),
        (np.array([np.inf] + [0.0] * 500), "Waveform 1 has NaN or infinite samples"),
        (np.zeros((2, 500), np.float32), r"Waveform 1 has shape \(2, 500\).*waveform.mean\(0\)"),
        (np.zeros((500, 2), np.float32), r"Waveform 1 has shape \(500, 2\).*waveform.mean\(1\)"),
        (np.zeros(500, bool), "Waveform 1 is of torch.bool"),
        (np.full(500, -(2**63)), "Waveform 1 is of torch.int64"),
        (np.zeros(500, complex), "Waveform 1 is of torch.complex"),
        (["a"] * 500, "Waveform 1"),
        ([[0.0] * 500, [0.0] * 400], "Waveform 1"),
    ],
)
def test_bad_waveforms_are_named(extractor, item, message):
    with pytest.raises(ValueError, match=message):
        extractor([noise(800), item], **RATE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "empty list"),
        (np.zeros((0, 400), np.float32), "empty batch"),
        (np.zeros((2, 1, 400), np.float32), r"\(samples,\) or \(batch, samples\)"),
        (np.zeros((44100, 2), np.float32), r"mix channels down first, with waveform.mean\(1\)"),
        (None, "Found NoneType"),
        ("sound.wav", "Found str"),
    ],
)
def test_what_is_no_batch_of_waveforms_is_refused(extractor, given, message):
    with pytest.raises(ValueError, match=message):
        extractor(given, **RATE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling_rate": 44100}, "44100 Hz, expected 16000 Hz"),
        ({"padding": "sometimes"}, "sometimes"),
        ({"max_length": 0}, "`max_length` is 0"),
        ({"max_length": "10"}, "`max_length` is '10'"),
        ({"max_length": 10.5}, "`max_length` is 10.5"),
        ({"pad_to_multiple_of": True}, "`pad_to_multiple_of` is True"),
        ({"return_tensors": "tf"}, "tf"),
        ({"paddding": True}, "paddding"),
        ({"truncation": False, "max_length": 10}, "104 frames, more than max_length=10"),
        ({"padding": False, "return_tensors": "pt"}, "do not fit one tensor"),
    ],
)
def test_bad_arguments_are_named(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        extractor([noise(16000), noise(17000)], **{**RATE, **arguments})


def test_lengths(extractor):
    clips = [noise(16000), noise(32000)]
    assert extractor(clips, **RATE, max_length=50, return_tensors="np").input_values.shape == (2, 50, 128)
    long = extractor(clips, **RATE, padding="longest", truncation=False, pad_to_multiple_of=16, return_tensors="np")
    assert long.input_values.shape == (2, 208, 128)
    assert long.attention_mask.tolist() == [[1] * 98 + [0] * 110, [1] * 198 + [0] * 10]
    masked = extractor(clips, **RATE, return_attention_mask=True, return_tensors="np")
    assert masked.attention_mask.shape == (2, 1024)
    bare = extractor(clips, **RATE, padding=True, return_attention_mask=False)
    assert "attention_mask" not in bare


@pytest.mark.parametrize(
    "values",
    [
        {"std": 0}, {"std": float("nan")}, {"std": "1"}, {"mean": None}, {"mean": True},
        {"padding_value": float("inf")},
        {"padding_side": "left"}, {"feature_size": 2}, {"max_length": 0}, {"num_mel_bins": 1.5}, {"sampling_rate": 50},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        SSASTFeatureExtractor(**values)


def test_it_is_saved_and_loaded(tmp_path):
    extractor = SSASTFeatureExtractor(mean=-6.6, std=5.3, max_length=512, num_mel_bins=64)
    extractor.save_pretrained(tmp_path)
    assert (tmp_path / "preprocessor_config.json").exists()
    assert SSASTFeatureExtractor.from_pretrained(tmp_path).to_dict() == extractor.to_dict()


def test_settings_of_numpys_types_are_saved(tmp_path):
    SSASTFeatureExtractor(
        mean=np.float32(-6.5), max_length=np.int64(512), sampling_rate=np.int64(8000)
    ).save_pretrained(tmp_path)
    loaded = SSASTFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.mean, loaded.max_length, loaded.sampling_rate) == (-6.5, 512, 8000)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_stay_on_their_device(extractor):
    features = extractor(torch.from_numpy(noise(16000)).cuda(), **RATE, return_tensors="pt").input_values
    assert features.is_cuda
    expected = extractor(noise(16000), **RATE, return_tensors="pt").input_values
    torch.testing.assert_close(features.cpu(), expected, atol=5e-3, rtol=0)
