# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Flags that several commands have, and the kinds of their values."""

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from dataclasses import replace

MODEL_HELP = "directory, short name (see `ssast checkpoints`) or Hub repository of a checkpoint"
FILES_HELP = (
    "sound file; folder to search for them; manifest (.csv, .tsv or .jsonl) with a column `file` and perhaps `offset` "
    "and `duration` in seconds; .tar or .parquet shard; Hub dataset, hf:ORG/NAME,split=test"
)


def add_model(parser: ArgumentParser, default: str | None = None) -> None:
    """`--model`, required without a default."""
    note = "" if default is None else f" (default: {default}, which the package carries)"
    parser.add_argument(
        "--model", required=default is None, default=default, metavar="MODEL", help=f"{MODEL_HELP}{note}"
    )


def add_device(parser: ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: cuda if there is one)")


def add_pooling(parser: ArgumentParser) -> None:
    """`--pooling` of the commands that make embeddings of clips."""
    parser.add_argument(
        "--pooling",
        choices=("mean", "cls", "rows", "segments"),
        help="what a clip's embedding is: mean of the patches; cls, the special tokens; rows, the mean over time of "
        "each row of patches, one after another; or segments, the same in each third of the clip (default: the "
        "model's own)",
    )


def add_batches(parser: ArgumentParser) -> None:
    """`--batch-size` and `--num-workers` of the commands that go through files."""
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="windows per batch (default: 16)")
    parser.add_argument(
        "--num-workers",
        type=natural,
        default=0,
        metavar="N",
        help="processes that decode and compute features (default: 0, this one does)",
    )


def add_reading(parser: ArgumentParser) -> None:
    """How sound files are read: `--channel` and `--accept-truncated`."""
    parser.add_argument(
        "--channel", type=positive, metavar="N", help="channel to take, counted from 1 (default: the mean of all)"
    )
    parser.add_argument(
        "--accept-truncated",
        action="store_true",
        help="take what is left of files that are cut off, with a warning, instead of skipping them",
    )


def add_events(group) -> None:
    """How windows become events: what [`event_rules`] takes."""
    group.add_argument(
        "--events", action="store_true", help="windows that reach the threshold, joined into events with start and end"
    )
    group.add_argument(
        "--thresholds",
        metavar="FILE",
        help="CSV with columns label and threshold, for single labels instead of --threshold; `ssast evaluate "
        "--suggest-thresholds` writes one",
    )
    group.add_argument(
        "--hysteresis",
        type=float,
        default=1.0,
        metavar="X",
        help="once an event reaches the threshold, it goes on in both directions down to X times the threshold "
        "(default: 1, none)",
    )
    group.add_argument(
        "--gap",
        type=float,
        default=0.0,
        metavar="S",
        help="join events of a label that are at most S seconds apart (default: 0)",
    )
    group.add_argument(
        "--min-length", type=float, default=0.0, metavar="S", help="leave out events below S seconds (default: 0)"
    )


def event_rules(arguments: Namespace):
    """[`EventRules`] as the flags of [`add_events`] and `--threshold` say; None without `--events`."""
    rules = {"--thresholds": arguments.thresholds, "--hysteresis": arguments.hysteresis != 1, "--gap": arguments.gap,
             "--min-length": arguments.min_length}  # fmt: skip
    if not arguments.events:
        given = [flag for flag, value in rules.items() if value]
        if given:
            raise ValueError(f"{', '.join(given)}: only with --events")
        return None
    from ..inference.events import EventRules, read_thresholds

    return EventRules(
        0.5 if arguments.threshold is None else arguments.threshold,
        read_thresholds(arguments.thresholds) if arguments.thresholds else {},
        arguments.hysteresis,
        arguments.gap,
        arguments.min_length,
    )


def reading(arguments: Namespace) -> dict:
    """The arguments of [`load_audio`] and [`Clip`] that the flags of [`add_reading`] give."""
    return {"channel": arguments.channel, "accept_truncated": arguments.accept_truncated}


def read_so(clips: Iterable, arguments: Namespace) -> list:
    """The clips, read as the flags of [`add_reading`] say."""
    return [replace(clip, **reading(arguments)) for clip in clips]


def add_windows(group) -> None:
    """How sounds are cut into windows."""
    group.add_argument(
        "--window", type=seconds, metavar="S", help="length of a window in seconds (default: the model's max_length)"
    )
    group.add_argument(
        "--hop",
        type=seconds,
        metavar="S",
        help="seconds from the start of a window to that of the next (default: S of --window)",
    )


def positive(text: str) -> int:
    """1, 2, ..."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def natural(text: str) -> int:
    """0, 1, 2, ..."""
    return 0 if text == "0" else positive(text)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def megabytes(text: str) -> float:
    """A finite number of megabytes above 0."""
    if (value := number(text)) <= 0:
        raise ArgumentTypeError(f"{text!r} is not a number of megabytes above 0")
    return value


def shard(text: str) -> tuple[int, int]:
    """`I/N`, with I from 1 to N."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, such as 1/4")
    return int(part), int(parts)


def port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f"{text!r} is not a port, 1 to 65535")
    return int(text)
