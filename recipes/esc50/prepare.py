# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of ESC-50 with its five official folds.

Takes ESC-50-master.zip of github.com/karolpiczak/ESC-50, or the folder it unpacks to: meta/esc50.csv and audio/. For
each fold k writes foldk/test.csv, the clips of fold k, and foldk/train.csv, those of the other four. Column `source`
is the recording that a clip was cut from; no recording is in two folds.
"""

import sys

from recipes import manifests

COLUMNS = {"filename", "fold", "category", "src_file"}


def prepare(arguments) -> dict[str, list[dict]]:
    root = manifests.find_root(arguments.source, "meta/esc50.csv")
    table = manifests.read_table(root / "meta/esc50.csv", COLUMNS)
    rows = manifests.check_files([
        {"file": root / "audio" / row["filename"], "label": row["category"], "source": row["src_file"],
         "fold": row["fold"]}
        for row in table
    ])  # fmt: skip
    folds = sorted({row["fold"] for row in rows})
    found = {}
    for fold in folds:
        found[f"fold{fold}/train.csv"] = [row for row in rows if row["fold"] != fold]
        found[f"fold{fold}/test.csv"] = [row for row in rows if row["fold"] == fold]
    return found


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/esc50", "ESC-50-master.zip, or the folder that it unpacks to")
    sys.exit(manifests.run(parser, prepare))
