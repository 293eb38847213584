# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Command lines of the training scripts: dataclasses -> flags, on top of every flag of the Trainer."""

import dataclasses
import inspect
import json
import os
import sys
from argparse import SUPPRESS, HelpFormatter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast, get_type_hints

import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.utils import logging

from ..utils.files import target_of
from ..utils.logs import hide_load_reports
from ..utils.parser import BOTH_SPELLINGS, Parser
from ..utils.text import repeated
from .run_directory import flags_of


@dataclass
class SharedArguments(TrainingArguments):
    """The Trainer's arguments, with defaults that suit both scripts."""

    output_dir: str = field(
        default=cast(str, None), metadata={"help": "Directory for the model and checkpoints. Required."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Write into an output directory that is not empty."})
    remove_unused_columns: bool = field(default=False, metadata={"help": SUPPRESS})  # clips are no columns
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, steps or epoch."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    logging_steps: float = field(default=20, metadata={"help": "Steps from one log line to the next."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps of linear warm-up, or below 1 their share."})
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Pin memory for a GPU."})
    fsdp: bool = field(
        default=False,
        metadata={"help": "Spread weights, gradients and the optimiser over the GPUs of torchrun (FSDP)."},
    )

    def __getstate__(self) -> dict:
        """Without paths of this machine and tokens: the Trainer pickles its arguments into `training_args.bin`."""
        private = {name: None for name in ("run_name", "resume_from_checkpoint", "logging_dir", "hub_token")
                   if name in self.__dict__}  # fmt: skip
        return {**self.__dict__, "output_dir": Path(self.output_dir or "").name, **private}


DEEPEST = 8  # lists and mappings in each other, in a recipe
CHANNEL_HELP = "Channel to take, counted from 1 [the mean of all]."
TRUNCATED_HELP = "Take what is left of files that are cut off, with a warning, instead of skipping them."


def reading(data) -> dict:
    """The arguments of [`~ssast_hf.data.clips.Clip`] that `--channel` and `--accept_truncated` give."""
    if data.channel is not None and data.channel < 1:
        raise ValueError(f"--channel is {data.channel}, expected a whole number of at least 1.")
    return {"channel": data.channel, "accept_truncated": data.accept_truncated}


class FlagFormatter(HelpFormatter):
    """One line per flag: its name with underscores, the kind of its value, and its default."""

    def _format_action_invocation(self, action) -> str:
        flag = action.option_strings[-1] if action.option_strings[-1] == "--help" else action.option_strings[0]
        if action.nargs == 0:
            return flag
        kinds = {int: "N", float: "X"}
        short = action.choices is not None and len(list(action.choices)) <= 4
        value = "{" + ",".join(map(str, action.choices)) + "}" if short else kinds.get(action.type, "VALUE")
        value = {"?": "", "+": f" {action.metavar or value} ..."}.get(action.nargs, f" {action.metavar or value}")
        return flag + value

    def _get_help_string(self, action) -> str:
        text = action.help or ""
        if action.default not in (None, SUPPRESS, False, "") and "%(default)" not in text and "[" not in text:
            text += " [%(default)s]"
        return text


class GroupedParser(HfArgumentParser, Parser):
    """Shows the flags of each dataclass under its first line; those the Trainer defines itself come last."""

    def __init__(self, classes: tuple, **kwargs):
        super().__init__(classes, formatter_class=partial(FlagFormatter, max_help_position=34, width=118), **kwargs)

    def _add_dataclass_arguments(self, dtype) -> None:
        own = [base for base in dtype.__mro__ if base not in TrainingArguments.__mro__]
        ours = {name for base in own for name in inspect.get_annotations(base)}
        title = (dtype.__doc__ or dtype.__name__).strip().splitlines()[0].rstrip(".")
        group = rest = self.add_argument_group(title)
        if issubclass(dtype, TrainingArguments):
            rest = self.add_argument_group("The Trainer's other arguments")
        hints = get_type_hints(dtype)
        for entry in sorted(dataclasses.fields(dtype), key=lambda entry: entry.name not in ours):
            if entry.init:
                entry.type = hints[entry.name]
                self._parse_dataclass_field(group if entry.name in ours else rest, entry)


def parse(classes: tuple, argv: list[str], prog: str, description: str, epilog: str | None = None) -> tuple:
    """
    Parses a command line that may begin with a YAML file, whose entries are flags that later ones override.

    Args:
        classes (`tuple`): Dataclasses whose fields are flags; the Trainer's arguments come last.
        argv (`list[str]`): The command line.
        prog (`str`), description (`str`), epilog (`str`, *optional*): For `--help`.

    Returns:
        An instance of each class, and the command line's flags and their values.

    Raises:
        ValueError: The YAML file is missing or not a mapping, a flag of several values is given twice, `--report_to`
        names what is not installed, or `--output_dir` is missing or a file. What lies in that directory is judged by
        [`run_directory.RunDirectory`].
    """
    usage = f"ssast {prog} [RECIPE.yaml] --data SOURCE --output_dir DIR [--FLAG VALUE ...]"
    parser = GroupedParser(classes, prog=f"ssast {prog}", usage=usage, description=description,
                           epilog=" ".join(filter(None, (epilog, BOTH_SPELLINGS))))  # fmt: skip
    recipe = []
    if argv and argv[0].endswith((".yaml", ".yml")):
        recipe, argv = _flags_of(argv[0]), argv[1:]
    _check_lists(parser, argv)
    argv = [*recipe, *argv]
    try:
        parsed = parser.parse_args_into_dataclasses(argv)
    except ModuleNotFoundError as error:  # of flags such as --deepspeed
        raise ValueError(f"a flag needs a package that is not installed ({error})") from error
    logging.disable_progress_bar()  # of loading and saving weights; the Trainer's own stays
    hide_load_reports()
    training, flags = parsed[-1], flags_of(argv)
    if "disable_tqdm" not in flags and not sys.stderr.isatty():
        training.disable_tqdm = True  # a log holds lines, no bars
    if training.hub_token:  # else the Trainer would leave it in training_args.bin, and push that
        os.environ["HF_TOKEN"], training.hub_token = training.hub_token, None
    output = Path(training.output_dir)
    if training.output_dir in (None, "trainer_output"):
        raise ValueError("--output_dir is missing: give a directory for the model")
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output_dir is {output}, which is a file, expected a directory")
    target_of(output)
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if getattr(training, name) < 1:
            raise ValueError(f"--{name} is {getattr(training, name)}, expected 1 or more")
    if not training.num_train_epochs >= 0:
        raise ValueError(f"--num_train_epochs is {training.num_train_epochs}, expected 0 or more")
    told = {*get_available_reporting_integrations(), "azure_ml", "flyte"}  # it does not tell of the last two
    missing = [name for name in training.report_to if name in INTEGRATION_TO_CALLBACK and name not in told]
    if missing:
        raise ValueError(f"--report_to {missing[0]} needs a package that is not installed: pip install {missing[0]}")
    training.run_name = training.run_name or training.output_dir  # with trackio, a run that goes on then is one
    if str(training.resume_from_checkpoint).lower() in ("true", "false"):
        training.resume_from_checkpoint = str(training.resume_from_checkpoint).lower() == "true"
    return (*parsed, flags)


def _check_lists(parser: GroupedParser, argv: list[str]) -> None:
    """Raises ValueError where a flag of several values is given twice: the first of them would be lost."""
    for action in parser._actions:
        count = sum(argument.partition("=")[0] in action.option_strings for argument in argv)
        if action.nargs == "+" and count > 1:
            name = action.option_strings[0]
            raise ValueError(f"{name} is given {count} times, expected once with all its values: {name} A B")


def _check_plain(text: str, path: str) -> None:
    """Raises ValueError for YAML that a few lines let grow without bounds."""
    depth = 0
    for event in yaml.parse(text):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            what = "is nested deeply" if depth > DEEPEST else "has an alias (*)"
            raise ValueError(f"{path} {what}, expected flags and their values")


def _flags_of(path: str) -> list[str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"No such recipe: {path}")
    try:
        text = Path(path).read_text(encoding="utf-8")
        _check_plain(text, path)
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        names = [key.value for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
        entries = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} holds {type(entries).__name__}, expected flags and their values")
    twice = repeated(names)
    if twice is not None:
        raise ValueError(f"{path} gives {twice} several times, expected each flag once")
    flags = []
    for name, value in entries.items():
        if value is None:  # as if it were not there
            continue
        if value is False and str(name).endswith("_strategy"):
            value = "no"  # which YAML reads as False
        values = value if isinstance(value, list) else [value]
        flags += [f"--{name}", *(json.dumps(value) if isinstance(value, dict) else str(value) for value in values)]
    return flags
