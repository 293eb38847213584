# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Finding a checkpoint. `from_pretrained` of every class here takes, in this order: a directory; a short name that is
bundled, was converted before, or is on the Hub; a Hub repository.
"""

import difflib
import os
import re
from pathlib import Path

from .fetch import HUB_ARGUMENTS, Download, cached_commits, verify_weights
from .files import CONFIG, WEIGHTS, check_files
from .names import Checkpoint, Found, known, table


def find(
    name: str | os.PathLike, needs: str = CONFIG, subfolder: str = "", variant: str | None = None, **hub
) -> Found:
    """
    Finds a checkpoint, fetching what it needs from the Hub where it is there.

    Args:
        name (`str`): Directory, short name or Hub repository.
        needs (`str`, defaults to `"config.json"`): `"config.json"`, `"preprocessor_config.json"` or
            `"model.safetensors"`: which file must be there (the configurations are looked for in any case; weights may
            be in shards).
        subfolder (`str`, *optional*), variant (`str`, *optional*): As in transformers' `from_pretrained`.
        hub: `revision` (default: the table's, which "main" stands for as well), `token`, `cache_dir`,
            `force_download`, `local_files_only`, as in transformers.

    Raises:
        OSError: There is no such checkpoint, or it cannot be fetched; the message says what to do.
        ValueError: What is there is not a checkpoint that can be loaded safely.
    """
    hub = {key: value for key, value in hub.items() if value is not None and key in HUB_ARGUMENTS}
    text = os.fspath(name)
    path = Path(text).expanduser()
    if path.is_file():
        raise ValueError(f"{text} is a file, expected the directory of a checkpoint.")
    local = Found(text, path) if path.is_dir() else _find_by_name(text)
    if local is not None:
        check_files(text, local.directory / subfolder, needs, variant)
        return local
    entry = known(text)
    repo = _repository(text, entry)
    if text in table() and entry and entry.revision and hub.get("revision", "main") == "main":  # the default
        hub["revision"] = entry.revision
    asked = hub.get("revision", "main")
    found = Download(text, repo, dict(hub), entry, subfolder, variant).fetch(needs)
    check_files(text, found.directory / subfolder, needs, variant)
    if needs == WEIGHTS and entry is not None and entry.sha256:
        pin = entry.revision or "main"
        if asked == pin or found.directory.name.startswith(pin):
            verify_weights(found, entry.sha256, subfolder, variant)
    return found


def _find_by_name(name: str) -> Found | None:
    """The checkpoint of a short name where it is on this machine, outside the Hub's cache."""
    entry = table().get(name)
    for _, directory in entry.directories() if entry else ():
        if (directory / CONFIG).is_file():
            return Found(name, directory, entry)
    return None


def _repository(name: str, entry: Checkpoint | None) -> str:
    """The Hub repository of a short name, or the name itself where it is a repository's."""
    if entry is None or name not in table():
        if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
            return name
        if "/" in name or name.startswith("."):
            raise FileNotFoundError(f"No such directory: {name}")
        close = difflib.get_close_matches(name, table(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else "`ssast checkpoints` lists the names."
        raise FileNotFoundError(f"{name} is neither a directory nor a checkpoint's name: {hint}")
    if entry.path:
        raise FileNotFoundError(f"{name} is to be in {entry.path}, which has no {CONFIG}.")
    if not entry.repo:
        raise FileNotFoundError(
            f"{name} is not on this machine, and no copy on the Hub is known: {entry.ways_to_get()}"
        )
    return entry.repo


def status(entry: Checkpoint) -> str:
    """`"bundled"`, `"converted"`, `"here"` (a directory of the user's), `"cached"` (from the Hub) or `"no"`."""
    from huggingface_hub import try_to_load_from_cache

    for where, directory in entry.directories():
        if (directory / CONFIG).is_file():
            return where
    if entry.repo:
        full = cached_commits(entry.repo, entry.revision) if entry.revision else []
        revision = full[0] if full else entry.revision or "main"
        if isinstance(try_to_load_from_cache(entry.repo, WEIGHTS, revision=revision), str):
            return "cached"
    return "no"
