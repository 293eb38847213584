# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast demo`."""

import os
from argparse import ArgumentParser, Namespace

from ..checkpoints import BUNDLED, DEFAULT_CLASSIFIER, DEFAULT_RECONSTRUCTION, table
from ..integrations import (
    LOCAL_FILES,
    LOCAL_MEGABYTES,
    LOCAL_SECONDS,
    MAX_FILES,
    MAX_MEGABYTES,
    MAX_SECONDS,
)
from ..utils.addresses import check_address, is_local
from ..utils.logs import quieten
from ..utils.require import require
from .flags import FILES_HELP, MODEL_HELP, add_device, megabytes, port, positive, seconds
from .terminal import say

SUMMARY = "show a page in the browser: labels, events and masked reconstruction of sounds"
DESCRIPTION = (
    "Serves a page on which sounds of any length can be dropped or recorded. It shows the spectrogram and the labels "
    "that a classifier gives over time; a click plays a moment. Events above a threshold are listed, and can be "
    "downloaded as CSV, Audacity label tracks or Raven tables. The page also shows how a pretrained model fills in "
    "masked patches, with sliders for the number masked and the cluster size. "
    "Needs gradio and matplotlib: pip install 'ssast_hf[demo]'."
)
EPILOG = "Example: ssast demo --model runs/pretrained --classifier runs/birds"
EXAMPLES = (
    "sounds/loop/loop_amen.flac", "sounds/guitar/guit_harmonics.flac", "sounds/ambience/ambi_choir.flac",
    "sounds/effect/misc_crow.flac",
)  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    add_device(parser)
    parser.add_argument(
        "--model", metavar="MODEL", help=f"pretrained checkpoint: {MODEL_HELP} (default: {DEFAULT_RECONSTRUCTION})"
    )
    parser.add_argument(
        "--classifier",
        metavar="MODEL",
        help=f"fine-tuned checkpoint, for labels (default: {DEFAULT_CLASSIFIER}; none where --model is given)",
    )
    parser.add_argument(
        "--examples",
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"sounds to choose from (default: some of the package's): {FILES_HELP}",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="address to serve on; 0.0.0.0 is every "
                        "one of this machine, for others to see (default: 127.0.0.1)")  # fmt: skip
    _add_limits(parser)
    parser.add_argument("--port", type=port, metavar="N", help="default: the first that is free from 7860")


def _add_limits(parser: ArgumentParser) -> None:
    """What the page takes: by default less where others reach it."""
    limits = (
        ("--max-megabytes", megabytes, "MB", "the largest file that can be uploaded", MAX_MEGABYTES, LOCAL_MEGABYTES),
        ("--max-seconds", seconds, "S", "the longest sound that is analysed", MAX_SECONDS, LOCAL_SECONDS),
        ("--max-files", positive, "N", "the most sounds of a visitor at a time", MAX_FILES, LOCAL_FILES),
    )
    for flag, kind, metavar, what, exposed, local in limits:
        defaults = f"(default: {local:g}; {exposed:g} where --host is not this machine's own)"
        parser.add_argument(flag, type=kind, metavar=metavar, help=f"{what} {defaults}")


def limits_of(arguments: Namespace) -> tuple[float, float, int]:
    """The most megabytes, seconds and files: as the flags say, or by default strict where others reach the page."""
    local = is_local(arguments.host)
    defaults = (LOCAL_MEGABYTES, LOCAL_SECONDS, LOCAL_FILES) if local else (MAX_MEGABYTES, MAX_SECONDS, MAX_FILES)
    given = arguments.max_megabytes, arguments.max_seconds, arguments.max_files
    most = [default if value is None else value for value, default in zip(given, defaults)]
    return most[0], most[1], int(most[2])


def run(arguments: Namespace) -> int:
    from ..data.sources import find_sounds

    page = require("ssast_hf.integrations.page", "demo", "`ssast demo`")
    examples = [clip.path for clip in find_sounds(arguments.examples or [BUNDLED / name for name in EXAMPLES])]
    for path in examples:
        if not os.path.isfile(path):
            raise ValueError(f"--examples has {path}, expected a sound file")
    classifier = arguments.classifier
    if classifier is None and arguments.model is None and DEFAULT_CLASSIFIER in table():
        classifier = DEFAULT_CLASSIFIER
    quieten()
    model = arguments.model or DEFAULT_RECONSTRUCTION
    max_megabytes, max_seconds, max_files = limits_of(arguments)
    shown = page.load_page(model, classifier, examples, arguments.device, max_seconds, max_files)
    check_address(arguments.host, arguments.port)
    if not is_local(arguments.host):
        say(exposure(arguments.host, max_megabytes, max_seconds, max_files))
    page.launch(shown, arguments.host, arguments.port, max_megabytes)
    return 0


def exposure(host: str, max_megabytes: float, max_seconds: float, max_files: int) -> str:
    """What serving on an address allows others to do."""
    return (
        f"--host {host}: whoever can reach this machine can use the page, without a password. Each visitor may upload "
        f"{max_files} file(s) at a time of up to {max_megabytes:g} MB and {max_seconds:g} s of sound, which lie in "
        "Gradio's temporary folder for up to a day, and use the processor; visitors see the sounds of --examples and "
        "no other file of this machine."
    )
