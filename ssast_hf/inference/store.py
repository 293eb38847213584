# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Columns on disk that grow by rows, and an index of the files whose rows are complete: runs that survive a kill."""

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..utils.files import locked, replacing, target_of, unlock
from ..utils.progress import Progress
from .chunks import End

SETTINGS, INDEX, LOCK = "settings.json", "index.jsonl", "_lock"


class Column:
    """A .npy file that grows by rows. Its header is always that of a whole file."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]):
        self.path, self.dtype, self.shape = path, dtype, shape
        self.header, self.size = len(self._header(0)), dtype.itemsize * int(np.prod(shape, dtype=int))
        # Unbuffered: what a full disk did not take is not tried again when the file is closed.
        self.file = open(path, "r+b" if path.exists() else "w+b", buffering=0)  # noqa: SIM115

    def _header(self, rows: int) -> bytes:
        file = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        shape = (rows, *self.shape)
        np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        return file.getvalue()  # of one length, whatever the number of rows: numpy leaves space for it to grow

    def rows(self) -> int:
        """Whole rows in the file."""
        return max(0, os.fstat(self.file.fileno()).st_size - self.header) // self.size

    def append(self, values: np.ndarray) -> None:
        self.file.seek(0, os.SEEK_END)
        _write_all(self.file, np.ascontiguousarray(values, self.dtype).tobytes())

    def set_rows(self, rows: int) -> None:
        """States the number of rows in the header; cuts off what follows them."""
        self.file.truncate(self.header + rows * self.size)
        self.file.seek(0)
        _write_all(self.file, self._header(rows))


class Store:
    """
    A directory of columns and an index of the files whose rows are complete, which survives being killed: rows that
    the index does not have are cut off when it is opened again. It is locked until it is closed.

    Args:
        directory: Where it is, or is to be.
        settings: What must be the same for a run to be resumed.
        columns: dtype and shape of a row, by name.
        overwrite: Replaces a store that is there.
        metadata: What its embeddings were made with.
        append: Opens a store that is there, complete or not, if its metadata are the same.

    Raises:
        ValueError: The directory holds something else, or another process writes it.
    """

    def __init__(
        self,
        directory: Path,
        settings: dict,
        columns: dict,
        overwrite: bool = False,
        metadata: Mapping[str, Any] | None = None,
        append: bool = False,
    ):
        self.directory = directory
        self.columns: dict[str, Column] = {}
        self.index: Any = None  # an open file, set by `_open`
        held = set(os.listdir(directory)) if directory.is_dir() else {"a file"} if directory.exists() else set()
        if held - {LOCK} and SETTINGS not in held:
            raise ValueError(f"{directory} exists and holds no embeddings: choose another name")
        target_of(directory).mkdir(exist_ok=True)
        self.lock = _locked(directory)  # before anything is deleted
        try:
            if overwrite:
                _delete(directory)
            if (directory / SETTINGS).is_file():
                self.state = self._found(settings, metadata, append)
            else:
                self.state = {"settings": settings, "metadata": metadata, "complete": False}
                self.save_state()
            self._open(columns)
        except BaseException:
            self.close()
            raise

    def _found(self, settings: dict, metadata: Mapping[str, Any] | None, append: bool) -> dict[str, Any]:
        """The state of a run that this one goes on with."""
        state = read_state(self.directory)
        if append:
            check_metadata(self.directory, state.get("metadata"), metadata or {})
            return state | {"settings": settings, "metadata": metadata}
        if state.get("complete"):
            raise ValueError(f"{self.directory} exists: choose another name or give --overwrite")
        found = state["settings"]
        if found != settings:
            differ = sorted(name for name in {*found, *settings} if found.get(name) != settings.get(name))
            raise ValueError(
                f"{self.directory} is an unfinished run with other {', '.join(differ)}: give the same to go on with "
                "it, --overwrite to begin anew, or another name"
            )
        return state

    def _open(self, columns: dict) -> None:
        """Opens the columns and the index, and cuts off what is not complete."""
        self.index = open(self.directory / INDEX, "a+b", buffering=0)  # noqa: SIM115
        self.columns = {name: Column(self.directory / f"{name}.npy", *kind) for name, kind in columns.items()}
        self.entries, size = read_index(self.directory / INDEX)
        present = min(column.rows() for column in self.columns.values())
        while self.entries and self._rows_of(self.entries) > present:  # a crash lost what was not yet on disk
            self.entries.pop()
            size = sum(len(_line(entry)) for entry in self.entries)
        self.index.truncate(size)
        self.rows = self._rows_of(self.entries)
        self.cut()

    @staticmethod
    def _rows_of(entries: list[dict]) -> int:
        return sum(entry.get("rows", 0) for entry in entries)

    def cut(self) -> None:
        for column in self.columns.values():
            column.set_rows(self.rows)

    @property
    def failed(self) -> int:
        return sum("error" in entry for entry in self.entries)

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Rows of the file in work."""
        try:
            for name, column in self.columns.items():
                column.append(arrays[name])
        except OSError as error:
            raise self._stopped(error) from error

    def put(self, entry: dict, arrays: dict[str, np.ndarray]) -> None:
        """An entry of another store and its rows."""
        if "error" not in entry:
            self.add(arrays)
            entry = {**entry, "row": self.rows}
        self._commit(entry)

    def commit(self, name: str, end: End, **stamp) -> None:
        """The end of a file: its rows count from now on, or never did if it could not be read."""
        rows = next(iter(self.columns.values())).rows() - self.rows
        if end.error is None:
            seconds = round(end.seconds, 6)
            entry: dict[str, Any] = {"file": name, "row": self.rows, "rows": rows, "seconds": seconds, **stamp}
        else:
            entry = {"file": name, "error": str(end.error)}
        self._commit(entry)

    def _commit(self, entry: dict) -> None:
        rows, size = entry.get("rows", 0), os.fstat(self.index.fileno()).st_size
        try:
            if "error" not in entry:
                for column in self.columns.values():
                    column.set_rows(self.rows + rows)
            else:
                self.cut()
            _write_all(self.index, _line(entry))
        except OSError as error:
            self.index.truncate(size)
            raise self._stopped(error) from error
        self.entries.append(entry)
        self.rows += rows

    def _stopped(self, error: OSError) -> OSError:
        return OSError(
            f"{error.strerror} after {len(self.entries)} file(s), which {self.directory} holds; the same command goes "
            "on from there"
        )

    def save_state(self, **changes) -> None:
        self.state |= changes
        with replacing(self.directory / SETTINGS) as unfinished:
            unfinished.write_text(json.dumps(self.state, indent=1), encoding="utf-8")

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.load(column.path, mmap_mode="r") for name, column in self.columns.items()}

    def save_written(self, unfinished: Path, complete: Progress | None) -> None:
        """
        Notes which file is about to get the name of the output, and how the run ended if it has all files: a run that
        is killed between that and `remove` is finished.
        """
        progress = None if complete is None else asdict(complete)
        self.save_state(written={"inode": os.stat(unfinished).st_ino, "progress": progress})

    def wrote(self, output: Path) -> bool:
        """Whether the file `output` is the one that this run wrote."""
        return _wrote(self.state, output)

    def remove(self) -> None:
        """Deletes the directory, if it holds nothing else than a store."""
        _delete(self.directory)
        self.close()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def close(self) -> None:
        for file in [*(column.file for column in self.columns.values()), self.index]:
            if file is not None:
                file.close()
        unlock(self.lock)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_) -> None:
        if self.index is not None and not self.index.closed:
            with contextlib.suppress(OSError):
                self.cut()  # rows of a file that was not finished
        self.close()


def clear_finished(directory: Path, output: Path) -> Progress | None:
    """
    Deletes the store of a run that was killed after it had written all of `output`. Returns how that run ended; None,
    and nothing is deleted, if there is no such store.
    """
    if not (directory / SETTINGS).is_file():
        return None
    file = _locked(directory)
    try:
        state = read_state(directory)
        if not _wrote(state, output) or state["written"].get("progress") is None:
            return None
        _delete(directory)
    finally:
        unlock(file)
    with contextlib.suppress(OSError):
        directory.rmdir()
    return Progress(**state["written"]["progress"])


def _locked(directory: Path) -> IO:
    return locked(directory / LOCK, f"{directory} is being written by another process")


def _wrote(state: dict, output: Path) -> bool:
    written = state.get("written")
    return isinstance(written, dict) and output.is_file() and os.stat(output).st_ino == written.get("inode")


def _delete(directory: Path) -> None:
    for pattern in ("*.npy", INDEX, SETTINGS):  # settings last: what has them is a store
        for path in directory.glob(pattern):
            path.unlink()


def read_state(directory: Path) -> dict[str, Any]:
    """The settings and metadata of a store, and how far it is. Raises ValueError if they are damaged."""
    path = directory / SETTINGS
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        valid = isinstance(state["settings"], dict)
    except (ValueError, TypeError, LookupError, RecursionError):
        valid = False
    if not valid:
        raise ValueError(f"{path} is damaged: give --overwrite to begin anew, or another name")
    return state


def check_metadata(path: Path, found: Mapping[str, Any] | None, metadata: Mapping[str, Any]) -> None:
    """
    Raises ValueError unless embeddings were made with the same model, features and settings as `metadata` says. The
    name of the model is not compared: its checksum is.
    """
    if found is None:
        raise ValueError(
            f"{path} does not say which model its embeddings are of, as earlier versions wrote them: write them anew "
            "with --overwrite"
        )
    for name in sorted({*found, *metadata} - {"model"}):
        if found.get(name) != metadata.get(name):
            what = "the model's checksum" if name == "checksum" else name
            raise ValueError(
                f"{path} was made with other settings: {what} is {_shown(found.get(name))} there and "
                f"{_shown(metadata.get(name))} now; give the same, another output, or --overwrite to write it anew"
            )


def _shown(value) -> str:
    """A setting, for messages: checksums and the extractor's fields would fill lines."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:12]}..."


def _line(entry: dict) -> bytes:
    return (json.dumps(entry) + "\n").encode()


def read_index(path: Path) -> tuple[list[dict], int]:
    """
    The entries, without a last line that was not finished, and their size in bytes. Raises ValueError for a line that
    is no entry.
    """
    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    entries = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            entry = json.loads(line)
            valid = isinstance(entry["file"], str) and ("error" in entry or entry["rows"] >= 0)
        except (ValueError, TypeError, LookupError, RecursionError):
            valid = False
        if not valid:
            raise ValueError(f"{path} is damaged: line {number} is no entry of a file")
        entries.append(entry)
    return entries, len(data)


def _write_all(file, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
