#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes a trained model as the package carries it, into `ssast_hf/bundled/NAME`: weights in half precision, which
load in single precision as ever, the two configurations, and a model card."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from ssast_hf.checkpoints import BUNDLED, CONFIG, PREPROCESSOR, WEIGHTS
from ssast_hf.hub import CARD, FACTS, model_card


def bundle(source: Path, directory: Path, licence: str, notes: str) -> None:
    """Writes `directory`, complete or not at all, from a saved model."""
    unfinished = BUNDLED.with_name("_unfinished")  # beside the checkpoints' folder, or it would be one of them
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    directory.parent.mkdir(exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in load_file(source / WEIGHTS).items()}
    save_file(weights, unfinished / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    config.pop("auto_map", None)  # the package is there: no code needs to travel along
    (unfinished / CONFIG).write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    features = json.loads((source / PREPROCESSOR).read_text(encoding="utf-8"))
    features.pop("auto_map", None)
    (unfinished / PREPROCESSOR).write_text(json.dumps(features, indent=2) + "\n", encoding="utf-8")
    for path in [source / FACTS, *source.glob("*_results.json")]:
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
    parser.add_argument("--notes", type=Path, help="Markdown to end the card with")
    parser.add_argument("--overwrite", action="store_true", help="replace what is bundled under this name")
    arguments = parser.parse_args()
    directory = BUNDLED / arguments.name
    if directory.exists() and not arguments.overwrite:
        parser.error(f"{directory} exists: give --overwrite to replace it")
    bundle(arguments.source, directory, arguments.licence,
           arguments.notes.read_text(encoding="utf-8") if arguments.notes else "")  # fmt: skip
    print(f"{directory}: {sum(path.stat().st_size for path in directory.iterdir()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
