#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes a trained model as the package carries it, into `ssast_hf/bundled/NAME`: weights in half precision, which
load in single precision as ever, the two configurations, a model card, and links to the code that loads the directory
where the package is missing."""

import argparse
import csv
import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ssast_hf.checkpoints import BUNDLED
from ssast_hf.checkpoints.cards import CARD, FACTS, model_card
from ssast_hf.checkpoints.files import CONFIG, PREPROCESSOR, WEIGHTS
from ssast_hf.checkpoints.push import CODE, code_fields
from ssast_hf.configuration_ssast import code_file

BIAS = "classifier.dense.bias"


def expect(weights: dict[str, torch.Tensor], label2id: dict[str, int], manifest: Path) -> None:
    """Adds the logarithms of the labels' frequencies in a manifest to the classifier's bias."""
    with open(manifest, encoding="utf-8", newline="") as file:
        counts = Counter(row["label"] for row in csv.DictReader(file))
    for label, index in label2id.items():
        weights[BIAS][index] += math.log(counts[label] / counts.total())


def add_code(directory: Path) -> None:
    """Links the package's code into a directory of `BUNDLED`, and names it in the configurations."""
    for name in ("configuration_ssast.py", *CODE):
        file = code_file(name)
        (directory / file.name).symlink_to(Path("..", "..", file.relative_to(BUNDLED.parent)))
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    for name, fields in code_fields(config).items():
        path = directory / name
        content = {**json.loads(path.read_text(encoding="utf-8")), **fields}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def bundle(source: Path, directory: Path, licence: str, notes: str, prior: Path | None = None) -> None:
    """Writes `directory`, complete or not at all, from a saved model."""
    unfinished = BUNDLED.with_name("_unfinished")  # beside the checkpoints' folder, or it would be one of them
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    directory.parent.mkdir(exist_ok=True)
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    weights = load_file(source / WEIGHTS)
    if prior is not None:
        expect(weights, config["label2id"], prior)
    weights = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    save_file(weights, unfinished / WEIGHTS, metadata={"format": "pt"})
    (unfinished / CONFIG).write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(source / PREPROCESSOR, unfinished / PREPROCESSOR)
    add_code(unfinished)
    results = source.glob("*_results.json") if prior is None else []  # else they are of another classifier
    for path in [source / FACTS, *results]:
        if path.exists() and path.name != "all_results.json":
            shutil.copyfile(path, unfinished / path.name)
    card = model_card(unfinished, directory.name, licence, tags=["debian"])
    (unfinished / CARD).write_text(f"{card.rstrip()}\n\n{notes}".rstrip() + "\n", encoding="utf-8")
    shutil.rmtree(directory, ignore_errors=True)
    unfinished.rename(directory)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="output directory of ssast pretrain or ssast finetune")
    parser.add_argument("name", help="short name, which from_pretrained will take")
    parser.add_argument("--licence", required=True, help="identifier of the weights' licence, for the card")
    parser.add_argument("--prior", type=Path, metavar="MANIFEST", help="expect labels as frequent as in there, of a "
                        "classifier that was trained with --balanced_sampling")  # fmt: skip
    parser.add_argument("--notes", type=Path, nargs="+", default=[], help="Markdown files to end the card with")
    parser.add_argument("--overwrite", action="store_true", help="replace what is bundled under this name")
    arguments = parser.parse_args()
    directory = BUNDLED / arguments.name
    if directory.exists() and not arguments.overwrite:
        parser.error(f"{directory} exists: give --overwrite to replace it")
    notes = "\n".join(path.read_text(encoding="utf-8") for path in arguments.notes)
    bundle(arguments.source, directory, arguments.licence, notes, arguments.prior)
    print(f"{directory}: {sum(path.stat().st_size for path in directory.iterdir()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
