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
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
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
_READ = 2**18  # samples, all channels, that are decoded at a time
_HIGHEST_RATE = 2**24  # Hz: above is a damaged header, or a rate that turns seconds into gigabytes
_LOUDEST = 1e12  # samples: above, which takes a damaged file of floats, the squares of spectra are infinite
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
        ValueError: `source` is not audio, is empty, holds NaN, infinite or absurdly large samples, or is truncated (a
            stream without a stated length, such as a WAV from a pipe, cannot tell), or an argument is out of range.
    """
    _check_rate("sampling_rate", sampling_rate)
    _check_part(offset, duration)
    with _open(source) as (name, file):
        return np.concatenate(list(_resampled(name, _decode(name, file, offset, duration), sampling_rate)))


def _check_part(offset: float, duration: float | None) -> None:
    if not 0 <= offset < math.inf:
        raise ValueError(f"offset is {offset!r}; expected a finite number of seconds >= 0")
    if duration is not None and not 0 < duration < math.inf:
        raise ValueError(f"duration is {duration!r}; expected a finite number of seconds > 0, or None")


def stream_audio(
    source: str | os.PathLike | bytes | bytearray | memoryview | BinaryIO,
    sampling_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
) -> Iterator[np.ndarray]:
    """Decodes a sound bit by bit: the blocks, end to end, are what [`load_audio`] returns, to the last bit.

    Memory does not grow with the length, except for what only torchcodec reads (m4a, aac, mp4, webm). A WAV from a
    stream that cannot seek, such as a pipe, is decoded as it arrives; other formats are first copied to a temporary
    file.

    Args:
        source, offset, duration: As for [`load_audio`].
        sampling_rate: Samples per second of the blocks.

    Yields:
        float32 arrays of shape `(samples,)`, channels averaged; some may be empty.

    Raises:
        As [`load_audio`], though only when it gets there: blocks before the damage have been yielded by then.
    """
    _check_rate("sampling_rate", sampling_rate)
    _check_part(offset, duration)
    with _open(source, spool=not offset and duration is None) as (name, file):
        decode = _decode_pipe(name, file) if isinstance(file, _Pipe) else _decode(name, file, offset, duration)
        yield from _resampled(name, decode, sampling_rate)


RAW_FORMATS = {"u8": "u1", "s16": "<i2", "s32": "<i4", "f32": "<f4", "f64": "<f8"}  # little-endian


def stream_raw(
    file: BinaryIO, rate: int, format: str = "s16", channels: int = 1, sampling_rate: int = 16000
) -> Iterator[np.ndarray]:
    """As [`stream_audio`], of samples without a header, as they arrive.

    Args:
        file: Binary file object, such as `sys.stdin.buffer`.
        rate: Samples per second and channel in the file.
        format: A key of `RAW_FORMATS`: unsigned or signed integers or floats, of so many bits, little-endian.
        channels: Interleaved channels in the file.
        sampling_rate: Samples per second of the blocks.
    """
    _check_rate("rate", rate)
    _check_rate("sampling_rate", sampling_rate)
    if format not in RAW_FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(RAW_FORMATS)}")
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise ValueError(f"channels is {channels!r}; expected a whole number of at least 1")
    dtype = np.dtype(RAW_FORMATS[format])
    full_scale = {"u": 2**7, "i": 2 ** (8 * dtype.itemsize - 1), "f": 1}[dtype.kind]
    read = getattr(file, "read1", file.read)  # what is there, not waiting for a full block
    name, size = str(getattr(file, "name", "raw audio")), dtype.itemsize * channels

    def blocks():
        rest = b""
        while data := read(2**16):
            data = rest + data
            whole = len(data) - len(data) % size
            rest = data[whole:]
            samples = np.frombuffer(data[:whole], dtype).reshape(-1, channels).astype(np.float32)
            yield (samples.mean(axis=1) - (full_scale if dtype.kind == "u" else 0)) / np.float32(full_scale), rate
        if rest:
            raise ValueError(f"{name} ends within a sample: {len(rest)} bytes are left of {size}")

    return _resampled(name, blocks(), sampling_rate)


def stream_microphone(
    sampling_rate: int = 16000, seconds: float | None = None, device: int | str | None = None
) -> Iterator[np.ndarray]:
    """As [`stream_audio`], of the microphone, by the library `sounddevice`.

    Args:
        sampling_rate: Samples per second of the blocks; the device records at its own rate.
        seconds: When to stop; `None` goes on until the generator is closed or the user interrupts (Ctrl-C), which
            ends the sound instead of raising.
        device: Number or part of the name of the device; `None` for the system's choice.

    Raises:
        ValueError: `sounddevice`, or the library PortAudio under it, is missing; there is no such device.
    """
    _check_rate("sampling_rate", sampling_rate)
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds is {seconds!r}; expected a finite number > 0, or None")
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio not found
        raise ValueError(f"recording needs sounddevice and PortAudio ({error}): pip install sounddevice") from error

    def blocks():
        try:
            with sounddevice.InputStream(device=device, channels=1, dtype="float32") as stream:
                rate = round(stream.samplerate)
                left = math.inf if seconds is None else round(seconds * rate)
                while left > 0:
                    samples, _ = stream.read(min(rate // 10, left))
                    left -= len(samples)
                    yield samples.mean(axis=1), rate
        except KeyboardInterrupt:
            return
        except (ValueError, sounddevice.PortAudioError) as error:
            raise ValueError(f"the microphone cannot be read: {error}") from error

    return _resampled("the microphone", blocks(), sampling_rate)


def _resampled(name: str, blocks: Iterator[tuple[np.ndarray, int]], sampling_rate: int) -> Iterator[np.ndarray]:
    """Blocks and their rate -> blocks at `sampling_rate`, continuous over their borders. Checks the samples."""
    stream, found = None, False
    for waveform, rate in blocks:
        if not np.isfinite(waveform).all():
            raise ValueError(f"{name} holds NaN or infinite samples; expected finite ones")
        if len(waveform) and np.abs(waveform).max() > _LOUDEST:
            raise ValueError(f"{name} holds samples above {_LOUDEST:g}; expected about 1 at most")
        found |= len(waveform) > 0
        if rate == sampling_rate:
            yield waveform
            continue
        if stream is None:
            import soxr

            stream = soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32", quality="HQ")
        yield stream.resample_chunk(waveform)
    if not found:
        raise ValueError(f"{name} gave zero samples; expected at least one")
    if stream is not None:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


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


def find_audio_files(folder: str | os.PathLike, onerror: Callable[[OSError], object] | None = None) -> list[Path]:
    """Lists the sounds under a folder, sorted: files whose suffix is in `AUDIO_EXTENSIONS`, hidden ones left out.

    Linked folders are followed, each real folder once. A folder that cannot be read raises its OSError, or is left
    out after `onerror(error)`, if given.
    """
    if not os.path.isdir(folder):
        error = ValueError if os.path.exists(folder) else FileNotFoundError
        raise error(f"{os.fspath(folder)} is not a folder; expected one with audio files")

    def stop(error: OSError) -> None:
        raise error

    def is_file(path: Path) -> bool:
        try:
            return path.is_file() or not path.exists()  # a link to nothing: whoever opens it says so
        except PermissionError:  # so too
            return True

    found, seen = [], set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=onerror or stop):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            visible = (Path(root, name) for name in files if not name.startswith("."))
            found += [path for path in visible if path.suffix.lower() in AUDIO_EXTENSIONS and is_file(path)]
        seen.add(real)
    return sorted(found)


def _check_rate(name: str, rate: int) -> None:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or rate <= 0:
        raise ValueError(f"{name} is {rate!r}; expected a positive whole number of samples per second")


class _Pipe:
    """The reading end of a pipe into which a thread copies a stream that cannot seek."""

    def __init__(self, head: bytes, source: BinaryIO):
        self.fileno, writer = os.pipe()

        def copy() -> None:
            # BrokenPipeError: nobody reads on
            with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as file:
                data, read = head, getattr(source, "read1", source.read)  # read1: what is there, without waiting
                while data:
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
                    data = read(2**16)

        threading.Thread(target=copy, daemon=True).start()


@contextlib.contextmanager
def _open(source, spool: bool = False) -> Iterator[tuple[str, BinaryIO | _Pipe]]:
    """Yields a name for messages and a seekable binary file; closes only what it opened.

    What cannot seek is read into memory or, to `spool`, a WAV becomes a `_Pipe` and anything else a temporary file.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield "audio given as bytes", io.BytesIO(source)
        return
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, os.PathLike)):
            name = os.fsdecode(source)
            if "\0" in name:
                raise ValueError(f"{name!r} holds a NUL character; expected the path of an audio file")
            if os.path.isdir(name):
                raise ValueError(f"{name} is a directory; expected an audio file")
            if not os.path.lexists(name):
                raise FileNotFoundError(f"{name} does not exist; expected an audio file")
            file = stack.enter_context(open(name, "rb"))
        elif hasattr(source, "read") and not isinstance(source, io.TextIOBase):
            name, file = str(getattr(source, "name", "audio file object")), source
        else:
            raise ValueError(
                f"source is of type {type(source).__name__}; expected a path, bytes or a binary file object"
            )
        if hasattr(file, "seekable") and file.seekable():
            yield name, file
        elif not spool:
            yield name, io.BytesIO(file.read())
        elif (head := file.read(4)) in (b"RIFF", b"RIFX"):
            pipe = _Pipe(head, file)
            stack.callback(os.close, pipe.fileno)
            yield name, pipe
        else:
            copy = stack.enter_context(tempfile.TemporaryFile())
            copy.write(head)
            shutil.copyfileobj(file, copy)
            yield name, copy


@functools.cache
def _forward_sound_file() -> type:
    """A `soundfile.SoundFile` that does not seek between reads, which spoils MP3s and fails in pipes."""
    import soundfile

    class Forward(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return Forward


def _read(sound, stop: float, name: str, size: int = _READ) -> Iterator[np.ndarray]:
    """The next `stop` samples or fewer, channels averaged, in blocks of `size` samples of all channels."""
    import soundfile

    while stop > 0:
        try:
            with _interrupt_held():
                block = sound.read(min(stop, max(1, size // sound.channels)), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{name} is truncated or damaged: {error.error_string or 'reading failed'}") from error
        if not len(block):
            return
        stop -= len(block)
        yield block.mean(axis=1)


@contextlib.contextmanager
def _interrupt_held() -> Iterator[None]:
    """Holds Ctrl-C back: one that falls into what libsndfile calls, a file object's methods, would be lost there."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held = []
    signal.signal(signal.SIGINT, lambda *given: held.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


def _decode_pipe(name: str, pipe: _Pipe) -> Iterator[tuple[np.ndarray, int]]:
    """`_decode` for the WAV in a pipe."""
    import soundfile

    try:
        sound = _forward_sound_file()(pipe.fileno, closefd=False)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be decoded as audio ({error.error_string.rstrip('.')})") from error
    with sound:
        _check_header_rate(name, sound.samplerate)
        found = 0
        tenth = max(1, sound.samplerate // 10)  # of a second: what waits for more would keep a listener waiting
        for block in _read(sound, math.inf, name, tenth * sound.channels):
            found += len(block)
            yield block, sound.samplerate
        stated = sound.frames
    # Whoever writes into a pipe does not know the length, and states one near 2**31 or 2**32 bytes.
    if found < stated < (2**31 - 2**16) // (8 * sound.channels):
        raise ValueError(f"{name} is truncated: it ends after {found} of {stated} samples")


def _check_header_rate(name: str, rate: int) -> None:
    if not 0 < rate <= _HIGHEST_RATE:
        raise ValueError(f"{name} states {rate} samples per second; expected 1 to {_HIGHEST_RATE}")


def _decode(name: str, file: BinaryIO, offset: float, duration: float | None) -> Iterator[tuple[np.ndarray, int]]:
    """Yields the part asked for in blocks, channels averaged (samples,), with its sampling rate."""
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
        with _interrupt_held():
            sound = _forward_sound_file()(file)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a file object named *.raw
        reason = getattr(error, "error_string", "no header")
        if "malformed" in reason:  # cut off: FFmpeg would return what is left
            raise ValueError(f"{name} is truncated or damaged: {reason}") from error
        yield fall_back(reason)
        return
    with sound:
        rate, total = sound.samplerate, sound.frames
        _check_header_rate(name, rate)
        if total == 2**63 - 1:  # a FLAC written to a pipe: libsndfile fails where it ends
            yield fall_back("its header does not state its length")
            return
        _refuse_truncated(name, sound.format, tail, sound.extra_info)
        position = round(offset * rate)
        if position >= total > 0:
            raise ValueError(f"offset is {offset} s; expected less than {total / rate:.3f} s, the length of {name}")
        stop = total if duration is None else min(total, position + round(duration * rate))
        # Without a Xing or Info header an MP3's length is guessed: too long is harmless, too short loses sound.
        guessed = sound.format == "MP3" and b"Xing" not in head and b"Info" not in head
        if guessed and stop == total and _ends_early(file, total, size):
            yield fall_back("an MP3 of varying bit rate whose header does not state its length")
            return
        end = begin = max(0, _warm_up(sound.format, position, tail))
        try:
            with _interrupt_held():
                sound.seek(begin)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{name} is truncated or damaged: {error.error_string or 'seeking failed'}") from error
        for block in _read(sound, stop - begin, name):
            skipped = max(0, position - end)
            end += len(block)
            yield block[skipped:], rate
        if not guessed and end < stop - (_MP3_SLACK if sound.format == "MP3" else 0):
            raise ValueError(f"{name} is truncated: it ends after {end} of {total} samples")


def _ends_early(file: BinaryIO, total: int, size: int) -> bool:
    """Whether the guessed last sample of an MP3 lies well before the end of its bytes."""
    import soundfile

    place = file.tell()
    file.seek(0)
    with contextlib.suppress(soundfile.LibsndfileError), soundfile.SoundFile(file) as probe:
        probe.seek(total)
    end = file.tell()
    file.seek(place)
    return end < size - 4096


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
