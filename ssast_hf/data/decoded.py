# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Decoded sound on disk: a corpus decoded and resampled once, to 16 bits, and memory-mapped from then on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ..utils.files import scratch_directory
from ..utils.logs import get_logger
from ..utils.processes import end_with_parent
from ..utils.text import reason_of
from .clips import Clip
from .skipped import Skipped

logger = get_logger(__name__)

BLOCK_SECONDS = 600.0  # of long recordings, which are decoded in blocks for memory's sake
FULL_SCALE = 32767


class Decoded:
    """
    The sound of clips in one file, 115 MB an hour at 16 kHz.

    Args:
        folder (`str`): What [`decode`] made.
        clips (`list[Clip]`): The clips it was made of.
    """

    def __init__(self, folder: str | os.PathLike, clips: list[Clip]):
        index = np.load(Path(folder, "index.npy"))  # (clips, 2): first sample and samples
        self.places = dict(zip(clips, index.tolist()))
        self.path = Path(folder, "sound.int16")
        self.sound: np.memmap | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "sound": None}  # each worker maps it for itself

    def length(self, clip: Clip) -> int:
        """Samples of a clip, 0 if it could not be read."""
        return self.places[clip][1]

    def read(self, clip: Clip, start: int, samples: int) -> np.ndarray | None:
        """float32 (samples,) of a clip from `start` on, fewer at its end; None if it could not be read."""
        if self.sound is None:
            self.sound = np.memmap(self.path, np.int16, "r")
        first, length = self.places[clip]
        if not length:
            return None
        stop = first + min(length, start + samples)
        return self.sound[first + start : stop].astype(np.float32) / FULL_SCALE


class _Blocks(Dataset):
    """Parts of clips as 16-bit sound, or as the reason why they cannot be read."""

    def __init__(self, clips: list[Clip], sampling_rate: int):
        self.clips, self.sampling_rate = clips, sampling_rate

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> list[np.ndarray] | str:
        clip = self.clips[index]
        try:
            seconds = clip.seconds()
            if seconds is None or seconds <= 1.5 * BLOCK_SECONDS:
                return [_as_int16(clip.load(self.sampling_rate))]
            count = int(seconds // BLOCK_SECONDS)
            return [
                _as_int16(clip.load(self.sampling_rate, i * BLOCK_SECONDS, BLOCK_SECONDS if i < count - 1 else None))
                for i in range(count)
            ]
        except (OSError, ValueError) as error:
            return reason_of(error, clip.name)


def _as_int16(waveform: np.ndarray) -> np.ndarray:
    peak = np.abs(waveform).max()
    if peak > 1:  # floating-point files may exceed full scale: better quieter than clipped
        waveform = waveform / peak
    return np.rint(waveform * FULL_SCALE).astype(np.int16)


def decode(
    clips: list[Clip],
    sampling_rate: int,
    folder: str | os.PathLike,
    skipped: Skipped,
    workers: int = 0,
    skip_silent: bool = True,
) -> Decoded:
    """
    Decodes clips into a subfolder of `folder`, whose name is a digest of the clips and arguments, unless it is there
    already. It is complete or absent.

    Args:
        clips (`list[Clip]`): What to decode.
        sampling_rate (`int`): Hz.
        folder (`str`): Where to keep decoded sound; may be shared by runs and corpora.
        skipped (`Skipped`): The report of clips that cannot be read.
        workers (`int`): Processes that decode beside this one.
        skip_silent (`bool`): Whether to leave out silent clips, and report them.
    """
    clips = list(dict.fromkeys(clips))
    digest = fingerprint(clips, sampling_rate)
    if not skip_silent:
        digest = hashlib.sha256(f"{digest} with silence".encode()).hexdigest()
    home = Path(folder, digest[:16])
    report = home / "skipped.json"
    if not report.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with scratch_directory(home) as unfinished:
            _write(clips, sampling_rate, unfinished, workers, skip_silent)
            if not report.exists():  # another run may have been faster
                shutil.rmtree(home, ignore_errors=True)
                os.replace(unfinished, home)
    for name, reason in json.loads(report.read_text(encoding="utf-8")).items():
        skipped.add(name, reason)
    return Decoded(home, clips)


def _write(clips: list[Clip], sampling_rate: int, folder: Path, workers: int, skip_silent: bool) -> None:
    blocks = DataLoader(
        _Blocks(clips, sampling_rate),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,  # torch's own would copy each through shared memory
        worker_init_fn=end_with_parent,
    )
    index, reasons, written = np.zeros((len(clips), 2), np.int64), {}, 0
    with open(folder / "sound.int16", "wb") as file:
        for number, (clip, parts) in enumerate(zip(clips, blocks)):
            if isinstance(parts, str):
                reasons[clip.name] = parts
                continue
            if skip_silent and not any(int(part.max()) - int(part.min()) > 6 for part in parts):
                reasons[clip.name] = "silent"
                continue
            for part in parts:
                part.tofile(file)
            length = sum(map(len, parts))
            index[number] = written, length
            written += length
            if number % 1000 == 999:
                logger.warning("Decoded %d of %d files", number + 1, len(clips))
        if not written:
            np.zeros(1, np.int16).tofile(file)  # an empty file cannot be mapped
    np.save(folder / "index.npy", index)
    (folder / "skipped.json").write_text(json.dumps(reasons), encoding="utf-8")


def _as_it_is(item):
    return item


def fingerprint(clips: list[Clip], sampling_rate: int = 0, stated: bool = True) -> str:
    """Of the clips' names, parts and labels and, if `stated`, of files' sizes and times of change: hexadecimal."""
    digest = hashlib.sha256(str(sampling_rate).encode())
    for clip in clips:
        file = getattr(clip.member, "archive", clip.path)
        table = getattr(clip.member, "table", None)
        state = getattr(table, "_fingerprint", None)
        if not stated:
            state = None
        elif table is None and os.path.exists(file):
            state = (os.stat(file).st_size, os.stat(file).st_mtime_ns)
        more: tuple = () if clip.label is None else (clip.label,)
        if clip.channel is not None or clip.accept_truncated:
            more += (clip.channel, clip.accept_truncated)
        digest.update(repr((clip.path, clip.offset, clip.duration, clip.member, state, *more)).encode())
    return digest.hexdigest()
