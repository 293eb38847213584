# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast pack`."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..utils.files import filling, target_of
from ..utils.logs import quieten
from ..utils.text import printable
from .flags import number, positive
from .terminal import exit_status, report_skipped

SUMMARY = "pack sound into a few Opus files, to carry it to another machine"
DESCRIPTION = (
    "Writes sound, at 16 kHz with one channel, into Ogg/Opus shards of 20 minutes, NAME.opus, with an index each, "
    "NAME.json. FFmpeg encodes where it is installed, else libsndfile. `python -m ssast_hf.training.packed unpack` "
    "decodes shards into one array of samples, which recipes/pretrain/one_gpu.py trains with."
)
EPILOG = "A SOURCE is what `ssast pretrain --data` takes. Columns `kind` and `group` of a manifest (.csv) are kept."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folder, manifest, shards or dataset")
    parser.add_argument("--output", required=True, metavar="DIR", help="directory of the shards")
    parser.add_argument(
        "--kbits", type=number, default=16.0, metavar="X", help="thousand bits a second, about, 6 to 256 (default: 16)"
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one per processor)")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="write into a directory that is not empty; the shards in it are removed, other files stay",
    )


def run(arguments: Namespace) -> int:
    output = Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output is {output}, which is a file, not a directory")
    if output.is_dir() and any(output.iterdir()) and not arguments.overwrite:
        raise ValueError(f"--output is {output}, which is not empty: choose another, or give --overwrite")
    target_of(output)
    from ..training.packed import RATE, find_shards, pack

    quieten()
    skipped = []

    def report(name: str, reason: str) -> None:
        skipped.append(name)
        report_skipped(name, ValueError(reason))

    with filling(output) as unfinished:
        shards = pack(arguments.sources, unfinished, arguments.kbits, workers=arguments.workers, report=report)
        if not shards:
            raise ValueError(f"none of {len(skipped)} recording(s) could be read: nothing is written")
        indices = [json.loads(shard.with_suffix(".json").read_text(encoding="utf-8")) for shard in shards]
        megabytes = sum(shard.stat().st_size for shard in shards) / 1e6
        for old in find_shards([output]):
            old.unlink()
            old.with_suffix(".json").unlink()
    recordings = sum(len(index["recordings"]) for index in indices)
    hours = sum(index["samples"] for index in indices) / RATE / 3600
    name = printable(str(output))
    print(f"{len(shards)} shard(s), {recordings} recordings, {hours:.3g} h, {megabytes:.3g} MB in {name}")
    return exit_status(len(skipped), recordings + len(skipped))
