# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads and resamples sound: the one loader that the library, the command line and the recipes share."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

# libsndfile reads the first group by itself; the second needs torchcodec and FFmpeg.
_SOUNDFILE_EXTENSIONS = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")
_TORCHCODEC_EXTENSIONS = (".aac", ".m4a", ".mp4", ".webm")
AUDIO_EXTENSIONS = _SOUNDFILE_EXTENSIONS + _TORCHCODEC_EXTENSIONS

_OGG_PAGE = 65307  # bytes of the longest Ogg page
_MP3_SLACK = 2 * 1152  # samples by which good encoders misstate an MP3's length: two MPEG frames
_MP3_WARM_UP = 10 * 1152  # samples decoded before the wanted ones: a frame builds on up to 9 earlier ones
_HEADER_SLACK = 64  # bytes by which some writers overstate a data chunk: they count its own header


def load_audio(
    source: str | os.PathLike | bytes | bytearray | memoryview | BinaryIO,
    sampling_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
) -> np.ndarray:
    """Decodes a sound, averages its channels and resamples it.

    Args:
        source: A path, the bytes of an encoded file, or a binary file object (read from its beginning).
        sampling_rate: Samples per second of the result.
        offset: Seconds to skip. Skipped sound is not decoded.
        duration: Seconds to read, at most; `None` reads to the end.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32, nominally in [-1, 1].

    Raises:
        FileNotFoundError: `source` is a path that does not exist.
        ValueError: `source` is not audio, is empty, holds NaN or infinite samples, or is truncated (a stream without
            a stated length, such as a WAV from a pipe, cannot tell), or an argument is out of range.
    """
    _check_rate("sampling_rate", sampling_rate)
    if not 0 <= offset < math.inf:
        raise ValueError(f"offset is {offset!r}; expected a finite number of seconds >= 0")
    if duration is not None and not 0 < duration < math.inf:
        raise ValueError(f"duration is {duration!r}; expected a finite number of seconds > 0, or None")
    with _open(source) as (name, file):
        waveform, rate = _decode(name, file, offset, duration)
    if not len(waveform):
        raise ValueError(f"{name} gave zero samples; expected at least one")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name} holds NaN or infinite samples; expected finite ones")
    return resample(waveform, rate, sampling_rate)


def resample(waveform: np.ndarray, orig_rate: int, new_rate: int) -> np.ndarray:
    """Changes the sampling rate (soxr, quality "HQ").

    Args:
        waveform: Shape `(samples,)` or `(samples, channels)`.
        orig_rate: Samples per second of `waveform`.
        new_rate: Samples per second of the result.

    Returns:
        float32 array with `samples * new_rate / orig_rate` samples, rounded; `waveform` itself if the rates agree.
    """
    import soxr

    _check_rate("orig_rate", orig_rate)
    _check_rate("new_rate", new_rate)
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim not in (1, 2):
        raise ValueError(f"waveform has shape {waveform.shape}; expected (samples,) or (samples, channels)")
    return waveform if orig_rate == new_rate else soxr.resample(waveform, orig_rate, new_rate, quality="HQ")


def find_audio_files(folder: str | os.PathLike) -> list[Path]:
    """Lists the sounds under a folder, sorted: files whose suffix is in `AUDIO_EXTENSIONS`, hidden ones left out.

    Linked folders are followed, each real folder once.
    """
    if not os.path.isdir(folder):
        error = ValueError if os.path.exists(folder) else FileNotFoundError
        raise error(f"{os.fspath(folder)} is not a folder; expected one with audio files")

    def stop(error: OSError) -> None:
        raise error

    found, seen = [], set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=stop):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            visible = (Path(root, name) for name in files if not name.startswith("."))
            found += [path for path in visible if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_file()]
        seen.add(real)
    return sorted(found)


def _check_rate(name: str, rate: int) -> None:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate <= 0:
        raise ValueError(f"{name} is {rate!r}; expected a positive whole number of samples per second")


@contextlib.contextmanager
def _open(source) -> Iterator[tuple[str, BinaryIO]]:
    """Yields a name for messages and a seekable binary file; closes only what it opened."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield "audio given as bytes", io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        name = os.fsdecode(source)
        if os.path.isdir(name):
            raise ValueError(f"{name} is a directory; expected an audio file")
        if not os.path.lexists(name):
            raise FileNotFoundError(f"{name} does not exist; expected an audio file")
        with open(name, "rb") as file:
            yield name, file if file.seekable() else io.BytesIO(file.read())
    elif hasattr(source, "read") and not isinstance(source, io.TextIOBase):
        seekable = hasattr(source, "seekable") and source.seekable()
        yield str(getattr(source, "name", "audio file object")), source if seekable else io.BytesIO(source.read())
    else:
        raise ValueError(f"source is of type {type(source).__name__}; expected a path, bytes or a binary file object")


def _decode(name: str, file: BinaryIO, offset: float, duration: float | None) -> tuple[np.ndarray, int]:
    """Returns the part asked for, channels averaged (samples,), and its sampling rate."""
    import soundfile

    file.seek(0, os.SEEK_END)
    size = file.tell()
    if not size:
        raise ValueError(f"{name} is empty (0 bytes); expected an audio file")
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read()
    file.seek(0)
    head = file.read(_OGG_PAGE)
    file.seek(0)
    fall_back = functools.partial(_decode_with_torchcodec, name, file, head, offset, duration)
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a file object named *.raw
        reason = getattr(error, "error_string", "no header")
        if "malformed" in reason:  # cut off: FFmpeg would return what is left
            raise ValueError(f"{name} is truncated or damaged: {reason}") from error
        return fall_back(reason)
    with sound:
        rate, total = sound.samplerate, sound.frames
        if total == 2**63 - 1:  # a FLAC written to a pipe: libsndfile fails where it ends
            return fall_back("its header does not state its length")
        _refuse_truncated(name, sound.format, tail, sound.extra_info)
        position = round(offset * rate)
        if position >= total > 0:
            raise ValueError(f"offset is {offset} s; expected less than {total / rate:.3f} s, the length of {name}")
        stop = total if duration is None else min(total, position + round(duration * rate))
        begin = max(0, _warm_up(sound.format, position, tail))
        try:
            sound.seek(begin)
            # In one call: between calls soundfile seeks, which spoils MP3s.
            waveform = sound.read(stop - begin, dtype="float32", always_2d=True).mean(axis=1)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{name} is truncated or damaged: {error.error_string or 'seeking failed'}") from error
        end = begin + len(waveform)
        # Without a Xing or Info header an MP3's length is guessed: too long is harmless, too short loses sound.
        guessed = sound.format == "MP3" and b"Xing" not in head and b"Info" not in head
        if guessed and stop == total and file.tell() < size - 4096:
            return fall_back("an MP3 of varying bit rate whose header does not state its length")
        if not guessed and end < stop - (_MP3_SLACK if sound.format == "MP3" else 0):
            raise ValueError(f"{name} is truncated: it ends after {end} of {total} samples")
    return waveform[position - begin :], rate


def _warm_up(container: str, position: int, tail: bytes) -> int:
    """Returns where to seek to for `position`: libsndfile 1.2 is inexact in MP3s and in the last page of an Ogg."""
    if container == "MP3":
        return position - _MP3_WARM_UP
    if container == "OGG":  # bytes 6 to 13 of a page count the samples up to its end
        ends = [int.from_bytes(tail[i.start() + 6 : i.start() + 14], "little") for i in re.finditer(b"OggS", tail)]
        return min(position, ends[-2] - 1 if len(ends) > 1 else 0)
    return position


def _refuse_truncated(name: str, container: str, tail: bytes, log: str) -> None:
    """Raises ValueError where libsndfile would silently return what is left of a truncated file."""
    found = expected = 0  # bytes
    page = tail.rfind(b"OggS") if container == "OGG" else -1
    if 0 <= page <= len(tail) - 27:  # the last page: 27 bytes, a table of segment sizes, the segments (RFC 3533)
        table = tail[page + 27 : page + 27 + tail[page + 26]]
        found, expected = len(tail) - page, 27 + tail[page + 26] + sum(table)
    elif match := re.search(r"(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", log):
        expected, found = int(match[1]) - _HEADER_SLACK, int(match[2])
    if found < expected < 2**31 - 2**16:  # a streamed file holds a placeholder near 2**31 or 2**32 for its length
        raise ValueError(f"{name} is truncated: its last part has {found} bytes; expected {expected}")


def _decode_with_torchcodec(
    name: str, file: BinaryIO, head: bytes, offset: float, duration: float | None, reason: str
) -> tuple[np.ndarray, int]:
    """`_decode` for what libsndfile cannot read, for `reason`."""
    message = f"{name} cannot be decoded as audio ({reason.rstrip('.')})"
    try:
        from torchcodec.decoders import AudioDecoder
    except (ImportError, RuntimeError, OSError) as error:
        if name.lower().endswith(_TORCHCODEC_EXTENSIONS) or head[4:8] == b"ftyp" or "length" in reason:
            message += "; torchcodec with FFmpeg reads such files, but it cannot be imported here"
        raise ValueError(message) from error
    file.seek(0)
    try:
        decoder = AudioDecoder(file)
        samples = decoder.get_samples_played_in_range(offset, None if duration is None else offset + duration)
        promised = decoder.metadata.duration_seconds
    except (RuntimeError, ValueError) as error:
        detail = re.sub(r"^.*\.cpp:\d+, ", "", str(error).splitlines()[0])
        raise ValueError(f"{message}, and torchcodec says: {detail}") from error
    rate, end = samples.sample_rate, offset + samples.data.shape[1] / samples.sample_rate
    # Raw AAC and MP3 (they begin with a byte 0xFF) have no header, and FFmpeg only guesses how long they are.
    if promised and head[0] != 0xFF and end < min(promised, offset + (duration or promised)) - 0.5:
        raise ValueError(f"{name} is truncated: it ends after {end:.3f} of {promised:.3f} s")
    return samples.data.mean(dim=0).numpy(), rate
