# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Judges each labelled task with logistic regression on summary statistics of 64 mel bands: what a model has to beat.

The statistics of a clip are the mean, standard deviation, minimum and maximum of each band over time, scaled to zero
mean and unit deviation on the training folds. Nothing is tuned.
"""

import argparse
import csv
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recipes.report import machine, write_between
from ssast_hf import load_audio
from ssast_hf.training.baseline import statistics

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- baselines: begin -->", "<!-- baselines: end -->"
SECONDS = 10.0  # of a clip that count


def read_task(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Statistics of the clips of a manifest, (clips, 256), and its other columns."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    inputs = np.stack([statistics(load_audio(path.parent / row["file"], duration=SECONDS)) for row in rows])
    return inputs, {name: np.array([row[name] for row in rows]) for name in ("label", "group", "fold")}


def judge(inputs: np.ndarray, labels: np.ndarray, folds: np.ndarray, tested: list[str]) -> dict[str, float]:
    """Trains on all folds but one and predicts that one, for each of `tested`; scores all predictions together.

    Classes of a tested fold that its training folds lack count as errors.
    """
    truth, predicted = [], []
    for fold in tested:
        test = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        model.fit(inputs[~test], labels[~test])
        truth.append(labels[test])
        predicted.append(model.predict(inputs[test]))
    truth, predicted = np.concatenate(truth), np.concatenate(predicted)
    return {
        "clips": len(truth),
        "classes": len(set(labels)),
        "majority": max(Counter(truth).values()) / len(truth),
        "accuracy": accuracy_score(truth, predicted),
        "balanced": balanced_accuracy_score(truth, predicted),
    }


def measure(dest: Path) -> list[tuple[str, dict[str, float]]]:
    results = []
    for path in (dest / "tasks" / "drums.csv", dest / "tasks" / "vocal.csv", dest / "tasks" / "language.csv"):
        if path.exists():
            inputs, columns = read_task(path)
            labels, groups, folds = columns["label"], columns["group"], columns["fold"]
            if path.stem == "language":
                results.append(("language, held-out sources", judge(inputs, labels, folds, ["test"])))
                few = np.isin(labels, ["es", "fr", "it"])
                chosen = (inputs[few], labels[few], folds[few], ["test"])
                results.append(("language, es fr it, held-out sources", judge(*chosen)))
                kinds = np.array([group.split("-")[0] for group in groups])
                results.append(("language, leave one source out", judge(inputs, labels, kinds, sorted(set(kinds)))))
            else:
                results.append((f"{path.stem}, leave one group out", judge(inputs, labels, folds, sorted(set(folds)))))
    if (dest / "kinds.csv").exists():
        inputs, columns = read_task(dest / "kinds.csv")
        results.append(("kinds, held-out packages", judge(inputs, columns["label"], columns["fold"], ["test"])))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dest", type=Path, help="folder that prepare.py filled")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md beside this script")
    args = parser.parse_args()
    lines = [
        f"{machine()}; {date.today().isoformat()}.",
        "",
        "| task | clips judged | classes | majority | accuracy | balanced |",
        "|---|---|---|---|---|---|",
    ]
    results = measure(args.dest)
    if not results:
        parser.error(f"dest: {args.dest} holds no task; make them with prepare.py")
    for name, scores in results:
        numbers = " | ".join(f"{scores[key]:.3f}" for key in ("majority", "accuracy", "balanced"))
        lines.append(f"| {name} | {scores['clips']:,} | {scores['classes']} | {numbers} |")
    print("\n".join(lines))
    if args.readme:
        write_between(README, BEGIN, END, "\n".join(lines))


if __name__ == "__main__":
    main()
