# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The `ssast` command: finds the subcommand and runs it. A subcommand imports what is slow only when it runs."""

import sys

from .. import __version__
from ..utils.parser import BOTH_SPELLINGS, EXIT_WRONG, Parser, suggestion
from . import (
    annotations,
    checkpoints,
    classify,
    convert,
    demo,
    embed,
    evaluate,
    export,
    finetune,
    pack,
    pretrain,
    push,
    similar,
    stats,
)
from .terminal import guarded, prepare

# Modules with SUMMARY, DESCRIPTION, EPILOG, `add_arguments(parser)` and `run(arguments) -> exit status`; those that
# train have `main(argv)` instead, with a parser of their own.
COMMANDS = {
    "classify": classify,
    "embed": embed,
    "similar": similar,
    "convert": convert,
    "checkpoints": checkpoints,
    "annotations": annotations,
    "export": export,
    "push": push,
    "stats": stats,
    "pack": pack,
    "evaluate": evaluate,
    "demo": demo,
    "pretrain": pretrain,
    "finetune": finetune,
}


def build_parser() -> Parser:
    parser = Parser(
        prog="ssast",
        description="SSAST, the self-supervised audio spectrogram transformer: labels and embeddings of sound, "
        "fine-tuning and pretraining.",
        epilog=f"`ssast COMMAND --help` says more. {BOTH_SPELLINGS} Exit status: 0 done, 1 some files could not be "
        "read, 2 wrong input, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"ssast_hf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if hasattr(command, "main"):
            commands.add_parser(name, help=command.SUMMARY, add_help=False)
            continue
        subparser = commands.add_parser(
            name, help=command.SUMMARY, description=command.DESCRIPTION, epilog=command.EPILOG
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit status."""
    prepare()
    return guarded(_dispatch, sys.argv[1:] if argv is None else argv)


def _dispatch(argv: list[str]) -> int:
    if not argv:
        build_parser().print_help(sys.stderr)
        return EXIT_WRONG
    command = COMMANDS.get(argv[0])
    if command is not None and hasattr(command, "main"):
        return command.main(argv[1:])
    parser = build_parser()
    if command is None and argv[0] and not argv[0].startswith("-"):
        like = suggestion(argv[0], COMMANDS) or f", expected one of {', '.join(COMMANDS)}"
        parser.error(f"there is no command {argv[0]}{like}")
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)
