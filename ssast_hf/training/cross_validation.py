# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune --folds K`: a model per fold, judged by the clips that it did not hear; one table of all."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..data.clips import Clip
from ..data.labelled_checks import warn_of_shared
from ..data.labels import Labels
from ..utils.text import print_error
from .certainty import over_folds, wilson
from .evaluation import write_csv, write_results
from .run_directory import FOLDS, RECORD, recorded_flags

PART = "fold"  # what the results of folds are named
LEAST = 5  # clips of a fold: by fewer, its results mean little, and Student's t does not hold
SMALL = 20  # clips of a label: fewer, and results of held-out clips vary much
SHOWN = (
    ("accuracy", "accuracy"), ("f1_macro", "macro F1"), ("mAP", "mAP"),
    ("baseline_accuracy", "baseline"), ("baseline_mAP", "baseline"),
)  # fmt: skip

FoldDone = Callable[[Path, list[Clip], list[Clip]], bool]
TrainFold = Callable[[Path, list[Clip], list[Clip]], None]


def cross_validate(
    output: Path, clips: list[Clip], folds: list[list[int]], train: TrainFold, done: FoldDone
) -> dict[str, float]:
    """
    Trains and judges a model for each fold, unless an earlier run of the same command did.

    Args:
        output (`Path`): Directory of the whole run.
        clips (`list[Clip]`), folds (`list[list[int]]`): All clips, and the indices of those of each fold.
        train: Trains on clips, its second argument, judges by others, the third, and leaves all in a directory, the
            first.
        done: Whether such a directory holds that already; takes the same arguments.

    Returns:
        Mean and interval of each metric over the folds, which are written, too, and the table, which is printed.
    """
    smallest = min(map(len, folds))
    if smallest < LEAST:
        better = f"--folds {min(10, len(clips) // LEAST)} is better" if len(clips) >= 2 * LEAST else "add clips"
        print_error(
            f"--folds {len(folds)} of {len(clips)} clips: the smallest fold has {smallest} clip(s), and results of "
            f"fewer than {LEAST} clips say little, and so does their mean: {better}"
        )
    divided = []
    for fold in folds:
        held = set(fold)
        others = [clip for index, clip in enumerate(clips) if index not in held]
        divided.append((others, [clips[index] for index in fold]))
    for others, part in divided:
        if warn_of_shared(others, part, "--data"):
            break
    found = []
    for number, (others, part) in enumerate(divided, 1):
        folder = output / FOLDS / str(number)
        if not done(folder, others, part):
            print(f"Fold {number} of {len(folds)}: {len(part)} clips held out", flush=True)
            train(folder, others, part)
        found.append(json.loads((folder / f"{PART}_results.json").read_text(encoding="utf-8")))
    rows = [{name.removeprefix(f"{PART}_"): value for name, value in results.items()} for results in found]
    return _report(output, rows)


def _report(output: Path, rows: list[dict[str, float]]) -> dict[str, float]:
    shown = [(name, title) for name, title in SHOWN if all(row.get(name) is not None for row in rows)]
    small = min(row["samples"] for row in rows) < LEAST
    if shown[0][0] == "accuracy":
        # The mAP of one clip is 1 whatever the model says, its macro F1 0 or 1.
        left_out = {"baseline_mAP", *(("f1_macro", "mAP") if small else ())}
        shown = [(name, title) for name, title in shown if name not in left_out]
    cells = [[number, row["samples"], *(row[name] for name, _ in shown)] for number, row in enumerate(rows, 1)]
    write_csv(output / "folds.csv", ["fold", "samples", *(name for name, _ in shown)], cells)
    print("\n" + "".join(f"{text:>10}" for text in ("fold", "clips", *(title for _, title in shown))))
    for number, row in enumerate(rows, 1):
        print(f"{number:>10}{row['samples']:>10}" + "".join(f"{row[name]:>10.3f}" for name, _ in shown))
    results: dict[str, float] = {"folds": len(rows), "folds_samples": sum(row["samples"] for row in rows)}
    for name, _ in shown:
        mean, low, high = over_folds([row[name] for row in rows])
        results[f"folds_{name}"] = mean
        if not small and low < high:  # of few folds, Student's t exceeds what there can be
            results |= {f"folds_{name}_low": max(0.0, low), f"folds_{name}_high": min(1.0, high)}
    for label, end in (("mean", ""), *(() if small else (("from", "_low"), ("to", "_high")))):
        values = [results.get(f"folds_{name}{end}") for name, _ in shown]
        texts = [f"{'-':>10}" if value is None else f"{value:>10.3f}" for value in values]
        print(f"{label:>10}{'':>10}" + "".join(texts))
    if small:
        print(f"(no interval of the mean over folds: some have fewer than {LEAST} clips)")
    else:
        equal = any(f"folds_{name}_low" not in results for name, _ in shown)
        note = "; -: all folds are equal, which gives none" if equal else ""
        print(f"(from, to: 95 % interval of the mean over folds, Student's t{note})")
    if "folds_accuracy" in results:
        clips = int(results["folds_samples"])
        right = sum(round(row["accuracy"] * row["samples"]) for row in rows)
        low, high = wilson(right, clips)
        results |= {
            "folds_all_accuracy": right / clips,
            "folds_all_accuracy_low": low,
            "folds_all_accuracy_high": high,
        }
        line = f"accuracy {right / clips:.3f}, {low:.3f} to {high:.3f} (95 %, Wilson's interval)"
        print(f"All {clips} held-out clips: {line}")
    print(flush=True)
    write_results(output, "folds", results)
    return results


def suggest_folds(clips: list[Clip], labels: Labels) -> None:
    """Suggests folds where so few clips are held out of a label that their results vary much."""
    counts = Counter(label for clip in clips for label in labels.of(clip))
    few = [name for name in labels.names if counts[name] < SMALL]
    if few and len(clips) >= 2 * LEAST:
        print_error(
            f"{len(few)} label(s) have fewer than {SMALL} clips, such as {few[0]} ({counts[few[0]]}): "
            f"--folds {min(5, len(clips) // LEAST)} judges by all clips instead of those held out, and says how sure "
            "the result is"
        )


def is_finished(folder: Path, flags: dict[str, list[str]], data: str) -> bool:
    """Whether a directory holds a finished run of these flags and clips, with its results."""
    if not ((folder / RECORD).is_file() and (folder / f"{PART}_results.json").is_file()):
        return False
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return bool(record["finished"]) and (record["flags"], record["data"]) == (recorded_flags(flags), data)
