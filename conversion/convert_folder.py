# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Converts a folder of official .pth files, each to its short name (or to DIR/NAME), verifies each, and prints a table.

    python -m conversion.convert_folder downloads/
    python -m conversion.convert_folder downloads/ --output converted/
"""

import argparse
import sys
from pathlib import Path

from transformers.utils import logging

from conversion.verify import TOLERANCE, largest_differences
from ssast_hf.checkpoints import FAMILY
from ssast_hf.checkpoints.convert import convert_checkpoint, convert_named

NAMES = {entry.official: entry for entry in FAMILY}


def convert(file: Path, output: Path | None, overwrite: bool) -> str:
    """Converts and verifies one file; returns its row of the table."""
    entry = NAMES.get(file.name)
    if entry is not None and output is None:
        conversion, directory = convert_named(file, entry.name, overwrite)
    elif output is not None:
        directory = output / (entry.name if entry else file.stem)
        masked = {"num_mask_patches": entry.num_mask_patches} if entry else {}
        conversion = convert_checkpoint(file, directory, overwrite=overwrite, **masked)
    else:
        raise ValueError(f"not named as an official pretraining file ({', '.join(NAMES)}): give --output")
    found = largest_differences(file, directory)
    millions = conversion.model.num_parameters() / 1e6
    return (
        f"| {file.name} | {directory.name} | {millions:.1f} M | {len(conversion.keys)} + {len(conversion.dropped)} "
        f"| {found['hidden states']:.1e} | {found.get('reconstructions', float('nan')):.1e} "
        f"| {'yes' if max(found.values()) <= TOLERANCE else 'NO'} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with official .pth files")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write to DIR/NAME instead of each name's own place"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what was converted before")
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.pth"))
    if not files:
        parser.error(f"{arguments.folder} holds no .pth files")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    columns = ("file", "name", "parameters", "tensors used + dropped", "hidden states differ by", "reconstructions")
    print(f"| {' | '.join(columns)} | within {TOLERANCE:g} |")
    print("|---|---|--:|--:|--:|--:|---|")
    failed = 0
    for file in files:
        try:
            row = convert(file, arguments.output, arguments.overwrite)
        except (OSError, ValueError) as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            failed += 1
            continue
        failed += row.endswith("NO |")
        print(row, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
