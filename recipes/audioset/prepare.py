# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of AudioSet-20K, the balanced training set, and the evaluation set, with 527 labels.

AudioSet is distributed as lists of segments of YouTube videos: balanced_train_segments.csv, eval_segments.csv and
class_labels_indices.csv, which --lists names the folder of. The sound comes from elsewhere: `source` is one or more
folders with a file per segment, named after the video and, if at all, the times: ID, YID, ID_30.000, ID_30,
ID_30.000_40.000 or ID_30000_40000 and any suffix. Writes train.jsonl and eval.jsonl, a copy of
class_labels_indices.csv for --label_file, and missing.txt with the segments that have no file.
"""

import csv
import shutil
import sys
from pathlib import Path

from recipes import manifests
from ssast_hf import find_audio_files

LISTS = {"train.jsonl": "balanced_train_segments.csv", "eval.jsonl": "eval_segments.csv"}
CLASSES = "class_labels_indices.csv"


def stems(video: str, start: float, end: float) -> list[str]:
    """The names that a segment's file may have, without suffix; those with times first."""
    return [
        f"{video}_{round(1000 * start)}_{round(1000 * end)}", f"{video}_{start:.3f}_{end:.3f}", f"{video}_{start:.3f}",
        f"{video}_{start:g}", f"Y{video}_{start:.3f}_{end:.3f}", f"Y{video}", video,
    ]  # fmt: skip


def read_segments(path: Path, names: dict[str, str]) -> list[tuple[str, float, float, list[str]]]:
    """(video, start, end, labels) of an official list, whose lines are `ID, 30.000, 40.000, "/m/...,/m/..."`."""
    segments = []
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) != 4:
                raise ValueError(f"{path}, line {number}: {len(row)} columns, expected 4")
            labels = row[3].split(",")
            unknown = [label for label in labels if label not in names]
            if unknown:
                raise ValueError(f"{path}, line {number}: {unknown[0]}, which {CLASSES} has not")
            try:
                start, end = float(row[1]), float(row[2])
            except ValueError:
                raise ValueError(f"{path}, line {number}: {row[1]}, {row[2]}, expected two times in seconds") from None
            segments.append((row[0], start, end, [names[label] for label in labels]))
    return segments


def prepare(arguments) -> dict[str, list[dict]]:
    table = manifests.read_table(arguments.lists / CLASSES, ("mid", "display_name"))
    names = {row["mid"]: row["display_name"] for row in table}
    lists = {name: read_segments(arguments.lists / file, names) for name, file in LISTS.items()}
    wanted = {stem for segments in lists.values() for segment in segments for stem in stems(*segment[:3])}
    files = (path for folder in arguments.source for path in find_audio_files(folder))
    sounds = manifests.once((path for path in files if path.stem in wanted), lambda path: path.stem)
    found, missing = {}, []
    for name, file in LISTS.items():
        segments, rows = lists[name], []
        for video, start, end, labels in segments:
            path = next((sounds[stem] for stem in stems(video, start, end) if stem in sounds), None)
            if path is None:
                missing.append(f"{file}\t{video}\t{start:.3f}\t{end:.3f}")
            else:
                rows.append({"file": path, "label": labels})
        if not rows:
            raise FileNotFoundError(f"none of the {len(segments)} segments of {file} has a file: see --help for names")
        print(f"{file}: {len(rows)} of {len(segments)} segments found")
        found[name] = rows
    arguments.output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(arguments.lists / CLASSES, arguments.output / CLASSES)
    (arguments.output / "missing.txt").write_text("".join(f"{line}\n" for line in missing), encoding="utf-8")
    return found


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/audioset", "folder with the sound; may be given more than once")
    parser.add_argument("--lists", type=Path, required=True, metavar="DIR", help="folder with the three official CSVs")
    sys.exit(manifests.run(parser, prepare))
