# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Folders of sound files or shards, and `.tar` shards."""

import tarfile
from collections.abc import Callable
from pathlib import Path

from ..audio import audio_extensions, find_audio_files
from .clips import Clip, TarMember
from .tables import read_parquet


def read_folder(
    folder: Path, labelled: bool, column: str | None = None, onerror: Callable[[OSError], object] | None = None
) -> list[Clip]:
    paths = find_audio_files(folder, onerror)
    if not labelled:
        if not paths:
            parquet = sorted(folder.rglob("*.parquet"))
            return read_parquet(parquet, column) if parquet else [
                clip for path in sorted(folder.rglob("*.tar")) for clip in read_tar(path)
            ]  # fmt: skip
        return [Clip(str(path)) for path in paths]
    loose = [path for path in paths if path.parent == folder]
    if loose:
        raise ValueError(f"{loose[0]} lies in no label's folder: expected {folder}/LABEL/{loose[0].name}.")
    return [Clip(str(path), path.relative_to(folder).parts[0]) for path in paths]


def read_tar(path: Path) -> list[Clip]:
    clips, extensions = [], audio_extensions()
    try:
        with tarfile.open(path, "r:") as archive:  # uncompressed: members are read by seeking
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in extensions:
                    place = TarMember(str(path), member.offset_data, member.size)
                    clips.append(Clip(f"{path}/{member.name}", member=place))
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not an uncompressed tar archive, or is truncated: {error}") from None
    return clips
