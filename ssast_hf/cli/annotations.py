# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast annotations`: recordings with tables of annotations become a manifest of labelled clips."""

import csv
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from ..utils.files import check_writable, replacing
from ..utils.text import aligned, printable
from .flags import natural, seconds
from .terminal import exit_status, report_skipped, say

SUMMARY = "make a manifest of labelled clips from annotated recordings"
DESCRIPTION = (
    "Reads tables of annotations (selection tables of Raven, label tracks of Audacity, lists of DCASE and sed_eval, "
    "CSV with columns for start, end and label), pairs them with recordings by name, and writes a manifest of clips "
    "for `ssast finetune` and `evaluate`: windows of a fixed length with every label in them (--window), or single "
    "events (--margin). Prints what it found of each label."
)
EPILOG = "Example: ssast annotations field/ --window 3 --hop 1.5 --group recorder --output clips.csv"
COLUMNS = ("label", "annotations", "seconds", "recordings", "groups", "clips")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="folder with recordings or tables, or both; table; sound file"
    )
    parser.add_argument("--output", required=True, metavar="CSV", help="manifest to write")
    parser.add_argument("--overwrite", action="store_true", help="replace --output where it exists")
    how = parser.add_argument_group("clips").add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--window", type=seconds, metavar="S", help="windows of S seconds, with every label that is in them"
    )
    how.add_argument(
        "--margin", type=float, metavar="S", help="single events, with S seconds before and after; 0 for none"
    )
    more = parser.add_argument_group("windows and negatives")
    more.add_argument(
        "--hop", type=seconds, metavar="S", help="seconds from the start of a window to the next (default: --window)"
    )
    more.add_argument(
        "--share",
        type=float,
        default=0.5,
        metavar="X",
        help="a window has a label if at least this share of the annotation, or of the window where that is shorter, "
        "is in it (default: 0.5). Windows that hold less than that of an annotation, and no other, are left out",
    )
    more.add_argument(
        "--negatives",
        type=natural,
        metavar="N",
        help="clips without label to draw at random (default: all windows, and none with --margin)",
    )
    more.add_argument("--seed", type=int, default=0, metavar="N", help="seed of that draw (default: 0)")
    more.add_argument(
        "--all-heard",
        action="store_true",
        help="recordings without a table hold nothing of interest: they are negatives, too (default: left out)",
    )
    tables = parser.add_argument_group("tables")
    tables.add_argument("--label-column", metavar="NAME", help="column with the labels, where several may be meant")
    tables.add_argument("--default-label", metavar="NAME", help="label of annotations without one")
    tables.add_argument(
        "--group",
        default="file",
        metavar="RULE",
        help="column `group` of the manifest, for --group_column of `ssast finetune`: file; folder; recorder, the "
        "name before date and time as in 24E144036_20260401_043000.wav; or a regular expression with one group "
        "(default: file)",
    )


def run(arguments: Namespace) -> int:
    from ..data.annotated_clips import Cutting, cut, summary
    from ..data.annotations import find_annotated

    output = Path(arguments.output)
    if output.suffix.lower() != ".csv":
        raise ValueError(f"--output is {output}, expected a name that ends in .csv")
    if os.path.lexists(output) and not arguments.overwrite:
        raise ValueError(f"{output} exists: choose another name or give --overwrite")
    check_writable(output)
    cutting = Cutting(
        arguments.window, arguments.hop, arguments.share, arguments.margin, arguments.negatives, arguments.seed,
        arguments.group,
    )  # fmt: skip
    found = find_annotated(
        arguments.sources, arguments.label_column, arguments.default_label, arguments.all_heard, [output]
    )
    for line in found.notes:
        say(line)
    for path, reason in found.unreadable.items():
        report_skipped(path, ValueError(reason))
    if found.without_table:
        some = ", ".join(found.without_table[:3]) + (", ..." if len(found.without_table) > 3 else "")
        say(f"{len(found.without_table)} recording(s) have no table and are left out: {some}")
    parts = cut(found.recordings, cutting)
    if not parts.parts:
        raise ValueError(f"there are no annotations in {len(found.recordings)} recording(s): nothing is written")
    _write(output, parts.parts, arguments.group == "file")
    if parts.lost:
        say(f"{len(parts.lost)} annotation(s) are in no window by --share, such as {parts.lost[0].place}")
    _print_table(summary(found.recordings, parts.parts))
    hours = sum(recording.seconds for recording in found.recordings) / 3600
    left = f", {parts.left_out} windows with less than the share left out" if parts.left_out else ""
    left += f", {parts.not_drawn} negatives not drawn" if parts.not_drawn else ""
    name = printable(str(output))
    print(f"{name}: {len(parts.parts)} clips of {len(found.recordings)} recording(s), {hours:.3g} h{left}")
    return exit_status(len(found.unreadable), len(found.recordings) + len(found.unreadable))


def _write(output: Path, parts: Sequence, group_is_file: bool) -> None:
    """The manifest, with paths relative to its folder."""
    folder = output.absolute().parent
    with replacing(output) as unfinished, open(unfinished, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "offset", "duration", "label", "group"])
        for part in parts:
            clip = part.clip()
            try:
                name = os.path.relpath(part.path, folder)
            except ValueError:  # another drive
                name = os.path.abspath(part.path)
            group = name if group_is_file else part.group
            writer.writerow([name, clip.offset, clip.duration, clip.label, group])


def _print_table(rows: Sequence[tuple]) -> None:
    cells = [COLUMNS] + [
        (
            label or "(none)",
            str(events) if label else "",
            f"{length:.1f}" if label else "",
            *map(str, counts),
        )
        for label, events, length, *counts in rows
    ]
    print(*aligned(cells), sep="\n")
