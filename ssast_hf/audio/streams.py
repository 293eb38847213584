# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sound in blocks, as it is decoded or as it arrives: files, pipes, samples without a header."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from .containers import HEADER_SLACK, PLACEHOLDER
from .decoding import Part, decode
from .libsndfile import check_header_rate, forward_sound_file, read_blocks
from .mixing import Mixer
from .opening import Encoded, Pipe, open_sound
from .resampling import check_rate, resampled

RAW_FORMATS = {"u8": "u1", "s16": "<i2", "s32": "<i4", "f32": "<f4", "f64": "<f8"}  # little-endian


def stream_audio(
    source: Encoded,
    sampling_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    accept_truncated: bool = False,
) -> Iterator[np.ndarray]:
    """Decodes a sound in blocks, which joined are what [`load_audio`] returns, to the last bit.

    Memory does not grow with the length, except for what torchcodec reads (m4a, aac, mp4, webm). A WAV from a stream
    that cannot seek, such as a pipe, is decoded as it arrives if it is not compressed; anything else is first copied
    to a temporary file.

    Args:
        source, offset, duration, channel, accept_truncated: As for [`load_audio`].
        sampling_rate: Samples per second of the blocks.

    Yields:
        float32 arrays of shape `(samples,)`; some may be empty.

    Raises:
        As [`load_audio`], but only on reaching the damage: the blocks before it have been yielded by then.
    """
    check_rate("sampling_rate", sampling_rate)
    whole = not offset and duration is None
    with open_sound(source, spool=whole) as (name, file):
        part = Part(name, offset, duration, channel, accept_truncated)
        blocks = _decode_pipe(part, file) if isinstance(file, Pipe) else decode(part, file)
        yield from resampled(name, blocks, sampling_rate)


def stream_raw(
    file: BinaryIO,
    rate: int,
    format: str = "s16",
    channels: int = 1,
    sampling_rate: int = 16000,
    channel: int | None = None,
) -> Iterator[np.ndarray]:
    """As [`stream_audio`], of samples without a header, as they arrive.

    Args:
        file: Binary file object, such as `sys.stdin.buffer`.
        rate: Samples per second and channel in the file.
        format: A key of `RAW_FORMATS`: unsigned or signed integers or floats, of so many bits, little-endian.
        channels: Interleaved channels in the file.
        sampling_rate: Samples per second of the blocks.
        channel: The channel to take, counted from 1; `None` takes the mean of all.

    Raises:
        ValueError: An argument is out of range, or the file ends within a sample.
    """
    check_rate("rate", rate)
    check_rate("sampling_rate", sampling_rate)
    if format not in RAW_FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(RAW_FORMATS)}")
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise ValueError(f"channels is {channels!r}; expected a whole number of at least 1")
    dtype = np.dtype(RAW_FORMATS[format])
    full_scale = {"u": 2**7, "i": 2 ** (8 * dtype.itemsize - 1), "f": 1}[dtype.kind]
    read = getattr(file, "read1", file.read)  # read1 returns what is there, without waiting for a full block
    name, size = str(getattr(file, "name", "raw audio")), dtype.itemsize * channels
    mix = Mixer(name, channel)

    def blocks():
        rest = b""
        while data := read(2**16):
            data = rest + data
            whole = len(data) - len(data) % size
            rest = data[whole:]
            samples = np.frombuffer(data[:whole], dtype).reshape(-1, channels).astype(np.float32)
            yield (mix(samples) - (full_scale if dtype.kind == "u" else 0)) / np.float32(full_scale), rate
        if rest:
            raise ValueError(f"{name} ends within a sample: {len(rest)} bytes are left of {size}")

    return resampled(name, blocks(), sampling_rate)


def _decode_pipe(part: Part, pipe: Pipe) -> Iterator[tuple[np.ndarray, int]]:
    """[`decode`] for the WAV in a pipe."""
    import soundfile

    name = part.name
    try:
        sound = forward_sound_file()(pipe.fileno, closefd=False)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be decoded as audio ({error.error_string.rstrip('.')})") from error
    with sound:
        check_header_rate(name, sound.samplerate)
        mix, found = Mixer(name, part.channel), 0
        tenth = max(1, sound.samplerate // 10)  # of a second: waiting for more would keep a listener waiting
        for block in read_blocks(sound, math.inf, name, tenth * sound.channels):
            found += len(block)
            yield mix(block), sound.samplerate
        stated = sound.frames
        mix.warn()
    # A program that writes into a pipe does not know the length: it states one near 2**31 or 2**32 bytes.
    if found < stated and pipe.missing > HEADER_SLACK and pipe.stated < PLACEHOLDER:
        part.truncated(found / sound.samplerate, stated / sound.samplerate)
