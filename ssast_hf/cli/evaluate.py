# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast evaluate`."""

from argparse import ArgumentParser, Namespace

from ..utils.logs import quieten
from ..utils.require import require
from .flags import add_device, add_model, add_reading, positive
from .terminal import EXIT_PARTLY, say

SUMMARY = "measure a classifier on labelled sound"
DESCRIPTION = (
    "Measures a fine-tuned model on labelled clips, and writes its accuracy, macro F1, mAP, mAUC and d-prime, the "
    "same per label, and a confusion matrix. Files longer than the model's max_length are cut into windows whose "
    "scores are averaged."
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
        help="folder with a subfolder per label, manifest with labels, or hf:NAME, a dataset (see docs/data.md)",
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


def run(arguments: Namespace) -> int:
    evaluation = require("ssast_hf.training.evaluation", "train", "`ssast evaluate`")
    from ..inference.classify import load_classifier
    from ..inference.devices import load_on_device

    quieten()
    extractor, model = load_on_device(arguments.model, load_classifier, arguments.device)
    failed = evaluation.run(arguments, model, extractor)
    if failed:
        say(f"{failed} file(s) could not be read")
    return EXIT_PARTLY if failed else 0
