# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Writes stand-ins for the official files, with their names, sizes, shapes and layout but random weights, for trying a
conversion where the real ones cannot be had.

    python -m conversion.stand_ins downloads/ --only SSAST-Tiny-Patch-400.pth SSAST-Base-Frame-400.pth
"""

import argparse
from pathlib import Path

import torch

from ssast_hf.checkpoints import FAMILY
from tests.golden.seeded import pretraining_checkpoint

ENTRIES = {entry.official: entry for entry in FAMILY}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--only", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="FILE", help="these files"
    )
    arguments = parser.parse_args()
    for name in arguments.only:
        path = arguments.folder / name
        if path.exists():
            parser.error(f"{path} exists; stand-ins replace nothing")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        entry = ENTRIES[name]
        torch.save(pretraining_checkpoint(entry.size, *entry.patch_shape), arguments.folder / name)
        print(arguments.folder / name)


if __name__ == "__main__":
    main()
