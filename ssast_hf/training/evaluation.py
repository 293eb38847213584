# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Judging classifiers: scores of labelled clips, metrics, and the files that report them. `ssast evaluate`."""

import csv
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..checkpoints.files import read_json
from ..data.labelled_checks import check_found, clips_heard
from ..data.labels import Labels, check_known, name_official_labels
from ..data.sources import HUB, Clip, read_labelled
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.batches import Window
from ..inference.classify import run_classifier
from ..inference.windows import ScoreJoiner
from ..modeling_ssast import SSASTForAudioClassification
from ..utils.files import target_of
from ..utils.logs import get_logger
from ..utils.text import drawn, print_error, printable, reason_of
from .baseline import baseline_scores
from .certainty import describe_interval, interval_of
from .clip_metrics import compute_metrics
from .run_directory import RECORD
from .thresholds import suggest_by_clips, write_suggestions

logger = get_logger(__name__)

SMALLEST = 1e-15  # probability
NAMED = {"accuracy": "accuracy", "f1_macro": "macro F1", "mAP": "mAP", "mAUC": "mAUC", "d_prime": "d-prime"}
MOST_NAMED, MOST_COUNTED = 60, 25  # labels of a picture with names, with numbers


def scores_of(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    clips: list[Clip],
    batch_size: int = 16,
    num_workers: int = 0,
    warned: set[str] | None = None,
) -> tuple[np.ndarray, list[int]]:
    """
    Scores of whole clips, as `ssast classify` joins them from windows. Clips are read in pieces: memory does not grow
    with their length.

    Args:
        model ([`SSASTForAudioClassification`]), extractor ([`SSASTFeatureExtractor`]): A fine-tuned checkpoint.
        clips (`list[Clip]`): What to score. Unreadable ones are skipped, with a warning.
        batch_size (`int`): Windows per forward pass.
        num_workers (`int`): Processes that decode and compute features beside this one.
        warned (`set[str]`, *optional*): Names of clips that need no further warning; grows.

    Returns:
        Probabilities (readable clips, labels), float64, and the indices of these clips.
    """
    model.eval()
    warned = set() if warned is None else warned
    joiner, scores, readable = ScoreJoiner(), [], []
    with tqdm(total=len(clips), unit="clip", disable=not sys.stderr.isatty(), leave=False) as bar:
        for event in run_classifier(model, extractor, clips, batch_size, num_workers=num_workers):
            if isinstance(event, Window):
                joiner.add(event.output, event.weight)
                continue
            bar.update()
            joined = joiner.take()
            if event.error is None and joined is not None:
                scores.append(joined)
                readable.append(event.index)
            elif (name := clips[event.index].name) not in warned:
                warned.add(name)
                logger.warning("Skipped %s: %s", name, reason_of(event.error or "", name))
    return np.stack(scores) if scores else np.zeros((0, model.config.num_labels)), readable


def logits_of(scores: np.ndarray, problem_type: str | None) -> np.ndarray:
    """Logits (clips, labels) whose sigmoid (multi-label) or softmax are these probabilities."""
    scores = scores.clip(SMALLEST, 1 - SMALLEST)
    return np.log(scores) - (np.log1p(-scores) if problem_type == "multi_label_classification" else 0)


def evaluate_clips(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    clips: list[Clip],
    labels: Labels,
    directory: str | os.PathLike,
    prefix: str = "test",
    batch_size: int = 16,
    save_predictions: bool = False,
    on_scores: Callable[[np.ndarray, np.ndarray], object] | None = None,
) -> tuple[dict[str, float], int]:
    """
    Judges a classifier by labelled clips. Writes into `directory` `{prefix}_results.json`, `{prefix}_per_class.csv`,
    for clips of one label each `{prefix}_confusion_matrix.csv` and `.png`, and on request `{prefix}_predictions.csv`.
    `on_scores` gets the scores and the targets, both (clips, labels).

    Returns:
        The metrics, named `{prefix}_{metric}`, and how many clips could not be read.
    """
    scores, readable = scores_of(model, extractor, clips, batch_size)
    if not readable:
        raise ValueError(f"None of the {len(clips)} sound files can be read: see the warnings above.")
    clips, failed = [clips[index] for index in readable], len(clips) - len(readable)
    targets = labels.targets(clips)
    if on_scores is not None:
        on_scores(scores, targets)
    metrics = compute_metrics(scores, targets, labels.several)
    per_class = metrics.pop("per_class")
    directory = Path(directory)
    target_of(directory).mkdir(parents=True, exist_ok=True)
    results = {f"{prefix}_{name}": value for name, value in metrics.items()}
    results |= {f"{prefix}_{name}": value for name, value in interval_of(scores, targets, labels.several).items()}
    results[f"{prefix}_samples"] = len(clips)
    if failed:
        results[f"{prefix}_unreadable_samples"] = failed
    write_results(directory, prefix, results)
    rows = [{"label": name, **row} for name, row in zip(labels.names, per_class)]
    write_csv(directory / f"{prefix}_per_class.csv", list(rows[0]), [list(row.values()) for row in rows])
    if not labels.several:
        matrix = confusion_matrix(scores, targets)
        cells = [[name, *row] for name, row in zip(labels.names, matrix.tolist())]
        write_csv(directory / f"{prefix}_confusion_matrix.csv", ["label", *labels.names], cells)
        draw_confusion_matrix(matrix, labels.names, directory / f"{prefix}_confusion_matrix.png")
    if save_predictions:
        cells = [[clip.name, ";".join(labels.of(clip)), _found(row, labels), *np.round(row.astype(float), 6)]
                for clip, row in zip(clips, scores)]  # fmt: skip
        write_csv(directory / f"{prefix}_predictions.csv", ["file", "label", "predicted", *labels.names], cells)
    return results, failed


def judge_baseline(
    clips: list[Clip], parts: dict[str, list[Clip]], labels: Labels, sampling_rate: int
) -> dict[str, dict[str, float]]:
    """
    What [`baseline_scores`] reaches on each part: `{part}_baseline_{metric}`, of accuracy (for clips of one label
    each), macro F1 and mAP. Arguments as there.
    """
    results = {}
    for name, (scores, targets) in baseline_scores(clips, parts, labels, sampling_rate).items():
        metrics = compute_metrics(scores, targets, labels.several)
        named = {metric: metrics[metric] for metric in ("accuracy", "f1_macro", "mAP") if metric in metrics}
        results[name] = {f"{name}_baseline_{metric}": value for metric, value in named.items()}
    return results


def describe_baseline(results: dict[str, float], several: bool) -> str:
    """The baseline's result on a part, by the metric that models are compared by, in one line."""
    metric = "mAP" if several else "accuracy"
    value = next((value for name, value in results.items() if name.endswith(f"_baseline_{metric}")), None)
    found = "not defined" if value is None else f"{value:.3f}"
    return f"{metric} {found} by the baseline, logistic regression on mel statistics of the same clips"


def write_results(directory: Path, prefix: str, results: dict[str, float]) -> None:
    (directory / f"{prefix}_results.json").write_text(json.dumps(results, indent=4) + "\n", encoding="utf-8")


def _found(scores: np.ndarray, labels: Labels) -> str:
    indices = np.flatnonzero(scores >= 0.5) if labels.several else [scores.argmax()]
    return ";".join(labels.names[index] for index in indices)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def describe(results: dict[str, float], prefix: str) -> str:
    """The results in one line."""
    found = {title: results.get(f"{prefix}_{name}") for name, title in NAMED.items()}
    parts = [f"{title} {value:.3f}" for title, value in found.items() if value is not None]
    auc = results.get(f"{prefix}_mAUC")
    if auc is not None and found["d-prime"] is None:
        parts.append(f"d-prime not finite (mAUC is {auc:.0f})")
    shown = ", ".join(parts)
    readable, failed = results[f"{prefix}_samples"], results.get(f"{prefix}_unreadable_samples", 0)
    if not failed:
        return f"{shown} on {readable} clips"
    return f"{shown} on {readable} of {readable + failed} clips, {failed} unreadable"


def confusion_matrix(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Clips by true label (rows) and predicted label (columns), (labels, labels) int."""
    from sklearn.metrics import confusion_matrix as matrix

    return matrix(targets.argmax(axis=1), scores.argmax(axis=1), labels=np.arange(scores.shape[1]))


def draw_confusion_matrix(matrix: np.ndarray, names: tuple[str, ...], path: Path) -> None:
    """A picture of a confusion matrix; without matplotlib, a notice."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print_error(f"{path.name} was not drawn: that needs matplotlib (pip install matplotlib)")
        return
    size = len(names)
    named = size <= MOST_NAMED
    side = min(16.0, 3.0 + 0.3 * size)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if named:
        shown = list(map(drawn, names))
        axes.set_xticks(range(size), shown, rotation=90)
        axes.set_yticks(range(size), shown)
    if size <= MOST_COUNTED:
        for row, column in zip(*np.nonzero(matrix)):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="share of the true label", shrink=0.8)
    figure.savefig(path, dpi=120)


def run(arguments, model: SSASTForAudioClassification, extractor: SSASTFeatureExtractor) -> int:
    """`ssast evaluate`: see `cli.py`. Returns how many clips could not be read."""
    names = tuple(model.config.label_names())
    file = arguments.label_file
    if file and not (file.lower().endswith(".csv") and arguments.data.lower().endswith(".json")):
        raise ValueError(f"--label-file is a .csv for the original's .json, found {file} and --data {arguments.data}")
    several = model.config.problem_type == "multi_label_classification"
    how = {"channel": arguments.channel, "accept_truncated": arguments.accept_truncated}
    found = [replace(clip, **how) for clip in read_labelled(arguments.data, several)]
    clips = name_official_labels(found, arguments.data, file)
    labels = Labels(names, several)
    check_found(clips, arguments.data)
    check_known(clips, labels, arguments.data, "the model has not")
    if heard := training_clips_among(arguments.model, clips, several):
        print_error(f"ssast: {heard}")
    output = Path(arguments.output_dir)
    training_clips = _training_clips(arguments.baseline, clips, labels) if arguments.baseline else []
    found_scores: list[tuple[np.ndarray, np.ndarray]] = []
    results, failed = evaluate_clips(
        model, extractor, clips, labels, output, arguments.name, arguments.batch_size, arguments.save_predictions,
        lambda *pair: found_scores.append(pair),
    )  # fmt: skip
    baseline = {}
    if training_clips:
        parts = {arguments.name: clips}
        baseline = judge_baseline(training_clips, parts, labels, extractor.sampling_rate)[arguments.name]
        write_results(output, arguments.name, {**results, **baseline})
    absent = sorted(set(labels.names) - {label for clip in clips for label in labels.of(clip)})
    if absent:
        print_error(f"ssast: no clip has {len(absent)} of the model's {len(names)} labels")
    print(describe(results, arguments.name))
    if sure := describe_interval(results, arguments.name):
        print(sure)
    if baseline:
        print(describe_baseline(baseline, labels.several))
    print(printable(f"written to {output}"))
    if arguments.suggest_thresholds:
        write_suggestions(arguments.suggest_thresholds, suggest_by_clips(*found_scores[0], names, arguments.precision))
    return failed


def training_clips_among(directory: str, clips: list[Clip], several: bool) -> str:
    """
    A sentence on clips that are in the `--data` of the `ssast finetune` that wrote the directory. Empty where none
    are, where the directory does not say, and where the data is no longer there or on the Hub.
    """
    logging.disable()  # what there is to say about the data was said in training
    try:
        record = read_json(Path(directory, RECORD))
        source = record["flags"]["data"][0]
        if record["command"] != "finetune" or source.startswith(HUB):
            return ""
        with chdir(record["directory"]):
            # Relative names mean something here alone.
            known = [replace(clip, path=os.path.realpath(clip.path)) for clip in read_labelled(source, several)]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    finally:
        logging.disable(logging.NOTSET)
    if not (both := clips_heard(known, clips)):
        return ""
    return (
        f"{both} of {len(clips)} clips are in {source}, on which {directory} was trained or chosen: expect worse "
        "results on other clips"
    )


def check_output(arguments) -> None:
    """Raises ValueError where results would replace others or be elsewhere, or the directory is a file."""
    output = Path(arguments.output_dir)
    if Path(arguments.name).name != arguments.name:
        raise ValueError(f"--name is {arguments.name!r}, expected the beginning of a file's name, without folders")
    if output.is_dir() and any(output.glob(f"{arguments.name}_*")) and not arguments.overwrite:
        raise ValueError(f"{output} holds results named {arguments.name}: give another --name or --overwrite")
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output-dir is {output}, which is a file, expected a directory")
    target_of(output)


def _training_clips(source: str, judged: list[Clip], labels: Labels) -> list[Clip]:
    """The clips of `--baseline`. Raises ValueError for unknown labels, and for clips that are to be judged by."""
    clips = read_labelled(source, labels.several)
    check_found(clips, source)
    check_known(clips, labels, source, "the model has not")
    if both := clips_heard(clips, judged):
        raise ValueError(
            f"--baseline is {source}, which has {both} of the {len(judged)} clips of --data, expected the clips "
            "that the model was trained on."
        )
    return clips
