# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens what sound is read from: paths, bytes, file objects, and streams that cannot seek."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

# Format tags of a WAV whose samples are stored one by one: PCM, floats, A-law, mu-law. libsndfile decodes these from a
# pipe; of ADPCM, GSM and others it needs to seek.
STREAMED_FORMATS = (1, 3, 6, 7)
EXTENSIBLE = 0xFFFE  # format tag of a WAV that states the real one elsewhere
LONGEST_HEAD = 2**20  # bytes before the samples

Encoded = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO


class Pipe:
    """
    The reading end of a pipe, into which a thread copies a WAV that cannot seek.

    Args:
        head: Its first bytes, up to the samples.
        source: The rest.

    Attributes:
        stated (`int`): Bytes of samples by the header.
        missing (`int`): Of these, what has not come yet.
    """

    def __init__(self, head: bytes, source: BinaryIO):
        self.fileno, writer = os.pipe()
        self.stated = int.from_bytes(head[-4:], _byte_order(head))
        self.missing = self.stated + len(head)

        def copy() -> None:
            # The reader has closed its end (BrokenPipeError), or its caller the source (ValueError).
            with contextlib.suppress(BrokenPipeError, ValueError), os.fdopen(writer, "wb", buffering=0) as file:
                data, read = head, getattr(source, "read1", source.read)  # read1 returns what is there, at once
                while data:
                    self.missing -= len(data)
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
                    data = read(2**16)

        threading.Thread(target=copy, daemon=True).start()


class Window(io.RawIOBase):
    """The bytes from `start` to `stop` of a seekable binary file, as a file; `changes` replace bytes, by place."""

    def __init__(self, file: BinaryIO, start: int, stop: int, changes: dict[int, bytes] | None = None):
        self.file, self.start, self.size, self.place = file, start, stop - start, 0
        self.changes = changes or {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        self.place = max(0, base + offset)
        return self.place

    def readinto(self, buffer) -> int:
        count = max(0, min(len(buffer), self.size - self.place))
        self.file.seek(self.start + self.place)
        data = self.file.read(count)
        buffer[: len(data)] = data
        for place, new in self.changes.items():
            for index, byte in enumerate(new, start=place - self.place):
                if 0 <= index < len(data):
                    buffer[index : index + 1] = bytes([byte])
        self.place += len(data)
        return len(data)


@contextlib.contextmanager
def open_sound(source: Encoded, spool: bool = False) -> Iterator[tuple[str, Any]]:
    """
    Yields a name for messages and a seekable binary file, or a [`Pipe`]. Closes only what it has opened.

    Args:
        source: As [`load_audio`] takes it.
        spool: What to do with a stream that cannot seek: if False, read it into memory; if True, copy it to a
            temporary file, and give a WAV of plain samples as a [`Pipe`].

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: `source` is a directory or of another type.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield "audio given as bytes", io.BytesIO(source)
        return
    with contextlib.ExitStack() as stack:
        file: BinaryIO
        if isinstance(source, (str, os.PathLike)):
            name = checked_path(source)
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
        else:
            yield name, _spooled(stack, file)


def _spooled(stack: contextlib.ExitStack, file: BinaryIO) -> BinaryIO | Pipe:
    """A stream that cannot seek, as `open_sound` gives it; `stack` closes it."""
    head, format_tag = _wav_head(file)
    if format_tag in STREAMED_FORMATS:
        pipe = Pipe(head, file)
        stack.callback(os.close, pipe.fileno)
        return pipe
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 closed by `stack`
    copy.write(head)
    shutil.copyfileobj(file, copy)
    return copy


def _wav_head(file: BinaryIO) -> tuple[bytes, int | None]:
    """
    The first bytes of a stream and, if they are those of a WAV up to its samples, its format tag; None for anything
    else, such as a damaged header, through which libsndfile finds other ways where it can seek.
    """
    head = _read(file, 12)
    order, tag = _byte_order(head), None
    if head[:4] not in (b"RIFF", b"RIFX") or head[8:] != b"WAVE":
        return head, None
    while len(head) < LONGEST_HEAD:
        chunk = _read(file, 8)
        head += chunk
        if chunk[:4] == b"data" and len(chunk) == 8:
            return head, tag
        if len(chunk) < 8 or not all(0x20 <= byte < 0x7F for byte in chunk[:4]):
            return head, None
        size = int.from_bytes(chunk[4:], order)
        content = _read(file, min(size + size % 2, LONGEST_HEAD))
        head += content
        if chunk[:4] == b"fmt ":
            tag = int.from_bytes(content[:2], order)
            tag = int.from_bytes(content[24:26], order) if tag == EXTENSIBLE else tag
    return head, None


def _byte_order(head: bytes) -> Literal["little", "big"]:
    return "big" if head[:4] == b"RIFX" else "little"


def _read(file: BinaryIO, size: int) -> bytes:
    """The next `size` bytes, fewer at the end of the stream."""
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def is_fifo(name: str) -> bool:
    """Whether there is a FIFO of this name, or a link to one."""
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)
    except OSError:
        return False


def checked_path(source: str | os.PathLike) -> str:
    """The path as text. Raises FileNotFoundError or ValueError unless it is something that may be opened."""
    name = os.fsdecode(source)
    if "\0" in name:
        raise ValueError(f"{name!r} holds a NUL character; expected the path of an audio file")
    if os.path.isdir(name):
        raise ValueError(f"{name} is a directory; expected an audio file")
    if not os.path.lexists(name):
        raise FileNotFoundError(f"{name} does not exist; expected an audio file")
    if is_fifo(name) and not name.startswith(("/dev/", "/proc/")):  # opening it may wait for ever
        raise ValueError(f"{name} is a FIFO; expected an audio file, or the FIFO as standard input (- < {name})")
    return name
