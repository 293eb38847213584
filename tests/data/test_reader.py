# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pieces of clips cost one short read each, from files and from decoded sound."""

import numpy as np
import pytest
import soundfile

from ssast_hf.audio import load_audio
from ssast_hf.data import clips as clips_module
from ssast_hf.data.clips import Clip
from ssast_hf.data.decoded import decode, fingerprint
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.training.augment import Augmentation, LabelledClips

RATE, MINUTES = 16000, 20


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory) -> Clip:
    """20 minutes in which sample i is (i mod 30000) / 2**15: its place within 1.9 s."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    samples = (np.arange(MINUTES * 60 * RATE) % 30000).astype(np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return Clip(str(path), "x")


@pytest.fixture
def reads(monkeypatch) -> list[float]:
    """Seconds of each read of a file."""
    seconds = []

    def spy(*arguments):
        waveform = load_audio(*arguments)
        seconds.append(len(waveform) / RATE)
        return waveform

    monkeypatch.setattr(clips_module, "load_audio", spy)
    return seconds


def test_a_crop_of_a_long_file_costs_one_short_read(long_clip, reads):
    whole = load_audio(long_clip.path)
    targets = np.ones((1, 1), np.float32)
    dataset = LabelledClips([long_clip], Reader(RATE, Skipped()), targets, 10.0, Augmentation(), seed=3)
    for epoch in range(20):
        dataset.set_epoch(epoch)
        crop = dataset[0]["waveform"]
        start = int(np.random.default_rng((3, epoch, 0, 0)).integers(len(whole) - len(crop) + 1))
        np.testing.assert_array_equal(crop, whole[start : start + 10 * RATE])
    assert len(reads) == 20 and max(reads) <= 10.001


def test_a_mixed_crop_costs_two_short_reads(long_clip, reads):
    targets = np.ones((1, 1), np.float32)
    dataset = LabelledClips([long_clip], Reader(RATE, Skipped()), targets, 10.0, Augmentation(mixup=1.0))
    assert len(dataset[0]["waveform"]) == 10 * RATE
    assert len(reads) == 2 and max(reads) <= 10.001


def test_the_length_of_a_part_is_not_a_sample_short(tmp_path):
    """What is left of a file after an offset has the samples that `load_audio` reads, whatever floats round to."""
    soundfile.write(tmp_path / "a.wav", np.zeros(10 * RATE), RATE)
    for offset in np.arange(1, 99) / 10:
        clip = Clip(str(tmp_path / "a.wav"), None, float(offset))
        assert Reader(RATE, Skipped()).length(clip) == len(clip.load(RATE))


def test_decoded_labelled_sound_keeps_silent_clips(tmp_path):
    sound = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "sound.wav", sound, RATE)
    clips = [Clip(str(tmp_path / name), "x") for name in ("silent.wav", "sound.wav", "missing.wav")]
    skipped = Skipped()
    reader = Reader(RATE, skipped, decode(clips, RATE, tmp_path / "cache", skipped, skip_silent=False))
    assert skipped.seen == {clips[2].name}
    assert not reader.read(clips[0]).any() and len(reader.read(clips[0])) == RATE
    np.testing.assert_allclose(reader.read(clips[1], 1000, 500), load_audio(clips[1].path)[1000:1500], atol=1e-4)
    without = Skipped()
    decode(clips, RATE, tmp_path / "cache", without)
    assert without.seen == {clips[0].name, clips[2].name}
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_how_a_clip_is_read_enters_the_fingerprint(long_clip):
    others = [Clip(long_clip.path, "x", channel=2), Clip(long_clip.path, "x", accept_truncated=True)]
    assert len({fingerprint([clip]) for clip in (long_clip, *others)}) == 3
