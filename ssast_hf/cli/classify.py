# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast classify`: labels and events of sounds as text, JSON lines, CSV, tracks for Audacity or Raven, pictures."""

import sys
from argparse import ArgumentParser, Namespace

from ..checkpoints import DEFAULT_CLASSIFIER
from .flags import (
    FILES_HELP,
    add_batches,
    add_device,
    add_events,
    add_model,
    add_reading,
    add_windows,
    positive,
    read_so,
    seconds,
)
from .labelling import Labelling, run_exported, run_model
from .terminal import exit_status, report_skipped

SUMMARY = "print the labels of sound files"
DESCRIPTION = (
    "Prints the most probable labels of each file. Files longer than the model's max_length are cut into windows "
    "whose scores are averaged. With --window or --hop, prints the labels of each window, too; with --events, instead "
    "of labels, what is heard from when to when. Files are read in pieces, so they may be of any length. The same "
    "command resumes a run with --output that was interrupted."
)
EPILOG = "Example: ssast classify recordings/ --model runs/birds --window 2 --format csv --output labels.csv"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"{FILES_HELP}; or -, a sound on standard input")
    add_model(parser, DEFAULT_CLASSIFIER)
    add_device(parser)
    add_batches(parser)
    add_reading(parser)
    _add_label_arguments(parser.add_argument_group("labels"))
    add_events(parser.add_argument_group("events"))
    _add_output_arguments(parser.add_argument_group("output"))
    _add_live_arguments(parser.add_argument_group("microphone and raw samples"))


def _add_label_arguments(group) -> None:
    group.add_argument(
        "--top-k",
        type=positive,
        metavar="K",
        help="labels to print, the best first (default: 3, in tracks 1; with --threshold, all that reach it)",
    )
    group.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="only labels that score at least X, a probability from 0 to 1 (default with --events: 0.5)",
    )
    group.add_argument(
        "--label", action="append", default=[], metavar="NAME", help="only this label; may be given several times"
    )
    group.add_argument(
        "--exclude-label", action="append", default=[], metavar="NAME", help="without this label; likewise"
    )
    add_windows(group)
    group.add_argument(
        "--aggregate",
        choices=("mean", "max"),
        default="mean",
        help="how windows' scores become those of the whole file (default: mean)",
    )


def _add_output_arguments(group) -> None:
    group.add_argument(
        "--format",
        choices=("text", "json", "csv", "audacity", "raven"),
        help="lines to read (text), a JSON object per line, CSV with a row per label, a label track for Audacity, or "
        "a selection table for Raven (default: text)",
    )
    group.add_argument("--json", action="store_true", help="the same as --format json")
    group.add_argument(
        "--spreadsheet",
        action="store_true",
        help="with --format csv: put a ' before names and labels that a spreadsheet would take for formulas",
    )
    group.add_argument(
        "--output",
        metavar="FILE",
        help="file to write instead of printing; for tracks and tables of several files, a directory",
    )
    group.add_argument(
        "--plot",
        metavar="PNG",
        help="picture to draw, spectrogram and labels over time; for several files, a directory",
    )
    group.add_argument(
        "--timing",
        action="store_true",
        help="say at the end how long a window takes, and the real-time factor: seconds of work per second of sound",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace --output and --plot where they exist, and start over"
    )


def _add_live_arguments(group) -> None:
    group.add_argument("--microphone", action="store_true", help="listen until Ctrl-C (needs sounddevice)")
    group.add_argument("--seconds", type=seconds, metavar="S", help="stop listening after S seconds")
    group.add_argument("--raw-rate", type=positive, metavar="HZ", help="- is samples without a header, at this rate")
    group.add_argument(
        "--raw-format",
        choices=("u8", "s16", "s32", "f32", "f64"),
        help="type of those samples: (un)signed integers or floats and their bits, little-endian (default: s16)",
    )
    group.add_argument("--raw-channels", type=positive, metavar="N", help="their channels, interleaved (default: 1)")


def run(arguments: Namespace) -> int:
    if arguments.json and arguments.format not in (None, "json"):
        raise ValueError(f"--json and --format {arguments.format} exclude each other")
    arguments.format = "json" if arguments.json else arguments.format or "text"
    if arguments.spreadsheet and arguments.format != "csv":
        raise ValueError("--spreadsheet is for --format csv")
    if arguments.events and arguments.top_k:
        raise ValueError("--top-k is for labels, not for --events: --threshold chooses these")
    exported = arguments.model.lower().endswith(".onnx")
    if exported:
        _check_exported(arguments)
    unreadable: list[str] = []

    def skip(error: OSError) -> None:
        unreadable.append(error.filename)
        report_skipped(error.filename, error)

    sounds = _sounds(arguments, skip)
    labelling = Labelling(arguments, sounds)
    try:
        failed = (run_exported if exported else run_model)(labelling)
    except KeyboardInterrupt:
        labelling.say_interrupted()
        raise
    labelling.say_done()
    return exit_status(failed + len(unreadable), len(sounds) + len(unreadable))


def _check_exported(arguments: Namespace) -> None:
    """Raises ValueError for what an exported model cannot do."""
    given = [flag for flag, value in (("--plot", arguments.plot), ("--num-workers", arguments.num_workers)) if value]
    if given:
        raise ValueError(
            f"{', '.join(given)}: not with an exported model (.onnx), which computes its spectrograms itself; name "
            "the checkpoint that it was made from"
        )


def _sounds(arguments: Namespace, onerror) -> list:
    """The clips to classify, or `["-"]` or `["microphone"]`. Raises ValueError where flags exclude each other."""
    from ..data.sources import find_sounds

    if (arguments.channel or arguments.accept_truncated) and (arguments.microphone or arguments.raw_rate):
        raise ValueError("--channel and --accept-truncated are for sound files")
    if arguments.microphone:
        if arguments.files:
            raise ValueError("give either files or --microphone")
        return ["microphone"]
    if not arguments.files:
        raise ValueError("nothing to classify: give files, folders, - for standard input, or --microphone")
    if (arguments.raw_format or arguments.raw_channels) and not arguments.raw_rate:
        raise ValueError("raw sound has no header: give --raw-rate, too")
    if arguments.seconds:
        raise ValueError("--seconds is for --microphone")
    if "-" not in arguments.files:
        if arguments.raw_rate:
            raise ValueError("--raw-rate is for standard input: give - as the file")
        return read_so(find_sounds(arguments.files, onerror), arguments)
    if len(arguments.files) > 1:
        raise ValueError("- (standard input) cannot be mixed with files")
    if sys.stdin is None:
        raise ValueError("- is standard input, which is closed")
    return ["-"]
