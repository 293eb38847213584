# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Columns on disk that grow by rows, and an index of the files whose rows are complete: runs that survive a kill."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import replacing
from .chunks import End

SETTINGS, INDEX = "settings.json", "index.jsonl"


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
    the index does not have are cut off when it is opened again.

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
        metadata: dict | None = None,
        append: bool = False,
    ):
        self.directory, self.columns = directory, {}
        found = self._found(settings, overwrite, metadata, append)
        directory.mkdir(exist_ok=True)
        if not found:
            self.state: dict[str, Any] = {"settings": settings, "metadata": metadata, "complete": False}
            self.save_state()
        self.index = open(directory / INDEX, "a+b", buffering=0)  # noqa: SIM115
        self._lock()
        try:
            self.columns = {name: Column(directory / f"{name}.npy", *kind) for name, kind in columns.items()}
            self.entries, size = read_index(directory / INDEX)
            present = min(column.rows() for column in self.columns.values())
            while self.entries and self._rows_of(self.entries) > present:  # a crash lost what was not yet on disk
                self.entries.pop()
                size = sum(len(_line(entry)) for entry in self.entries)
            self.index.truncate(size)
            self.rows = self._rows_of(self.entries)
            self.cut()
        except BaseException:
            self.close()
            raise

    def _found(self, settings: dict, overwrite: bool, metadata: dict | None, append: bool) -> bool:
        """Whether the directory holds a run that this one resumes. If so, its state is read."""
        if not self.directory.exists():
            return False
        path = self.directory / SETTINGS
        if not path.is_file():
            if self.directory.is_dir() and not any(self.directory.iterdir()):
                return False
            raise ValueError(f"{self.directory} exists and holds no embeddings: choose another name")
        if overwrite:
            self.remove()
            return False
        self.state = json.loads(path.read_text(encoding="utf-8"))
        if append:
            check_metadata(self.directory, self.state.get("metadata"), metadata or {})
            self.state |= {"settings": settings, "metadata": metadata}
            return True
        if self.state.get("complete"):
            raise ValueError(f"{self.directory} exists: choose another name or give --overwrite")
        found = self.state.get("settings", {})
        if found != settings:
            differ = sorted(name for name in settings if found.get(name) != settings[name])
            raise ValueError(
                f"{self.directory} is an unfinished run with other {', '.join(differ)}: give the same to go on with "
                "it, --overwrite to begin anew, or another name"
            )
        return True

    def _lock(self) -> None:
        with contextlib.suppress(ImportError):  # no fcntl on Windows
            import fcntl

            try:
                fcntl.flock(self.index, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.index.close()
                raise ValueError(f"{self.directory} is being written by another process") from None

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

    def remove(self) -> None:
        """Deletes the directory, if it holds nothing else than a store."""
        self.close()
        for pattern in ("*.npy", INDEX, SETTINGS):
            for path in self.directory.glob(pattern):
                path.unlink()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def close(self) -> None:
        for file in [*(column.file for column in self.columns.values()), getattr(self, "index", None)]:
            if file is not None:
                file.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_) -> None:
        if not self.index.closed:
            with contextlib.suppress(OSError):
                self.cut()  # rows of a file that was not finished
        self.close()


def check_metadata(path: Path, found: dict | None, metadata: dict) -> None:
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
    """The entries, without a last line that was not finished, and their size in bytes."""
    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    return [json.loads(line) for line in data.splitlines()], len(data)


def _write_all(file, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
