# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Where `ssast classify` writes labels: standard output, one file, or a label track for each sound. The same command
resumes a run that was cut off: until it is complete, `OUTPUT.partial` holds the labels so far and `OUTPUT.progress`
says which sounds are done.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from ..inference.label_formats import Writer, track_names
from ..utils.files import beside, check_writable, is_special, lock, target_of

PARTIAL, PROGRESS = ".partial", ".progress"
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
MakeWriter = Callable[[TextIO], Writer]


def plan_targets(
    path: str | Path | None, names: list[str], ending: str, by_file: bool, replace: bool, flag: str
) -> list[Path] | None:
    """
    The files to write: `path`; or, `by_file` and if there are several sounds, one for each in the directory `path`.
    Files that are there already are an error unless `replace`.

    Raises:
        ValueError: Something is there already, or there is no directory to write into.
    """
    if path is None:
        return None
    path = Path(path)
    in_folder = by_file and (len(names) > 1 or path.is_dir())
    if in_folder and path.exists() and not path.is_dir():
        raise ValueError(f"{flag} is {path}, a file, expected a directory for {len(names)} sounds")
    if not in_folder and path.is_dir():
        raise ValueError(f"{flag} is {path}, a directory, expected a file")
    check_writable(path)
    targets = [path / name for name in track_names(names, ending)] if in_folder else [path]
    for target in targets if in_folder else ():
        if is_special(target_of(target)):
            raise ValueError(f"{target} is a device or a FIFO, expected a file to write")
    if not replace:
        for target in targets:
            if os.path.lexists(target) and not is_special(target):
                raise ValueError(f"{target} exists: choose another name or give --overwrite")
    return targets


class Journal:
    """
    The sounds that a run has worked off, in order, on disk: a line of JSON with the settings of the run, then one for
    each sound: `file`, `bytes` (size of the output after it) and, if it could not be read, `error`.

    Raises:
        ValueError: The file is of a run with other settings, or of another program, or another process writes it.
    """

    def __init__(self, path: Path, settings: dict, overwrite: bool):
        self.path, self.settings = path, json.dumps(settings).encode() + b"\n"
        self.entries: list[dict] = []
        self.file = open(path, "a+b")  # noqa: SIM115 held open, with the lock
        try:
            lock(self.file, f"{path} is being written by another process")
            self.file.seek(0)
            self._read(self.file.read(), settings, overwrite)
            self.keep(len(self.entries))
        except BaseException:
            self.file.close()
            raise

    def _read(self, data: bytes, settings: dict, overwrite: bool) -> None:
        """Takes the entries of an earlier run; a last line that is unfinished, or anything damaged, ends them."""
        first, *lines = data[: data.rfind(b"\n") + 1].splitlines() or [b""]
        found = _object(first)
        if data and not found.keys() >= {"model", "sounds"}:
            raise ValueError(f"{self.path} exists and is not of an unfinished run: choose another output")
        if not data or overwrite:
            return
        differ = sorted(name for name in {*found, *settings} if found.get(name) != settings.get(name))
        if differ:
            raise ValueError(
                f"{self.path} is of an unfinished run with other {', '.join(differ)}: give the same to resume it, "
                "--overwrite to start over, or another output"
            )
        for entry in map(_object, lines):
            if not entry.keys() >= {"file", "bytes"}:
                break
            self.entries.append(entry)

    def keep(self, count: int) -> None:
        """Forgets all but the first `count` sounds."""
        self.entries = self.entries[:count]
        self.file.truncate(0)  # whatever is written is appended
        self.file.write(self.settings + b"".join(json.dumps(entry).encode() + b"\n" for entry in self.entries))
        self.file.flush()

    def add(self, name: str, size: int, error: Exception | None) -> None:
        entry = {"file": name, "bytes": size, **({} if error is None else {"error": str(error)})}
        self.entries.append(entry)
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()

    @property
    def failed(self) -> int:
        return sum("error" in entry for entry in self.entries)

    def close(self, complete: bool) -> None:
        """Removes the file after a run that is complete or has no sound to go on from, and lets go of it."""
        if complete or not self.entries:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.file.close()


class Output:
    """
    Labels to standard output, or to a device or FIFO: there is nothing to resume.

    Attributes:
        done (`int`), failed (`int`): Numbers of sounds that earlier runs worked off, and could not read.
        remains (`str`): After an interruption: where the labels so far are; empty if nowhere.
    """

    done, failed, remains = 0, 0, ""

    def __init__(self, file: TextIO, make_writer: MakeWriter):
        self.file, self.current = file, make_writer(file)

    def writer(self, index: int) -> Writer:
        """For the labels of a sound."""
        return self.current

    def end(self, index: int, error: Exception | None) -> None:
        """After the labels of a sound."""

    def close(self, complete: bool) -> None:
        """After the last sound, or when the run is cut off."""
        self.file.flush()
        if self.file is not sys.stdout:
            self.file.close()


class FileOutput(Output):
    """Labels of all sounds to one file."""

    def __init__(self, path: Path, names: list[str], settings: dict, overwrite: bool, make_writer: MakeWriter):
        self.path = target_of(path)
        self.names, self.unfinished = names, beside(self.path, PARTIAL)
        self.journal = Journal(beside(self.path, PROGRESS), settings, overwrite)
        size = self.unfinished.stat().st_size if self.unfinished.exists() else 0
        self.journal.keep(sum(entry["bytes"] <= size for entry in self.journal.entries) if size else 0)
        self.done, self.failed = len(self.journal.entries), self.journal.failed
        file = open(self.unfinished, "a" if self.done else "w", **TEXT)  # noqa: SIM115 closed by `close`
        super().__init__(file, make_writer)
        if self.done:  # without what came after the last whole sound, and the second header
            self.file.flush()
            self.file.truncate(self.journal.entries[-1]["bytes"])

    def end(self, index, error):
        self.file.flush()
        self.journal.add(self.names[index], os.fstat(self.file.fileno()).st_size, error)

    def close(self, complete):
        with contextlib.suppress(OSError):  # a full disk, which was said before
            self.file.close()
        self.journal.close(complete)  # first: what is renamed but has a journal would be in its own way
        if complete:
            os.replace(self.unfinished, self.path)
        elif not self.unfinished.stat().st_size:
            self.unfinished.unlink()
        else:
            self.remains = f"{self.unfinished} holds the labels so far"


class TrackOutput(Output):
    """Labels of each sound to a file of its own, in one directory."""

    def __init__(
        self, targets: list[Path], names: list[str], settings: dict, overwrite: bool, make_writer: MakeWriter
    ):
        self.targets, self.names, self.make_writer = targets, names, make_writer
        self.folder = targets[0].parent
        self.folder.mkdir(exist_ok=True)
        self.journal = Journal(progress_of(self.folder), settings, overwrite)
        self.done, self.failed = len(self.journal.entries), self.journal.failed
        self.file: Any = None  # of the sound that is being labelled
        self.current: Any = None  # its writer

    def writer(self, index):
        if self.file is None:
            self.file = open(beside(self.targets[index], PARTIAL), "w", **TEXT)  # noqa: SIM115 closed in `end`
            self.current = self.make_writer(self.file)
        return self.current

    def end(self, index, error):
        if error is None:
            self.writer(index)
        if self.file is not None:
            self.file.close()
            unfinished, self.file = Path(self.file.name), None
            if error is None:
                os.replace(unfinished, target_of(self.targets[index]))
            else:
                unfinished.unlink()
        self.journal.add(self.names[index], 0, error)

    def close(self, complete):
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
        if done := len(self.journal.entries):
            self.remains = f"{self.folder} holds the labels of {done} of {len(self.names)} sound(s)"
        self.journal.close(complete)


def _object(line: bytes) -> dict:
    """The JSON object on a line, empty if there is none."""
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def progress_of(output: str | os.PathLike) -> Path:
    """The journal of a run that writes to `output`."""
    return beside(target_of(output), PROGRESS)
