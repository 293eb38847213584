# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
A corpus in a few compressed files, which travel where many small files would not.

[`pack`] writes recordings, one after the other, into Ogg/Opus shards of some minutes: 26 h are 190 MB at 16 kbit/s.
Each shard `NAME.opus` has a `NAME.json`: `{"samples": S, "recordings": [[name, kind, group, first sample, samples],
...]}`. Any subset of the shards is a pack. [`unpack`] decodes packs into one array of 16-bit samples, of which
`flat_corpus.FlatCorpus` draws crops.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..checkpoints.files import read_json
from ..data.clips import Synthetic
from ..utils.parsing import parse_csv
from ..utils.processes import worker_pool
from ..utils.text import print_error, reason_of
from .flat_corpus import FULL_SCALE, RATE, Recording

SHARD_SECONDS = 1200.0
KBITS = 16.0  # a second
KBITS_RANGE = (6.0, 256.0)  # of Opus with one channel


def list_recordings(sources: Sequence[str]) -> Iterator[tuple]:
    """(clip, kind, group) of every clip; manifests may have columns `kind` and `group` (or `package`)."""
    from ..data.sources import read_sources

    for text in sources:
        (source,) = read_sources([text])
        facts: list[dict] = [{}] * len(source.clips)
        path = text.split(",")[0]
        if path.endswith(".csv"):
            with open(path, encoding="utf-8", newline="") as file:
                rows = [row for _, row in parse_csv(file.read(), path)]
            if len(rows) == len(facts):
                facts = rows
        for clip, row in zip(source.clips, facts):
            synthetic = isinstance(clip.member, Synthetic)
            group = row.get("group") or row.get("package") or (clip.path if synthetic else os.path.dirname(clip.path))
            yield clip, row.get("kind") or ("synth" if synthetic else "other"), group


def print_skipped(name: str, reason: str) -> None:
    print_error(f"Skipped {name}: {reason}")


def pack(
    sources: Sequence[str],
    output: str | os.PathLike,
    kbits: float = KBITS,
    shard_seconds: float = SHARD_SECONDS,
    folder_megabytes: float | None = None,
    workers: int | None = None,
    report: Callable[[str, str], None] = print_skipped,
) -> list[Path]:
    """
    Writes what `sources` (as `--data` takes them) hold into Opus shards.

    Args:
        sources: Manifests, folders, ...
        output: Folder of the shards.
        kbits: Thousand bits a second, about, 6 to 256.
        shard_seconds: A shard ends with the recording that reaches so many.
        folder_megabytes: Put shards into subfolders 0, 1, ... of at most so much, for transports with a limit.
        workers: Processes.
        report: Is called with the name of each recording that cannot be read, and the reason.

    Returns:
        The shards.

    Raises:
        ValueError: `kbits` is out of range.
        OSError: Neither FFmpeg nor libsndfile can write a shard.
    """
    if not KBITS_RANGE[0] <= kbits <= KBITS_RANGE[1]:
        raise ValueError(f"kbits is {kbits:g}, expected {KBITS_RANGE[0]:g} to {KBITS_RANGE[1]:g}")
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    shards: list[list] = [[]]
    seconds = 0.0
    for clip, kind, group in list_recordings(sources):
        if seconds >= shard_seconds:
            shards.append([])
            seconds = 0.0
        shards[-1].append((clip, kind, group))
        seconds += clip.seconds() or 0.0
    paths = [output / f"{number:04}.opus" for number in range(len(shards))]
    with worker_pool(workers) as pool:
        for skipped in pool.map(_write_shard, paths, shards, [kbits] * len(shards)):
            for name, reason in skipped:
                report(name, reason)
    paths = [path for path in paths if path.exists()]
    return paths if folder_megabytes is None else _divide(paths, output, folder_megabytes)


def _divide(paths: list[Path], output: Path, folder_megabytes: float) -> list[Path]:
    """Moves shards into subfolders 0, 1, ... of at most so much; returns their new places."""
    moved, size, folder = [], math.inf, -1
    for path in paths:
        parts = [path, path.with_suffix(".json")]
        own = sum(part.stat().st_size for part in parts)
        if size + own > folder_megabytes * 1e6:
            folder, size = folder + 1, 0
        size += own
        home = output / str(folder)
        home.mkdir(exist_ok=True)
        for part in parts:
            os.replace(part, home / part.name)
        moved.append(home / path.name)
    return moved


def _write_shard(path: Path, entries: list[tuple], kbits: float) -> list[tuple[str, str]]:
    """Writes a shard of the recordings that can be read; returns the names of the others, with the reasons."""
    pieces, recordings, skipped, start = [], [], [], 0
    for clip, kind, group in entries:
        try:
            waveform = clip.load(RATE)
        except (OSError, ValueError) as error:
            skipped.append((clip.name, reason_of(error, clip.name)))
            continue
        waveform = waveform / max(1.0, float(np.abs(waveform).max(initial=0.0)))  # quieter rather than clipped
        pieces.append(np.rint(waveform * FULL_SCALE).astype(np.int16))
        recordings.append([os.path.basename(clip.name), kind, group, start, len(waveform)])
        start += len(waveform)
    if not recordings:
        return skipped
    encode_opus(np.concatenate(pieces), path, kbits)
    index = {"samples": start, "recordings": recordings}
    path.with_suffix(".json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    return skipped


def encode_opus(samples: np.ndarray, path: str | os.PathLike, kbits: float = KBITS) -> None:
    """Writes int16 (samples,) at 16 kHz as Ogg/Opus: with FFmpeg where it is installed, else with libsndfile."""
    if shutil.which("ffmpeg"):
        command = [
            "ffmpeg",
            "-y",
            "-loglevel",
            "error",
            "-f",
            "s16le",
            "-ar",
            str(RATE),
            "-ac",
            "1",
            "-i",
            "-",
            "-c:a",
            "libopus",
            "-b:a",
            str(round(1000 * kbits)),
            "-compression_level",
            "5",
            "-f",
            "ogg",
            os.fspath(path),
        ]
        done = subprocess.run(command, input=np.ascontiguousarray(samples).tobytes(), stderr=subprocess.PIPE)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise OSError(f"FFmpeg cannot write {os.fspath(path)} as Opus: {said}")
        return
    import soundfile

    level = min(1.0, max(0.0, 1 - (1000 * kbits - 6000) / 250000))  # libsndfile's scale: 256 to 6 kbit/s
    with soundfile.SoundFile(path, "w", RATE, 1, format="OGG", subtype="OPUS", compression_level=level) as file:
        for first in range(0, len(samples), 60 * RATE):
            file.write(samples[first : first + 60 * RATE])


def decode_opus(path: str | os.PathLike, samples: int) -> np.ndarray:
    """int16 (samples,) of an Ogg/Opus file, filled up with zeros should it be shorter."""
    import soundfile

    with soundfile.SoundFile(path) as file:
        decoded = file.read(samples, dtype="float32")
    # Opus exceeds full scale where a recording reaches it. Read as int16, libsndfile wraps such samples around.
    found = np.rint(decoded.clip(-1, 1) * FULL_SCALE).astype(np.int16)
    return found if len(found) == samples else np.pad(found, (0, samples - len(found)))


def find_shards(folders: Iterable[str | os.PathLike]) -> list[Path]:
    """The shards in folders, at any depth, sorted by name: in the order in which they were packed."""
    found = {
        path.name: path
        for folder in folders
        for path in sorted(Path(folder).rglob("*.opus"))
        if path.with_suffix(".json").exists()
    }
    return [found[name] for name in sorted(found)]


def unpack(
    folders: Iterable[str | os.PathLike], output: str | os.PathLike, workers: int | None = None
) -> list[Recording]:
    """
    Decodes packs into the files `OUTPUT.npy`, int16, which can be memory-mapped, and `OUTPUT.json`, its index.

    Returns:
        The recordings, with their places in the array.
    """
    output = Path(output)
    shards = find_shards(folders)
    if not shards:
        raise ValueError(f"{', '.join(map(str, folders))} holds no shards (NAME.opus with NAME.json).")
    indices = [read_json(path.with_suffix(".json")) for path in shards]
    firsts = np.cumsum([0, *(index["samples"] for index in indices)])
    output.parent.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(output.with_suffix(".npy"), "w+", np.int16, (int(firsts[-1]),))
    array.flush()
    jobs = [
        (path, index["samples"], output.with_suffix(".npy"), int(first))
        for path, index, first in zip(shards, indices, firsts)
    ]
    with worker_pool(workers) as pool:
        list(pool.map(_decode_into, *zip(*jobs)))
    recordings = [
        Recording(name, kind, group, int(first) + start, samples)
        for index, first in zip(indices, firsts)
        for name, kind, group, start, samples in index["recordings"]
    ]
    rows = [[r.name, r.kind, r.group, r.start, r.samples] for r in recordings]
    output.with_suffix(".json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return recordings


def _decode_into(path: Path, samples: int, array: Path, first: int) -> None:
    place = np.load(array, mmap_mode="r+")
    place[first : first + samples] = decode_opus(path, samples)
    place.flush()


def main(argv: list[str] | None = None) -> int:
    """`pack` or `unpack`, as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m ssast_hf.training.packed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="sound -> shards")
    packing.add_argument("--data", nargs="+", required=True, help="sources, as ssast pretrain takes them")
    packing.add_argument("--output", required=True, help="folder of the shards")
    packing.add_argument("--kbits", type=float, default=KBITS, help="thousand bits a second (%(default)s)")
    packing.add_argument("--shard_seconds", type=float, default=SHARD_SECONDS, help="length (%(default)s)")
    packing.add_argument("--folder_megabytes", type=float, help="put shards into subfolders of at most so much")
    unpacking = commands.add_parser("unpack", help="shards -> one array")
    unpacking.add_argument("folders", nargs="+", help="folders of shards")
    unpacking.add_argument("--output", required=True, help="names OUTPUT.npy and OUTPUT.json")
    for command in (packing, unpacking):
        command.add_argument("--workers", type=int, help="processes (default: one per processor)")
    options = parser.parse_args(argv)
    if options.command == "pack":
        paths = pack(
            options.data,
            options.output,
            options.kbits,
            options.shard_seconds,
            options.folder_megabytes,
            options.workers,
        )
        print(f"{len(paths)} shards, {sum(path.stat().st_size for path in paths) / 1e6:.1f} MB")
    else:
        recordings = unpack(options.folders, options.output, options.workers)
        seconds = sum(recording.samples for recording in recordings) / RATE
        print(f"{len(recordings)} recordings, {seconds / 3600:.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
