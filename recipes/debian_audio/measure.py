#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a pretrained checkpoint is worth on the labelled tasks, with 10 clips per class and with all:

- default: `ssast finetune` without a flag. With 10 clips it leaves the encoder frozen and chooses layer, pooling, C
  and warped copies by cross-validation; with all it trains all weights;
- chosen (of all clips): `ssast finetune --frozen`, which chooses layer, pooling and C;
- fine-tuned, and the same from scratch: `ssast finetune`, for the same number of steps;
- from the regression (of 10 clips): fine-tuned from what `ssast finetune --frozen` gave, head and all, at a fifth of
  the rate (LP-FT, Kumar et al. 2022);
- frozen: logistic regression on the output of one layer, of which either the mean of all patches is taken, or the mean
  over time of each row of patches ("rows"); and the same of random weights of the checkpoint's shape;
- mel: logistic regression on mean, deviation, least and largest over time of 64 log-mel bins.

A run is one task, fold, draw and way. A fold is judged by what was trained on all others: thirds of the kit families
(drums) and of the characters (vocal), whole sources (language: Spanish, French, Italian), a speaker (digits), the
digits 0-4 or 5-9 (speakers), thirds of the speakers (emotion). A draw is a choice of 10 clips per class, and the seed
of fine-tuning. Differences are of pairs, runs of the same fold and draw, with the standard error of their mean.

The speech tasks are of public data sets in the folder --speech: fsdd.csv (columns file, digit, speaker), the Free
Spoken Digit Dataset, and emodb.csv (file, emotion, speaker), the Berlin database of emotional speech; see recipes/fsdd
and recipes/emodb.

Results are kept in DEST/measured.jsonl, features in DEST/features, by the digest of a model's weights: a run that is
there is not run again.

    python -m recipes.debian_audio.measure DEST --speech FOLDER --frozen-only
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import redirect_stdout
from functools import partial
from math import ceil, isnan, nan, sqrt
from pathlib import Path

import numpy as np

from ssast_hf.checkpoints import DEFAULT_PRETRAINED
from ssast_hf.training import finetune
from ssast_hf.utils.text import first_sentence

from ..manifests import write_manifest
from ..report import Measured, mean_and_deviation, write_between
from ..summarize import judge_together
from . import frozen
from .frozen import TASKS

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SHORT, FRAMES = ("drums", "vocal", "digits", "speakers"), 128  # clips of less than a second
STEPS = {"few": 150, "all": 400}
RATE, LOWER_RATE = "5e-4", "1e-4"  # of fine-tuning, the same for random and pretrained weights; after a regression
START = "{start}"  # stands for the model that a run starts from
TUNED = ("fine-tuned", "scratch")
DEFAULT, CHOSEN, CONTINUED = "default", "chosen", "from the regression"
BY_COMMAND = (DEFAULT, CHOSEN, *TUNED, CONTINUED)  # ways that run `ssast finetune`
MISSING = {(CHOSEN, "few"), (CONTINUED, "all")}  # the former is the default
FROZEN = ("frozen mean", "frozen rows", "random mean", "random rows", "mel")
TITLES = {"few": "10 clips per class", "all": "all clips"}
DIFFERENCES = (
    ("default", "scratch"), ("default", "mel"), ("default", "frozen rows"), ("default", "fine-tuned"),
    ("default", "chosen"), ("default", "from the regression"),
    ("fine-tuned", "scratch"), ("fine-tuned", "mel"), ("frozen mean", "mel"), ("frozen rows", "mel"),
    ("frozen mean", "random mean"), ("frozen rows", "random rows"), ("fine-tuned", "frozen rows"),
)  # fmt: skip
LEAST_RUNS = 12  # of a task with few folds, in units of 3 draws


def draws_of(count: int, folds: int, way: str, clips: str) -> range:
    """The draws of each fold: `count`, more where there are few folds; what is not drawn is not repeated."""
    if clips == "few":
        return range(max(count, ceil(LEAST_RUNS * count / 3 / folds)))
    return range(ceil(count / folds) if way in (DEFAULT, *TUNED) else 1)


def train_and_judge(train: list[dict], test: list[dict], *runs: list[str]) -> dict:
    """
    `ssast finetune` on some clips, judged by others. With several lists of arguments, each run starts from the model
    of the one before, which is `START` in its arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        manifests = Path(folder, "train.csv"), Path(folder, "test.csv")
        for path, part in zip(manifests, (train, test)):
            write_manifest(path, part)
        start, output = time.monotonic(), Path()
        for number, arguments in enumerate(runs):
            previous, output = output, Path(folder, str(number))
            with redirect_stdout(sys.stderr):
                finetune.main([
                    *(text.replace(START, str(previous)) for text in arguments),
                    "--data", str(manifests[0]), "--test_data", str(manifests[1]), "--output_dir", str(output),
                    "--allow_missing_labels", "True", "--save_predictions", "True",
                    "--disable_tqdm", "True", "--report_to", "none",
                ])  # fmt: skip
        seconds = time.monotonic() - start
        count, metrics = judge_together([output / "test_predictions.csv"])
    return {
        "accuracy": metrics["accuracy"], "balanced": metrics["balanced accuracy"],
        "train": len(train), "test": count, "seconds": round(seconds, 1),
    }  # fmt: skip


def run_tuned(
    rows: list[dict], task: str, clips: str, fold: str, draw: int, model: str, way: str, flags: list[str]
) -> dict:
    """One run of `ssast finetune`."""
    parts = frozen.divide(rows, clips, fold, draw)
    seed, whole = ["--seed", str(draw)], ["--validation_fraction", "0"]
    if way == DEFAULT:
        return train_and_judge(*parts, ["--model", model, *seed, *(whole if clips == "few" else []), *flags])
    regression = ["--model", model, *seed, *whole, "--frozen"]
    if way == CHOSEN:
        return train_and_judge(*parts, [*regression, *flags])
    arguments = [
        "--max_steps", str(STEPS[clips]), "--warmup_steps", "0.1", "--balanced_sampling", *seed, *whole,
        "--logging_steps", "100", "--cache_audio", "True", "--save_strategy", "no",
        *(["--max_length", str(FRAMES)] if task in SHORT else []),
    ]  # fmt: skip
    if way == CONTINUED:
        return train_and_judge(
            *parts, regression, ["--model", START, "--learning_rate", LOWER_RATE, *arguments, *flags]
        )
    scratch = ["--from_scratch"] if way == "scratch" else []
    return train_and_judge(*parts, ["--model", model, "--learning_rate", RATE, *arguments, *scratch, *flags])


def run_frozen(rows: list[dict], inputs: np.ndarray, clips: str, fold: str, draw: int) -> dict:
    """One run of logistic regression on features, a row for each clip."""
    places = {row["file"]: place for place, row in enumerate(rows)}
    parts = [[places[row["file"]] for row in part] for part in frozen.divide(rows, clips, fold, draw)]
    start = time.monotonic()
    scores = frozen.judge(inputs, np.array([row["label"] for row in rows]), *parts)
    return {**scores, "train": len(parts[0]), "test": len(parts[1]), "seconds": round(time.monotonic() - start, 1)}


class Checkpoint:
    """A checkpoint, with random weights of its shape, and their features of clips, kept in `folder`."""

    def __init__(self, name: str, layer: int | None, padded: int, folder: Path):
        self.name, self.padded, self.folder = name, padded, folder
        self.loaded = {kind: frozen.load(name, kind == "random") for kind in ("frozen", "random")}
        config = self.loaded["frozen"][0].config
        self.layer = layer if layer is not None else config.num_hidden_layers // 2
        if layer is not None and not 1 <= layer <= config.num_hidden_layers:
            raise ValueError(f"--layer is {layer}, expected 1 to {config.num_hidden_layers}, a layer of {name}")
        if not 0 <= padded <= config.max_length:
            raise ValueError(f"--padded is {padded}, expected 0 to {config.max_length}, the longest input of {name}")

    def key(self, way: str) -> dict:
        """What tells results of a way apart: `weights`, those of any checkpoint of this shape from scratch."""
        if way == "mel":
            return {"weights": "", "layer": None, "padded": 0}
        kind = "random" if way == "scratch" or way.startswith("random") else "frozen"
        layer, padded = (None, 0) if way in BY_COMMAND else (self.layer, self.padded)
        return {"weights": self.loaded[kind][2], "layer": layer, "padded": padded}

    def features(self, way: str, files: list[str]) -> np.ndarray:
        """Of shape (clips, features)."""
        if way == "mel":
            return frozen.cached(self.folder, "mel", files, lambda: frozen.mel_statistics(files))
        kind, pooling = way.split()
        model, extractor, digest = self.loaded[kind]
        rows = frozen.cached(
            self.folder, f"{digest}-{self.layer}-{self.padded}", files,
            lambda: frozen.row_means(model, extractor, files, [self.layer], self.padded)[0],
        )  # fmt: skip
        return rows.mean(axis=1) if pooling == "mean" else rows.reshape(len(files), -1)


def measure(log: Measured, rows: list[dict], task: str, checkpoint: Checkpoint, way: str, arguments) -> list[dict]:
    """All runs of one task and way."""
    found, inputs, flags = [], None, arguments.flags if way in BY_COMMAND else []
    folds = frozen.folds_of(rows)
    sizes = [clips for clips in arguments.clips if (way, clips) not in MISSING]
    for clips in sizes:
        for fold in folds:
            for draw in draws_of(arguments.draws, len(folds), way, clips):
                key = {"task": task, "clips": clips, "fold": fold, "draw": draw, "way": way, **checkpoint.key(way)}
                if way in BY_COMMAND:
                    run = partial(run_tuned, rows, task, clips, fold, draw, checkpoint.name, way, flags)
                else:
                    if inputs is None:
                        inputs = checkpoint.features(way, [row["file"] for row in rows])
                    run = partial(run_frozen, rows, inputs, clips, fold, draw)
                found.append(log.get({**key, "flags": flags}, run))
    for clips in sizes:
        text = mean_and_deviation([result["balanced"] for result in found if result["clips"] == clips])
        print(f"{task}, {TITLES[clips]}, {way}, {Path(checkpoint.name).name}: {text}", flush=True)
    return found


Scores = dict[tuple[str, int], float]  # by fold and draw


def difference(one: Scores, other: Scores) -> tuple[float, float] | None:
    """
    Mean difference of pairs, and its standard error, NaN of one pair; None without pairs. Pairs count as independent,
    though draws of one fold are judged by the same clips.
    """
    drawn = any(draw for _, draw in other)  # all clips: without draws there is one, which stands for each
    matches = {key: key if drawn else (key[0], 0) for key in one}
    pairs = [value - other[matches[key]] for key, value in one.items() if matches[key] in other]
    if not pairs:
        return None
    return statistics.mean(pairs), statistics.stdev(pairs) / sqrt(len(pairs)) if pairs[1:] else nan


def mean_of_tasks(cells: list[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Mean of values, and the error that it has by theirs; None where a task is missing."""
    if None in cells:
        return None
    return statistics.mean(cell[0] for cell in cells), sqrt(sum(cell[1] ** 2 for cell in cells)) / len(cells)


def with_error(cell: tuple[float, float] | None) -> str:
    return "" if cell is None else f"{cell[0]:+.3f}" if isnan(cell[1]) else f"{cell[0]:+.3f} ± {cell[1]:.3f}"


def table(results: list[tuple[str, dict]], clips: str) -> str:
    """
    Balanced accuracy: mean and deviation over folds and draws; differences: mean and standard error.

    Args:
        results: Pairs of a checkpoint's name and a result.
    """
    found: dict[tuple, Scores] = defaultdict(dict)
    for name, result in results:
        if result["clips"] == clips:
            found[name, result["way"], result["task"]][result["fold"], result["draw"]] = result["balanced"]
    tasks = [task for task in TASKS if any(key[2] == task for key in found)]
    names = list(dict.fromkeys(name for name, _ in results))
    lines = [f"| {TITLES[clips]} | {' | '.join(tasks)} | mean |", "|---|" + "--:|" * (len(tasks) + 1)]
    for way in (*BY_COMMAND, *FROZEN):
        for name in names[:1] if way == "mel" else names:
            values = [list(found.get((name, way, task), {}).values()) for task in tasks]
            if any(values):
                mean = f"{statistics.mean(map(statistics.mean, values)):.3f}" if all(values) else ""
                lines.append(f"| {label(name, way)} | {' | '.join(map(mean_and_deviation, values))} | {mean} |")
    for one, other in DIFFERENCES:
        for name in names:
            cells = [difference(found[name, one, task], found[name, other, task]) for task in tasks]
            if any(cells):
                texts = [with_error(cell) for cell in (*cells, mean_of_tasks(cells))]
                lines.append(f"| {label(name, one)} less {other} | {' | '.join(texts)} |")
    return "\n".join(lines)


def label(name: str, way: str) -> str:
    return way if way == "mel" else f"`{Path(name).name}`, {way}"


def parser_of_tasks(description: str, tasks: tuple[str, ...] = TASKS) -> argparse.ArgumentParser:
    """What scripts that fine-tune on the tasks are told alike."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, help="where prepare.py wrote the tasks")
    parser.add_argument("--task", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of ssast finetune")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    return parser


def parse() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = parser_of_tasks(__doc__)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_PRETRAINED], help="pretrained checkpoints")
    parser.add_argument("--speech", type=Path, help="folder of fsdd.csv and emodb.csv; without it their tasks go")
    parser.add_argument("--clips", nargs="+", choices=list(STEPS), default=list(STEPS), help="10 per class, or all")
    parser.add_argument("--draws", type=int, default=3, help="of each fold, at least (default: 3)")
    parser.add_argument("--layer", type=int, help="of frozen features (default: half of the layers)")
    parser.add_argument(
        "--padded", type=int, default=0, help="frames to which silence, not averaged, follows clips in frozen features"
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--frozen-only", action="store_true", help="no fine-tuning: minutes instead of hours")
    ways.add_argument("--way", nargs="+", choices=(*BY_COMMAND, *FROZEN), default=(*FROZEN, *BY_COMMAND))
    return parser, parser.parse_args()


def tasks_of(arguments: argparse.Namespace) -> list[str]:
    """The tasks to measure: by default those of --speech only where it is given."""
    if arguments.speech is None and arguments.task is TASKS:  # not named by the user
        return [task for task in TASKS if task not in frozen.MANIFESTS]
    return list(dict.fromkeys(arguments.task))


def run(arguments: argparse.Namespace) -> None:
    """
    Measures what is not measured yet, and prints the tables.

    Raises:
        ValueError: An argument, a table or a checkpoint is not as expected.
    """
    ways = FROZEN if arguments.frozen_only else arguments.way
    if not arguments.dest.is_dir():
        raise ValueError(f"{arguments.dest} is no folder, expected the one where prepare.py wrote the tasks")
    if arguments.draws < 1:
        raise ValueError(f"--draws is {arguments.draws}, expected 1 or more")
    if MISSING.issuperset((way, clips) for way in ways for clips in arguments.clips):
        told = f"--way {' '.join(ways)} --clips {' '.join(arguments.clips)}"
        raise ValueError(f"{told} leaves nothing to measure: see --help for the clips that a way is measured with")
    log = Measured(arguments.dest / "measured.jsonl")
    tasks = {task: frozen.read(arguments.dest, task, arguments.speech) for task in tasks_of(arguments)}
    folder = arguments.dest / "features"
    models = dict.fromkeys(arguments.model)
    checkpoints = [Checkpoint(name, arguments.layer, arguments.padded, folder) for name in models]
    chosen: list[tuple[str, dict]] = []
    for way in ways:
        for task, rows in tasks.items():
            for checkpoint in checkpoints:
                results = measure(log, rows, task, checkpoint, way, arguments)
                chosen += [(checkpoint.name, result) for result in results]
    text = "\n\n".join(table(chosen, clips) for clips in arguments.clips)
    print(text)
    if arguments.readme:
        write_between(README, BEGIN, END, f"{log.origin([result for _, result in chosen])}\n\n{text}")


def main() -> int:
    parser, arguments = parse()
    try:
        run(arguments)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {first_sentence(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
