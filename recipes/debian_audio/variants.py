# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What the choices in the recipes drums.yaml, vocal.yaml and language.yaml are worth: each as it is and with one thing
changed, on all clips, divided and judged as in measure.py.

Results are kept in DEST/variants.jsonl: a run that is there is not run again, and the table has all that are there of
the same models and flags.
"""

import itertools
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

from recipes.debian_audio.frozen import divide, folds_of, read
from recipes.debian_audio.measure import README, parser_of_tasks, train_and_judge
from recipes.report import Measured, mean_and_deviation, write_between
from ssast_hf.checkpoints import DEFAULT_PRETRAINED

TASKS = ("drums", "vocal", "language")
BEGIN, END = "<!-- variants: begin -->", "<!-- variants: end -->"
VARIANTS = {
    "the recipe": [],
    "without augmentation": ["--mixup", "0", "--frequency_mask", "0", "--time_mask", "0", "--noise", "False"],
    "stride 10": ["--frequency_stride", "10", "--time_stride", "10"],
    "frame-based": ["--frequency_stride", "128", "--time_stride", "2"],
    "from scratch": ["--from_scratch", "True"],
}


def run(rows: list[dict], task: str, seed: int, variant: str, model: str, flags: list[str]) -> dict:
    recipe = Path(__file__).with_name(f"{task}.yaml")
    arguments = [str(recipe), "--model", model, "--seed", str(seed), *VARIANTS[variant], *flags]
    folds = folds_of(rows)
    return train_and_judge(*divide(rows, "all", folds[seed % len(folds)], seed), arguments)


def table(results: list[dict]) -> str:
    """Mean and deviation over seeds of the balanced accuracy."""
    found = defaultdict(list)
    for result in results:
        found[result["task"], result["variant"]].append(result["balanced"])
    tasks = [task for task in TASKS if any(task == key[0] for key in found)]
    lines = [f"| variant | {' | '.join(tasks)} |", "|---|" + "--:|" * len(tasks)]
    for variant in VARIANTS:
        if any(variant == key[1] for key in found):
            cells = [mean_and_deviation(found[task, variant]) for task in tasks]
            lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = parser_of_tasks(__doc__, TASKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--patch_model", default=DEFAULT_PRETRAINED)
    parser.add_argument("--frame_model", help="frame-based checkpoint, which the frame-based variants need")
    parser.add_argument("--variant", nargs="+", choices=list(VARIANTS), help="default: all that there is a model for")
    arguments = parser.parse_args()
    models = {name: arguments.frame_model if "frame" in name else arguments.patch_model for name in VARIANTS}
    variants = arguments.variant or [name for name in VARIANTS if models[name]]
    if not all(models[name] for name in variants):
        parser.error("frame-based variants need --frame_model")
    log = Measured(arguments.dest / "variants.jsonl")
    keys = ("task", "seed", "variant", "model", "flags")
    for seed, task in itertools.product(arguments.seeds, arguments.task):
        rows = read(arguments.dest, task)
        for variant in variants:
            key = (task, seed, variant, models[variant], arguments.flags)
            result = log.get(dict(zip(keys, key)), partial(run, rows, *key))
            print(f"{task}, {variant}, seed {seed}: balanced accuracy {result['balanced']:.3f} "
                  f"({result['seconds']} s)", flush=True)  # fmt: skip
    alike = [result for result in log.results
             if result["flags"] == arguments.flags and result["model"] == models.get(result["variant"])]  # fmt: skip
    text = table(alike)
    print(text)
    if arguments.readme:
        write_between(README, BEGIN, END, f"{log.origin(alike)}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
