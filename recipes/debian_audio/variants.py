#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What the choices in the recipes drums.yaml, vocal.yaml and language.yaml are worth: each as it is and with one thing
changed, on all clips, divided and judged as in measure.py.

Results are kept in DEST/variants.jsonl: a run that is there is not run again.
"""

import argparse
import itertools
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipes.debian_audio.measure import README, TASKS, divide, read, train_and_judge
from recipes.report import Measured, mean_and_deviation, write_between

BEGIN, END = "<!-- variants: begin -->", "<!-- variants: end -->"
VARIANTS = {
    "the recipe": [],
    "without augmentation": ["--mixup", "0", "--frequency_mask", "0", "--time_mask", "0", "--noise", "False"],
    "stride 10": ["--frequency_stride", "10", "--time_stride", "10"],
    "frame-based": ["--frequency_stride", "128", "--time_stride", "2"],
    "from scratch": ["--from_scratch", "True"],
    "from scratch, frame-based": ["--frequency_stride", "128", "--time_stride", "2", "--from_scratch", "True"],
}


def run(rows: list[dict], task: str, seed: int, variant: str, models: dict[str, str], flags: list[str]) -> dict:
    recipe = Path(__file__).with_name(f"{task}.yaml")
    model = models["frame" if "frame" in variant else "patch"]
    arguments = [str(recipe), "--model", model, "--seed", str(seed), *VARIANTS[variant], *flags]
    return train_and_judge(*divide(rows, task, "all", seed), arguments)


def table(results: list[dict]) -> str:
    """Mean and deviation over seeds of the accuracy and of the balanced accuracy."""
    found = defaultdict(list)
    for result in results:
        found[result["task"], result["variant"]].append(result)
    tasks = [task for task in TASKS if any(task == key[0] for key in found)]
    metrics = {"accuracy": "accuracy", "balanced": "balanced accuracy"}
    columns = list(itertools.product(tasks, metrics))
    lines = [
        "| variant | " + " | ".join(f"{task}, {metrics[metric]}" for task, metric in columns) + " |",
        "|---|" + "--:|" * len(columns),
    ]
    for variant in VARIANTS:
        if any(variant == key[1] for key in found):
            cells = [mean_and_deviation([result[metric] for result in found[task, variant]])
                     for task, metric in columns]  # fmt: skip
            lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, help="where prepare.py wrote the tasks")
    parser.add_argument("--patch_model", default="ssast-tiny-patch-debian")
    parser.add_argument("--frame_model", default="ssast-tiny-frame-debian")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--variant", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of ssast finetune")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    arguments = parser.parse_args()
    log = Measured(arguments.dest / "variants.jsonl")
    models = {"patch": arguments.patch_model, "frame": arguments.frame_model}
    keys = ("task", "seed", "variant", "models", "flags")
    chosen = []
    for seed, task in itertools.product(arguments.seeds, arguments.task):
        rows = read(arguments.dest, task)
        for variant in arguments.variant:
            key = (task, seed, variant, models, arguments.flags)
            chosen.append(log.get(dict(zip(keys, key)), partial(run, rows, *key)))
            print(f"{task}, {variant}, seed {seed}: balanced accuracy {chosen[-1]['balanced']:.3f} "
                  f"({chosen[-1]['seconds']} s)", flush=True)  # fmt: skip
    text = table(chosen)
    print(text)
    if arguments.readme:
        write_between(README, BEGIN, END, f"{log.origin(chosen)}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
