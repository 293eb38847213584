# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Folders of sound files or shards, and `.tar` shards."""

import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..audio import audio_extensions, find_audio_files
from ..audio.find import passed_over
from ..utils.logs import get_logger
from ..utils.parsing import normalized
from .clips import Clip, TarMember
from .tables import read_parquet

logger = get_logger(__name__)

SPLITS = r"(train|test|val|valid|dev|eval)(ing|idation|uation)?[-_ ]?(set|data|split)?"


def read_folder(
    folder: Path, column: str | None = None, onerror: Callable[[OSError], object] | None = None
) -> list[Clip]:
    """
    The sounds of a folder at any depth, else what its `.parquet` or `.tar` shards hold. The log counts what is passed
    over.
    """
    others: Counter[str] = Counter()
    paths = find_audio_files(folder, onerror, others)
    if paths:
        _log_passed_over(folder, others)
        return [Clip(str(path)) for path in paths]
    for suffix in (".parquet", ".tar"):
        others = Counter()
        if shards := find_audio_files(folder, onerror, others, [suffix]):
            _log_passed_over(folder, others)
            return read_parquet(shards, column) if suffix == ".parquet" else [c for s in shards for c in read_tar(s)]
    return []


def read_labelled_folder(folder: Path, label: str | None = None) -> list[Clip]:
    """
    The sounds of a folder with a subfolder per label.

    Args:
        folder (`Path`): The folder.
        label (`str`, *optional*): Which folder names the label where folders lie in folders: `first` (below `folder`)
            or `last` (the sound's own).

    Raises:
        ValueError: A sound lies in no subfolder; folders lie in folders and `label` does not say which is the label;
            the subfolders are parts of a split; or two are one folder, by a link.
    """
    if label not in (None, "first", "last"):
        raise ValueError(f"{folder}: label is {label!r}, expected first or last: which folder names the label.")
    others: Counter[str] = Counter()
    found = {path: path.relative_to(folder).parts[:-1] for path in find_audio_files(folder, None, others)}
    loose = next((path for path, parts in found.items() if not parts), None)
    if loose:
        raise ValueError(f"{loose} lies in no label's folder: expected {folder}/LABEL/{loose.name}.")
    tops = sorted({parts[0] for parts in found.values()})
    splits = [name for name in tops if re.fullmatch(SPLITS, name, re.IGNORECASE)]
    if splits and len(splits) == len(tops) and label is None:
        first = next((name for name in splits if name.lower().startswith("train")), splits[0])
        raise ValueError(
            f"The folders in {folder} are parts of a split ({', '.join(splits)}), expected labels: give one of them "
            f"(--data {folder}/{first}) and the others as --validation_data and --test_data, or write "
            f"{folder},label=last to train on all of them."
        )
    _check_links(folder, tops)
    nested = next((path for path, parts in found.items() if len(parts) > 1), None)
    if nested and label is None:
        parts = found[nested]
        raise ValueError(
            f"{nested} lies in folders in folders: is its label {parts[0]} or {parts[-1]}? Write {folder},label=first "
            f"or {folder},label=last."
        )
    _log_passed_over(folder, others)
    names = {path: parts[-1 if label == "last" else 0] for path, parts in found.items()}
    nameless = next((path for path, name in names.items() if not normalized(name)), None)
    if nameless:
        raise ValueError(f"{nameless} lies in a folder whose name is blank, expected a label.")
    return [Clip(str(path), normalized(name)) for path, name in names.items()]


def _check_links(folder: Path, tops: list[str]) -> None:
    """Raises ValueError for a subfolder that is another of `tops` by a link: only one of them would be a label."""
    real = {os.path.realpath(folder / name): name for name in tops}
    for name in sorted(os.listdir(folder)):
        same = real.get(os.path.realpath(folder / name), name)
        if same != name and not name.startswith("."):
            raise ValueError(
                f"{folder}/{same} and {folder}/{name} are the same folder, expected one for each label: remove the "
                "link."
            )


def _log_passed_over(folder: Path, others: Counter[str]) -> None:
    line = passed_over(folder, others)
    if line:
        logger.warning("%s", line)


def read_tar(path: Path) -> list[Clip]:
    clips, extensions, size = [], audio_extensions(), os.stat(path).st_size
    try:
        with tarfile.open(path, "r:") as archive:  # uncompressed: members are read by seeking
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in extensions:
                    left = 0 if member.issparse() else size - member.offset_data
                    if member.size > left:
                        raise ValueError(
                            f"{path} is damaged: {member.name} is said to have {member.size} bytes, of which the "
                            f"archive holds {max(0, left)}"
                        )
                    place = TarMember(str(path), member.offset_data, member.size)
                    clips.append(Clip(f"{path}/{member.name}", member=place))
    except (tarfile.TarError, OverflowError) as error:
        raise ValueError(f"{path} is not an uncompressed tar archive, or is truncated: {error}") from None
    return clips
