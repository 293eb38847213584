# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the recipes' prepare.py scripts share: their command line, unpacking, and writing manifests."""

import argparse
import csv
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ssast_hf import find_audio_files

MOST_NAMED = 3  # missing files in a message


def parse(description: str, default_output: str, sources: str) -> argparse.ArgumentParser:
    """A parser with `source` (one or more), `--output` and `--overwrite`; scripts add their own options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="+", help=sources)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(default_output),
        help=f"folder for the manifests (default: {default_output})",
    )
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that is not empty")
    return parser


def run(parser: argparse.ArgumentParser, prepare: Callable[[argparse.Namespace], dict[str, list[dict]]]) -> int:
    """
    Calls `prepare`, which gives rows by the name of their manifest, and writes these; the exit status. All or nothing:
    files are written when everything is known to be there.
    """
    arguments = parser.parse_args()
    output = arguments.output
    try:
        if output.is_dir() and any(output.iterdir()) and not arguments.overwrite:
            raise ValueError(f"{output} is not empty: choose another --output or give --overwrite")
        arguments.source = [unpacked(source, output) for source in arguments.source]
        for name, rows in prepare(arguments).items():
            write_manifest(output / name, rows)
            labels = Counter(label for row in rows for label in _as_list(row["label"]))
            counts = sorted(labels.values())
            print(f"{output / name}: {len(rows)} clips, {len(labels)} labels of {counts[0]} to {counts[-1]} clips")
    except (ValueError, OSError, tarfile.TarError, zipfile.BadZipFile, KeyError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


def _as_list(label) -> list[str]:
    return label if isinstance(label, list) else [label]


def unpacked(source: Path, output: Path) -> Path:
    """The folder `source`, or the folder into which the archive `source` is unpacked, below `output`."""
    if source.is_dir():
        return source
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist, expected a folder or an archive")
    folder = output / "unpacked" / source.name.split(".")[0]
    done = folder / ".complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if tarfile.is_tarfile(source):
                with tarfile.open(source) as archive:
                    archive.extractall(folder, filter="data")
            else:
                shutil.unpack_archive(source, folder)
        except shutil.ReadError as error:
            raise ValueError(f"{source} is neither a folder nor an archive that can be unpacked") from error
        done.touch()
    return folder


def find_root(folders: list[Path], marker: str) -> Path:
    """The folder, among `folders` and what they hold directly, that has `marker`."""
    for folder in folders:
        for root in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
            if (root / marker).exists():
                return root
    raise FileNotFoundError(f"{marker} was not found in {', '.join(map(str, folders))}")


def check_files(rows: list[dict]) -> list[dict]:
    """The rows, once all their files are known to exist."""
    missing = [row["file"] for row in rows if not row["file"].is_file()]
    if missing:
        named = ", ".join(str(path) for path in missing[:MOST_NAMED])
        raise FileNotFoundError(f"{len(missing)} of {len(rows)} files are missing, such as {named}")
    if not rows:
        raise ValueError("found no clips")
    return rows


def write_manifest(path: Path, rows: list[dict]) -> None:
    """Rows with `file` (a path) and `label`, as CSV or JSON lines by the suffix; paths relative to the manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start = path.parent.resolve()
    relative = [{**row, "file": os.path.relpath(Path(row["file"]).resolve(), start)} for row in rows]
    with open(path, "w", newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in relative)
        else:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(relative)


def sounds_by_stem(folders: list[Path]) -> dict[str, Path]:
    """The sounds below folders, by their names without the suffix."""
    return {path.stem: path for folder in folders for path in find_audio_files(folder)}
