# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of IEMOCAP for emotion recognition, five folds by session, as in SUPERB.

Takes IEMOCAP_full_release, the folder or its archive: SessionN/dialog/EmoEvaluation/*.txt and
SessionN/sentences/wav/DIALOG/UTTERANCE.wav. Four labels: ang, hap (with exc, excited), neu, sad; utterances of other
emotions and without agreement (xxx) are left out. For each session k writes foldk/test.csv, its utterances, and
foldk/train.csv, those of the other four sessions. Column `speaker` names one of the ten actors.
"""

import re
import sys
from pathlib import Path

from recipes import manifests

LABELS = {"ang": "ang", "hap": "hap", "exc": "hap", "neu": "neu", "sad": "sad"}
LINE = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+(?P<utterance>(?P<dialog>Ses\d\d\w_\w+)_(?P<turn>[FM]\w+))\s+(?P<emotion>\w+)\s"
)


def utterances(session: Path) -> list[dict]:
    """The rows of a session, in the order of its files."""
    rows = []
    for path in sorted((session / "dialog/EmoEvaluation").glob("Ses*.txt")):
        for match in map(LINE.match, path.read_text(encoding="utf-8", errors="replace").splitlines()):
            if match and match["emotion"] in LABELS:
                name = match["utterance"]
                rows.append({
                    "file": session / "sentences/wav" / match["dialog"] / f"{name}.wav",
                    "label": LABELS[match["emotion"]],
                    "speaker": f"{name[:5]}{match['turn'][0]}",
                })  # fmt: skip
    return manifests.check_files(rows)


def prepare(arguments) -> dict[str, list[dict]]:
    root = manifests.find_root(arguments.source, "Session1")
    sessions = {number: utterances(root / f"Session{number}") for number in range(1, 6)}
    found = {}
    for fold in sessions:
        found[f"fold{fold}/train.csv"] = [row for number, rows in sessions.items() if number != fold for row in rows]
        found[f"fold{fold}/test.csv"] = sessions[fold]
    return found


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/iemocap", "IEMOCAP_full_release, or its archive")
    sys.exit(manifests.run(parser, prepare))
