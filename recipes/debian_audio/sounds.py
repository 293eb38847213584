# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The sound files of an unpacked package: found, decoded, told apart by what they sound like, and written."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from recipes.debian import unpack_archives
from ssast_hf.audio import load_audio

SAMPLING_RATE = 16000  # Hz
SILENCE = 10 ** (-60 / 20)  # no sample above -60 dB of full scale

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")
RAW = {".g722": "g722", ".gsm": "gsm"}  # telephone formats without a header, and FFmpeg's names for them
FFMPEG_BATCH = 40  # files decoded by one process


@dataclass(frozen=True)
class Sound:
    """A decoded file: its path in the package, its samples at 16 kHz (None: unusable), and the reason if unusable."""

    path: str
    samples: np.ndarray | None
    reason: str = ""


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Rounds samples in [-1, 1] to 16 bits; louder ones are clipped."""
    return np.clip(np.round(np.asarray(waveform, np.float64) * 32767), -32768, 32767).astype(np.int16)


def digest(samples: np.ndarray) -> str:
    """Names a recording by its samples of 16 bits: equal for equal sound, whatever file it was decoded from."""
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()[:32]


def why_unusable(samples: np.ndarray, shortest: float) -> str:
    """The reason why samples of 16 bits are no use, or an empty string."""
    if len(samples) < shortest * SAMPLING_RATE:
        return f"{len(samples) / SAMPLING_RATE:.3f} s long, expected {shortest} s or more"
    if np.abs(samples.astype(np.int32)).max() < SILENCE * 32768:
        return "silent"
    return ""


def find_sounds(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Lists the sound files under `folder`, no links, but those in .pk3, .wz and .rcc archives (unpacked beside them).

    Returns:
        Sorted paths relative to `folder`, and pairs of an archive that cannot be read and the reason.
    """
    wanted = SUFFIXES + tuple(RAW)
    failed = [(path.relative_to(folder).as_posix(), why) for path, why in unpack_archives(folder, wanted)]
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in wanted and not path.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file()), failed


def decode_raw(paths: list[Path]) -> None:
    """Decodes files without a header to `<name>.decoded.wav` beside them with FFmpeg, many in one process."""
    for suffix, name in RAW.items():
        chosen = [path for path in paths if path.suffix.lower() == suffix]
        for start in range(0, len(chosen), FFMPEG_BATCH):
            batch = chosen[start : start + FFMPEG_BATCH]
            if _ffmpeg(batch, name):  # one that cannot be read stops them all
                for path in batch:
                    _ffmpeg([path], name)


def _ffmpeg(paths: list[Path], name: str) -> int:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    for path in paths:
        command += ["-f", name, "-i", str(path)]
    for index, path in enumerate(paths):
        command += ["-map", str(index), "-c:a", "pcm_s16le", f"{path}.decoded.wav"]
    return subprocess.run(command, capture_output=True).returncode


def decode(folder: Path, paths: list[str], shortest: float) -> Iterator[Sound]:
    """Decodes files of an unpacked package, in the order of `paths`."""
    decode_raw([folder / path for path in paths])
    for path in paths:
        file = folder / path
        if file.suffix.lower() in RAW:
            file = file.with_name(file.name + ".decoded.wav")
        try:
            samples = to_int16(load_audio(file, SAMPLING_RATE))
        except (OSError, ValueError) as error:
            yield Sound(path, None, str(error).replace(f"{folder}/", ""))
            continue
        reason = why_unusable(samples, shortest)
        yield Sound(path, None if reason else samples, reason)


def has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLING_RATE, subtype="PCM_16")


def write_text(path: Path, text: str) -> None:
    """Writes a file complete or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
