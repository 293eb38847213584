# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Collections that grow: which files are new, changed or gone, and stores without what was replaced."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.clips import TarMember
from ..data.sources import Clip
from .collection_files import Collection
from .store import Store

STAMP = ("archive", "size", "modified")


def stamp_of(clip: Clip) -> dict:
    """
    What tells whether a clip's file has changed: its `size` in bytes and the time when it was `modified`, in
    nanoseconds; of a member of a .tar shard those of the `archive`. Empty for rows of tables, and for files that are
    not there.
    """
    if clip.member is not None and not isinstance(clip.member, TarMember):
        return {}
    path = clip.path if clip.member is None else clip.member.archive
    try:
        state = os.stat(path)
    except OSError:
        return {}
    return {
        **({} if clip.member is None else {"archive": path}),
        "size": state.st_size,
        "modified": state.st_mtime_ns,
    }


def path_of(name: str) -> str:
    """The path in a clip's name, without the times of a part."""
    return name if os.path.exists(name) else re.sub(r"#t=[\d.e+-]+(,[\d.e+-]+)?$", "", name)


@dataclass
class Growth:
    """
    What appending to a collection comes to.

    Args:
        clips: The clips to compute.
        changed (`int`): How many of these are in the collection already, of an earlier state of their file.
        gone: Names in the collection whose files are no longer there.
    """

    clips: list[Clip]
    changed: int
    gone: list[str]


def plan_growth(clips: list[Clip], entries: list[dict]) -> Growth:
    """Compares the clips that are there with the entries of a collection."""
    known = {entry["file"]: entry for entry in entries}
    wanted = []
    for clip in {clip.name: clip for clip in clips}.values():
        entry, stamp = known.get(clip.name, {"error": ""}), stamp_of(clip)
        if "error" in entry or _stamp(entry) != stamp:
            wanted.append(clip)
    changed = sum("error" not in known.get(clip.name, {"error": ""}) for clip in wanted)
    gone = [
        name
        for name, entry in known.items()
        if "size" in entry and not os.path.exists(entry.get("archive", path_of(name)))
    ]
    return Growth(wanted, changed, gone)


def current(entries: list[dict], dropped: list[str]) -> list[dict]:
    """The entries without those that a later entry of the same file replaced, and without the files `dropped`."""
    last = {entry["file"]: index for index, entry in enumerate(entries)}
    left = set(dropped)
    kept = []
    for index, entry in enumerate(entries):
        newest = entries[last[entry["file"]]]
        same = "error" not in entry and "error" not in newest and _stamp(entry) == _stamp(newest)
        # A file that can no longer be read leaves no rows of what it was.
        if entry["file"] not in left and (same or index == last[entry["file"]]):
            kept.append(entry)
    return kept


def _stamp(entry: dict) -> dict:
    return {name: entry[name] for name in STAMP if name in entry}


def seed(store: Store, collection: Collection) -> None:
    """Puts a collection into a new store, which says so: one that was cut off before is begun anew."""
    for entry in collection.entries:
        store.put(entry, _rows(collection.columns, entry))
    store.save_state(seeded=True)


def compact(store: Store, entries: list[dict], arguments: tuple) -> Store:
    """The store with these of its entries only; `arguments` are those of [`Store`] after the directory."""
    arrays = store.arrays()
    folder = store.directory
    rest, aside = (folder.with_name(f"{folder.name}.{ending}") for ending in ("compact", "replaced"))
    for left_behind in (rest, aside):
        shutil.rmtree(left_behind, ignore_errors=True)
    with Store(rest, *arguments) as other:
        for entry in entries:
            other.put(entry, _rows(arrays, entry))
        other.save_state(
            **{name: value for name, value in store.state.items() if name not in ("settings", "complete")}
        )
    store.close()
    os.rename(folder, aside)
    os.rename(rest, folder)
    shutil.rmtree(aside)
    return Store(folder, *arguments)


def _rows(columns: dict[str, np.ndarray], entry: dict) -> dict[str, np.ndarray]:
    rows = slice(entry.get("row", 0), entry.get("row", 0) + entry.get("rows", 0))
    return {name: values[rows] for name, values in columns.items()}


def restored(folder: Path) -> None:
    """Puts back a directory that [`compact`] had moved aside when it was cut off."""
    aside = folder.with_name(f"{folder.name}.replaced")
    if aside.is_dir() and not folder.exists():
        os.rename(aside, folder)
