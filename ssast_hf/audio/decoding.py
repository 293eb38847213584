# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Decodes one sound: the loader that the library, the command line and the recipes share."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, BinaryIO, cast

import numpy as np

from ..utils.logs import get_logger
from .containers import MP3_SLACK, OGG_PAGE, chain_links, missing_bytes, mp3_ends_early, unclosed_wav, warm_up
from .libsndfile import UNKNOWN_LENGTH, check_header_rate, forward_sound_file, interrupt_held, read_blocks
from .mixing import Mixer, check_channel
from .opening import Encoded, Window, open_sound
from .other_decoders import decode_otherwise
from .resampling import check_rate, resampled

logger = get_logger(__name__)


def load_audio(
    source: Encoded,
    sampling_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    accept_truncated: bool = False,
) -> np.ndarray:
    """Decodes a sound, averages its channels and resamples it.

    libsndfile reads WAV, FLAC, Ogg (Vorbis, Opus; also chained), MP3, AIFF, AU, CAF and W64; torchcodec, or else the
    program ffmpeg, reads what they know beyond that, where one is installed.

    Args:
        source: A path, the bytes of an encoded file, or a binary file object (read from its beginning).
        sampling_rate: Samples per second of the result.
        offset: Seconds to skip. Skipped sound is not decoded.
        duration: Seconds to read, at most; `None` reads to the end.
        channel: The channel to take, counted from 1; `None` takes the mean of all.
        accept_truncated: Whether to return what is left of a truncated file, with a logged warning, instead of
            raising.

    Returns:
        `np.ndarray` of shape `(samples,)`, float32, nominally in [-1, 1].

    Raises:
        FileNotFoundError: `source` is a path that does not exist.
        ValueError: `source` is not audio, is empty, holds NaN, infinite or absurdly large samples, or is truncated (a
            stream without a stated length, such as a WAV from a pipe, cannot tell), or an argument is out of range.
    """
    check_rate("sampling_rate", sampling_rate)
    with open_sound(source) as (name, file):
        part = Part(name, offset, duration, channel, accept_truncated)
        return np.concatenate(list(resampled(name, decode(part, file), sampling_rate)))


def audio_seconds(source: Encoded, accept_truncated: bool = False) -> float | None:
    """
    Length of a sound in seconds as its headers state it, without decoding; None where they do not state it.

    Raises:
        FileNotFoundError or ValueError: As [`load_audio`], for what can be seen without decoding.
    """
    with open_sound(source) as (name, file):
        part = Part(name, accept_truncated=accept_truncated)
        size, head, tail, links = _look_at(part, file)
        if len(links) > 1:
            return math.fsum(seconds for _, _, seconds in _links(part, file, [*links, size]))
        try:
            stream = _open_stream(part, file, size, head, tail)
        except OtherDecoder:
            return None
        with stream.sound as sound:
            if stream.problem and not accept_truncated:
                part.truncated(sound.frames / sound.samplerate, None, stream.problem)
            unknown = stream.guessed and mp3_ends_early(file, sound.frames, size)
            return None if unknown else sound.frames / sound.samplerate


def decode_hook(method, source: Encoded, sampling_rate: int) -> np.ndarray:
    """Wraps the decoder of feature extractors (`LOADING_HOOKS`), which alone reads what libsndfile reads."""
    return load_audio(source, sampling_rate)


@dataclass(frozen=True)
class Part:
    """What to read of a sound, as [`load_audio`] takes it, and the sound's `name` for messages."""

    name: str
    offset: float = 0.0
    duration: float | None = None
    channel: int | None = None
    accept_truncated: bool = False

    def __post_init__(self):
        if not 0 <= self.offset < math.inf:
            raise ValueError(f"offset is {self.offset!r}; expected a finite number of seconds >= 0")
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise ValueError(f"duration is {self.duration!r}; expected a finite number of seconds > 0, or None")
        check_channel(self.channel)

    def truncated(self, found: float, stated: float | None = None, reason: str = "") -> None:
        """Raises ValueError for a sound that ends after `found` of `stated` seconds, or logs it where accepted."""
        if stated is not None:
            text = f"{self.name} is truncated: it ends after {found:.3f} of {stated:.3f} s"
        else:
            text = f"{self.name} is truncated or damaged: {reason}"
        if not self.accept_truncated:
            raise ValueError(f"{text}; accept_truncated=True (--accept-truncated) takes these {found:.3f} s")
        logger.warning("%s; these %.3f s are taken", text, found)


def decode(part: Part, file: BinaryIO) -> Iterator[tuple[np.ndarray, int]]:
    """Yields a part of the sound in a seekable file as blocks (samples,) of one channel, with their sampling rates."""
    size, head, tail, links = _look_at(part, file)
    if len(links) > 1:
        yield from _decode_chain(part, file, [*links, size])
    else:
        yield from _decode_stream(part, file, size, head, tail)


def _look_at(part: Part, file: BinaryIO) -> tuple[int, bytes, bytes, list[int]]:
    """Size, first and last bytes of a file, and where its streams begin. Raises ValueError for an empty file."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    if not size:
        raise ValueError(f"{part.name} is empty (0 bytes); expected an audio file")
    file.seek(max(0, size - OGG_PAGE))
    tail = file.read()
    file.seek(0)
    head = file.read(OGG_PAGE)
    links = chain_links(file, head)
    file.seek(0)
    return size, head, tail, links


def _links(part: Part, file: BinaryIO, bounds: list[int]) -> Iterator[tuple[int, int, float]]:
    """First byte, end and seconds of each stream of a chain, of which each begins at one of `bounds`."""
    import soundfile

    for start, stop in pairwise(bounds):
        try:
            with interrupt_held():
                info = soundfile.info(Window(file, start, stop))
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{part.name} is a chained Ogg file, whose stream at byte {start} cannot be decoded as audio "
                f"({error.error_string.rstrip('.')})"
            ) from error
        yield start, stop, info.frames / info.samplerate


def _decode_chain(part: Part, file: BinaryIO, bounds: list[int]) -> Iterator[tuple[np.ndarray, int]]:
    """[`decode`] for several streams, of which each begins at one of `bounds` and ends at the next."""
    left, skip = math.inf if part.duration is None else part.duration, part.offset
    total = 0.0
    for start, stop, seconds in _links(part, file, bounds):
        total += seconds
        if skip >= seconds:
            skip -= seconds
            continue
        wanted = min(left, seconds - skip)
        link = replace(part, offset=skip, duration=None if math.isinf(left) or wanted < left else wanted)
        yield from decode(link, cast(BinaryIO, Window(file, start, stop)))
        left, skip = left - wanted, 0.0
        if left <= 0:
            return
    if skip > 0 or part.offset >= total:
        raise _beyond(part, total)


class OtherDecoder(Exception):
    """libsndfile cannot read a sound, for the reason given."""


@dataclass(frozen=True)
class Stream:
    """
    A stream that libsndfile reads.

    Args:
        sound (`soundfile.SoundFile`): Open.
        guessed (`bool`): Whether `sound.frames` is a guess. Without a Xing or Info header an MP3's length is: too long
            is harmless, too short loses sound.
        problem (`str`, *optional*): How the file is truncated.
    """

    sound: Any
    guessed: bool = False
    problem: str | None = None


def _open_stream(part: Part, file: BinaryIO, size: int, head: bytes, tail: bytes) -> Stream:
    """Opens a file with a single stream. Raises OtherDecoder, or ValueError for a damaged file."""
    import soundfile

    unclosed = unclosed_wav(head, size)
    try:
        with interrupt_held():
            sound = forward_sound_file()(Window(file, 0, size, unclosed) if unclosed else file)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a file object named *.raw
        reason = getattr(error, "error_string", "no header")
        if "does not exist" in reason:  # which libsndfile says of a damaged MP3, too
            reason = "damaged, or of an unknown format"
        if "malformed" in reason:  # truncated: FFmpeg would return what is left
            raise ValueError(f"{part.name} is truncated or damaged: {reason}") from error
        raise OtherDecoder(reason) from error
    try:
        check_header_rate(part.name, sound.samplerate)
        if sound.frames == UNKNOWN_LENGTH:  # a FLAC written to a pipe: libsndfile fails where it ends
            raise OtherDecoder("its header does not state its length")
    except BaseException:
        sound.close()
        raise
    missing, problem = missing_bytes(sound.format, tail, sound.extra_info), None
    if missing:
        problem = f"its last part has {missing[0]} bytes; expected {missing[1]}"
    elif unclosed:
        problem = "its header states 0 bytes of sound, and more follow"
    return Stream(sound, sound.format == "MP3" and b"Xing" not in head and b"Info" not in head, problem)


def _decode_stream(part: Part, file: BinaryIO, size: int, head: bytes, tail: bytes) -> Iterator:
    """[`decode`] for a file with a single stream."""
    try:
        stream = _open_stream(part, file, size, head, tail)
    except OtherDecoder as error:
        yield from decode_otherwise(part, file, head, str(error))
        return
    with stream.sound as sound:
        rate, total = sound.samplerate, sound.frames
        if stream.problem:
            part.truncated(total / rate, None, stream.problem)
        position = round(part.offset * rate)
        stop = total if part.duration is None else min(total, position + round(part.duration * rate))
        if stream.guessed and stop == total and mp3_ends_early(file, total, size):
            reason = "an MP3 of varying bit rate whose header does not state its length"
            yield from decode_otherwise(part, file, head, reason, length_known=False)
            return
        if position >= total > 0:
            raise _beyond(part, total / rate)
        slack = MP3_SLACK if sound.subtype.startswith("MPEG") else 0
        yield from _read_part(part, sound, position, stop, tail, math.inf if stream.guessed else slack)


def _read_part(part: Part, sound, position: int, stop: int, tail: bytes, slack: float) -> Iterator:
    """The samples from `position` to `stop`; the sound may end `slack` samples earlier."""
    rate, mix, end = sound.samplerate, Mixer(part.name, part.channel), 0
    begin = warm_up(sound.format, sound.subtype, position, tail)
    end = _seek(part, sound, begin)
    try:
        for block in read_blocks(sound, stop - end, part.name):
            skipped = max(0, position - end)
            end += len(block)
            if skipped < len(block):
                yield mix(block[skipped:]), rate
    except ValueError as error:
        if not part.accept_truncated or end <= position:
            raise
        part.truncated(end / rate, None, str(error).partition(": ")[2])
    else:
        if end < stop - slack:
            part.truncated(end / rate, sound.frames / rate)
    mix.warn()


def _seek(part: Part, sound, begin: int) -> int:
    """Seeks to sample `begin`; returns where it is: at 0 in what libsndfile can only read from the beginning."""
    import soundfile

    try:
        with interrupt_held():
            return sound.seek(begin)  # to 0, too: without it, the first samples of an MP3 differ in the last bit
    except soundfile.LibsndfileError as error:
        if "unseekable" in (error.error_string or ""):  # GSM 6.10
            return 0
        raise ValueError(f"{part.name} is truncated or damaged: {error.error_string or 'seeking failed'}") from error


def _beyond(part: Part, seconds: float) -> ValueError:
    return ValueError(f"offset is {part.offset} s; expected less than {seconds:.3f} s, the length of {part.name}")
