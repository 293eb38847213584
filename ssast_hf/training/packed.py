# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
A corpus in a few compressed files, and random crops of it without a file or a Python loop per crop.

[`pack`] writes recordings, one after the other, into Ogg/Opus shards of some minutes: 26 h are 190 MB at 16 kbit/s,
and travel where 15,000 files would not. Each shard `NAME.opus` has a `NAME.json`: `{"samples": S, "recordings":
[[name, kind, group, first sample, samples], ...]}`. Any subset of the shards is a pack. [`unpack`] decodes packs into
one array of 16-bit samples, and [`FlatCorpus`] draws crops from it on the device that computes features and gradients
as well.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

RATE = 16000  # Hz
FULL_SCALE = 32767
SHARD_SECONDS = 1200.0
KBITS = 16.0  # a second
KINDS = ("speech", "music", "effect", "synth", "other")  # what a recording is, by its number in `FlatCorpus.kinds`
NEARBY_SECONDS = 10.0  # between the starts of two crops that count as of the same sound


@dataclass(frozen=True)
class Recording:
    """A recording in a pack or in a flat array: its place there in samples, its name, kind and source."""

    name: str
    kind: str
    group: str
    start: int
    samples: int


def list_recordings(sources: Sequence[str]) -> Iterator[tuple]:
    """(clip, kind, group) of every clip; manifests may have columns `kind` and `group` (or `package`)."""
    from ..data.sources import read_sources

    for text in sources:
        (source,) = read_sources([text])
        facts: list[dict] = [{}] * len(source.clips)
        path = text.split(",")[0]
        if path.endswith(".csv"):
            with open(path, encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            if len(rows) == len(facts):
                facts = rows
        for clip, row in zip(source.clips, facts):
            group = row.get("group") or row.get("package") or os.path.dirname(clip.path)
            yield clip, row.get("kind") or "other", group


def pack(
    sources: Sequence[str],
    output: str | os.PathLike,
    kbits: float = KBITS,
    shard_seconds: float = SHARD_SECONDS,
    folder_megabytes: float | None = None,
    workers: int | None = None,
) -> list[Path]:
    """
    Writes what `sources` (as `--data` takes them) hold into Opus shards.

    Args:
        sources: Manifests, folders, ...
        output: Folder of the shards.
        kbits: Thousand bits a second, about.
        shard_seconds: A shard ends with the recording that reaches so many.
        folder_megabytes: Put shards into subfolders 0, 1, ... of at most so much, for transports with a limit.
        workers: Processes.

    Returns:
        The shards.
    """
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
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        list(pool.map(_write_shard, paths, shards, [kbits] * len(shards)))
    paths = [path for path in paths if path.exists()]
    if folder_megabytes is None:
        return paths
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


def _write_shard(path: Path, entries: list[tuple], kbits: float) -> None:
    pieces, recordings, start = [], [], 0
    for clip, kind, group in entries:
        try:
            waveform = clip.load(RATE)
        except (OSError, ValueError) as error:
            print(f"Skipped {clip.name}: {error}", file=sys.stderr)
            continue
        waveform = waveform / max(1.0, float(np.abs(waveform).max(initial=0.0)))  # quieter rather than clipped
        pieces.append(np.rint(waveform * FULL_SCALE).astype(np.int16))
        recordings.append([os.path.basename(clip.name), kind, group, start, len(waveform)])
        start += len(waveform)
    if not recordings:
        return
    encode_opus(np.concatenate(pieces), path, kbits)
    index = {"samples": start, "recordings": recordings}
    path.with_suffix(".json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")


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
        subprocess.run(command, input=np.ascontiguousarray(samples).tobytes(), check=True)
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
        found = file.read(samples, dtype="int16")
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
    indices = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in shards]
    firsts = np.cumsum([0, *(index["samples"] for index in indices)])
    output.parent.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(output.with_suffix(".npy"), "w+", np.int16, (int(firsts[-1]),))
    array.flush()
    jobs = [
        (path, index["samples"], output.with_suffix(".npy"), int(first))
        for path, index, first in zip(shards, indices, firsts)
    ]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
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


class FlatCorpus:
    """
    Recordings in one array of 16-bit samples, and random crops of them, drawn and cut on the array's device.

    Every recording's chance is proportional to its length to the power of `tempering`, within its kind; a kind's
    chance is its weight. A crop starts anywhere in the recording where it fits in. One that is longer than the
    recording holds it whole: it starts with it, half of the time, or before it, and goes on with what follows in the
    array, neighbours in the corpus instead of silence.

    Args:
        samples (`torch.Tensor` of shape `(S,)`, int16): All recordings, end to end.
        recordings (`list[Recording]`): Where they are.
        weights (`dict[str, float]`, *optional*): Kind -> its share of the crops. Kinds that it lacks are left out.
            Default: as much of each kind as there is.
        tempering (`float`): 1 draws seconds evenly, 0 recordings.
        onsets (`float`): Share of the crops that start where their recording does.
    """

    def __init__(
        self,
        samples: torch.Tensor,
        recordings: Sequence[Recording],
        weights: dict[str, float] | None = None,
        tempering: float = 0.75,
        onsets: float = 0.1,
    ):
        device = samples.device
        self.samples = samples
        self.names = [recording.name for recording in recordings]
        kinds = [recording.kind if recording.kind in KINDS else "other" for recording in recordings]
        groups = {group: number for number, group in enumerate(dict.fromkeys(r.group for r in recordings))}
        self.group_names = list(groups)
        starts, lengths = (np.array([getattr(r, name) for r in recordings], np.int64) for name in ("start", "samples"))
        self.starts, self.lengths = torch.from_numpy(starts).to(device), torch.from_numpy(lengths).to(device)
        self.kinds = torch.tensor([KINDS.index(kind) for kind in kinds], device=device)
        self.groups = torch.tensor([groups[r.group] for r in recordings], device=device)
        self.configure(weights, tempering, onsets)

    def configure(self, weights: dict[str, float] | None, tempering: float, onsets: float) -> None:
        """Sets what crops are drawn by."""
        number, lengths = self.kinds.cpu().numpy(), self.lengths.cpu().numpy()
        chance = lengths.astype(np.float64).clip(1) ** tempering
        if weights:
            share = np.array([weights.get(kind, 0.0) for kind in KINDS])
            totals = np.bincount(number, chance, minlength=len(KINDS))
            chance = chance * (share / np.maximum(totals, 1e-9))[number]
        if not chance.sum() > 0:
            raise ValueError(f"no recording is of a kind with a weight above 0: {weights}")
        self.onsets = onsets
        self.cumulative = torch.from_numpy(np.cumsum(chance / chance.sum())).to(self.samples.device)

    @classmethod
    def of(cls, waveforms: torch.Tensor, kind: str, **kwargs) -> FlatCorpus:
        """Of equally long int16 waveforms (B, S)."""
        return cls(*extend(waveforms.new_zeros(0), [], waveforms, kind), **kwargs)

    @classmethod
    def load(cls, path: str | os.PathLike, device: torch.device | str = "cpu", extra=(), **kwargs) -> FlatCorpus:
        """
        Of the files that [`unpack`] wrote; on the CPU memory-mapped, unless there is `extra`: pairs of int16 arrays
        (B, S) and a kind, recordings to add.
        """
        path = Path(path)
        rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        recordings = [Recording(*row) for row in rows]
        array = np.load(path.with_suffix(".npy"), mmap_mode="r" if torch.device(device).type == "cpu" else None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable")  # it is only read
            samples = torch.from_numpy(array).to(device)
        for waveforms, kind in extra:
            samples, recordings = extend(samples, recordings, waveforms.to(device), kind)
        return cls(samples, recordings, **kwargs)

    @property
    def hours(self) -> dict[str, float]:
        """Hours of each kind."""
        totals = torch.zeros(len(KINDS), dtype=torch.float64, device=self.lengths.device)
        totals.index_add_(0, self.kinds, self.lengths.double())
        return {kind: value / RATE / 3600 for kind, value in zip(KINDS, totals.tolist()) if value}

    def draw(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Numbers of recordings (count,), each drawn with its chance."""
        place = torch.rand(count, generator=generator, device=self.cumulative.device, dtype=torch.float64)
        return torch.searchsorted(self.cumulative, place * self.cumulative[-1]).clamp(max=len(self.starts) - 1)

    def places(
        self,
        recordings: torch.Tensor,
        span: torch.Tensor,
        near: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """
        First samples (B,) of crops of `span` samples (B,) in recordings (B,); with `near` (B,), other crops' first
        samples in the same recordings, at most 10 s from these.
        """

        def uniform() -> torch.Tensor:
            return torch.rand(len(recordings), generator=generator, device=span.device)

        low = self.starts[recordings]
        spare = self.lengths[recordings] - span  # below 0: shorter than the crop
        high = low + spare.clamp(min=0)
        if near is not None:
            reach = int(NEARBY_SECONDS * RATE)
            low, high = torch.maximum(low, near - reach), torch.minimum(high, near + reach)
            high = torch.maximum(low, high)
        start = low + (uniform() * (high - low + 1)).long()
        # What is shorter than the crop is there whole, at any place in it.
        before = (uniform() * (-spare).clamp(min=0)).long() * (uniform() < 0.5)
        start = torch.where(spare < 0, low - before, start)
        if near is None and self.onsets:
            start = torch.where(uniform() < self.onsets, self.starts[recordings], start)
        return torch.minimum(start, len(self.samples) - 2 - span).clamp(min=0)

    def cut(self, start: torch.Tensor, samples: int, speed: torch.Tensor | None = None) -> torch.Tensor:
        """
        Crops float32 (B, samples) in [-1, 1] from the given first samples (B,) on, played at `speed` (B,): above 1 is
        faster and higher. Linear interpolation.
        """
        index = torch.arange(samples, device=start.device)
        if speed is None:
            return self.samples[start[:, None] + index].float() / FULL_SCALE
        place = index * speed[:, None]  # float32 is exact enough: below 2^18, to 1/64 of a sample
        whole = place.floor()
        left = start[:, None] + whole.long()
        last = len(self.samples) - 1
        a, b = self.samples[left.clamp(max=last)].float(), self.samples[(left + 1).clamp(max=last)].float()
        return torch.lerp(a, b, place - whole).div_(FULL_SCALE)

    def pairs(
        self,
        count: int,
        samples: int,
        speeds: tuple[float, float] = (1.0, 1.0),
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Two crops of each of `count` drawn recordings, at most 10 s apart, at one speed between `speeds`.

        Returns:
            Waveforms float32 (2 * count, samples), the first of all pairs before the second; recordings (count,).
        """
        chosen = self.draw(count, generator)
        low, high = (math.log(speed) for speed in speeds)
        speed = None
        span = torch.full((count,), samples, device=chosen.device)
        if high > low:
            speed = (low + (high - low) * torch.rand(count, generator=generator, device=chosen.device)).exp()
            span = (span * speed).ceil().long()
        first = self.places(chosen, span, None, generator)
        second = self.places(chosen, span, first, generator)
        both = torch.cat([first, second])
        return self.cut(both, samples, None if speed is None else speed.repeat(2)), chosen


def extend(
    samples: torch.Tensor, recordings: list[Recording], waveforms: torch.Tensor, kind: str
) -> tuple[torch.Tensor, list[Recording]]:
    """Adds int16 waveforms (B, S) as recordings of a kind."""
    first, length = len(samples), waveforms.shape[1]
    more = [Recording(f"{kind}-{i}", kind, kind, first + i * length, length) for i in range(len(waveforms))]
    return torch.cat([samples, waveforms.reshape(-1)]), [*recordings, *more]


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
