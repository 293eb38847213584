#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Packs the clips of the labelled tasks into a few small files, for a machine that is handed nothing else: all clips, one
after the other, at 16 kHz, in parts of about ten minutes, Ogg/Opus. `read` gives them back.

    python -m recipes.debian_audio.pack_tasks DEST OUTPUT --speech FOLDER
"""

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
import soundfile

from ssast_hf import load_audio
from ssast_hf.training.packed import decode_opus
from ssast_hf.utils.text import first_sentence

from . import frozen
from .tasks import at_most

RATE = 16000  # Hz
PART = 600 * RATE  # samples
COMPRESSION = 0.85  # of libsndfile's 0 to 1: about 40 kbit/s in Opus
MOST = {"train": 60, "test": 100}  # clips per class of language
GAP = RATE // 25  # samples of silence between clips: a coder smears what stands side by side
FORMAT = """\
index.json   list of {task, label, group, fold, start, samples}: a clip is stream[start : start + samples]
clips_NN.ogg Ogg/Opus, 16 kHz, one channel; the stream is all of them end to end, each cut to its length in parts.json
parts.json   samples of each part

    import json, numpy, soundfile
    parts = json.load(open("parts.json"))
    stream = numpy.concatenate(
        [soundfile.read(f"clips_{i:02}.ogg", dtype="float32")[0][:n].clip(-1, 1) for i, n in enumerate(parts)])

A fold is judged by a model that was trained on the task's other folds; the fold "train" (language) is only trained on.
Tasks that share clips (digits and speakers) name the same samples. Group: kit family, character, source or speaker.
"""


def chosen(dest: Path, speech: Path | None) -> list[dict]:
    """The rows of all tasks, language thinned out."""
    rows = []
    for task in frozen.TASKS:
        if task in frozen.MANIFESTS and speech is None:
            continue
        found = frozen.read(dest, task, speech)
        if task == "language":
            parts = [[row for row in found if (row["fold"] == "test") == (part == "test")] for part in MOST]
            found = [row for part, most in zip(parts, MOST.values())
                     for row in at_most(part, most, random.Random(0))]  # fmt: skip
        rows += [{"task": task, **row} for row in found]
    return rows


def write(rows: list[dict], output: Path) -> np.ndarray:
    """Writes the pack and returns the stream, int16."""
    output.mkdir(parents=True, exist_ok=True)
    places, pieces, start = {}, [], 0
    for row in rows:
        if row["file"] not in places:
            wave = load_audio(row["file"], RATE)
            samples = np.round(wave * 32767).clip(-32768, 32767).astype(np.int16)
            pieces += [samples, np.zeros(GAP, np.int16)]
            places[row["file"]] = (start, len(samples))
            start += len(samples) + GAP
    stream = np.concatenate(pieces)
    index = [
        {name: row[name] for name in ("task", "label", "group", "fold")}
        | dict(zip(("start", "samples"), places[row["file"]]))
        for row in rows
    ]
    parts = [stream[first : first + PART] for first in range(0, len(stream), PART)]
    for number, part in enumerate(parts):
        soundfile.write(output / f"clips_{number:02}.ogg", part, RATE, format="OGG", subtype="OPUS",
                        compression_level=COMPRESSION)  # fmt: skip
    (output / "index.json").write_text(json.dumps(index, separators=(",", ":")), encoding="utf-8")
    (output / "parts.json").write_text(json.dumps([len(part) for part in parts]), encoding="utf-8")
    (output / "FORMAT.txt").write_text(FORMAT, encoding="utf-8")
    return stream


def read(folder: Path) -> tuple[list[dict], np.ndarray]:
    """The index of a pack and its stream of samples, int16."""
    parts = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    stream = [decode_opus(folder / f"clips_{number:02}.ogg", length) for number, length in enumerate(parts)]
    return json.loads((folder / "index.json").read_text(encoding="utf-8")), np.concatenate(stream)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, help="where prepare.py wrote the tasks")
    parser.add_argument("output", type=Path, help="folder for the pack")
    parser.add_argument("--speech", type=Path, help="folder of fsdd.csv and emodb.csv (default: without these tasks)")
    parser.add_argument("--raw", type=Path, help="also write the samples as they were before coding, a .npy file")
    parser.add_argument("--overwrite", action="store_true", help="write over a pack, or --raw, that is there already")
    arguments = parser.parse_args()
    try:
        for path in (arguments.output / "index.json", arguments.raw):
            if path is not None and path.exists() and not arguments.overwrite:
                raise ValueError(f"{path} exists: choose another name or give --overwrite")
        rows = chosen(arguments.dest, arguments.speech)
        stream = write(rows, arguments.output)
        if arguments.raw:
            arguments.raw.parent.mkdir(parents=True, exist_ok=True)
            with open(arguments.raw, "wb") as file:  # np.save would append .npy to another name
                np.save(file, stream)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {first_sentence(error)}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in arguments.output.iterdir()) / 1e6
    print(f"{arguments.output}: {len(rows):,} rows, {len(stream) / RATE / 60:.1f} minutes, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
