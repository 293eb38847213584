# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and directories that are complete or absent, and locks."""

import contextlib
import itertools
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

LONGEST_NAME = 255  # bytes, on all usual file systems
ROOM = 64  # bytes for the ending of a temporary file's name
LEFTOVER_SECONDS = 24 * 3600  # age from which a temporary file of another machine counts as left behind
_numbers = itertools.count()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """
    Yields the name of a temporary file beside `path` to write to. At the end of the block it replaces `path`; after an
    exception it is removed, and `path` is as it was. If `path` is a symlink, its target is replaced. If it is a device
    or a FIFO, `path` itself is yielded: what is written goes there directly.

    Raises:
        OSError: As in the block, with the name of `path` instead of the temporary file's.
        ValueError: `path` is a symlink that leads back to itself.
    """
    path = Path(path)
    if is_special(path):
        yield path
        return
    path = target_of(path)
    unfinished = _temporary(path)
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(unfinished)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def filling(directory: str | os.PathLike) -> Iterator[Path]:
    """
    Yields a temporary directory beside `directory` to write files to. At the end of the block they move into
    `directory`, where they replace files of the same names; after an exception they are removed.
    """
    directory = target_of(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(directory) as unfinished:
        yield unfinished
        directory.mkdir(exist_ok=True)
        for name in os.listdir(unfinished):
            shutil.move(unfinished / name, directory / name)


@contextlib.contextmanager
def scratch_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a new directory beside `path`, on the same file system, which is removed at the end of the block."""
    folder = _temporary(Path(path))
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def beside(path: Path, ending: str) -> Path:
    """`path` with `ending` appended to its name, which is shortened where the result would be longer than allowed."""
    return path.with_name(_shortened(path.name, len(os.fsencode(ending))) + ending)


def target_of(path: str | os.PathLike) -> Path:
    """
    What is written where `path` is: of a symlink, its target, which need not exist. Raises ValueError for a symlink
    that leads back to itself.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise ValueError(f"{os.fspath(path)} is a symbolic link that leads back to itself: choose another name")
    return target


def check_writable(path: str | os.PathLike) -> None:
    """
    Raises ValueError where a file or a directory `path` cannot be made: a symlink that leads back to itself, or no
    directory to write into.
    """
    path, target = Path(path), target_of(path)
    if not target.parent.is_dir():
        folder = target.parent if path.is_symlink() else path.parent
        raise ValueError(f"there is no directory {folder} to write into: make it first")


def is_special(path: str | os.PathLike) -> bool:
    """Whether `path`, or what it links to, is there and neither a regular file nor a directory: a device, a FIFO."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def lock(file: IO, busy: str) -> None:
    """
    Locks an open, writable file until it is closed or the process ends. The lock is this process's own: unlike that of
    `flock`, worker processes do not inherit it. It ends when this process closes the file, also if that was opened a
    second time. Does nothing where the system or the file system has no such locks.

    Raises:
        ValueError: Another process has the lock; `busy` is the message.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise ValueError(busy) from None
    except OSError:
        pass


def locked(path: str | os.PathLike, busy: str) -> IO:
    """
    Opens a file that serves as a lock, creating it where it is missing, and [`lock`]s it. The caller keeps the file
    open, and may delete it before closing it.

    Raises:
        ValueError: Another process has the lock; `busy` is the message.
    """
    while True:
        file = open(path, "a")  # noqa: SIM115 held open by the caller
        try:
            lock(file, busy)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # the process that had the lock deleted the file in between


def unlock(file: IO) -> None:
    """Deletes and closes a file that [`locked`] opened, unless it is closed already."""
    if not file.closed:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)):
                os.unlink(file.name)
        file.close()


def _temporary(path: Path) -> Path:
    """A new name `.NAME.HOST-PID-N` beside `path`; removes what processes now dead left behind under such names."""
    host = re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII)[:32]
    ending = f".{host}-{os.getpid()}-{next(_numbers)}"
    start = "." + _shortened(path.name, ROOM)
    with contextlib.suppress(OSError):
        for entry in os.scandir(path.parent):
            if entry.name.startswith(start) and _left_behind(entry, entry.name[len(start) :], host):
                _remove(Path(entry.path))
    return path.with_name(start + ending)


def _left_behind(entry: os.DirEntry, ending: str, host: str) -> bool:
    found = re.fullmatch(r"\.(\w+)-(\d+)-\d+", ending)
    if not found:
        return False
    try:
        if found[1] == host:
            os.kill(int(found[2]), 0)
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFTOVER_SECONDS
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False


def check_no_input(targets: Iterable[str | os.PathLike], inputs: Iterable[str | os.PathLike]) -> None:
    """Raises ValueError if a file to write is one that is read: to overwrite results is no leave to delete a sound."""
    files = [target for target in targets if os.path.isfile(target)]
    existing = {*map(os.path.abspath, files), *map(os.path.realpath, files)}
    for path in inputs if existing else ():
        if os.path.abspath(path) in existing or (os.path.islink(path) and os.path.realpath(path) in existing):
            raise ValueError(f"{os.fspath(path)} is read, so it cannot be the output: choose another name")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _shortened(name: str, room: int) -> str:
    """The name, cut at its end so that `room` more bytes fit."""
    return os.fsdecode(os.fsencode(name)[: LONGEST_NAME - room])
