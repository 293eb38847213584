# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast stats`."""

import json
from argparse import ArgumentParser, Namespace

from ..utils.logs import quieten
from ..utils.require import require
from .flags import add_reading, natural, positive, read_so
from .terminal import exit_status, report_skipped

SUMMARY = "measure sound for normalisation: mean and std of its log-mel features"
DESCRIPTION = (
    "Prints the mean and the standard deviation of the log-mel features of sound, over all frames and bins without "
    "padding: what --mean and --std of `ssast pretrain` and `finetune` take."
)
EPILOG = "A SOURCE is what `ssast pretrain --data` takes; see `ssast pretrain --help`."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folder, manifest, shards or dataset")
    parser.add_argument(
        "--clips", type=positive, metavar="N", help="measure N clips of each source, drawn at random (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of that draw (default: 0)")
    parser.add_argument(
        "--workers", type=natural, default=0, metavar="N", help="further processes that read (default: 0)"
    )
    add_reading(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: Namespace) -> int:
    from ..data.sources import read_sources

    statistics = require("ssast_hf.training.stats", "train", "`ssast stats`").statistics
    quieten()
    sources = read_sources(arguments.sources)
    for source in sources:
        source.clips = read_so(source.clips, arguments)
    found = statistics(sources, arguments.clips, arguments.seed, arguments.workers)
    for path, reason in found.skipped.items():
        report_skipped(path, ValueError(reason))
    if arguments.json:
        print(json.dumps({"mean": found.mean, "std": found.std, "clips": found.clips, "hours": found.hours}))
    else:
        print(f"--mean {found.mean:.7g} --std {found.std:.7g}   # {found.clips} clips, {found.hours:.3g} h")
    return exit_status(len(found.skipped), found.clips + len(found.skipped))
