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
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipes.manifests import write_manifest
from recipes.report import machine, write_between
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


def run(rows: list[dict], task: str, clips: str, seed: int, model: str, way: str, flags: list[str]) -> dict:
    train, test = divide(rows, task, clips, seed)
    with tempfile.TemporaryDirectory() as folder:
        output, manifests = Path(folder, "model"), (Path(folder, "train.csv"), Path(folder, "test.csv"))
        for path, part in zip(manifests, (train, test)):
            write_manifest(path, part)
        arguments = [
            "--data", str(manifests[0]), "--test_data", str(manifests[1]),
            "--model", model, "--output_dir", str(output), "--validation_fraction", "0", "--allow_missing_labels",
            "--max_steps", str(STEPS[clips]), "--learning_rate", RATES["probe" if "probe" in way else "fine-tuned"],
            "--warmup_steps", "0.1", *(["--max_length", str(FRAMES)] if task in SHORT else []),
            "--balanced_sampling", "--cache_audio", "--seed", str(seed), "--save_strategy",
            "no", "--save_predictions", "--disable_tqdm", "True", "--logging_steps", "100", "--report_to", "none",
            *(["--linear_probe"] if "probe" in way else []), *(["--from_scratch"] if "scratch" in way else []), *flags,
        ]  # fmt: skip
        start = time.monotonic()
        with redirect_stdout(sys.stderr):
            finetune.main(arguments)
        seconds = time.monotonic() - start
        count, metrics = judge_together([output / "test_predictions.csv"])
    return {
        "accuracy": metrics["accuracy"], "balanced": metrics["balanced accuracy"],
        "train": len(train), "test": count, "seconds": round(seconds, 1),
    }  # fmt: skip


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
            values = found.get((task, clips, model, way), [])
            deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{deviation}" if values else "")
        weights = "none (random)" if "scratch" in way else f"`{Path(model).name}`"
        kind = "linear probe" if "probe" in way else "all weights"
        shape = f" of `{Path(model).name}`'s shape" if "scratch" in way and len(models) > 1 else ""
        lines.append(f"| {weights}{shape} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, help="where prepare.py wrote the tasks")
    parser.add_argument("--model", nargs="+", default=["ssast-tiny-patch-debian"], help="pretrained checkpoints")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--clips", nargs="+", choices=list(STEPS), default=list(STEPS), help="10 per class, or all")
    ways = ("scratch", "checkpoint", "scratch probe", "checkpoint probe")
    parser.add_argument("--way", nargs="+", choices=ways, default=ways)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of ssast finetune")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    arguments = parser.parse_args()
    log = arguments.dest / "measured.jsonl"
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    keys = ("task", "clips", "seed", "model", "way", "flags")
    done = {json.dumps([result[key] for key in keys]) for result in results}
    for seed in arguments.seeds:
        for task in arguments.task:
            rows = read(arguments.dest, task)
            for clips in arguments.clips:
                for model in arguments.model:
                    for way in arguments.way:
                        key = dict(zip(keys, (task, clips, seed, model, way, arguments.flags)))
                        if json.dumps(list(key.values())) in done:
                            continue
                        result = {**key, **run(rows, task, clips, seed, model, way, arguments.flags)}
                        results.append({**result, "date": date.today().isoformat(), "machine": machine()})
                        with open(log, "a", encoding="utf-8") as file:
                            file.write(json.dumps(results[-1]) + "\n")
                        print(f"{task}, {clips}, {way}, seed {seed}, {Path(model).name}: balanced accuracy "
                              f"{result['balanced']:.3f} ({result['seconds']} s)", flush=True)  # fmt: skip
    text = table(results, arguments.model)
    print(text)
    if arguments.readme:
        write_between(README, BEGIN, END, f"{machine()}; {date.today().isoformat()}.\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
