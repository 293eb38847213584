# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A clip: a sound or a part of one, its label, and where its bytes are. Needs no torch."""

import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..audio import audio_seconds, load_audio, stream_audio


def encoded(value) -> bytes | str:
    """The bytes, or else the path, in a value of an audio column."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, (bytes, str)):
        raise ValueError(f"found {type(value).__name__} in the audio column, expected the bytes or path of a sound")
    return value


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in an uncompressed tar archive, read by seeking."""

    archive: str
    start: int  # bytes
    size: int

    def open(self) -> bytes:
        with open(self.archive, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a `datasets.Dataset` whose audio is not decoded by it."""

    table: Any = field(compare=False, repr=False)
    index: int
    column: str

    def open(self) -> bytes | str:
        return encoded(self.table[self.index][self.column])


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A procedural sound, number `index` of an endless series ([`~ssast_hf.data.synth.synthesize`]). Needs torch."""

    seed: int
    index: int
    seconds: float

    def open(self) -> bytes:
        """As a WAV file of 16 bits at 16 kHz."""
        import soundfile

        from .synth import RATE, pool

        content = io.BytesIO()
        sound = pool(self.seed, 1, round(self.seconds * RATE), first=self.index)[0].numpy()
        soundfile.write(content, sound, RATE, format="WAV", subtype="PCM_16")
        return content.getvalue()


class Member(Protocol):
    """What a clip is read from instead of a file."""

    def open(self) -> bytes | str:
        """What `load_audio` takes."""


class Held:
    """Encoded sound in memory, read like a file."""

    def __init__(self, content: bytes | str):
        self.content = content

    def open(self) -> bytes | str:
        return self.content


@dataclass(frozen=True, slots=True)
class Clip:
    """
    A sound and its label, if it has one.

    Args:
        path (`str`): The sound file, or a name for messages where it is a `member`.
        label (`str`, *optional*): What it shows.
        offset (`float`), duration (`float`, *optional*): Seconds: the part of the file that is the clip.
        member (`TarMember`, `Row`, `Synthetic` or `Held`, *optional*): What it is read from instead of `path`.
        channel (`int`, *optional*): The channel to read, counted from 1; `None` reads the mean of all.
        accept_truncated (`bool`): Whether to read what is left of a truncated file, with a warning.
    """

    path: str
    label: str | None = None
    offset: float = 0.0
    duration: float | None = None
    member: Member | None = None
    channel: int | None = None
    accept_truncated: bool = False

    @property
    def name(self) -> str:
        """For results: the path and, of a part of a file, its seconds, as in W3C media fragments."""
        if not self.offset and self.duration is None:
            return self.path
        return f"{self.path}#t={self.offset:g}" + (
            "" if self.duration is None else f",{self.offset + self.duration:g}"
        )

    def open(self) -> str | bytes:
        """What `load_audio` takes."""
        return self.path if self.member is None else self.member.open()

    def stream(self, sampling_rate: int) -> Iterator[np.ndarray]:
        """Its blocks of samples, as [`stream_audio`] gives them."""
        how = (self.channel, self.accept_truncated)
        return stream_audio(self.open(), sampling_rate, self.offset, self.duration, *how)

    def load(self, sampling_rate: int, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        """Reads (samples,), from `start` seconds into the clip on, at most `seconds` long. Raises as `load_audio`."""
        left = math.inf if self.duration is None else self.duration - start
        seconds = min(left, math.inf if seconds is None else seconds)
        if seconds <= 0:
            raise ValueError(f"the clip is {self.duration} s long, expected more than {start} s")
        part = (self.offset + start, None if math.isinf(seconds) else seconds)
        return load_audio(self.open(), sampling_rate, *part, self.channel, self.accept_truncated)

    def seconds(self) -> float | None:
        """Its length as the headers state it, without decoding; None if they do not, or the file is damaged."""
        if isinstance(self.member, Synthetic):
            return self.member.seconds
        try:
            whole = audio_seconds(self.open(), self.accept_truncated)
        except (OSError, ValueError):
            return None
        if not whole:
            return None
        return min(math.inf if self.duration is None else self.duration, whole - self.offset)


def places(clips: Sequence[Clip]) -> list[tuple]:
    """For each clip which part of which file it is, whatever names lead to the file: equal for the same sound."""
    real = {path: os.path.realpath(path) for path in {clip.path for clip in clips}}
    return [(real[clip.path], clip.offset, clip.duration, clip.member) for clip in clips]
