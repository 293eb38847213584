# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the containers of sound state, and libsndfile does not tell: truncation, chained streams, places to seek to."""

from __future__ import annotations

import contextlib
import os
import re
from typing import BinaryIO

OGG_PAGE = 65307  # bytes of the longest Ogg page
MP3_SLACK = 2 * 1152  # samples by which good encoders misstate an MP3's length: two MPEG frames
MP3_WARM_UP = 10 * 1152  # samples decoded before the wanted ones: a frame builds on up to 9 earlier ones
MOST_REMEMBERED = 2**14  # Ogg files whose streams are known
HEADER_SLACK = 64  # bytes by which some writers overstate a data chunk: they count its own header
PLACEHOLDER = 2**31 - 2**16  # bytes: a streamed file states a length near 2**31 or 2**32, or 0

_LINKS: dict[tuple, list[int]] = {}  # of Ogg files, by their identity


def missing_bytes(container: str, tail: bytes, log: str) -> tuple[int, int] | None:
    """Bytes found and bytes expected of a truncated file, of which libsndfile silently returns what is left."""
    found = expected = 0
    page = tail.rfind(b"OggS") if container == "OGG" else -1
    if 0 <= page <= len(tail) - 27:  # the last page: 27 bytes, a table of segment sizes, the segments (RFC 3533)
        table = tail[page + 27 : page + 27 + tail[page + 26]]
        found, expected = len(tail) - page, 27 + tail[page + 26] + sum(table)
    elif match := re.search(r"(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", log):
        expected, found = int(match[1]) - HEADER_SLACK, int(match[2])
    return (found, expected) if found < expected < PLACEHOLDER else None


def warm_up(container: str, subtype: str, position: int, tail: bytes) -> int:
    """The sample to seek to for `position`: libsndfile 1.2 is inexact in MP3s and in the last page of an Ogg."""
    if subtype.startswith("MPEG"):
        return max(0, position - MP3_WARM_UP)
    if container == "OGG":  # bytes 6 to 13 of a page count the samples up to its end
        ends = [int.from_bytes(tail[i.start() + 6 : i.start() + 14], "little") for i in re.finditer(b"OggS", tail)]
        return max(0, min(position, ends[-2] - 1 if len(ends) > 1 else 0))
    return position


def mp3_ends_early(file: BinaryIO, total: int, size: int) -> bool:
    """Whether the guessed last sample of an MP3 lies well before the end of its bytes."""
    import soundfile

    place = file.tell()
    file.seek(0)
    with contextlib.suppress(soundfile.LibsndfileError), soundfile.SoundFile(file) as probe:
        probe.seek(total)
    end = file.tell()
    file.seek(place)
    return end < size - 4096


def chain_links(file: BinaryIO, head: bytes) -> list[int]:
    """
    Where the streams of a chained Ogg file begin, in bytes: [0] for a file with a single stream.

    A chain is several streams one after another, such as a recording of Icecast, of which libsndfile reads the first.
    Only their first pages tell: streams that were joined byte by byte may have the same serial number. An Ogg file is
    therefore searched once; the result is kept for as long as the file does not change.
    """
    if not head.startswith(b"OggS"):
        return [0]
    key = _identity(file)
    if key is None or key not in _LINKS:
        links = _first_pages(file)
        if key is None:
            return links
        if len(_LINKS) >= MOST_REMEMBERED:
            _LINKS.clear()
        _LINKS[key] = links
    return _LINKS[key]


def _identity(file: BinaryIO) -> tuple | None:
    """What tells a file on disk from others and from its earlier content; None for what is in memory."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _first_pages(file: BinaryIO) -> list[int]:
    """Where the chained streams of an Ogg file begin, found by reading all of it."""
    links, place, rest = [], 0, b""
    file.seek(0)
    while data := file.read(2**22):
        data = rest + data
        for match in re.finditer(rb"OggS\0[\x02\x06]", data[:-8] if len(data) > 8 else data):
            links.append(place + match.start())
        keep = min(len(data), 14)
        place, rest = place + len(data) - keep, data[-keep:]
    file.seek(0)
    return _separate(file, sorted(set(links)))


def _separate(file: BinaryIO, starts: list[int]) -> list[int]:
    """Of first pages, those that do not follow another one directly: such streams are interleaved, not chained."""
    kept = []
    end = -1  # of the first page before
    for start in starts:
        if start != end:
            kept.append(start)
        file.seek(start)
        page = file.read(27 + 255)
        end = start + 27 + page[26] + sum(page[27 : 27 + page[26]])
    file.seek(0, os.SEEK_SET)
    return kept or [0]


def unclosed_wav(head: bytes, size: int) -> dict[int, bytes]:
    """
    The changes that close a WAV, as [`Window`] takes them, of a recorder that was cut off before it wrote how long the
    sound is: its header states 0 bytes, and more follow. Empty for other files.
    """
    data = head.find(b"data", 12)
    if not head.startswith(b"RIFF") or head[8:12] != b"WAVE" or data < 0 or size <= data + 8:
        return {}
    if int.from_bytes(head[data + 4 : data + 8], "little") != 0 or size >= PLACEHOLDER:
        return {}
    return {4: (size - 8).to_bytes(4, "little"), data + 4: (size - data - 8).to_bytes(4, "little")}
