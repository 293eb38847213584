# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of the Free Spoken Digit Dataset, for two tasks.

Takes free-spoken-digit-dataset, the folder or its archive: recordings/DIGIT_SPEAKER_TAKE.wav. Writes fsdd.csv, all
recordings, with the columns digit, speaker and take, and for each fold train.csv and test.csv:

digits/foldSPEAKER/: what is said, by a speaker that training has not heard.
speakers/fold0-4/, speakers/fold5-9/: who speaks, judged by these digits, of which training has heard none.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from recipes import manifests

NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.(?i:wav)")


def recordings(folders: list[Path]) -> list[dict]:
    """All recordings below folders, by name."""
    clips = manifests.named_sounds(folders, NAME, "7_jackson_32.wav")
    return [{"file": path, **match.groupdict()} for path, match in clips]


def divide(rows: list[dict], task: str, label: str, fold_of: Callable[[dict], str]) -> dict[str, list[dict]]:
    """Manifests to train on and to test by, for each fold of a task."""
    labelled = [{"file": row["file"], "label": row[label], **row} for row in rows]
    folds = sorted({fold_of(row) for row in rows})
    if len(folds) < 2:
        raise ValueError(f"all recordings are of the fold {folds[0]} of {task}, expected several speakers and digits")
    found = {}
    for fold in folds:
        found[f"{task}/fold{fold}/train.csv"] = [row for row in labelled if fold_of(row) != fold]
        found[f"{task}/fold{fold}/test.csv"] = [row for row in labelled if fold_of(row) == fold]
    return found


def prepare(arguments) -> dict[str, list[dict]]:
    rows = manifests.check_files(recordings(arguments.source))
    return {
        "fsdd.csv": [{"file": row["file"], "label": row["digit"], **row} for row in rows],
        **divide(rows, "digits", "digit", lambda row: row["speaker"]),
        **divide(rows, "speakers", "speaker", lambda row: "0-4" if int(row["digit"]) < 5 else "5-9"),
    }


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/fsdd", "free-spoken-digit-dataset, the folder or its archive")
    sys.exit(manifests.run(parser, prepare))
