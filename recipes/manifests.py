# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the recipes' prepare.py scripts share: their command line, finding clips, and writing manifests."""

import argparse
import contextlib
import csv
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ssast_hf import find_audio_files
from ssast_hf.utils.files import replacing
from ssast_hf.utils.parsing import parse_csv
from ssast_hf.utils.text import first_sentence

from .archives import FOLDER, is_name, unpacked

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
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="write into a folder that is not empty, and replace or remove manifests that an earlier run wrote there",
    )
    return parser


def run(parser: argparse.ArgumentParser, prepare: Callable[[argparse.Namespace], dict[str, list[dict]]]) -> int:
    """
    Calls `prepare`, which gives rows by the name of their manifest, and writes these; the exit status. Manifests are
    written when everything is known to be there. After an error, the output folder holds no more than what was
    unpacked, which the next run uses.
    """
    arguments = parser.parse_args()
    output = arguments.output
    try:
        check_output(output, arguments.overwrite)
        arguments.source = list(dict.fromkeys(unpacked(source, output) for source in arguments.source))
        found = prepare(arguments)
        write_manifests(output, found)
        for name, rows in found.items():
            labels = Counter(label for row in rows for label in _as_list(row["label"]))
            counts = sorted(labels.values())
            print(f"{output / name}: {len(rows)} clips, {len(labels)} labels of {counts[0]} to {counts[-1]} clips")
        remove_old_folds(output, found)
        report_unused(output, found)
    except (ValueError, OSError, csv.Error) as error:
        print(f"{parser.prog}: error: {first_sentence(error)}", file=sys.stderr)
        return 2
    return 0


def _as_list(label) -> list[str]:
    return label if isinstance(label, list) else [label]


def check_output(output: Path, overwrite: bool) -> None:
    """Raises ValueError for a file, and for a folder that holds more than archives that were unpacked there."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder for the manifests")
    if not overwrite and output.is_dir() and any(path.name != FOLDER for path in output.iterdir()):
        raise ValueError(f"{output} is not empty: choose another --output or give --overwrite")


def write_manifests(output: Path, found: dict[str, list[dict]]) -> None:
    """Writes rows by the name of their manifest; after an error, those that were not there before are removed."""
    made = []
    try:
        for name, rows in found.items():
            if not (output / name).exists():
                made.append(Path(name))
            write_manifest(output / name, rows)
    except BaseException:
        for name in made:
            with contextlib.suppress(OSError):
                (output / name).unlink(missing_ok=True)
                for folder in list(name.parents)[:-1]:  # not `output` itself
                    (output / folder).rmdir()
        raise


def remove_old_folds(output: Path, found: dict[str, list[dict]]) -> None:
    """
    Removes the manifests of folds that an earlier run wrote and this one did not, and says which: files of the same
    name and the same columns as one of `found`, in a folder beside its own that is named alike, as fold3/ and fold0/.
    """
    names = [Path(name) for name in found if Path(name).parent.name.startswith("fold")]
    fold = re.compile(r"fold\d+" if all(re.fullmatch(r"fold\d+", name.parent.name) for name in names) else r"fold.+")
    headers = {(name.parent.parent, name.name): _header(output / name) for name in names}
    for (task, file), header in headers.items():
        for path in sorted((output / task).glob(f"fold*/{file}")):
            ours = fold.fullmatch(path.parent.name) and path.is_file() and _header(path) == header
            if ours and path.relative_to(output) not in names:
                path.unlink()
                print(f"removed {path}, which an earlier run wrote")
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()


def _header(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.readline()


def report_unused(output: Path, found: dict[str, list[dict]]) -> None:
    """Names what earlier runs unpacked below `output` and has no file in the manifests; it takes room on the disk."""
    home = output / FOLDER
    files = (row["file"] for rows in found.values() for row in rows)
    used = {file.relative_to(home).parts[0] for file in files if file.is_relative_to(home)}
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        ours = is_name(path.name) or (path / ".complete").exists()
        if ours and path.name not in used:
            print(f"{path} was unpacked by an earlier run and is not used by these manifests")


def find_root(folders: list[Path], marker: str) -> Path:
    """
    The folder that has `marker`, of `folders` and, of those without, what they hold directly.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are two.
    """
    roots: dict[str, Path] = {}
    for folder in folders:
        inside = [folder] if (folder / marker).exists() else sorted(path for path in folder.iterdir() if path.is_dir())
        for root in inside:
            if (root / marker).exists():
                roots.setdefault(os.path.realpath(root), root)
    if not roots:
        raise FileNotFoundError(f"{marker} was not found in {', '.join(map(str, folders))}")
    if len(roots) > 1:
        one, other, *_ = roots.values()
        raise ValueError(f"{marker} is in both {one} and {other}, expected one data set")
    return next(iter(roots.values()))


def read_table(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header. Raises ValueError if it is damaged or without rows, or lacks a cell."""
    try:
        rows = parse_csv(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None
    if not rows or not rows[0][1].keys() >= set(columns):
        found = f"the columns {', '.join(rows[0][1])}" if rows else "no rows"
        raise ValueError(f"{path} has {found}; expected rows with the columns {', '.join(sorted(columns))}")
    for number, row in rows:
        if empty := [column for column in columns if not row[column]]:
            raise ValueError(f"{path}, line {number}: nothing in the column {empty[0]}")
    return [row for _, row in rows]


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
    with replacing(path) as unfinished, open(unfinished, "w", newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in relative)
        else:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(relative)


def once(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, Path]:
    """
    Paths by their keys. Links to one file, and a path that is given twice, count once. Raises ValueError, which names
    both, for two files with one key.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(key(path), path)
        if other is not path and os.path.realpath(other) != os.path.realpath(path):
            raise ValueError(f"{other} and {path} are two files of one name, expected each clip once")
    return found


def named_sounds(folders: list[Path], name: re.Pattern, example: str) -> list[tuple[Path, re.Match]]:
    """
    The sounds below folders whose file names match, with the match, in the order of their names; each file once.

    Raises:
        ValueError: A folder has none, or two files have the same name, upper and lower case aside.
    """
    found, others = [], []
    for folder in folders:
        sounds = find_audio_files(folder)
        matching = [path for path in sounds if name.fullmatch(path.name)]
        if not matching:
            raise ValueError(f"found no clips in {folder}, expected names such as {example}")
        found += matching
        others += [path for path in sounds if not name.fullmatch(path.name)]
    if others:
        print(f"{len(others)} sounds with other names than {example} left out, such as {others[0]}")
    clips = sorted(once(found, lambda path: path.stem.lower()).values(), key=lambda path: path.name)
    return [(path, match) for path in clips if (match := name.fullmatch(path.name))]


def wav_files(folders: Iterable[Path]) -> list[Path]:
    """The WAV files that lie directly in folders, none hidden, in the order of their paths."""
    paths = sorted(path for folder in folders for path in folder.iterdir())
    return [path for path in paths if path.suffix.lower() == ".wav" and not path.name.startswith(".")]
