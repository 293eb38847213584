# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast demo`."""

import os
from argparse import ArgumentParser, Namespace

from ..checkpoints import BUNDLED, DEFAULT_CLASSIFIER, DEFAULT_RECONSTRUCTION, table
from ..integrations import MAX_MEGABYTES, MAX_SECONDS
from ..utils.addresses import check_address, is_local
from ..utils.logs import quieten
from ..utils.require import require
from .flags import FILES_HELP, MODEL_HELP, add_device, megabytes, port, seconds
from .terminal import say

SUMMARY = "show a page in the browser: labels and masked reconstruction of a sound"
DESCRIPTION = (
    "Serves a page on which a sound can be dropped or recorded. It shows the spectrogram, the labels that a "
    "classifier gives, and how a pretrained model fills in masked patches, with sliders for the number masked and "
    "the cluster size. Needs gradio and matplotlib: pip install 'ssast_hf[demo]'."
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
    parser.add_argument(
        "--max-megabytes",
        type=megabytes,
        default=MAX_MEGABYTES,
        metavar="MB",
        help=f"the largest file that can be uploaded (default: {MAX_MEGABYTES:g})",
    )
    parser.add_argument(
        "--max-seconds",
        type=seconds,
        default=MAX_SECONDS,
        metavar="S",
        help=f"the longest sound that is analysed (default: {MAX_SECONDS:g})",
    )
    parser.add_argument("--port", type=port, metavar="N", help="default: the first that is free from 7860")


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
    shown = page.load_page(model, classifier, examples, arguments.device, arguments.max_seconds)
    check_address(arguments.host, arguments.port)
    if not is_local(arguments.host):
        say(exposure(arguments.host, arguments.max_megabytes, arguments.max_seconds))
    page.launch(shown, arguments.host, arguments.port, arguments.max_megabytes)
    return 0


def exposure(host: str, max_megabytes: float, max_seconds: float) -> str:
    """What serving on an address allows others to do."""
    return (
        f"--host {host}: whoever can reach this machine can use the page, without a password. Visitors may upload "
        f"files of up to {max_megabytes:g} MB and {max_seconds:g} s of sound, which lie in Gradio's temporary folder "
        "for up to a day, and use the processor; they see the sounds of --examples and no other file of this machine."
    )
