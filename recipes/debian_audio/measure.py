#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a pretrained checkpoint is worth on the labelled tasks: `ssast finetune` from its weights, from the same model
untrained, and with either frozen (linear probe), with 10 clips per class and with all, for the same number of steps.

A run is one task, way, number of clips and seed. The seed draws the clips, the initial weights and the order. In drums
and vocal it also says which third of the folds is judged by: groups never stand on both sides, and three seeds judge
by every clip once. Language is Spanish, French and Italian, judged by whole sources that training has not.

Results are kept in DEST/measured.jsonl: a run that is there is not run again.
"""

import argparse
import csv
import itertools
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipes.manifests import write_manifest
from recipes.report import Measured, mean_and_deviation, write_between
from recipes.summarize import judge_together
from ssast_hf.training import finetune

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
TASKS = ("drums", "vocal", "language")
LANGUAGES = ("es", "fr", "it")
THIRDS = 3
FEW = 10  # clips per class
MOST = {"train": 500, "test": 200}  # clips per class of language, which has thousands
SHORT, FRAMES = ("drums", "vocal"), 128  # clips of about 0.7 s
STEPS = {"few": 150, "all": 400}
# The same for random and pretrained weights.
RATES = {"fine-tuned": "5e-4", "probe": "1e-2"}


def read(dest: Path, task: str) -> list[dict]:
    with open(dest / "tasks" / f"{task}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["file"] = str((dest / "tasks" / row["file"]).resolve())
    return [row for row in rows if task != "language" or row["label"] in LANGUAGES]


def thirds(rows: list[dict]) -> dict[str, int]:
    """Folds -> one of three parts, of about as many clips: the largest fold first, to the smallest part."""
    sizes, parts = [0] * THIRDS, {}
    for fold, count in sorted(Counter(row["fold"] for row in rows).items(), key=lambda entry: (-entry[1], entry[0])):
        parts[fold] = sizes.index(min(sizes))
        sizes[parts[fold]] += count
    return parts


def at_most(rows: list[dict], count: int, draw: random.Random) -> list[dict]:
    """`count` clips of each label, or as many as there are."""
    by_label = defaultdict(list)
    for row in rows:
        by_label[row["label"]].append(row)
    return [row for _, own in sorted(by_label.items()) for row in draw.sample(own, min(count, len(own)))]


def divide(rows: list[dict], task: str, clips: str, seed: int) -> tuple[list[dict], list[dict]]:
    """The clips to train on and to judge by."""
    if task == "language":
        train = [row for row in rows if row["fold"] != "test"]
        test = at_most([row for row in rows if row["fold"] == "test"], MOST["test"], random.Random(0))
        train = at_most(train, MOST["train"], random.Random(0))
    else:
        parts = thirds(rows)
        train = [row for row in rows if parts[row["fold"]] != seed % THIRDS]
        test = [row for row in rows if parts[row["fold"]] == seed % THIRDS]
    return (at_most(train, FEW, random.Random(seed)) if clips == "few" else train), test


def train_and_judge(train: list[dict], test: list[dict], arguments: list[str]) -> dict:
    """`ssast finetune` on some clips, with these arguments, judged by others."""
    with tempfile.TemporaryDirectory() as folder:
        output, manifests = Path(folder, "model"), (Path(folder, "train.csv"), Path(folder, "test.csv"))
        for path, part in zip(manifests, (train, test)):
            write_manifest(path, part)
        start = time.monotonic()
        with redirect_stdout(sys.stderr):
            finetune.main([
                *arguments, "--data", str(manifests[0]), "--test_data", str(manifests[1]), "--output_dir", str(output),
                "--validation_fraction", "0", "--allow_missing_labels", "True", "--cache_audio", "True",
                "--save_strategy", "no", "--save_predictions", "True", "--disable_tqdm", "True",
                "--report_to", "none",
            ])  # fmt: skip
        seconds = time.monotonic() - start
        count, metrics = judge_together([output / "test_predictions.csv"])
    return {
        "accuracy": metrics["accuracy"], "balanced": metrics["balanced accuracy"],
        "train": len(train), "test": count, "seconds": round(seconds, 1),
    }  # fmt: skip


def run(rows: list[dict], task: str, clips: str, seed: int, model: str, way: str, flags: list[str]) -> dict:
    """One run of the table."""
    probe = "probe" in way
    arguments = [
        "--model", model, "--max_steps", str(STEPS[clips]), "--warmup_steps", "0.1", "--balanced_sampling",
        "--learning_rate", RATES["probe" if probe else "fine-tuned"], "--seed", str(seed), "--logging_steps", "100",
        *(["--max_length", str(FRAMES)] if task in SHORT else []),
        *(["--linear_probe"] if probe else []), *(["--from_scratch"] if "scratch" in way else []), *flags,
    ]  # fmt: skip
    return train_and_judge(*divide(rows, task, clips, seed), arguments)


def table(results: list[dict], models: list[str]) -> str:
    """Mean and deviation over seeds of the balanced accuracy; results of other models are left out."""
    found = defaultdict(list)
    for result in results:
        if result["model"] in models and not result["flags"]:
            found[result["task"], result["clips"], result["model"], result["way"]].append(result["balanced"])
    columns = [(task, clips) for task in TASKS for clips in STEPS if any(key[:2] == (task, clips) for key in found)]
    lines = [
        "| weights | training | " + " | ".join(f"{task}, {'10 per class' if clips == 'few' else 'all'}"
                                               for task, clips in columns) + " |",
        "|---|---|" + "--:|" * len(columns),
    ]  # fmt: skip
    ways = sorted({(model, way) for _, _, model, way in found}, key=lambda each: ("probe" in each[1], *each))
    for model, way in ways:
        cells = []
        for task, clips in columns:
            cells.append(mean_and_deviation(found.get((task, clips, model, way), [])))
        weights = "none (random)" if "scratch" in way else f"`{Path(model).name}`"
        kind = "linear probe" if "probe" in way else "all weights"
        shape = f" of `{Path(model).name}`'s shape" if "scratch" in way and len(models) > 1 else ""
        lines.append(f"| {weights}{shape} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parser_of_tasks(description: str) -> argparse.ArgumentParser:
    """What scripts that fine-tune on the tasks are told alike."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, help="where prepare.py wrote the tasks")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of ssast finetune")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    return parser


def main() -> int:
    parser = parser_of_tasks(__doc__)
    parser.add_argument("--model", nargs="+", default=["ssast-tiny-patch-debian"], help="pretrained checkpoints")
    parser.add_argument("--clips", nargs="+", choices=list(STEPS), default=list(STEPS), help="10 per class, or all")
    ways = ("scratch", "checkpoint", "scratch probe", "checkpoint probe")
    parser.add_argument("--way", nargs="+", choices=ways, default=ways)
    arguments = parser.parse_args()
    log = Measured(arguments.dest / "measured.jsonl")
    keys = ("task", "clips", "seed", "model", "way", "flags")
    chosen = []
    for seed in arguments.seeds:
        for task in arguments.task:
            rows = read(arguments.dest, task)
            for clips, model, way in itertools.product(arguments.clips, arguments.model, arguments.way):
                key = (task, clips, seed, model, way, arguments.flags)
                chosen.append(log.get(dict(zip(keys, key)), partial(run, rows, *key)))
                print(f"{task}, {clips}, {way}, seed {seed}, {Path(model).name}: balanced accuracy "
                      f"{chosen[-1]['balanced']:.3f} ({chosen[-1]['seconds']} s)", flush=True)  # fmt: skip
    text = table(log.results, arguments.model)
    print(text)
    if arguments.readme:
        write_between(README, BEGIN, END, f"{log.origin(chosen)}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
