# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of whole collections, to disk: resumable, by worker processes, in shards, and growing."""

import contextlib
import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..configuration_ssast import SSASTConfig
from ..data.sources import Clip, find_sounds
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTModel
from ..utils.files import beside, check_no_input
from ..utils.progress import Progress
from .appending import compact, current, plan_growth, restored, seed, stamp_of
from .batches import End
from .collection_files import Metadata, check_output, read_collection, write_collection
from .devices import checksum
from .embed import check_layers, check_pooling, embed_parts
from .store import SETTINGS, Store, check_metadata, clear_finished

__all__ = ["check_output", "embed_collection", "read_embeddings"]


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
    append: bool = False,
    prune: bool = False,
    name: str | None = None,
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
        append (`bool`): Compute only files that an output lacks, and those whose size or time of modification has
            changed, whose rows are replaced. All other rows stay, but with `prune` those of files that are gone.
        name (`str`, *optional*): Of the model, for the metadata; default: what it was loaded from.

    Raises:
        ValueError: An output exists, or was made of other files or with other settings; no file can be read.
    """
    output, format = check_output(output, format, overwrite, append)
    layers = check_layers(layers, model.config.num_hidden_layers)
    check_pooling(pooling, level)
    _check_growing(append, prune, shard)
    how = {"channel": channel, "accept_truncated": accept_truncated}
    clips = _clips(files, shard, report, how)
    check_no_input([output], [clip.path for clip in clips])
    metadata = _metadata(model, extractor, level, layers, pooling, channel, name)
    settings = {"append": True} if append else _settings(metadata, pooling, shard, [clip.name for clip in clips], how)
    arguments = (settings, _columns(level, row_size(model.config, level, pooling)), overwrite, metadata, append)

    def run(store: Store, clips: list[Clip], first: int) -> Progress:
        parts = embed_parts(model, extractor, clips, level, batch_size, layers, num_workers, pooling)
        return _run(store, clips, parts, first, report, progress)

    write = partial(_append, prune=prune) if append else _write
    return write(clips, output, format, arguments, run)


def _write(clips: list[Clip], output: Path, format: str, arguments: tuple, run: Callable[..., Progress]) -> Progress:
    """Writes an output, or resumes writing it."""
    if format != "npy" and not arguments[2] and (finished := clear_finished(_work(output, format), output)):
        return finished
    with Store(_work(output, format), *arguments) as store:
        _refuse_to_replace(output, format, arguments[2], store)
        first = len(store.entries)
        with _keeping_on_interrupt(store, output, format):
            state = run(store, clips[first:], first)
        _complete(store, output, format, state)
    return state


def _check_growing(append: bool, prune: bool, shard: tuple[int, int]) -> None:
    if append and shard[1] > 1:
        raise ValueError("a shard has every n-th file, which changes as a collection grows: append without shards")
    if prune and not append:
        raise ValueError("to leave out files that are gone is part of appending: give --append as well")


def _work(output: Path, format: str) -> Path:
    """The directory that holds the files that are done."""
    return output if format == "npy" else beside(output, ".partial")


def _append(
    clips: list[Clip], output: Path, format: str, arguments: tuple, run: Callable[..., Progress], prune: bool
) -> Progress:
    """Adds to an output, or makes it where there is none. An output that lacks nothing is not written."""
    work, metadata = _work(output, format), arguments[3]
    restored(work)
    if format != "npy":
        clear_finished(work, output)
    begun = (work / SETTINGS).is_file()
    found = read_collection(work if begun else output) if begun or output.exists() else None
    if found is not None:
        check_metadata(found.path, found.metadata, metadata)
        growth = plan_growth(clips, found.entries)
        if not growth.clips and not (prune and growth.gone) and (format == "npy" or not begun):
            return Progress(0, rows=len(found.columns["embeddings"]), gone=growth.gone)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(_open_to_append(work, output, format, arguments))
        growth = plan_growth(clips, store.entries)
        with _keeping_on_interrupt(store, output, format):
            state = run(store, growth.clips, 0)
        kept = current(store.entries, growth.gone if prune else [])
        if len(kept) < len(store.entries):
            store = stack.enter_context(compact(store, kept, arguments))
        _complete(store, output, format, state)
    state.rows, state.changed, state.gone = store.rows, growth.changed, growth.gone
    return state


def _open_to_append(work: Path, output: Path, format: str, arguments: tuple) -> Store:
    """A store with all that the output has."""
    store = Store(work, *arguments)
    if format == "npy":
        store.save_state(complete=False)
    elif output.exists() and not (store.state.get("seeded") or store.wrote(output)):
        if store.entries:  # cut off while it was seeded
            store.remove()
            store = Store(work, *arguments)
        seed(store, read_collection(output))
    return store


@contextlib.contextmanager
def _keeping_on_interrupt(store: Store, output: Path, format: str):
    """On Ctrl-C the output gets what is complete."""
    try:
        yield
    except KeyboardInterrupt:
        if store.rows:
            write_collection(store, output, format)
        raise


def _refuse_to_replace(output: Path, format: str, overwrite: bool, store: Store) -> None:
    if output.exists() and format != "npy" and not (overwrite or store.wrote(output)):
        raise ValueError(f"{output} exists: choose another name or give --overwrite")


def row_size(config: SSASTConfig, level: str, pooling: str | None) -> int:
    if level != "clip":
        return config.hidden_size
    config = copy.copy(config)
    config.pooling = pooling or config.pooling
    return config.pooled_size


def _complete(store: Store, output: Path, format: str, state: Progress) -> None:
    """Writes the output of a store that has all files. Raises ValueError where none could be read."""
    if not store.rows:
        store.remove()
        raise ValueError(f"none of {len(store.entries)} file(s) could be read: {output} was not written")
    write_collection(store, output, format, state)
    if format == "npy":
        store.save_state(complete=True)
    else:
        store.remove()


def _metadata(model, extractor, level: str, layers, pooling: str | None, channel, name: str | None) -> Metadata:
    """What embeddings are made with, for those who use them and for runs that append."""
    from .. import __version__

    name = name or model.config._name_or_path
    return {
        "ssast_hf": __version__,
        "model": os.path.abspath(name) if os.path.isdir(name) else name,
        "checksum": checksum(model),
        "extractor": json.loads(extractor.to_json_string()),
        "level": level,
        "layers": layers,
        "pooling": (pooling or model.config.pooling) if level == "clip" else None,
        "channel": channel,
    }


def _settings(metadata: Mapping[str, Any], pooling: str | None, shard, names: list[str], how: dict) -> dict:
    """What must be the same for a run to be resumed."""
    return {
        "model": metadata["checksum"],
        **{name: metadata[name] for name in ("extractor", "level", "layers")},
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
    store: Store, clips: list[Clip], parts: Iterable, first: int, report: Callable | None, progress: Callable | None
) -> Progress:
    """Stores the embeddings of clips in their order, after the `first` ones, which the store has."""
    state = Progress(first + len(clips), first, store.failed if first else 0, store.rows, resumed=first)
    begun = time.monotonic()
    for index, part in parts:
        if not isinstance(part, End):
            store.add(part)
            continue
        clip = clips[index]
        store.commit(clip.name, part, **stamp_of(clip))
        state.done, state.failed, state.rows = first + index + 1, state.failed + bool(part.error), store.rows
        state.sound += 0.0 if part.error else part.seconds
        state.elapsed = time.monotonic() - begun
        if part.error is not None and report is not None:
            report(clip.name, part.error)
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
    found = read_collection(directory)
    return found.columns["embeddings"], found.entries


def _columns(level: str, size: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    columns: dict[str, tuple[np.dtype, tuple[int, ...]]] = {"embeddings": (np.dtype("<f4"), (size,))}
    if level != "clip":
        columns["time"] = (np.dtype("<f8"), ())
    if level == "patch":
        columns["mel_bin"] = (np.dtype("<i8"), ())
    return columns
