# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Prints the mean and the standard deviation of metrics over runs, such as the folds of a cross-validation.

`--together` also evaluates the clips of all runs as one set, for folds that are small or lack labels. It needs the
scores of each clip: `ssast finetune ... --save_predictions True`.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

from ssast_hf.utils.parsing import parse_json

from .manifests import read_table


def judge_together(paths: list[Path]) -> tuple[int, dict[str, float]]:
    """
    Evaluates several files of predictions as one set.

    Returns:
        Number of clips, and their metrics by name.

    Raises:
        ValueError: A file is missing, or the files do not have the same labels.
    """
    import numpy as np

    from ssast_hf.data.labels import Labels, labels_of
    from ssast_hf.data.sources import Clip
    from ssast_hf.training.evaluation import compute_metrics

    names, scores, clips = None, [], []
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} does not exist: train with --save_predictions True")
        rows = read_table(path, ("file",))
        found = [name for name in rows[0] if name not in ("file", "label", "predicted")]
        if names not in (None, found):
            raise ValueError(f"{path} has other labels than {paths[0]}")
        names = found
        scores += [[float(row[name]) for name in names] for row in rows]
        clips += [Clip(row["file"], row["label"]) for row in rows]
    several = any(clip.label not in names for clip in clips)
    known = Labels(tuple(names), several)
    unknown = {label for clip in clips for label in labels_of(clip, several)} - set(names)
    if unknown:
        raise ValueError(f"{paths[0]} has no scores for the label {sorted(unknown)[0]}")
    metrics = compute_metrics(np.array(scores, dtype=np.float32), known.targets(clips), several)
    recalls = [row["recall"] for row in metrics.pop("per_class") if row["clips"]]
    if not several:
        metrics["balanced accuracy"] = statistics.mean(recalls)
    return len(clips), metrics


def metrics_of(paths: list[Path]) -> dict[str, list[float]]:
    """The values of each metric in results of `ssast finetune`. Raises ValueError for a file that is not such."""
    values: dict[str, list[float]] = {}
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} does not exist: was the run finished?")
        found = parse_json(path.read_bytes(), str(path))
        if not isinstance(found, dict):
            raise ValueError(f"{path} is no table of metrics, expected what ssast finetune wrote")
        for name, value in found.items():
            if isinstance(value, int | float) and not name.endswith("samples"):
                values.setdefault(name, []).append(value)
    return values


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="output directories of ssast finetune")
    parser.add_argument("--name", default="test", help="which results: test or eval (default: test)")
    parser.add_argument("--together", action="store_true", help="also evaluate the clips of all runs as one set")
    arguments = parser.parse_args(argv)
    # A run that is given twice, or by a link to it, counts once.
    runs = list({os.path.realpath(run): run for run in arguments.runs}.values())
    try:
        values = metrics_of([run / f"{arguments.name}_results.json" for run in runs])
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    print("| metric | mean | standard deviation | runs |\n|---|--:|--:|--:|")
    for name, found in values.items():
        deviation = statistics.stdev(found) if len(found) > 1 else 0.0
        print(f"| {name} | {statistics.mean(found):.4f} | {deviation:.4f} | {len(found)} |")
    if arguments.together:
        try:
            paths = [run / f"{arguments.name}_predictions.csv" for run in runs]
            clips, metrics = judge_together(paths)
        except ValueError as error:
            print(f"{parser.prog}: error: {error}", file=sys.stderr)
            return 2
        print(f"\n| metric | {clips} clips together |\n|---|--:|")
        for name, value in metrics.items():
            print(f"| {name} | {'undefined' if value is None else format(value, '.4f')} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
