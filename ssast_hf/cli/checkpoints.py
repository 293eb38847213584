# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast checkpoints`."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from ..utils.text import printable

SUMMARY = "list the checkpoints that have a short name"
DESCRIPTION = (
    "Lists the checkpoints that from_pretrained and --model take by a short name, where each comes from, and whether "
    "it is on this machine."
)
EPILOG = (
    "Names of your own: a JSON file, $SSAST_CHECKPOINTS or checkpoints.json in $SSAST_HOME (default: ssast beside "
    'the Hub\'s cache), such as {"birds": "me/birds", "bats": {"path": "/data/bats"}}; with repo, it may give '
    "revision and sha256. $SSAST_ORGANIZATION is where the official family's names are looked for instead."
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object per checkpoint and line")


def run(arguments: Namespace) -> int:
    from ..checkpoints.locate import status
    from ..checkpoints.names import table

    rows = [(entry, status(entry)) for entry in table().values()]
    if arguments.json:
        for entry, here in rows:
            print(json.dumps({**asdict(entry), "here": here}))
        return 0
    cells: list[tuple[str, ...]] = [("NAME", "SIZE", "PATCHES", "MASKED", "HERE", "LICENCE", "FROM", "NOTE")]
    for entry, here in rows:
        source = entry.path or entry.repo or (f"official {entry.official}" if entry.official else "")
        row = (entry.name, entry.size, entry.patches, entry.num_mask_patches, here, entry.licence, source, entry.note)
        cells.append(tuple("" if value is None else printable(str(value)) for value in row))
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip())
    return 0
