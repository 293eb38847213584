# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The unlabelled corpus: packages -> 16 kHz files, a manifest, a training and a validation list, SOURCES.md."""

import csv
import hashlib
import io
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from recipes.debian import copyright_text, fetch, require_tools, unpack

from . import sounds
from .packages import KINDS, RESERVED, Package

COLUMNS = ("file", "package", "version", "licence", "kind", "seconds", "group", "split")
Describe = Callable[[Path], dict[str, dict]]
SHORTEST = 0.1  # seconds of a clip in the corpus
TEST_CLIPS = Path(__file__).with_name("test_clips.txt")  # digests, one a line; lines with # say what they are


def read_test_clips(path: Path = TEST_CLIPS) -> set[str]:
    """The digests of the recordings that the labelled tasks judge with: these stay out of the corpus."""
    return {line for line in path.read_text().split("\n") if line and not line.startswith("#")}


def title(packages: Sequence[Package], test_clips: set[str]) -> str:
    """First line of SOURCES.md: another set of packages or of test clips gives another title."""
    names = "\n".join([*(package.name for package in packages), *sorted(test_clips)])
    return f"# Corpus of {len(packages)} Debian packages ({hashlib.sha256(names.encode()).hexdigest()[:12]})"


def prepare_package(
    package: Package, dest: Path, describe: Describe | None = None, shortest: float = SHORTEST
) -> None:
    """Fetches, unpacks and decodes one package into DEST/audio/<package>, then writes DEST/packages/<package>.json.

    Files of less than `shortest` seconds are skipped. `describe` gives more facts for a file's row, from the folder of
    the unpacked package: {path: {name: value}}.
    """
    if package.name in RESERVED:
        raise ValueError(f"{package.name} is reserved for judging checkpoints; expected another package")
    work, made = dest / ".work", dest / "audio" / f".{package.name}.partial"
    for folder in (work / "unpacked", made):
        shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    print(f"{package.name}: fetching", end="", flush=True)
    archive = fetch(package.name, work)
    size = archive.stat().st_size
    version = unpack(archive, work / "unpacked")
    paths, failed = sounds.find_sounds(work / "unpacked")
    chosen = [path for path in paths if package.kind(path)]
    print(f" ({size / 1e6:.0f} MB), decoding {len(chosen)} files", end="", flush=True)
    facts = describe(work / "unpacked") if describe else {}
    rows, skipped = [], [list(pair) for pair in failed]
    for sound in sounds.decode(work / "unpacked", chosen, shortest):
        if sound.samples is None:
            skipped.append([sound.path, sound.reason])
            continue
        name = f"{sound.path.removeprefix('usr/share/').removeprefix('games/')}.wav"
        sounds.write_wav(made / name, sound.samples)
        rows.append(
            {
                "file": f"audio/{package.name}/{name}",
                "path": sound.path,
                "digest": sounds.digest(sound.samples),
                "kind": package.kind(sound.path),
                "seconds": round(len(sound.samples) / sounds.SAMPLING_RATE, 3),
                "group": package.source(sound.path),
            }
            | facts.get(sound.path, {})
        )
    finished = dest / "audio" / package.name
    shutil.rmtree(finished, ignore_errors=True)
    made.mkdir(parents=True, exist_ok=True)
    made.rename(finished)
    state = {
        "version": version,
        "licence": package.licence,
        "download_bytes": size,
        "copyright": copyright_text(work / "unpacked", package.name),
        "rows": rows,
        "skipped": skipped,
    }
    (dest / "packages").mkdir(exist_ok=True)
    sounds.write_text(dest / "packages" / f"{package.name}.json", json.dumps(state, ensure_ascii=False, indent=1))
    archive.unlink()
    shutil.rmtree(work / "unpacked")
    print(f": {sum(row['seconds'] for row in rows) / 3600:.2f} h, {len(skipped)} skipped", flush=True)


def read_state(name: str, dest: Path) -> dict:
    return json.loads((dest / "packages" / f"{name}.json").read_text(encoding="utf-8"))


def copyright_sections(states: dict[str, dict]) -> list[str]:
    """Markdown lines with what the packages' copyright files say."""
    lines = []
    for name, state in states.items():
        lines += ["", f"## {name} {state['version']}", "", "```text", state["copyright"].replace("```", "'''"), "```"]
    return lines


def choose(rows: list[dict], test_clips: set[str]) -> tuple[list[dict], list[dict], list[dict]]:
    """Splits rows into those to keep, those whose recording came before, and those that are test clips."""
    kept, doubles, tested, seen = [], [], [], set()
    for row in rows:
        if row["digest"] in test_clips:
            tested.append(row)
        elif row["digest"] in seen:
            doubles.append(row)
        else:
            seen.add(row["digest"])
            kept.append(row)
    return kept, doubles, tested


def to_csv(rows: list[dict], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def hours_table(rows: list[dict]) -> str:
    """A Markdown table of hours and files by kind and split."""
    table = ["| kind | training | validation |", "|---|---|---|"]
    for kind in KINDS:
        cells = []
        for split in ("train", "validation"):
            seconds = [row["seconds"] for row in rows if row["kind"] == kind and row["split"] == split]
            cells.append(f"{sum(seconds) / 3600:.2f} h in {len(seconds):,} files")
        table.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(table)


def finish(packages: Sequence[Package], left_out: dict[str, str], dest: Path, test_clips: set[str]) -> str:
    """Chooses among the decoded files and writes the lists; SOURCES.md, the last, says that the corpus is complete."""
    states = {package.name: read_state(package.name, dest) for package in packages}
    rows, skipped = [], []
    for package in packages:
        state = states[package.name]
        common = {
            "package": package.name,
            "version": state["version"],
            "licence": state["licence"],
            "split": "validation" if package.validation else "train",
        }
        rows += [row | common for row in state["rows"]]
        skipped += [{"file": path, "reason": why, "package": package.name} for path, why in state["skipped"]]
    kept, doubles, tested = choose(rows, test_clips)
    for reason, unwanted in (("the same recording came before", doubles), ("a test clip", tested)):
        for row in unwanted:
            skipped.append({"file": row["file"], "reason": reason, "package": row["package"]})
            (dest / row["file"]).unlink(missing_ok=True)
    for split in ("train", "validation"):
        chosen = [row for row in kept if row["split"] == split]
        sounds.write_text(dest / f"{split}.csv", to_csv(chosen, COLUMNS))
    sounds.write_text(dest / "manifest.csv", to_csv(kept, COLUMNS))
    sounds.write_text(dest / "skipped.csv", to_csv(skipped, ("file", "package", "reason")))
    hours = defaultdict(float)
    for row in kept:
        hours[row["package"]] += row["seconds"] / 3600
    size = sum(state["download_bytes"] for state in states.values()) / 1e6
    lines = [
        title(packages, test_clips),
        "",
        f"{sum(hours.values()):.2f} h of sound in {len(kept):,} files, 16 kHz, one channel, from {size:.0f} MB of "
        "packages. Resampled and mixed down, otherwise unchanged; "
        f"{len(doubles):,} doubles, {len(tested):,} clips of test sets and "
        f"{len(skipped) - len(doubles) - len(tested):,} unusable files are left out (skipped.csv).",
        "",
        hours_table(kept),
        "",
        "| package | version | licence of its sound | hours | split |",
        "|---|---|---|---|---|",
    ]
    for package in packages:
        state, split = states[package.name], "validation" if package.validation else "train"
        lines.append(
            f"| {package.name} | {state['version']} | {state['licence']} | {hours[package.name]:.2f} | {split} |"
        )
    lines += [f"\nLeft out: {name}: {why}." for name, why in left_out.items()]
    lines += copyright_sections(states)
    sounds.write_text(dest / "SOURCES.md", "\n".join(lines) + "\n")
    return hours_table(kept)


def available(packages: Sequence[Package]) -> tuple[list[Package], dict[str, str]]:
    """Splits packages into those that can be decoded here, and the names of the others with the reason."""
    left_out = {
        package.name: "its files need ffmpeg, which is not installed"
        for package in packages
        if package.raw and not sounds.has_ffmpeg()
    }
    return [package for package in packages if package.name not in left_out], left_out


def prepare_packages(
    packages: Sequence[Package], dest: Path, describe: Describe | None = None, shortest: float = SHORTEST
) -> None:
    """Fetches and decodes the packages that an earlier run has not.

    Raises:
        Unavailable: A package cannot be fetched here.
        ValueError: `dest` holds something else.
    """
    ours = ("packages", ".work", "tasks", "audio")
    if dest.exists() and any(dest.iterdir()) and not any((dest / name).is_dir() for name in ours[:3]):
        raise ValueError(f"{dest} holds other files; expected a new folder or one that this recipe began")
    dest.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not (dest / "packages" / f"{package.name}.json").exists()]
    if missing:
        require_tools("apt-get", "dpkg-deb")
    for package in missing:
        prepare_package(package, dest.resolve(), describe, shortest)
    shutil.rmtree(dest / ".work", ignore_errors=True)


def prepare(packages: Sequence[Package], dest: Path, test_clips: set[str]) -> None:
    """Makes the corpus in `dest`, continuing what an interrupted run or a smaller set left there.

    Raises:
        Unavailable: A package cannot be fetched here.
        ValueError: `dest` holds something else.
    """
    sources = dest / "SOURCES.md"
    first = sources.read_text(encoding="utf-8").split("\n", 1)[0] if sources.exists() else ""
    packages, left_out = available(packages)
    if first == title(packages, test_clips):
        print(f"{dest} is ready, made earlier")
        return
    prepare_packages(packages, dest)
    print("choosing: doubles and test clips go", flush=True)
    print(finish(packages, left_out, dest, test_clips), flush=True)
    print(f"{dest} is ready")
