# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Command lines of the training scripts: dataclasses -> flags, on top of every flag of the Trainer."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.utils import logging

from ..cli import Parser


@dataclass
class SharedArguments(TrainingArguments):
    """The Trainer's arguments, with defaults that suit both scripts."""

    output_dir: str = field(default=None, metadata={"help": "Directory for the model and checkpoints. Required."})
    overwrite: bool = field(default=False, metadata={"help": "Write into an output directory that is not empty."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Left False: clips are not columns."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, steps or epoch."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    logging_steps: float = field(default=20, metadata={"help": "Steps from one log line to the next."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps of linear warm-up, or below 1 their share."})
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Pin memory for a GPU."})


def parse(classes: tuple, argv: list[str], prog: str, description: str) -> tuple:
    """
    Parses a command line that may begin with a YAML file, whose entries are flags that later ones override.

    Raises:
        ValueError: The YAML file is missing or not a mapping, or `--output_dir` is missing or not empty.
    """
    usage = f"ssast {prog} [RECIPE.yaml] --data SOURCE --output_dir DIR [--FLAG VALUE ...]"
    parser = HfArgumentParser(classes, prog=f"ssast {prog}", usage=usage, description=description)
    parser.error = partial(Parser.error, parser)
    if argv and argv[0].endswith((".yaml", ".yml")):
        argv = [*_flags_of(argv[0]), *argv[1:]]
    *parsed, unknown = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    logging.disable_progress_bar()  # of loading and saving weights; the Trainer's own stays
    training = parsed[-1]
    if training.hub_token:  # else the Trainer would leave it in training_args.bin, and push that
        os.environ["HF_TOKEN"], training.hub_token = training.hub_token, None
    output = Path(training.output_dir)
    if training.output_dir in (None, "trainer_output"):
        raise ValueError("--output_dir is missing: give a directory for the model")
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output_dir is {output}, which is a file, expected a directory")
    if output.is_dir() and any(output.iterdir()) and not training.overwrite and not training.resume_from_checkpoint:
        raise ValueError(
            f"--output_dir is {output}, which is not empty: choose another, or give --overwrite or "
            "--resume_from_checkpoint True"
        )
    if str(training.resume_from_checkpoint).lower() in ("true", "false"):
        training.resume_from_checkpoint = str(training.resume_from_checkpoint).lower() == "true"
    return tuple(parsed)


def _flags_of(path: str) -> list[str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"No such recipe: {path}")
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} holds {type(entries).__name__}, expected flags and their values")
    flags = []
    for name, value in entries.items():
        values = value if isinstance(value, list) else [value]
        flags += [f"--{name}", *map(str, values)]
    return flags
