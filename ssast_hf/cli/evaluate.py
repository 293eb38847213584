# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast evaluate`."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.logs import quieten
from ..utils.require import require
from .flags import add_device, add_events, add_model, add_reading, add_windows, event_rules, positive, seconds
from .terminal import EXIT_PARTLY, say

if TYPE_CHECKING:
    from ..inference.events import EventRules

SUMMARY = "measure a classifier on labelled sound"
DESCRIPTION = (
    "Measures a fine-tuned model on labelled clips, and writes its accuracy, macro F1, mAP, mAUC and d-prime, the "
    "same per label, and a confusion matrix. Files longer than the model's max_length are cut into windows whose "
    "scores are averaged. With --events, measures it on annotated recordings by the events that it finds: event-based "
    "and segment-based F1, as sed_eval computes them."
)
EPILOG = "Example: ssast evaluate --data labelled/ --model runs/birds --output-dir runs/judged"


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    add_device(parser)
    add_reading(parser)
    parser.add_argument(
        "--data",
        required=True,
        metavar="SOURCE",
        help="folder with a subfolder per label, manifest with labels, hf:NAME, a dataset, or annotations:FOLDER (see "
        "docs/data.md); with --events a folder of recordings and tables, or a table, as `ssast annotations` takes",
    )
    parser.add_argument("--label-file", metavar="FILE", help="the original's class CSV, for the labels of its .json")
    parser.add_argument("--output-dir", required=True, metavar="DIR", help="directory for the results")
    parser.add_argument(
        "--name", default="test", metavar="NAME", help="prefix of the names of files and metrics (default: test)"
    )
    parser.add_argument("--save-predictions", action="store_true", help="write the scores of each file, too")
    parser.add_argument(
        "--baseline",
        metavar="SOURCE",
        help="labelled clips that the model was trained on: say what logistic regression on mel statistics, fitted to "
        "them, reaches on --data",
    )
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="clips per batch (default: 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace results of the same name")
    parser.add_argument(
        "--suggest-thresholds",
        metavar="CSV",
        help="write the threshold of the best F1 for each label, for --thresholds; by clips, or with --events by "
        "events, and of equals by segments. Take data that the model was neither trained on nor will be judged by",
    )
    parser.add_argument(
        "--precision",
        type=float,
        metavar="P",
        help="suggest instead the threshold that finds most with at least this precision, 0 to 1",
    )
    _add_event_arguments(parser.add_argument_group("events"))


def _add_event_arguments(group) -> None:
    add_events(group)
    group.add_argument(
        "--threshold", type=float, metavar="X", help="of all labels that --thresholds says nothing of (default: 0.5)"
    )
    add_windows(group)
    group.add_argument(
        "--collar",
        type=seconds,
        default=0.2,
        metavar="S",
        help="an event is found if its start is met to S seconds, and its end to S seconds or half the event's length "
        "(default: 0.2)",
    )
    group.add_argument("--onset-only", action="store_true", help="only the start of an event must be met")
    group.add_argument(
        "--segment", type=seconds, default=1.0, metavar="S", help="length of segments in seconds (default: 1)"
    )
    group.add_argument("--label-column", metavar="NAME", help="column of the tables with the labels")


def run(arguments: Namespace) -> int:
    rules = _check(arguments)
    evaluation = require("ssast_hf.training.evaluation", "train", "`ssast evaluate`")
    from ..inference.classify import load_classifier
    from ..inference.devices import load_on_device

    quieten()
    evaluation.check_output(arguments)
    extractor, model = load_on_device(arguments.model, load_classifier, arguments.device)
    if rules is None:
        failed = evaluation.run(arguments, model, extractor)
    else:
        from ..training import event_evaluation

        failed = event_evaluation.run(arguments, model, extractor, rules)
    if failed:
        say(f"{failed} file(s) could not be read")
    return EXIT_PARTLY if failed else 0


def _check(arguments: Namespace) -> "EventRules | None":
    """The rules of events, None without --events. Raises ValueError for flags that exclude each other."""
    rules = event_rules(arguments)
    if rules is None:
        given = {"--threshold": arguments.threshold is not None, "--window": arguments.window, "--hop": arguments.hop,
                 "--onset-only": arguments.onset_only, "--collar": arguments.collar != 0.2,
                 "--segment": arguments.segment != 1, "--label-column": arguments.label_column}  # fmt: skip
    else:
        given = {"--label-file": arguments.label_file, "--save-predictions": arguments.save_predictions,
                 "--baseline": arguments.baseline}  # fmt: skip
    wrong = [flag for flag, value in given.items() if value]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: {'only' if rules is None else 'not'} with --events")
    if arguments.precision is not None:
        if not arguments.suggest_thresholds:
            raise ValueError("--precision is for --suggest-thresholds")
        if not 0 < arguments.precision <= 1:
            raise ValueError(f"--precision is {arguments.precision:g}, expected above 0 and at most 1")
    path = arguments.suggest_thresholds
    if path and os.path.lexists(path) and not arguments.overwrite:
        raise ValueError(f"{path} exists: choose another name or give --overwrite")
    read = {
        os.path.realpath(source) for source in (arguments.data, arguments.baseline, arguments.label_file) if source
    }
    if path and os.path.realpath(path) in read:
        raise ValueError(f"--suggest-thresholds is {path}, which is read from: choose another name")
    if path and not Path(path).absolute().parent.is_dir():
        raise ValueError(f"there is no directory {Path(path).parent} to write into: make it first")
    return rules
