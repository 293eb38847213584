# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of VoxCeleb1 for speaker identification, with the official split.

Takes the folders (or archives) with the sound, wav/idNNNNN/VIDEO/NNNNN.wav of vox1_dev_wav and vox1_test_wav, together
or apart, and --split, the official iden_split.txt. Writes train.csv, validation.csv and test.csv; labels are the
speakers' identifiers.
"""

import sys
from pathlib import Path

from recipes import manifests

SPLITS = {"1": "train.csv", "2": "validation.csv", "3": "test.csv"}


def prepare(arguments) -> dict[str, list[dict]]:
    roots = []
    for source in arguments.source:
        inside = [
            source,
            *(path for name in ("dev", "test", "vox1_dev_wav", "vox1_test_wav") for path in [source / name]),
        ]
        roots += [root for folder in inside for root in (folder / "wav", folder) if root.is_dir()]
    found: dict[str, list[dict]] = {name: [] for name in SPLITS.values()}
    text = arguments.split.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        split, _, name = line.strip().partition(" ")
        if split not in SPLITS or "/" not in name:
            raise ValueError(f"{arguments.split}, line {number}: {line!r}, expected 1, 2 or 3 and a file")
        copies = [root / name for root in roots if (root / name).is_file()]
        path = manifests.once(copies, lambda path: path.name).get(Path(name).name, roots[0] / name)
        found[SPLITS[split]].append({"file": path, "label": name.split("/")[0], "video": name.split("/")[1]})
    return {name: manifests.check_files(rows) for name, rows in found.items()}


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/voxceleb", "folder or archive with wav/idNNNNN/...; may be given twice")
    parser.add_argument("--split", type=Path, required=True, metavar="iden_split.txt", help="the official split")
    sys.exit(manifests.run(parser, prepare))
