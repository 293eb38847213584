# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files that recorders, streams and broken machines leave, against what was written and against ffmpeg."""

import io
import logging
import shutil
import struct
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile

from ssast_hf.audio import find_audio_files, load_audio, other_decoders, stream_audio, stream_raw
from ssast_hf.audio.find import passed_over
from ssast_hf.audio.mixing import Mixer
from ssast_hf.data.clips import Clip

RATE = 16000
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(autouse=True)
def without_torchcodec(monkeypatch):
    for name in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, name, None)


def tone(pitch, seconds=1.0, rate=RATE):
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(waveform, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, **options)
    return file.getvalue()


def by_ffmpeg(path, rate):
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(rate), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_read_whole(subtype, tmp_path):
    """Two streams of other pitch, length and rate: what is read is one after the other, also in parts."""
    parts = [tone(440, 1.5, 48000), tone(880, 1.0, 24000)]
    data = b"".join(encoded(part, rate, format="OGG", subtype=subtype) for part, rate in zip(parts, (48000, 24000)))
    alone = [load_audio(encoded(part, rate, format="OGG", subtype=subtype)) for part, rate in
             zip(parts, (48000, 24000))]  # fmt: skip
    whole = load_audio(data)
    assert len(whole) == 40000
    np.testing.assert_allclose(whole[500:23500], alone[0][500:23500], atol=1e-4)
    np.testing.assert_allclose(whole[24500:], alone[1][500:], atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(data))), whole)
    for offset, duration in ((0.5, 0.5), (1.2, 0.8), (1.7, None), (2.3, 9.0)):
        part = load_audio(data, RATE, offset, duration)
        expected = whole[round(offset * RATE) :][: None if duration is None else round(duration * RATE)]
        assert abs(len(part) - len(expected)) <= 1
        assert np.corrcoef(part[200:-200], expected[200 : len(part) - 200])[0, 1] > 0.999
    with pytest.raises(ValueError, match=r"offset is 2.5 s; expected less than 2.500 s"):
        load_audio(data, offset=2.5)
    if shutil.which("ffmpeg"):
        (tmp_path / "a.ogg").write_bytes(data)
        assert abs(len(by_ffmpeg(tmp_path / "a.ogg", RATE)) - len(whole)) < RATE / 10


def test_streams_of_one_serial_number_are_a_chain_too(tmp_path):
    """A file joined to itself, `cat a.ogg a.ogg`; its length is that of both, and so it is after the file changes."""
    one = encoded(tone(440, 1.5), format="OGG", subtype="VORBIS")
    path = tmp_path / "a.ogg"
    for count in (2, 3):
        path.write_bytes(count * one)
        np.testing.assert_array_equal(load_audio(path), np.tile(load_audio(one), count))
        assert Clip(str(path)).seconds() == pytest.approx(count * 1.5)
    assert Clip(str(path), offset=4.0).seconds() == pytest.approx(0.5)


@needs_ffmpeg
def test_mp3_of_varying_bit_rate_without_a_header_is_read_in_parts_too(tmp_path):
    """libsndfile takes it for 1 s long; its length is unknown, and parts are those of ffmpeg's decoding."""
    path = tmp_path / "a.mp3"
    source = ["-f", "lavfi", "-i", "sine=frequency=440:duration=7:sample_rate=44100"]
    command = ["ffmpeg", "-v", "error", *source, "-q:a", "4", "-write_xing", "0", path]
    subprocess.run(command, check=True)
    assert soundfile.info(str(path)).duration < 2
    assert Clip(str(path)).seconds() is None
    whole = by_ffmpeg(path, 44100)
    np.testing.assert_allclose(load_audio(path, 44100), whole, atol=1e-6)
    for offset, duration in ((0.5, 0.3), (0.5, 3.0), (5.0, 1.0), (6.0, None)):
        start, stop = round(offset * 44100), None if duration is None else round((offset + duration) * 44100)
        np.testing.assert_allclose(load_audio(path, 44100, offset, duration), whole[start:stop], atol=1e-5)
    with pytest.raises(ValueError, match="offset is 8.0 s; expected less than 7.0"):
        load_audio(path, offset=8.0)


@needs_ffmpeg
def test_flac_of_unknown_length_is_read_whole_and_in_parts(tmp_path):
    path = tmp_path / "a.flac"
    samples = np.round(tone(440, 3.0) * 2**15) / 2**15
    wav = encoded(samples, format="WAV", subtype="PCM_16")
    path.write_bytes(subprocess.run(["ffmpeg", "-v", "error", "-i", "-", "-f", "flac", "-"], input=wav,
                                    capture_output=True, check=True).stdout)  # fmt: skip
    assert Clip(str(path)).seconds() is None
    np.testing.assert_array_equal(load_audio(path), samples)
    np.testing.assert_array_equal(load_audio(path, RATE, 1.5, 0.5), samples[24000:32000])


def test_a_truncated_file_has_no_length_unless_it_is_accepted(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(tone(440, 2.0), format="WAV", subtype="PCM_16")[: 44 + 2 * 20000])
    assert Clip(str(path)).seconds() is None
    assert Clip(str(path), accept_truncated=True).seconds() == 1.25


def test_a_loud_sound_is_named_once(tmp_path, caplog):
    path = tmp_path / "integers.wav"
    soundfile.write(path, 20000 * tone(440), RATE, subtype="FLOAT")
    for _ in range(2):
        np.testing.assert_array_equal(load_audio(path), 20000 * tone(440))
    assert len(caplog.messages) == 1
    assert "integers.wav peaks at 6000" in caplog.text and "expected in [-1, 1]" in caplog.text


def test_gsm_in_wav_is_read_in_parts_too():
    samples = tone(440, 2.0, 8000)
    data = encoded(samples, 8000, format="WAV", subtype="GSM610")
    whole = load_audio(data, 8000)
    assert np.corrcoef(whole[:16000], samples)[0, 1] > 0.98
    np.testing.assert_array_equal(load_audio(data, 8000, 0.5, 0.25), whole[4000:6000])


def test_mp3_in_wav_is_read():
    """An MP3's frames in a WAV header whose `fact` chunk counts the samples without the encoder's padding."""
    samples = tone(440, 2.0, 44100)
    mp3 = encoded(samples, 44100, format="MP3")
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 44100, 8000, 1, 0, 12, 1, 2, 417, 1, 1393)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"fact" + struct.pack("<II", 4, len(samples) + 1200)
    chunks += b"data" + struct.pack("<I", len(mp3)) + mp3
    data = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
    loaded = load_audio(data, 44100)
    assert abs(len(loaded) - len(samples)) <= 2 * 1152
    assert np.corrcoef(loaded[4410:80000], load_audio(mp3, 44100)[4410:80000])[0, 1] > 0.99


def test_a_recording_cut_by_power_loss_is_refused_or_taken_as_far_as_it_goes(caplog):
    samples = tone(440, 2.0)
    cut = encoded(samples, format="WAV", subtype="PCM_16")[: 44 + 2 * 20000]
    unclosed = bytearray(cut)
    struct.pack_into("<I", unclosed, 4, 0)
    struct.pack_into("<I", unclosed, 40, 0)
    for data in (cut, bytes(unclosed)):
        with pytest.raises(ValueError, match=r"truncated.*\(--accept-truncated\) takes these 1.250 s"):
            load_audio(data)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            np.testing.assert_allclose(load_audio(data, accept_truncated=True), samples[:20000], atol=2**-14)
        assert "these 1.250 s are taken" in caplog.text


def test_a_truncated_flac_is_taken_as_far_as_it_goes():
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 30 * RATE)
    data = encoded(samples, format="FLAC", subtype="PCM_16")
    data = data[: len(data) * 2 // 3]
    with pytest.raises(ValueError, match="truncated"):
        load_audio(data)
    taken = load_audio(data, accept_truncated=True)
    assert 10 * RATE < len(taken) < 21 * RATE
    np.testing.assert_allclose(taken, samples[: len(taken)], atol=2**-14)


def test_one_channel_can_be_chosen():
    both = np.stack([tone(440), tone(880)], axis=1)
    data = encoded(both, format="WAV", subtype="FLOAT")
    for channel in (1, 2):
        np.testing.assert_array_equal(load_audio(data, channel=channel), both[:, channel - 1])
        raw = stream_raw(io.BytesIO(both.tobytes()), RATE, "f32", 2, RATE, channel)
        np.testing.assert_array_equal(np.concatenate(list(raw)), both[:, channel - 1])
    with pytest.raises(ValueError, match="channel is 3; audio given as bytes has 2, counted from 1"):
        load_audio(data, channel=3)
    for channel in (0, -1, 1.0, True):
        with pytest.raises(ValueError, match="channel is"):
            load_audio(data, channel=channel)


def test_channels_that_cancel_each_other_are_told(caplog, monkeypatch):
    monkeypatch.setattr(Mixer, "warned", set())
    left = tone(440)
    for share, warned in ((-1.0, True), (-0.9, True), (-0.7, False), (1.0, False)):
        caplog.clear()
        Mixer.warned.clear()
        load_audio(encoded(np.stack([left, share * left], axis=1), format="WAV", subtype="FLOAT"))
        assert ("cancel each other" in caplog.text) == warned, share  # (1 + share) / 2: -26 dB at -0.9, -16 at -0.7
        assert not warned or "--channel 1" in caplog.text


@needs_ffmpeg
@pytest.mark.parametrize("ending, options", [
    ("m4a", ["-c:a", "aac"]), ("wma", []), ("mka", ["-c:a", "ac3"]), ("flac", ["-f", "flac"]),
])  # fmt: skip
def test_what_libsndfile_cannot_read_is_read_by_the_program_ffmpeg(ending, options, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 3.0, 44100), 44100)
    path = tmp_path / f"a.{ending}"
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", *options]
    if ending == "flac":  # into a pipe: its header then does not state its length
        path.write_bytes(subprocess.run([*command, "-"], capture_output=True, check=True).stdout)
    else:
        subprocess.run([*command, path], check=True)
    expected = by_ffmpeg(path, 44100)
    for source in (path, path.read_bytes()):
        np.testing.assert_allclose(load_audio(source, 44100), expected, atol=1e-6)
    part = load_audio(path, 44100, 1.0, 0.5)
    np.testing.assert_allclose(part, expected[44100:66150], atol=1e-6 if ending != "m4a" else 1e-3)  # it seeks
    assert find_audio_files(tmp_path) == sorted([tmp_path / "a.wav", path])


@needs_ffmpeg
def test_an_m4a_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "a.m4a"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=440:d=5", "-movflags", "faststart", path],
                   check=True)  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="truncated|cannot be decoded"):
        load_audio(path)


def test_a_broken_torchcodec_is_named_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "torchcodec").mkdir()
    (tmp_path / "torchcodec" / "__init__.py").touch()
    (tmp_path / "torchcodec" / "decoders.py").write_text("raise RuntimeError('libavutil.so.59: not found')")
    monkeypatch.delitem(sys.modules, "torchcodec")
    monkeypatch.delitem(sys.modules, "torchcodec.decoders")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(other_decoders, "ffmpeg_program", lambda: None)
    with pytest.raises(ValueError, match="installed and cannot be imported here .libavutil.so.59: not found"):
        load_audio(b"\0\0\0\x20ftypM4A " + bytes(1000))
    for name in ("torchcodec", "torchcodec.decoders"):
        sys.modules.pop(name, None)


def test_folders_give_whatever_can_be_read_and_count_the_rest(tmp_path, monkeypatch):
    for ending in ("au", "caf", "w64", "aifc", "rf64", "wav"):
        format = {"aifc": "AIFF"}.get(ending, ending.upper())
        soundfile.write(tmp_path / f"a.{ending}", tone(440), RATE, format=format)
    for name in ("b.txt", "c.txt", "d.wma", "README"):
        (tmp_path / name).touch()
    monkeypatch.setattr(other_decoders, "ffmpeg_program", lambda: None)
    others = Counter()
    found = find_audio_files(tmp_path, others=others)
    assert [path.suffix for path in found] == [".aifc", ".au", ".caf", ".rf64", ".w64", ".wav"]
    assert {len(load_audio(path)) for path in found} == {RATE}
    line = passed_over(tmp_path, others)
    assert "4 file(s) passed over: 2 .txt" in line and "1 without suffix" in line and "reads .wma" in line
    assert passed_over(tmp_path, Counter()) is None
