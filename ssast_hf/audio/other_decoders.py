# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Decoders for what libsndfile cannot read: the library torchcodec, or the program ffmpeg, whichever is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from .libsndfile import check_header_rate, forward_sound_file, read_blocks
from .mixing import Mixer

TORCHCODEC_EXTENSIONS = (".aac", ".m4a", ".mp4", ".webm")
FFMPEG_EXTENSIONS = (".ac3", ".amr", ".ape", ".m4b", ".mka", ".mp2", ".wma", ".wv")
SLACK = 0.5  # seconds by which containers overstate their length
WARM_UP = 0.5  # seconds
SEEKABLE = (".m4a", ".m4b", ".mp4")  # to the sample; timestamps of other containers are rounded


def ffmpeg_program() -> str | None:
    """Path of the program ffmpeg, if it is installed."""
    return shutil.which("ffmpeg")


def available() -> bool:
    """Whether torchcodec or ffmpeg seems to be installed."""
    return importlib.util.find_spec("torchcodec") is not None or ffmpeg_program() is not None


def decode_otherwise(part, file: BinaryIO, head: bytes, reason: str, length_known: bool = True):
    """
    Yields the blocks (samples,) of what libsndfile cannot read, for `reason`, with their sampling rates.

    Args:
        part ([`Part`]): What to read.
        file: A seekable binary file.
        head: Its first bytes.
        reason: Of libsndfile, for the message.
        length_known: Whether the length that the header states is more than a guess.

    Raises:
        ValueError: Neither decoder is installed, or it cannot read the file.
    """
    message = f"{part.name} cannot be decoded as audio ({reason.rstrip('.')})"
    # Raw AAC and MP3 begin with a byte 0xFF and have no header: FFmpeg guesses their length.
    known = length_known and head[:1] != b"\xff"
    try:
        from torchcodec.decoders import AudioDecoder
    except (ImportError, RuntimeError, OSError) as error:
        if ffmpeg_program() is not None:
            yield from _decode_with_ffmpeg(part, file, message, known)
            return
        endings = TORCHCODEC_EXTENSIONS + FFMPEG_EXTENSIONS
        if part.name.lower().endswith(endings) or head[4:8] == b"ftyp" or "length" in reason:
            message += f"; torchcodec with FFmpeg reads such files, {_why_not(error)}; so does the program ffmpeg"
        raise ValueError(message) from error
    yield _decode_with_torchcodec(AudioDecoder, part, file, message, known)


def _why_not(error: BaseException) -> str:
    """Whether torchcodec is missing, or installed but broken, and then why."""
    if importlib.util.find_spec("torchcodec") is None:
        return "but it is not installed (pip install torchcodec)"
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return f"but it is installed and cannot be imported here ({text[:300] or type(error).__name__})"


def _decode_with_torchcodec(decoder_class, part, file, message: str, known: bool) -> tuple[np.ndarray, int]:
    file.seek(0)
    try:
        decoder = decoder_class(file)
        stop = None if part.duration is None else part.offset + part.duration
        samples = decoder.get_samples_played_in_range(part.offset, stop)
        promised = decoder.metadata.duration_seconds
    except (RuntimeError, ValueError) as error:
        detail = re.sub(r"^.*\.cpp:\d+, ", "", (str(error).splitlines() or [type(error).__name__])[0])
        raise ValueError(f"{message}, and torchcodec says: {detail}") from error
    rate, end = samples.sample_rate, part.offset + samples.data.shape[1] / samples.sample_rate
    if promised and known and end < min(promised, part.offset + (part.duration or promised)) - SLACK:
        part.truncated(end, promised)
    mix = Mixer(part.name, part.channel)
    mixed = mix(samples.data.numpy().T)
    mix.warn()
    return mixed, rate


def _decode_with_ffmpeg(part, file: BinaryIO, message: str, known: bool) -> Iterator[tuple[np.ndarray, int]]:
    import soundfile

    mix, error, done = Mixer(part.name, part.channel), None, False
    # A frame builds on those before it: decoding begins earlier than what is wanted.
    start = max(0.0, part.offset - WARM_UP) if part.name.lower().endswith(SEEKABLE) else 0.0
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(_on_disk(file))
        log = stack.enter_context(tempfile.TemporaryFile())
        command = _ffmpeg_command(part, path, start)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        stack.callback(_end, process)
        end, rate = 0, 1  # samples decoded
        try:
            output: Any = process.stdout
            sound = stack.enter_context(forward_sound_file()(output.fileno(), closefd=False))
            rate = sound.samplerate
            check_header_rate(part.name, rate)
            first = round((part.offset - start) * rate)
            stop = math.inf if part.duration is None else first + round(part.duration * rate)
            for block in read_blocks(sound, stop, part.name):
                if first < end + len(block):
                    yield mix(block[max(0, first - end) :]), rate
                end += len(block)
            done = end == stop
        except soundfile.LibsndfileError as failure:
            error = failure
        status = 0 if done else process.wait()
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    if error is not None or not end:
        raise ValueError(f"{message}, and ffmpeg says: {_reason(text, path)}") from error
    if end <= first:
        raise ValueError(
            f"offset is {part.offset} s; expected less than {start + end / rate:.3f} s, the length of {part.name}"
        )
    stated = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", text)
    promised = sum(float(value) * unit for value, unit in zip(stated.groups(), (3600, 60, 1))) if stated else None
    found = start + end / rate
    mix.warn()
    if promised and known and found < min(promised, part.offset + (part.duration or promised)) - SLACK:
        part.truncated(found, promised)
    elif status and not part.accept_truncated:
        raise ValueError(f"{part.name} is truncated or damaged after {found:.3f} s: {_reason(text, path)}")


def _ffmpeg_command(part, path: str, start: float) -> list[str]:
    return [
        ffmpeg_program() or "ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info", "-xerror",
        *(["-err_detect", "+explode"] if not part.accept_truncated else []), "-protocol_whitelist", "file",
        *(["-ss", f"{start:.6f}"] if start else []), "-i", f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32le",
        "-f", "wav", "pipe:1",
    ]  # fmt: skip


@contextlib.contextmanager
def _on_disk(file: BinaryIO) -> Iterator[str]:
    """The path of an open file, or of a temporary copy of one that has none."""
    name = getattr(file, "name", None)
    if isinstance(name, str) and os.path.isfile(name) and hasattr(file, "fileno"):
        yield os.path.abspath(name)
        return
    file.seek(0)
    with tempfile.TemporaryDirectory(prefix="ssast-") as folder:
        path = os.path.join(folder, "sound")
        with open(path, "wb") as copy:
            shutil.copyfileobj(file, copy)
        yield path


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _reason(text: str, path: str) -> str:
    """The last error of ffmpeg's log, without the path of the file that it was given."""
    lines = [line for line in text.splitlines() if re.search(r"\[(error|fatal)\]", line)]
    reason = re.sub(r"^(\[[^\]]*\] *)+", "", lines[-1]) if lines else "no sound found"
    return reason.removeprefix(f"file:{path}: ").replace(f"file:{path}", "the file")
