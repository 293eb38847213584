# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of whole collections, to disk: resumable, by worker processes, in shards."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..configuration_ssast import SSASTConfig
from ..data.sources import Clip, find_sounds
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTModel
from ..utils.files import replacing
from ..utils.progress import Progress
from ..utils.require import require
from .batches import End
from .devices import checksum
from .embed import check_layers, check_pooling, embed_parts
from .store import INDEX, SETTINGS, Store, read_index

FORMATS = ("npz", "npy", "parquet")
ROWS_PER_GROUP = 2**14  # of parquet


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
    pooling: str | None = None,
    channel: int | None = None,
    accept_truncated: bool = False,
) -> Progress:
    """
    Writes the embeddings of a collection of sounds. The same call resumes a run that was interrupted: until it is
    complete, a directory (`output` itself for npy, else `output` + ".partial") holds the files that are done. On
    KeyboardInterrupt, `output` gets these.

    Args:
        model ([`SSASTModel`]), extractor ([`SSASTFeatureExtractor`]): Any checkpoint.
        files: One or several of what [`find_sounds`] takes.
        output: A file .npz or .parquet, or a directory of memory maps (see [`read_embeddings`]).
        level, layers, batch_size, num_workers, pooling: As for [`embed`].
        format (`str`, *optional*): `"npz"`, `"npy"` or `"parquet"`; default by the ending of `output`.
        shard (`tuple[int, int]`, defaults to `(1, 1)`): `(i, n)` embeds every n-th file, from the i-th of 1 to n.
        overwrite (`bool`): Replace an output that exists, and begin anew.
        report, progress: Called with each file that cannot be read, and why; and after each file.
        channel (`int`, *optional*), accept_truncated (`bool`): As for [`load_audio`].

    Raises:
        ValueError: An output exists, an unfinished one was made of other files or settings, none can be read.
    """
    output, format = check_output(output, format, overwrite)
    layers = check_layers(layers, model.config.num_hidden_layers)
    check_pooling(pooling, level)
    how = {"channel": channel, "accept_truncated": accept_truncated}
    clips = _clips(files, shard, report, how)
    names = [clip.name for clip in clips]
    settings = _settings(model, extractor, level, layers, pooling, shard, names, how)
    columns = _columns(level, _row_size(model.config, level, pooling))
    work = output if format == "npy" else output.with_name(output.name + ".partial")
    with Store(work, settings, columns, overwrite) as store:
        _refuse_to_replace(output, format, overwrite, store)
        rest = clips[len(store.entries) :]
        parts = embed_parts(model, extractor, rest, level, batch_size, layers, num_workers, pooling)
        try:
            state = _run(store, names, parts, report, progress)
        except KeyboardInterrupt:
            if store.rows:
                _write(store, output, format)
                store.save_state(interim=True)
            raise
        _complete(store, output, format)
    return state


def _refuse_to_replace(output: Path, format: str, overwrite: bool, store: Store) -> None:
    if output.exists() and format != "npy" and not (overwrite or store.state.get("interim")):
        raise ValueError(f"{output} exists: choose another name or give --overwrite")


def _row_size(config: SSASTConfig, level: str, pooling: str | None) -> int:
    if level != "clip":
        return config.hidden_size
    config = copy.copy(config)
    config.pooling = pooling or config.pooling
    return config.pooled_size


def _complete(store: Store, output: Path, format: str) -> None:
    """Writes the output of a store that has all files. Raises ValueError where none could be read."""
    if not store.rows:
        store.remove()
        raise ValueError(f"none of {len(store.entries)} file(s) could be read: {output} was not written")
    _write(store, output, format)
    store.save_state(complete=True)
    if format != "npy":
        store.remove()


def _settings(model, extractor, level: str, layers, pooling: str | None, shard, names: list[str], how: dict) -> dict:
    """What must be the same for a run to be resumed."""
    return {
        "model": checksum(model),
        "extractor": json.loads(extractor.to_json_string()),
        "level": level,
        "layers": layers,
        **({} if pooling is None else {"pooling": pooling}),  # runs begun by earlier versions are resumed
        "shard": list(shard),
        **{name: value for name, value in how.items() if value},
        "files": len(names),
        "files_digest": hashlib.sha256(b"\0".join(map(os.fsencode, names))).hexdigest(),
    }


def _clips(files, shard: tuple[int, int], report: Callable | None, how: dict) -> list[Clip]:
    """
    The clips of a shard, read as `how` (channel, accept_truncated) says. Raises ValueError where the shard is
    impossible or empty.
    """
    files = [files] if isinstance(files, (str, os.PathLike)) else files
    clips = find_sounds(files, None if report is None else lambda error: report(error.filename, error))
    number, shards = shard
    if not 1 <= number <= shards:
        raise ValueError(f"`shard` is {number}/{shards}, expected 1/{shards} to {shards}/{shards}.")
    if number > len(clips):
        raise ValueError(f"`shard` {number}/{shards} of {len(clips)} file(s) is empty.")
    return [replace(clip, **how) for clip in clips[number - 1 :: shards]]


def _run(
    store: Store, names: list[str], parts: Iterable, report: Callable | None, progress: Callable | None
) -> Progress:
    """Stores the embeddings of files that the store does not have, as they come."""
    state = Progress(len(names), len(store.entries), store.failed, store.rows, resumed=len(store.entries))
    begun = time.monotonic()
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
    entries = read_index(directory / INDEX)[0]
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
        require("pyarrow.parquet", "train", "a .parquet output")
    return output, format


def _columns(level: str, size: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    columns: dict[str, tuple[np.dtype, tuple[int, ...]]] = {"embeddings": (np.dtype("<f4"), (size,))}
    if level != "clip":
        columns["time"] = (np.dtype("<f8"), ())
    if level == "patch":
        columns["mel_bin"] = (np.dtype("<i8"), ())
    return columns


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
