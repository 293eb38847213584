# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files of embeddings: .npz, .parquet and directories of memory maps, with what they were made with."""

import json
import os
import zipfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from ..utils.files import beside, check_writable, is_special, replacing
from ..utils.progress import Progress
from ..utils.require import require
from .store import INDEX, SETTINGS, Store, read_index, read_state

FORMATS = ("npz", "npy", "parquet")
ROWS_PER_GROUP = 2**14  # of parquet
METADATA_KEY, INDEX_KEY = b"ssast.metadata", b"ssast.index"  # of parquet's schema


class Metadata(TypedDict):
    """What embeddings were made with: `ssast_hf` is the version, `model` the name, `checksum` that of its weights."""

    ssast_hf: str
    model: str
    checksum: str
    extractor: dict
    level: str
    layers: list[int] | None
    pooling: str | None
    channel: int | None


@dataclass
class Collection:
    """
    Embeddings and what they are of.

    Args:
        path: Where they were read from.
        columns: `embeddings` (rows, size), float32; for frames and patches `time` (rows,), the start in seconds; for
            patches `mel_bin` (rows,).
        entries: A dict for each file, in order: `file`, and either `row` (its first), `rows` (their number) and
            `seconds`, or `error`; also `size` (bytes) and `modified` (ns) of the file, where it has them.
        metadata: [`Metadata`]; None in files of earlier versions.
    """

    path: Path
    columns: dict[str, np.ndarray]
    entries: list[dict]
    metadata: Metadata | None


def check_output(
    output: str | os.PathLike, format: str | None, overwrite: bool, append: bool = False
) -> tuple[Path, str]:
    """The path to write and its format. Raises ValueError for what can be known to be wrong beforehand."""
    output = Path(output)
    if overwrite and append:
        raise ValueError("--append and --overwrite exclude each other")
    format = format or format_of(output)
    if format is None:
        raise ValueError(
            f"--output is {output}, expected a name that ends in .npz or .parquet, or a directory's without an "
            "ending; or give --format"
        )
    if format not in FORMATS:
        raise ValueError(f"`format` is {format!r}, expected one of {', '.join(map(repr, FORMATS))}.")
    check_writable(output)
    if is_special(output):
        raise ValueError(f"{output} is a device or a FIFO, expected a file or directory to write")
    if format != "npy" and output.is_dir():
        raise ValueError(f"{output} is a directory, expected a file to write")
    partial = beside(output, ".partial")
    if format != "npy" and output.exists() and not (overwrite or append or partial.exists()):
        raise ValueError(f"{output} exists: choose another name or give --overwrite")
    if format == "parquet":
        require("pyarrow.parquet", "train", "a .parquet output")
    return output, format


def format_of(path: Path) -> str | None:
    """By the ending of a name; None if that tells nothing."""
    return {".npz": "npz", ".parquet": "parquet", "": "npy"}.get(path.suffix.lower())


def write_collection(store: Store, output: Path, format: str, complete: Progress | None = None) -> None:
    """
    The output, of what is complete in the store; `complete` is how the run ended, None where files are missing. Of
    npy, the store's directory is the output.
    """
    store.cut()
    if format == "npy":
        return
    arrays = store.arrays()
    read = [entry for entry in store.entries if "error" not in entry]
    file_index = np.repeat(np.arange(len(read)), [entry["rows"] for entry in read])
    names = [entry["file"] for entry in read]
    about = {METADATA_KEY: json.dumps(store.state["metadata"]).encode(), INDEX_KEY: json.dumps(read).encode()}
    with replacing(output) as unfinished:
        with open(unfinished, "wb") as file:
            if format == "npz":
                extra = {"file_index": file_index} if "time" in arrays else {}
                texts = {key.decode().rpartition(".")[2]: np.array(text) for key, text in about.items()}
                members: dict[str, Any] = {"files": np.array(names), **arrays, **extra, **texts}
                np.savez(file, **members)
            else:
                _write_parquet(file, arrays, names, file_index, about)
        store.save_written(unfinished, complete)


def _write_parquet(
    file, arrays: dict[str, np.ndarray], names: list[str], file_index: np.ndarray, about: dict[bytes, bytes]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Parquet's strings are UTF-8: bytes of a name that are not become \xNN.
    names = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]
    writer: Any = None
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
        writer = writer or pq.ParquetWriter(file, table.schema.with_metadata(about))
        writer.write_table(table)
    writer.close()


def read_collection(path: str | os.PathLike) -> Collection:
    """
    What [`embed_collection`] wrote, of any format. A directory is mapped into memory, also where its run is not
    complete; a file is read.

    Raises:
        ValueError: It is nothing of this kind; FileNotFoundError: there is nothing.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}, expected what `ssast embed` wrote")
    try:
        if path.is_dir():
            found = _read_directory(path)
        elif path.suffix.lower() == ".parquet":
            found = _read_parquet(path)
        else:
            found = _read_npz(path)
        _check(found)
        return found
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:  # of the libraries
        raise ValueError(f"{path} holds no embeddings, expected what `ssast embed` wrote ({error})") from error


def _check(found: Collection) -> None:
    """Raises ValueError where embeddings, entries and metadata do not fit each other."""
    entries = [entry for entry in found.entries if "error" not in entry]
    rows, embeddings = [entry["rows"] for entry in entries], found.columns["embeddings"]
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise ValueError(f"its embeddings have the shape {embeddings.shape} and the type {embeddings.dtype}")
    if sum(rows) != len(embeddings) or [entry["row"] for entry in entries] != [0, *accumulate(rows)][:-1]:
        raise ValueError(f"its index lists {sum(rows)} rows, and it has {len(embeddings)}, or in another order")
    if found.metadata is not None and (lacking := Metadata.__required_keys__ - set(found.metadata)):
        raise ValueError(f"its metadata lacks {', '.join(sorted(lacking))}")


def _read_directory(path: Path) -> Collection:
    if not (path / SETTINGS).is_file():
        raise ValueError(f"it has no {SETTINGS}")
    entries = read_index(path / INDEX)[0]
    rows = sum(entry.get("rows", 0) for entry in entries)
    columns = {column.stem: np.load(column, mmap_mode="r")[:rows] for column in path.glob("*.npy")} if rows else {}
    columns.setdefault("embeddings", np.zeros((0, 0), np.float32))
    return Collection(path, columns, entries, read_state(path).get("metadata"))


def _read_npz(path: Path) -> Collection:
    if not zipfile.is_zipfile(path):  # else NumPy speaks of pickles
        raise ValueError("no .npz file")
    with np.load(path) as file:
        columns = {name: file[name] for name in ("embeddings", "time", "mel_bin") if name in file}
        if "metadata" in file:
            return Collection(path, columns, json.loads(file["index"].item()), json.loads(file["metadata"].item()))
        names = [str(name) for name in file["files"]]
        file_index = file["file_index"] if "file_index" in file else np.arange(len(names))
    return Collection(path, columns, _entries(names, np.bincount(file_index, minlength=len(names))), None)


def _read_parquet(path: Path) -> Collection:
    parquet = require("pyarrow.parquet", "train", str(path))
    with parquet.ParquetFile(path) as file:
        size = file.schema_arrow.field("embedding").type.list_size  # of another kind of file, nothing else is read
        table = file.read()
    values = table["embedding"].combine_chunks()
    columns = {"embeddings": values.flatten().to_numpy().reshape(-1, size)}
    columns |= {name: table[name].to_numpy() for name in ("time", "mel_bin") if name in table.column_names}
    about = table.schema.metadata or {}
    if METADATA_KEY in about:
        return Collection(path, columns, json.loads(about[INDEX_KEY]), json.loads(about[METADATA_KEY]))
    files = table["file"].to_pylist()
    starts = [index for index, name in enumerate(files) if index == 0 or name != files[index - 1]]
    counts = np.diff([*starts, len(files)])
    return Collection(path, columns, _entries([files[start] for start in starts], counts), None)


def _entries(names: list[str], counts: np.ndarray) -> list[dict]:
    """Of files of earlier versions, which say neither seconds nor stamps."""
    firsts = np.cumsum(counts) - counts
    return [{"file": name, "row": int(row), "rows": int(rows)} for name, row, rows in zip(names, firsts, counts)]
