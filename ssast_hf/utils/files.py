# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and directories that are whole or not there."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """
    Gives a name beside `path` to write to. What was written takes the place of `path` at the end of the block, and
    goes away after an exception: `path` then is as it was.

    Raises:
        OSError: As in the block, with the name of `path` instead of the other.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
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
    Gives a directory beside `directory` to write files to. They move into `directory` at the end of the block, over
    those of the same names, and go away after an exception.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as unfinished:
        yield Path(unfinished)
        directory.mkdir(exist_ok=True)
        for name in os.listdir(unfinished):
            shutil.move(Path(unfinished, name), directory / name)
