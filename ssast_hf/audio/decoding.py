# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Decodes one sound: the loader that the library, the command line and the recipes share."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from .containers import MP3_SLACK, OGG_PAGE, chain_links, missing_bytes, mp3_ends_early, unclosed_wav, warm_up
from .libsndfile import UNKNOWN_LENGTH, check_header_rate, forward_sound_file, interrupt_held, read_blocks
from .mixing import Mixer, check_channel
from .opening import Encoded, Window, open_sound
from .other_decoders import decode_otherwise
from .resampling import check_rate, resampled

logger = logging.getLogger(__name__)


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
    file.seek(0, os.SEEK_END)
    size = file.tell()
    if not size:
        raise ValueError(f"{part.name} is empty (0 bytes); expected an audio file")
    file.seek(max(0, size - OGG_PAGE))
    tail = file.read()
    file.seek(0)
    head = file.read(OGG_PAGE)
    links = chain_links(file, head, tail)
    file.seek(0)
    if len(links) > 1:
        yield from _decode_chain(part, file, [*links, size])
    else:
        yield from _decode_stream(part, file, size, head, tail)


def _decode_chain(part: Part, file: BinaryIO, bounds: list[int]) -> Iterator[tuple[np.ndarray, int]]:
    """[`decode`] for several streams, of which each begins at one of `bounds` and ends at the next."""
    import soundfile

    left, skip = math.inf if part.duration is None else part.duration, part.offset
    total = 0.0
    for start, stop in pairwise(bounds):
        try:
            with interrupt_held():
                info = soundfile.info(Window(file, start, stop))
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{part.name} is a chained Ogg file, whose stream at byte {start} cannot be decoded as audio "
                f"({error.error_string.rstrip('.')})"
            ) from error
        seconds = info.frames / info.samplerate
        total += seconds
        if skip >= seconds:
            skip -= seconds
            continue
        wanted = min(left, seconds - skip)
        link = replace(part, offset=skip, duration=None if math.isinf(left) or wanted < left else wanted)
        yield from decode(link, Window(file, start, stop))
        left, skip = left - wanted, 0.0
        if left <= 0:
            return
    if skip > 0 or part.offset >= total:
        raise _beyond(part, total)


def _decode_stream(part: Part, file: BinaryIO, size: int, head: bytes, tail: bytes) -> Iterator:
    """[`decode`] for a file with a single stream."""
    import soundfile

    name = part.name
    unclosed = unclosed_wav(head, size)
    if unclosed:
        file = Window(file, 0, size, unclosed)
    try:
        with interrupt_held():
            sound = forward_sound_file()(file)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a file object named *.raw
        reason = getattr(error, "error_string", "no header")
        if "malformed" in reason:  # truncated: FFmpeg would return what is left
            raise ValueError(f"{name} is truncated or damaged: {reason}") from error
        yield from decode_otherwise(part, file, head, reason)
        return
    with sound:
        rate, total, container = sound.samplerate, sound.frames, sound.format
        check_header_rate(name, rate)
        if total == UNKNOWN_LENGTH:  # a FLAC written to a pipe: libsndfile fails where it ends
            yield from decode_otherwise(part, file, head, "its header does not state its length")
            return
        missing = missing_bytes(container, tail, sound.extra_info)
        if missing:
            reason = f"its last part has {missing[0]} bytes; expected {missing[1]}"
            part.truncated(total / rate, None, reason)
        elif unclosed:
            part.truncated(total / rate, None, "its header states 0 bytes of sound, and more follow")
        position = round(part.offset * rate)
        if position >= total > 0:
            raise _beyond(part, total / rate)
        stop = total if part.duration is None else min(total, position + round(part.duration * rate))
        # Without a Xing or Info header an MP3's length is guessed: too long is harmless, too short loses sound.
        guessed = container == "MP3" and b"Xing" not in head and b"Info" not in head
        if guessed and stop == total and mp3_ends_early(file, total, size):
            reason = "an MP3 of varying bit rate whose header does not state its length"
            yield from decode_otherwise(part, file, head, reason, length_known=False)
            return
        slack = MP3_SLACK if sound.subtype.startswith("MPEG") else 0
        yield from _read_part(part, sound, position, stop, tail, math.inf if guessed else slack)


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
