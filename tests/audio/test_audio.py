# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The loader against soundfile's own reading, analytic signals and files damaged on purpose."""

import builtins
import io
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile

from ssast_hf.audio import (
    AUDIO_EXTENSIONS,
    decoding,
    find_audio_files,
    load_audio,
    other_decoders,
    resample,
    stream_audio,
    stream_microphone,
    stream_raw,
)

from ..fake_microphone import FakeMicrophone

SOUNDS = Path(__file__).parents[1] / "data" / "sounds"
RATE = 44100
# file type, soundfile's subtype, largest difference to the samples written
LOSSLESS = [
    ("WAV", "PCM_U8", 2**-6),
    ("WAV", "PCM_16", 2**-14),
    ("WAV", "PCM_24", 2**-22),
    ("WAV", "PCM_32", 2**-22),
    ("WAV", "FLOAT", 0.0),
    ("WAV", "DOUBLE", 0.0),
    ("WAVEX", "PCM_16", 2**-14),
    ("RF64", "PCM_16", 2**-14),
    ("FLAC", "PCM_16", 2**-14),
    ("FLAC", "PCM_24", 2**-22),
    ("AIFF", "PCM_16", 2**-14),
    ("AIFF", "PCM_24", 2**-22),
]
LOSSY = [("OGG", "VORBIS", RATE), ("OGG", "OPUS", 48000), ("MP3", "MPEG_LAYER_III", RATE)]


@pytest.fixture(autouse=True)
def without_other_decoders(monkeypatch):
    """Every machine gives the same results, whether or not it has torchcodec or ffmpeg."""
    monkeypatch.setattr(other_decoders, "ffmpeg_program", lambda: None)
    for name in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, name, None)  # makes the import fail


def tones(seconds=1.0, rate=RATE, channels=1):
    """Sines well below 8 kHz, another pair in each channel: (samples,) or (samples, channels)."""
    time = np.arange(round(seconds * rate)) / rate
    pair = [
        np.sin(2 * np.pi * 440 * (c + 1) * time) + np.sin(2 * np.pi * 1250 * (c + 1) * time) for c in range(channels)
    ]
    return (0.2 * np.stack(pair, axis=1)).astype(np.float32).squeeze()


def encode(samples, rate=RATE, format="WAV", subtype=None, **options):
    buffer = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", rate, channels, subtype=subtype, format=format, **options) as sound:
        sound.write(samples)
    return buffer.getvalue()


@pytest.mark.parametrize("format, subtype, tolerance", LOSSLESS)
def test_lossless_types_and_bit_depths_give_back_the_written_samples(format, subtype, tolerance):
    samples = tones()
    loaded = load_audio(encode(samples, format=format, subtype=subtype), RATE)
    assert loaded.dtype == np.float32 and loaded.shape == samples.shape
    assert np.abs(loaded - samples).max() <= tolerance


@pytest.mark.parametrize("format, subtype, rate", LOSSY)
def test_lossy_types_keep_the_length_and_nearly_the_samples(format, subtype, rate):
    samples = tones(rate=rate)
    loaded = load_audio(encode(samples, rate, format, subtype), rate)
    assert loaded.shape == samples.shape
    assert np.corrcoef(loaded, samples)[0, 1] > 0.99


def test_channels_are_averaged():
    samples = tones(channels=3)
    loaded = load_audio(encode(samples, subtype="FLOAT"), RATE)
    np.testing.assert_allclose(loaded, samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("path", sorted(SOUNDS.glob("*.flac")), ids=lambda path: path.stem)
def test_recordings_agree_with_soundfile_whatever_the_kind_of_source(path):
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    data = path.read_bytes()
    with path.open("rb") as file:
        file.read(100)  # the loader starts at the beginning all the same
        from_file = load_audio(file, RATE)
        assert not file.closed
    sources = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)]
    for loaded in [from_file] + [load_audio(source, RATE) for source in sources]:
        np.testing.assert_allclose(loaded, expected, atol=1e-7)
    assert len(load_audio(path)) == round(len(expected) * 16000 / RATE)


def test_streams_that_cannot_seek_are_read():
    data = encode(tones())
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        stream.write(data[:60000])
        stream.close()
    with os.fdopen(reader, "rb") as stream, pytest.raises(ValueError, match="truncated"):
        load_audio(stream)
    stream = SimpleNamespace(read=lambda: data)
    np.testing.assert_array_equal(load_audio(stream), load_audio(data))


@pytest.mark.parametrize(
    "rate, new_rate", [(44100, 16000), (48000, 16000), (22050, 16000), (8000, 16000), (96000, 16000)]
)
def test_resampling_a_sine_gives_the_sine_at_the_new_rate(rate, new_rate):
    loaded = load_audio(encode(tones(2.0, rate), rate, subtype="FLOAT"), new_rate)
    expected = tones(2.0, new_rate)
    assert loaded.shape == expected.shape
    edge = new_rate // 20
    np.testing.assert_allclose(loaded[edge:-edge], expected[edge:-edge], atol=2e-4)


def test_resampling_noise_agrees_with_cutting_its_spectrum():
    """Periodic noise is resampled exactly by keeping its Fourier coefficients below the new Nyquist frequency."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(RATE))  # one second: a coefficient per hertz
    spectrum[7000:] = 0
    period, oracle = np.fft.irfft(spectrum, RATE), np.fft.irfft(spectrum[:8001], 16000) * 16000 / RATE
    both = np.stack([np.tile(period, 3), -np.tile(period, 3)], axis=1)
    result = resample(both, RATE, 16000)
    assert result.shape == (48000, 2) and result.dtype == np.float32
    np.testing.assert_allclose(result[16000:32000, 0], oracle, atol=1e-3)  # the noise reaches 2.3
    np.testing.assert_allclose(result[:, 1], -result[:, 0], atol=1e-6)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    time = np.arange(RATE) / RATE
    assert np.abs(resample(np.sin(2 * np.pi * 12000 * time), RATE, 16000)[800:-800]).max() < 1e-3


def test_equal_rates_change_nothing():
    samples = tones()
    np.testing.assert_array_equal(resample(samples, RATE, RATE), samples)


@pytest.mark.parametrize("format, subtype", [("WAV", "PCM_16"), ("FLAC", "PCM_16")] + [pair[:2] for pair in LOSSY])
@pytest.mark.parametrize("offset, duration", [(0.0, 0.5), (0.25, 0.5), (1.0, None), (1.5, 9.0)])
def test_a_part_equals_the_slice_of_the_whole(format, subtype, offset, duration):
    rate = 48000
    data = encode(tones(2.0, rate), rate, format, subtype)
    whole = load_audio(data, rate)
    stop = None if duration is None else round((offset + duration) * rate)
    part = load_audio(data, rate, offset=offset, duration=duration)
    np.testing.assert_allclose(part, whole[round(offset * rate) : stop], atol=1e-6)
    resampled, inside = load_audio(data, 16000), slice(1600, -1600)  # apart from where the filter meets the cut
    part, slice_ = load_audio(data, 16000, offset, duration), resampled[round(offset * 16000) :]
    np.testing.assert_allclose(part[inside], slice_[: len(part)][inside], atol=1e-3)


@pytest.mark.parametrize("format", ["OGG", "MP3"])
def test_parts_of_compressed_sound_start_exactly_wherever_they_begin(format):
    """libsndfile alone gives zeros or a shift after a seek in MP3 and in the last Ogg page."""
    samples = tones(6.0, 22050)
    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.9} if format == "MP3" else {}
    data = encode(samples, 22050, format, **options)
    whole = load_audio(data, 22050)
    for offset in np.arange(0.05, 5.9, 0.173):
        start = round(offset * 22050)
        part = load_audio(data, 22050, offset=offset, duration=0.1)
        np.testing.assert_allclose(part, whole[start : start + len(part)], atol=1e-5, err_msg=f"offset {offset}")


def test_only_the_part_asked_for_is_decoded():
    """A FLAC whose end is missing still gives its beginning, because the rest is never decoded."""
    data = encode(tones(4.0), format="FLAC")
    part = load_audio(data[: len(data) * 3 // 4], RATE, offset=0.5, duration=0.5)
    np.testing.assert_array_equal(part, load_audio(data, RATE)[RATE // 2 : RATE])


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "W64", "RF64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused(format, kept):
    data = encode(tones(2.0), format=format)
    with pytest.raises(ValueError, match=r"truncated|cannot be decoded"):
        load_audio(data[: int(len(data) * kept)])


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, "plus 44", "plus 8"])
def test_wavs_whose_stated_length_is_a_placeholder_or_counts_the_header_are_read(stated):
    samples = tones()
    data = bytearray(encode(samples))
    start = data.index(b"data") + 4
    (true,) = struct.unpack_from("<I", data, start)
    struct.pack_into("<I", data, start, true + int(stated.split()[1]) if isinstance(stated, str) else stated)
    assert load_audio(bytes(data), RATE).shape == samples.shape


def test_tags_after_the_sound_are_no_truncation():
    samples = tones()
    for format in ("MP3", "OGG", "FLAC", "WAV"):
        assert len(load_audio(encode(samples, format=format) + b"TAG" + bytes(125), RATE)) == len(samples)


def test_mp3_without_a_length_header_is_whole_or_refused():
    """At a constant bit rate the guessed length is right; at a varying one libsndfile would drop most of the sound."""
    noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32) * np.linspace(0.5, 0, 4 * RATE) ** 3
    streams = {}
    for mode in ("CONSTANT", "VARIABLE"):
        data = encode(noise, format="MP3", bitrate_mode=mode, compression_level=0.5)
        assert len(load_audio(data, RATE)) == len(noise)
        streams[mode] = data[data.index(b"\xff\xfb", 4) :]  # without the first frame, which holds the length
    assert len(noise) <= len(load_audio(streams["CONSTANT"], RATE)) <= len(noise) + 3 * 1152
    with pytest.raises(ValueError, match="varying bit rate"):
        load_audio(streams["VARIABLE"], RATE)


def test_flac_without_a_stated_length_is_refused_clearly():
    data = bytearray(encode(tones(), format="FLAC"))
    data[21] &= 0xF0  # the lower 36 bits of the stream information count the samples
    data[22:26] = bytes(4)
    with pytest.raises(ValueError, match="does not state its length"):
        load_audio(bytes(data))


@pytest.mark.parametrize("name", ["noise.wav", "page.html", "empty-header.wav"])
def test_what_is_not_audio_is_refused_by_name(tmp_path, name):
    content = {"noise.wav": np.random.default_rng(1).bytes(5000), "page.html": b"<html>" * 100}
    (tmp_path / name).write_bytes(content.get(name, b"RIFF\0\0\0\0WAVE"))
    with pytest.raises(ValueError, match=name):
        load_audio(tmp_path / name)


def test_missing_empty_and_silly_sources_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.wav does not exist"):
        load_audio(tmp_path / "nothing.wav")
    with pytest.raises(ValueError, match="is a directory"):
        load_audio(tmp_path)
    (tmp_path / "empty.flac").touch()
    with pytest.raises(ValueError, match=r"empty.flac is empty \(0 bytes\)"):
        load_audio(tmp_path / "empty.flac")
    with pytest.raises(ValueError, match="zero samples"):
        load_audio(encode(np.zeros(0, np.float32)))
    with pytest.raises(ValueError, match="type StringIO"):
        load_audio(io.StringIO("text"))
    with pytest.raises(ValueError, match="type ndarray"):
        load_audio(np.zeros(16000))


def test_permission_errors_stay_what_they_are(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(encode(tones()))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(PermissionError):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value):
    samples = tones()
    samples[1234] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        load_audio(encode(samples, subtype="FLOAT"))


def test_damaged_floats_beyond_any_sound_are_refused():
    samples = tones()
    samples[1234] = 1e30
    with pytest.raises(ValueError, match="holds samples above 1e"):
        load_audio(encode(samples, subtype="FLOAT"))


@pytest.mark.parametrize(
    "argument, value",
    [("sampling_rate", value) for value in (0, -1, 16000.0, "16000", True, None)]
    + [("offset", value) for value in (-0.1, float("nan"), float("inf"), 1.0, 5)]
    + [("duration", value) for value in (0, -1.0, float("nan"), float("inf"))],
)
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"{argument} is"):
        load_audio(encode(tones(1.0)), **{argument: value})


def test_resample_names_wrong_arguments():
    with pytest.raises(ValueError, match="orig_rate is 0"):
        resample(np.zeros(4), 0, 16000)
    with pytest.raises(ValueError, match=r"new_rate is 1.5"):
        resample(np.zeros(4), 16000, 1.5)
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3\)"):
        resample(np.zeros((1, 2, 3)), 8000, 16000)


def test_without_torchcodec_the_error_says_what_could_read_the_file(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(1000))
    with pytest.raises(ValueError, match=r"a.m4a.*torchcodec"):
        load_audio(tmp_path / "a.m4a")
    (tmp_path / "a.txt").write_bytes(b"text" * 100)
    with pytest.raises(ValueError) as error:
        load_audio(tmp_path / "a.txt")
    assert "torchcodec" not in str(error.value).replace(str(tmp_path), "")


def test_torchcodec_is_asked_for_exactly_the_part(monkeypatch):
    torch = pytest.importorskip("torch")
    asked = []

    class AudioDecoder:
        metadata = SimpleNamespace(duration_seconds=3.0)

        def __init__(self, file):
            assert file.read(8).endswith(b"ftyp")

        def get_samples_played_in_range(self, start, stop):
            asked.append((start, stop))
            if start > 2.5:
                raise RuntimeError("/src/decoder.cpp:80, No audio frames were decoded.")
            seconds = (2.0 if start == 1.0 else stop or 3.0) - start
            return SimpleNamespace(data=torch.ones(2, round(seconds * 16000)) / 4, sample_rate=16000)

    decoders = ModuleType("torchcodec.decoders")
    decoders.AudioDecoder = AudioDecoder
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    data = b"\0\0\0\x20ftypM4A " + bytes(1000)
    loaded = load_audio(data, offset=0.5, duration=1.5)
    assert loaded.shape == (24000,) and loaded.dtype == np.float32 and (loaded == 0.25).all()
    assert load_audio(data).shape == (48000,)
    assert asked == [(0.5, 2.0), (0.0, None)]
    with pytest.raises(ValueError, match=r"truncated: it ends after 2.000 of 3.000 s"):
        load_audio(data, offset=1.0)
    with pytest.raises(ValueError, match="torchcodec says: No audio frames"):
        load_audio(data, offset=2.9)


def test_find_audio_files_sorts_and_skips_hidden_files_and_loops(tmp_path):
    names = ["b/2.WAV", "b/10.mp3", "a.flac", "c/d/e.m4a", "b/.hidden.wav", ".git/x.wav", "b/notes.txt", "wav"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    try:
        (tmp_path / "c" / "loop").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "c" / "self").symlink_to(tmp_path / "c" / "self")
        (tmp_path / "c" / "broken.wav").symlink_to(tmp_path / "nowhere.wav")
    except OSError:  # a system without links has no loops
        pass
    os.mkfifo(tmp_path / "b" / "fifo.wav")
    others: Counter[str] = Counter()
    found = find_audio_files(tmp_path, others=others)
    assert others == {".txt": 1, "": 1 + (tmp_path / "c" / "self").is_symlink(), "FIFO or device": 1}
    unfetched = (
        ["c/broken.wav"] if (tmp_path / "c" / "broken.wav").is_symlink() else []
    )  # opening it raises FileNotFoundError
    assert found == [tmp_path / name for name in ("a.flac", "b/10.mp3", "b/2.WAV", *unfetched, "c/d/e.m4a")]
    assert find_audio_files(str(tmp_path)) == found


def test_find_audio_files_follows_a_linked_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    assert find_audio_files(tmp_path / "data") == [tmp_path / "data" / "linked" / "a.wav"]
    (tmp_path / "real" / "shard.TAR").touch()
    (tmp_path / "real" / ".hidden.tar").touch()
    assert find_audio_files(tmp_path / "data", extensions=[".tar"]) == [tmp_path / "data" / "linked" / "shard.TAR"]


def test_find_audio_files_needs_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        find_audio_files(tmp_path / "nowhere")
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"a.wav is not a folder"):
        find_audio_files(tmp_path / "a.wav")


def test_extensions_are_lower_case_suffixes():
    assert all(extension == extension.lower() and extension.startswith(".") for extension in AUDIO_EXTENSIONS)


def test_importing_the_loader_imports_neither_torch_nor_decoders():
    code = "import sys, ssast_hf.audio; print([n for n in ('torch', 'soundfile', 'soxr') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.stdout.strip() == "[]", run.stderr


def join(blocks) -> np.ndarray:
    return np.concatenate(list(blocks))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "OGG", "MP3"])
def test_a_streamed_sound_equals_the_whole_to_the_last_bit(format, rate, monkeypatch):
    """Over many block borders, at which decoder and resampler go on; the whole is read and resampled at once."""
    data = encode(tones(3.0, rate, 2), rate, format)
    whole = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].mean(axis=1)
    whole = resample(whole, rate, 16000)
    read = decoding.read_blocks
    monkeypatch.setattr(decoding, "read_blocks", lambda sound, stop, name: read(sound, stop, name, 5000))
    blocks = list(stream_audio(io.BytesIO(data)))
    assert max(map(len, blocks)) <= 2500 * max(1, 16000 / rate) + 2500
    np.testing.assert_array_equal(join(blocks), whole)
    np.testing.assert_array_equal(load_audio(data), whole)


@pytest.mark.parametrize("format", ["WAV", "RF64", "FLAC", "OGG", "MP3"])
def test_a_stream_that_cannot_seek_gives_the_same_sound(format):
    data = encode(tones(2.0), format=format)
    np.testing.assert_array_equal(join(stream_audio(SimpleNamespace(read=io.BytesIO(data).read))), load_audio(data))


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "ULAW", "FLOAT"])
def test_a_pipe_gives_what_the_file_gives_however_it_is_compressed(subtype):
    """libsndfile never ended on an ADPCM in a pipe, and refused others."""
    file = io.BytesIO()
    soundfile.write(file, tones(2.0), 8000, format="WAV", subtype=subtype)
    reader, writer = os.pipe()

    def write():
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(file.getvalue())

    threading.Thread(target=write, daemon=True).start()
    with os.fdopen(reader, "rb") as stream:
        np.testing.assert_array_equal(join(stream_audio(stream, 8000)), load_audio(file.getvalue(), 8000))


def test_a_wav_in_a_pipe_is_decoded_as_it_arrives_whatever_length_it_states():
    data = bytearray(encode(tones(4.0)))
    struct.pack_into("<I", data, data.index(b"data") + 4, 0xFFFFFFFF)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        os.write(writer, data[:40000])
        blocks = stream_audio(stream, RATE)
        first = next(blocks)  # while the writer is still at it
        assert 0 < len(first) < 20000

        def finish():
            with os.fdopen(writer, "wb") as file:
                file.write(data[40000:])

        threading.Thread(target=finish, daemon=True).start()
        np.testing.assert_array_equal(np.concatenate([first, *blocks]), load_audio(bytes(data), RATE))


def test_a_wav_in_a_pipe_that_states_its_length_is_refused_when_truncated():
    data = encode(tones(2.0))
    with pytest.raises(ValueError, match="truncated"):
        join(stream_audio(SimpleNamespace(read=io.BytesIO(data[:50000]).read)))
    with pytest.raises(ValueError, match="cannot be decoded"):
        join(stream_audio(SimpleNamespace(read=io.BytesIO(b"RIFF" + bytes(100)).read)))


@pytest.mark.parametrize("rate", [1, 99, 2**24 + 1])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU"])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, kind, rate):
    """A second that is said to have one sample would be hours, resampled, of a few kilobytes."""
    data = io.BytesIO()
    soundfile.write(data, tones(1.0), rate, format=kind, subtype="PCM_16")
    (tmp_path / "x").write_bytes(data.getvalue())
    with pytest.raises(ValueError, match=rf"x states {rate} samples per second; expected 100 to 16777216"):
        load_audio(tmp_path / "x")
    with pytest.raises(ValueError, match=rf"states {rate} samples per second; expected 100 to 16777216"):
        join(stream_audio(SimpleNamespace(read=io.BytesIO(data.getvalue()).read)))


def ends_early(data: bytes) -> bytes:
    return data[:-60]


def strange_chunk(data: bytes) -> bytes:
    return data.replace(b"fact", b"\xbaact")


def endless_chunk(data: bytes) -> bytes:
    place = data.index(b"fact") + 4
    return data[:place] + struct.pack("<I", 0x8F000004) + data[place + 4 :]


def no_samples(data: bytes) -> bytes:
    return data[: data.index(b"data")]


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("damage", [ends_early, strange_chunk, endless_chunk, no_samples])
def test_a_damaged_wav_is_read_or_refused_alike_by_path_and_by_pipe(tmp_path, damage, subtype):
    """Found by benchmarks/fuzzing.py: in a pipe libsndfile passes over other chunks than in a file."""
    file = io.BytesIO()
    soundfile.write(file, tones(0.5), 16000, format="WAV", subtype=subtype)
    data = damage(file.getvalue())
    (tmp_path / "x.wav").write_bytes(data)
    found = []
    for read in (
        lambda: load_audio(tmp_path / "x.wav"),
        lambda: join(stream_audio(SimpleNamespace(read=io.BytesIO(data).read))),
    ):
        try:
            found.append(read())
        except ValueError:
            found.append(None)
    if damage is ends_early:
        assert len(found[0]) > 7900
    elif damage is not strange_chunk:
        assert found == [None, None]
    np.testing.assert_array_equal(*found)


def test_a_stream_gives_what_comes_before_the_damage():
    data = encode(np.random.default_rng(0).uniform(-0.3, 0.3, 20 * RATE), format="FLAC")
    blocks = stream_audio(data[: len(data) * 3 // 4], RATE)
    assert len(next(blocks)) > 0
    with pytest.raises(ValueError, match="truncated"):
        list(blocks)


@pytest.mark.parametrize(
    "format, written, tolerance",
    [("s16", "<i2", 2**-15), ("s32", "<i4", 1e-7), ("u8", "u1", 2**-7), ("f32", "<f4", 0), ("f64", "<f8", 1e-7)],
)
def test_raw_samples_are_read_in_any_format(format, written, tolerance):
    samples = tones(1.0, channels=2)
    kind = np.dtype(written).kind
    scale = {"i": 2 ** (8 * np.dtype(written).itemsize - 1) - 1, "u": 127, "f": 1}[kind]
    raw = (np.round(samples.astype(np.float64) * scale) + (128 if kind == "u" else 0)) if kind != "f" else samples
    pieces = iter([raw.astype(written).tobytes()[i : i + 1001] for i in range(0, len(raw) * 16, 1001)])
    file = SimpleNamespace(read=lambda _: next(pieces, b""))  # pieces that end within a sample
    blocks = join(stream_raw(file, RATE, format, 2, RATE))
    np.testing.assert_allclose(blocks, samples.mean(axis=1), atol=2 * tolerance + 1e-9)


def test_raw_samples_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"format is 's24'"):
        stream_raw(io.BytesIO(), RATE, "s24")
    with pytest.raises(ValueError, match="channels is 0"):
        stream_raw(io.BytesIO(), RATE, channels=0)
    with pytest.raises(ValueError, match="ends within a sample: 1 bytes are left of 2"):
        list(stream_raw(io.BytesIO(bytes(2001)), RATE))
    with pytest.raises(ValueError, match="zero samples"):
        list(stream_raw(io.BytesIO(), RATE))


def test_the_microphone_is_read_resampled_and_closed(monkeypatch):
    module = FakeMicrophone()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    sound = join(stream_microphone(16000, seconds=1.5))
    assert sound.shape == (24000,) and module.open == 0
    np.testing.assert_allclose(sound[1000:-1000], 0.25, atol=1e-4)
    with pytest.raises(ValueError, match="No input device"):
        list(stream_microphone(device="nothing"))
    endless = stream_microphone()
    next(endless)
    assert module.open == 1
    endless.close()
    assert module.open == 0
    with pytest.raises(ValueError, match="seconds is -1"):
        next(stream_microphone(seconds=-1))


def test_ctrl_c_ends_a_recording_without_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(stop_after=96000))
    assert len(join(stream_microphone(16000))) == 32000


def test_without_sounddevice_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ValueError, match="pip install sounddevice"):
        next(stream_microphone())


def test_find_audio_files_reports_folders_that_cannot_be_read(tmp_path, monkeypatch):
    for name in ("a/1.wav", "b/2.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path) == str(tmp_path / "a"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        find_audio_files(tmp_path)
    errors = []
    assert find_audio_files(tmp_path, errors.append) == [tmp_path / "b/2.wav"]
    assert [error.filename for error in errors] == [str(tmp_path / "a")]


def test_headers_that_promise_the_impossible_cost_no_memory():
    """A FLAC header may state 2**36 samples and a WAV a rate of 2**32 Hz: neither is believed."""
    data = bytearray(encode(tones(), format="FLAC"))
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match="truncated"):
        load_audio(bytes(data))
    data = bytearray(encode(tones()))
    struct.pack_into("<I", data, 24, 2**31 - 1)
    with pytest.raises(ValueError, match=r"samples per second|cannot be decoded|damaged"):
        load_audio(bytes(data))


@pytest.mark.parametrize("callback", ["vio_seek", "vio_read"])
def test_ctrl_c_while_libsndfile_calls_python_is_not_lost(callback):
    class Interrupting(io.BytesIO):
        def _interrupt(self):
            if sys._getframe(2).f_code.co_name == callback:
                os.kill(os.getpid(), signal.SIGINT)

        def seek(self, *args):
            self._interrupt()
            return super().seek(*args)

        def read(self, *args):
            self._interrupt()
            return super().read(*args)

        def readinto(self, *args):
            self._interrupt()
            return super().readinto(*args)

    encoded = io.BytesIO()
    soundfile.write(encoded, np.zeros(16000), 16000, format="FLAC")
    with pytest.raises(KeyboardInterrupt):
        load_audio(Interrupting(encoded.getvalue()))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
