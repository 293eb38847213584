# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labels for a small classifier that has a word for any file: speech, music, percussion or effect.

Made from a corpus and the tasks' packages. Whole packages are held out for judging, speakers, composers and drum kits
with them. Long files are cut into pieces of 10 s, so that an hour of music is not one clip; of the many spoken clips
some of each source are enough.
"""

import csv
import hashlib
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

from ssast_hf.audio import load_audio

from . import corpus, sounds
from .tasks import COLUMNS, TEST_SOURCES, at_most, write_folds

PIECE = 10.0  # seconds
LIMIT = 100  # clips of one source with one label
BALANCED = 400  # clips of each kind that the classifier is fitted to
LEFT_OUT = ("sonic-pi-samples",)  # hits among its effects; and the sounds that ssast_hf carries are from it
TEST_PACKAGES = ("lmms-common",)  # beside the corpus' validation packages and the language task's test sources


def is_hit(path: str) -> bool:
    """Whether a file of the drum task's packages is a hit on a drum or other percussion."""
    kit = "/drumkits/" in path and "GuitarStrums" not in path
    return kit or bool(re.search(r"/samples/drums/(?!zap)", path))


def pieces(seconds: float) -> list[float]:
    """Offsets of the pieces of PIECE seconds in a file; one of 0 for what is no longer than two. The rest goes."""
    return [0.0] if seconds <= 2 * PIECE else [index * PIECE for index in range(int(seconds // PIECE))]


def limit(rows: list[dict]) -> list[dict]:
    """At most LIMIT rows of each label and group, drawn by file name alone, in the order of `rows`."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["label"], row["group"]].append(row)
    chosen = set()
    for group in groups.values():
        group.sort(key=lambda row: hashlib.sha256(row["file"].encode()).digest())
        chosen.update(row["file"] for row in group[:LIMIT])
    return [row for row in rows if row["file"] in chosen]


def candidates(dest: Path) -> list[dict]:
    """Whole files with label, group and fold, from DEST/manifest.csv and DEST/tasks/packages."""
    if not (dest / "manifest.csv").exists() or not (dest / "tasks" / "drums.csv").exists():
        raise ValueError(f"{dest} holds no corpus or no task named drums; expected both, from the other commands")
    rows = []
    with open(dest / "manifest.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["package"] in LEFT_OUT:
                continue
            fold = "test" if row["split"] == "validation" else "train"
            rows.append(
                {"file": row["file"], "label": row["kind"], "group": row["group"], "fold": fold}
                | {"seconds": float(row["seconds"]), "digest": row["file"]}
            )
    for path in sorted((dest / "tasks" / "packages").glob("*.json")):
        package = path.stem
        if package in ("hydrogen-drumkits", "hydrogen-data", "lmms-common"):
            label, wanted = "percussion", is_hit
        elif package.startswith(TEST_SOURCES):
            label, wanted = "speech", bool
        else:
            continue
        for row in corpus.read_state(package, dest / "tasks")["rows"]:
            if wanted(row["path"]):
                fold = "test" if package.startswith(TEST_SOURCES) or package in TEST_PACKAGES else "train"
                kit = re.search(r"drumkits/([^/]+)", row["path"])
                rows.append(
                    {"file": f"tasks/{row['file']}", "label": label, "fold": fold, "seconds": row["seconds"]}
                    | {"group": f"{package}/{kit[1]}" if kit else package, "digest": row["digest"]}
                )
    return rows


def prepare(dest: Path) -> None:
    """Writes DEST/kinds.csv, and its pieces and folds in DEST/kinds/. Raises ValueError if there is none."""
    table = dest / "kinds.csv"
    if table.exists():
        write_folds("kinds", dest)
        write_balanced(dest)
        print(f"{table} is ready, made earlier")
        return
    seen, rows = set(), []
    for row in candidates(dest):
        if row["digest"] not in seen:
            seen.add(row["digest"])
            offsets = pieces(row["seconds"])
            rows += [
                row | {"offset": offset, "source": row["file"], "file": f"kinds/{row['file']}.{offset:.0f}.wav"}
                for offset in offsets
            ] if len(offsets) > 1 else [row]  # fmt: skip
    rows = limit([row for row in rows if row["label"] != "music"]) + [row for row in rows if row["label"] == "music"]
    kept = []
    for row in rows:
        if "source" in row and not (dest / row["file"]).exists():
            samples = sounds.to_int16(load_audio(dest / row["source"], offset=row["offset"], duration=PIECE))
            if sounds.why_unusable(samples, corpus.SHORTEST):
                continue
            sounds.write_wav(dest / row["file"], samples)
        kept.append(row)
    sounds.write_text(table, corpus.to_csv(kept, COLUMNS))
    write_folds("kinds", dest)
    write_balanced(dest)
    for fold in ("train", "test"):
        counts = Counter(row["label"] for row in kept if row["fold"] == fold)
        print(f"kinds, {fold}: " + ", ".join(f"{label} {count}" for label, count in sorted(counts.items())))


def write_balanced(dest: Path) -> None:
    """Writes DEST/kinds/balanced.csv: `BALANCED` clips of each kind of train.csv, drawn with a fixed seed."""
    with open(dest / "kinds/train.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = at_most(rows, BALANCED, random.Random(0))
    sounds.write_text(dest / "kinds/balanced.csv", corpus.to_csv(kept, list(rows[0])))
