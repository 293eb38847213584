# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of whole collections, to disk: resumable, by worker processes, in shards."""

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.sources import find_sounds
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTModel
from ..utils.files import replacing
from .core import End, check_layers, embed_parts

FORMATS = ("npz", "npy", "parquet")
ROWS_PER_GROUP = 2**14  # of parquet
SETTINGS, INDEX = "settings.json", "index.jsonl"


@dataclass
class Progress:
    """How far [`embed_collection`] is. `done` and `failed` count files from the beginning, the rest this run."""

    total: int
    done: int = 0
    failed: int = 0
    rows: int = 0
    resumed: int = 0  # files that an earlier run had worked off
    sound: float = 0.0  # seconds of sound embedded in this run
    elapsed: float = 0.0  # seconds

    def speed(self) -> str:
        minutes = max(self.elapsed, 1e-9) / 60
        return (
            f"{(self.done - self.resumed) / minutes:.0f} files, {self.sound / 3600 / minutes:.2f} h of sound a minute"
        )

    def time_left(self) -> float:
        """Seconds, if the files to come are like those so far."""
        return self.elapsed / max(1, self.done - self.resumed) * (self.total - self.done)


def embed_collection(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    files: str | os.PathLike | Iterable[str | os.PathLike],
    output: str | os.PathLike,
    level: str = "clip",
    layers: Iterable[int] | None = None,
    format: str | None = None,
    batch_size: int = 16,
    num_workers: int = 0,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
    report: Callable[[str, Exception], object] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Progress:
    """
    Writes the embeddings of a collection of sounds. A run that was cut off is resumed by the same call, without a row
    twice: until it is complete, a directory (`output` itself for npy, else `output` + ".partial") holds what is done.
    On KeyboardInterrupt, `output` gets what is complete up to then.

    Args:
        model ([`SSASTModel`]), extractor ([`SSASTFeatureExtractor`]): Any checkpoint.
        files: Sound files, folders, manifests (.csv, .tsv or .jsonl with a column `file`, and perhaps `offset` and
            `duration` in seconds), .tar and .parquet shards and Hub datasets (`hf:ORG/NAME,split=test`), or one of
            these.
        output: A file .npz or .parquet, or a directory of memory maps (see [`read_embeddings`]).
        level, layers, batch_size, num_workers: As for [`embed`].
        format (`str`, *optional*): `"npz"`, `"npy"` or `"parquet"`; default by the ending of `output`.
        shard (`tuple[int, int]`, defaults to `(1, 1)`): `(i, n)` embeds every n-th file only, from the i-th of 1 to n:
            n processes or machines share the work, each with its own `output`.
        overwrite (`bool`): Replace an output that exists, and begin anew.
        report: Called with each file that cannot be read, and why.
        progress: Called after each file.

    Returns:
        [`Progress`]

    Raises:
        ValueError: An output exists, an unfinished one was made of other files or settings, none can be read.
    """
    files = [files] if isinstance(files, (str, os.PathLike)) else files
    output, format = check_output(output, format, overwrite)
    clips = find_sounds(files, None if report is None else lambda error: report(error.filename, error))
    number, shards = shard
    if not 1 <= number <= shards:
        raise ValueError(f"`shard` is {number}/{shards}, expected 1/{shards} to {shards}/{shards}.")
    total, clips = len(clips), clips[number - 1 :: shards]
    names = [clip.name for clip in clips]
    if not names:
        raise ValueError(f"`shard` {number}/{shards} of {total} file(s) is empty.")
    layers = check_layers(layers, model.config.num_hidden_layers)
    settings = {
        "model": _digest(model),
        "extractor": json.loads(extractor.to_json_string()),
        "level": level,
        "layers": layers,
        "shard": [number, shards],
        "files": len(names),
        "files_digest": hashlib.sha256(b"\0".join(map(os.fsencode, names))).hexdigest(),
    }
    work = output if format == "npy" else output.with_name(output.name + ".partial")
    with Store(work, settings, _columns(level, model.config.hidden_size), overwrite) as store:
        if output.exists() and format != "npy" and not (overwrite or store.state.get("interim")):
            raise ValueError(f"{output} exists: choose another name or give --overwrite")
        state = Progress(len(names), len(store.entries), store.failed, store.rows, resumed=len(store.entries))
        begun = time.monotonic()
        try:
            parts = embed_parts(model, extractor, clips[state.done :], level, batch_size, layers, num_workers)
            for index, part in parts:
                if not isinstance(part, End):
                    store.add(part)
                    continue
                name = names[state.resumed + index]
                store.commit(name, part)
                state.done, state.failed, state.rows = len(store.entries), store.failed, store.rows
                state.sound += 0.0 if part.error else part.seconds
                state.elapsed = time.monotonic() - begun
                if part.error is not None and report is not None:
                    report(name, part.error)
                if progress is not None:
                    progress(state)
        except KeyboardInterrupt:
            if store.rows:
                _write(store, output, format)
                store.save_state(interim=True)
            raise
        if not store.rows:
            store.remove()
            raise ValueError(f"none of {len(names)} file(s) could be read: {output} was not written")
        _write(store, output, format)
        store.save_state(complete=True)
        if format != "npy":
            store.remove()
    return state


def read_embeddings(directory: str | os.PathLike) -> tuple[np.ndarray, list[dict]]:
    """
    Embeddings that [`embed_collection`] wrote as memory maps, complete or not.

    Returns:
        `np.memmap` of shape `(rows, hidden)`, float32, and a dict for each file, in order: `file`, and either `row`
        (the file's first), `rows` (their number) and `seconds`, or `error`.
    """
    directory = Path(directory)
    if not (directory / SETTINGS).is_file():
        raise ValueError(f"{directory} holds no embeddings: expected a directory that ssast embed wrote.")
    entries = _read_index(directory / INDEX)[0]
    rows = sum(entry.get("rows", 0) for entry in entries)
    return np.load(directory / "embeddings.npy", mmap_mode="r")[:rows] if rows else np.zeros((0, 0)), entries


def check_output(output: str | os.PathLike, format: str | None, overwrite: bool) -> tuple[Path, str]:
    """The path to write and its format. Raises ValueError for what can be known to be wrong beforehand."""
    output = Path(output)
    if format is None:
        format = {".npz": "npz", ".parquet": "parquet", "": "npy"}.get(output.suffix.lower())
        if format is None:
            raise ValueError(
                f"--output is {output}, expected a name that ends in .npz or .parquet, or a directory's without an "
                "ending; or give --format"
            )
    if format not in FORMATS:
        raise ValueError(f"`format` is {format!r}, expected one of {', '.join(map(repr, FORMATS))}.")
    if not output.parent.is_dir():
        raise ValueError(f"there is no directory {output.parent} to write into: make it first")
    if format != "npy" and output.is_dir():
        raise ValueError(f"{output} is a directory, expected a file to write")
    partial = output.with_name(output.name + ".partial")
    if format != "npy" and output.exists() and not overwrite and not partial.exists():
        raise ValueError(f"{output} exists: choose another name or give --overwrite")
    if format == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ValueError(f"parquet needs pyarrow ({error}): pip install pyarrow") from error
    return output, format


def _columns(level: str, hidden_size: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    columns = {"embeddings": (np.dtype("<f4"), (hidden_size,))}
    if level != "clip":
        columns["time"] = (np.dtype("<f8"), ())
    if level == "patch":
        columns["mel_bin"] = (np.dtype("<i8"), ())
    return columns


def _digest(model: SSASTModel) -> str:
    digest = hashlib.sha256(model.config.to_json_string().encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


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
    """

    def __init__(self, directory: Path, settings: dict, columns: dict, overwrite: bool):
        self.directory, self.columns = directory, {}
        found = self._found(settings, columns, overwrite)
        directory.mkdir(exist_ok=True)
        if not found:
            self.state = {"settings": settings, "complete": False}
            self.save_state()
        self.index = open(directory / INDEX, "a+b", buffering=0)  # noqa: SIM115
        self._lock()
        try:
            self.columns = {name: Column(directory / f"{name}.npy", *kind) for name, kind in columns.items()}
            self.entries, size = _read_index(directory / INDEX)
            present = min(column.rows() for column in self.columns.values())
            while self.entries and self._rows_of(self.entries) > present:  # a crash lost what was not yet on disk
                self.entries.pop()
                size = sum(len(_line(entry)) for entry in self.entries)
            self.index.truncate(size)
            self.rows = self._rows_of(self.entries)
            self._cut()
        except BaseException:
            self.close()
            raise

    def _found(self, settings: dict, columns: dict, overwrite: bool) -> bool:
        """Whether the directory holds an unfinished run of these settings, whose state is then read."""
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

    def _cut(self) -> None:
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

    def commit(self, name: str, end: End) -> None:
        """The end of a file: its rows count from now on, or never did if it could not be read."""
        rows = next(iter(self.columns.values())).rows() - self.rows
        if end.error is None:
            entry = {"file": name, "row": self.rows, "rows": rows, "seconds": round(end.seconds, 6)}
        else:
            entry = {"file": name, "error": str(end.error)}
        size = os.fstat(self.index.fileno()).st_size
        try:
            if end.error is None:
                for column in self.columns.values():
                    column.set_rows(self.rows + rows)
            else:
                self._cut()
            _write_all(self.index, _line(entry))
        except OSError as error:
            self.index.truncate(size)
            raise self._stopped(error) from error
        self.entries.append(entry)
        self.rows += entry.get("rows", 0)

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
                self._cut()  # rows of a file that was not finished
        self.close()


def _line(entry: dict) -> bytes:
    return (json.dumps(entry) + "\n").encode()


def _read_index(path: Path) -> tuple[list[dict], int]:
    """The entries, without a last line that was not finished, and their size in bytes."""
    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    return [json.loads(line) for line in data.splitlines()], len(data)


def _write_all(file, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _write(store: Store, output: Path, format: str) -> None:
    """The output, of what is complete."""
    store._cut()
    if format == "npy":
        return
    arrays = store.arrays()
    read = [entry for entry in store.entries if "error" not in entry]
    file_index = np.repeat(np.arange(len(read)), [entry["rows"] for entry in read])
    names = [entry["file"] for entry in read]
    with replacing(output) as unfinished, open(unfinished, "wb") as file:
        if format == "npz":
            extra = {"file_index": file_index} if "time" in arrays else {}
            np.savez(file, files=np.array(names), **arrays, **extra)
        else:
            _write_parquet(file, arrays, names, file_index)


def _write_parquet(file, arrays: dict[str, np.ndarray], names: list[str], file_index: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Parquet's strings are UTF-8: bytes of a name that are not become \xNN.
    names = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]
    writer = None
    for start in range(0, len(file_index), ROWS_PER_GROUP):
        rows = slice(start, start + ROWS_PER_GROUP)
        embeddings = np.ascontiguousarray(arrays["embeddings"][rows])
        columns = {
            "file": pa.array([names[index] for index in file_index[rows]], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1]),
        }
        columns |= {
            name: pa.array(np.asarray(values[rows])) for name, values in arrays.items() if name != "embeddings"
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    writer.close()
