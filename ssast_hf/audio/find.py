# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Finds the sound files of a folder."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from .other_decoders import FFMPEG_EXTENSIONS, TORCHCODEC_EXTENSIONS, available

# libsndfile reads the first group by itself; the others need torchcodec or FFmpeg. The last group is looked for only
# where one of these is installed.
SOUNDFILE_EXTENSIONS = (
    ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64",
    ".wav", ".wave",
)  # fmt: skip
AUDIO_EXTENSIONS = SOUNDFILE_EXTENSIONS + TORCHCODEC_EXTENSIONS
SPECIAL = "FIFO or device"  # stands for a suffix
MOST_NAMED = 6  # suffixes in a message


def audio_extensions() -> tuple[str, ...]:
    """Suffixes of the files that [`find_audio_files`] takes for sound here, in lower case."""
    return AUDIO_EXTENSIONS + (FFMPEG_EXTENSIONS if available() else ())


def find_audio_files(
    folder: str | os.PathLike,
    onerror: Callable[[OSError], object] | None = None,
    others: Counter[str] | None = None,
    extensions: Collection[str] | None = None,
) -> list[Path]:
    """Lists the sounds under a folder, sorted: files with a suffix of [`audio_extensions`], without hidden ones.

    Linked folders are followed, each real folder once.

    Args:
        folder: Where to look, to any depth.
        onerror: Called with the OSError of a folder that cannot be read, which then is left out.
        others: Gets the number of files that are not taken for sound, by suffix; see [`passed_over`].
        extensions: Suffixes, in lower case, of other files to list instead.

    Raises:
        FileNotFoundError, ValueError: `folder` does not exist, or is no folder.
        OSError: A folder in it cannot be read, and `onerror` is None.
    """
    if not os.path.isdir(folder):
        error = ValueError if os.path.exists(folder) else FileNotFoundError
        raise error(f"{os.fspath(folder)} is not a folder; expected one with audio files")

    def stop(error: OSError) -> None:
        raise error

    def is_file(path: Path) -> bool:
        try:
            return path.is_file() or not path.exists()  # a broken link: opening it raises, which the caller reports
        except PermissionError:  # likewise
            return True

    extensions = set(audio_extensions() if extensions is None else extensions)
    found = []
    for root, files in _walk(os.fsdecode(folder), onerror or stop):
        for path in (Path(root, name) for name in files):
            suffix = path.suffix.lower()
            if suffix in extensions and is_file(path):
                found.append(path)
            elif others is not None:
                others[SPECIAL if suffix in extensions else suffix] += 1
    return sorted(found)


def _walk(folder: str, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[str, list[str]]]:
    """
    The folders under one, itself first, with the names of their files, without hidden ones. Linked folders are
    followed, each real folder once: links that lead up make endless ways to it.
    """
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=onerror):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield root, [name for name in files if not name.startswith(".")]
        seen.add(real)


def find_matching(pattern: str) -> list[str]:
    """
    The files and folders that a pattern such as `shards/*.tar` or `shards/**/*.tar` matches, sorted; as Python's
    `glob`, but where `**` stands for folders, each real one once.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        return sorted(glob.glob(pattern))
    stars = parts.index("**")
    rest = parts[stars + 1 :] or ("*",)
    found: dict[str, str] = {}  # by name in the real folder
    for folder in sorted(glob.glob(os.path.join(*parts[:stars]))) if stars else ["."]:
        for root, _ in _walk(folder):
            inside = os.path.relpath(root) if folder == "." else root
            matches = find_matching(os.path.join(glob.escape("" if inside == "." else inside), *rest))
            for path in matches:
                found.setdefault(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)), path)
    return sorted(found.values())


def passed_over(folder: str | os.PathLike, others: Counter[str]) -> str | None:
    """One line about the files of a folder that are not taken for sound, counted by suffix; None without any."""
    if not others:
        return None
    counted = [f"{count} {suffix or 'without suffix'}" for suffix, count in others.most_common(MOST_NAMED)]
    more = len(others) - MOST_NAMED
    if more > 0:
        counted.append(f"{sum(others.values()) - sum(c for _, c in others.most_common(MOST_NAMED))} others")
    line = f"{os.fspath(folder)}: {sum(others.values())} file(s) passed over: {', '.join(counted)}"
    if set(others) & set(FFMPEG_EXTENSIONS):
        line += "; FFmpeg (or torchcodec), which is not installed, reads " + ", ".join(
            sorted(set(others) & set(FFMPEG_EXTENSIONS))
        )
    return line
