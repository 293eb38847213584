# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of the Berlin Database of Emotional Speech (Emo-DB), folds of whole speakers.

Takes the archive or the folder it unpacks to: wav/SSTTTEV.wav, of speaker SS, sentence TTT, emotion E (letters of the
German words: W anger, L boredom, E disgust, A fear, F happiness, T sadness, N neutral) and version V. For each fold k
writes foldk/test.csv, its speakers' clips, and foldk/train.csv, those of all others: three folds, or with --folds 10 a
speaker each. Also writes emodb.csv, all clips with the columns emotion, speaker and sentence.
"""

import re
import sys
from collections import Counter
from pathlib import Path

from recipes import manifests

NAME = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<letter>[WLEAFTN])(?P<version>[a-z])\.wav", re.I)
EMOTIONS = {
    "W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral",
}  # fmt: skip


def recordings(folders: list[Path]) -> list[dict]:
    """All recordings below folders, by name."""
    rows = []
    for path, match in manifests.named_sounds(folders, NAME, "03a01Fa.wav"):
        emotion = EMOTIONS[match["letter"].upper()]
        rows.append({"file": path, "label": emotion, "emotion": emotion, "speaker": match["speaker"],
                     "sentence": match["sentence"].lower()})  # fmt: skip
    return manifests.check_files(rows)


def parts_of(rows: list[dict], count: int) -> list[set[str]]:
    """Speakers in `count` parts of about as many clips: those with the most first, each to the smallest part."""
    clips = Counter(row["speaker"] for row in rows)
    if not 1 < count <= len(clips):
        raise ValueError(f"--folds is {count}, expected 2 to {len(clips)}, the number of speakers")
    parts: list[set[str]] = [set() for _ in range(count)]
    for speaker, _ in sorted(clips.items(), key=lambda entry: (-entry[1], entry[0])):
        min(parts, key=lambda part: sum(clips[name] for name in part)).add(speaker)
    return parts


def prepare(arguments) -> dict[str, list[dict]]:
    rows = recordings(arguments.source)
    found = {"emodb.csv": rows}
    for fold, speakers in enumerate(parts_of(rows, arguments.folds)):
        found[f"fold{fold}/train.csv"] = [row for row in rows if row["speaker"] not in speakers]
        found[f"fold{fold}/test.csv"] = [row for row in rows if row["speaker"] in speakers]
    return found


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/emodb", "the archive of Emo-DB, or the folder that it unpacks to")
    parser.add_argument("--folds", type=int, default=3, help="into which the speakers are divided (default: 3)")
    sys.exit(manifests.run(parser, prepare))
