# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast convert`."""

import os
from argparse import ArgumentParser, Namespace
from collections import Counter

from ..utils.logs import quieten
from ..utils.text import printable
from .flags import MODEL_HELP, number, positive

SUMMARY = "convert a checkpoint: official .pth, transformers' AST layout, this package's"
DESCRIPTION = (
    "Converts an official SSAST checkpoint, pretrained or fine-tuned, to a directory that from_pretrained loads. Size "
    "and patch shape are read from the file; no code in it is run. Or converts any checkpoint that from_pretrained "
    "loads, to the layout that --to names."
)
EPILOG = "Example: ssast convert SSAST-Base-Patch-400.pth --name ssast-base-patch"
CONFIG_FIELDS = (
    "num_mel_bins", "frequency_stride", "time_stride", "max_length", "num_mask_patches", "pooling", "problem_type",
)  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help=f"official .pth file; or {MODEL_HELP}")
    parser.add_argument("directory", metavar="DIR", nargs="?", help="directory to write")
    parser.add_argument(
        "--name", metavar="NAME", help="instead of DIR: where from_pretrained(NAME) finds it, a short name's own place"
    )
    parser.add_argument(
        "--to",
        choices=("ssast", "ast", "official"),
        default="ssast",
        help="layout to write: this package's, transformers' ASTModel's, or an official best_audio_model.pth "
        "(default: ssast)",
    )
    parser.add_argument(
        "--label-names",
        metavar="FILE",
        help="names of a fine-tuned checkpoint's labels: one per line, a .json list, or an official class CSV",
    )
    for name, unit in (("frequency-stride", "mel bins"), ("time-stride", "frames"), ("max-length", "frames")):
        parser.add_argument(
            f"--{name}",
            type=positive,
            metavar="N",
            help=f"{unit}, which a fine-tuned checkpoint does not record (default: guessed by its number of patches, "
            "and printed)",
        )
    parser.add_argument(
        "--num-mel-bins", type=positive, metavar="N", help="mel bins of a fine-tuned checkpoint (default: 128)"
    )
    parser.add_argument("--num-mask-patches", type=positive, metavar="N", help="patches masked in pretraining")
    parser.add_argument("--pooling", choices=("mean", "cls"), help="how a fine-tuned checkpoint pools (default: mean)")
    parser.add_argument(
        "--problem-type",
        choices=("single_label_classification", "multi_label_classification", "regression"),
        help="what a fine-tuned checkpoint predicts",
    )
    for name in ("mean", "std"):
        parser.add_argument(
            f"--{name}", type=number, metavar="X", help=f"{name} of normalisation (default: AudioSet's)"
        )
    parser.add_argument("--keys", action="store_true", help="print what became of every tensor")
    parser.add_argument("--overwrite", action="store_true", help="write into a directory that is not empty")


def run(arguments: Namespace) -> int:
    from ..checkpoints.convert import convert_checkpoint, convert_named, read_label_names

    quieten()
    if arguments.source.endswith((".pth", ".pt")) and not os.path.exists(arguments.source):
        raise FileNotFoundError(f"No such file: {arguments.source}")
    if (arguments.directory is None) == (arguments.name is None):
        raise ValueError("give either DIR or --name NAME, as the place to write")
    overrides = {name: getattr(arguments, name) for name in CONFIG_FIELDS if getattr(arguments, name) is not None}
    if arguments.name is not None:
        given = [name for name in ("label_names", "mean", "std") if getattr(arguments, name) is not None]
        if overrides or given or arguments.to != "ssast":
            raise ValueError("--name takes a pretrained official file as it is, with no other option but --overwrite")
        conversion, directory = convert_named(arguments.source, arguments.name, arguments.overwrite)
        return _print_report(conversion, directory, arguments.keys)
    conversion = convert_checkpoint(
        arguments.source,
        arguments.directory,
        arguments.to,
        label_names=read_label_names(arguments.label_names) if arguments.label_names else None,
        mean=arguments.mean,
        std=arguments.std,
        overwrite=arguments.overwrite,
        **overrides,
    )
    return _print_report(conversion, arguments.directory, arguments.keys)


def _print_report(conversion, directory, keys: bool) -> int:
    if keys:
        width = max(map(len, [*conversion.keys, *conversion.dropped]))
        for name, use in [*conversion.keys.items(), *((k, f"- ({v})") for k, v in conversion.dropped.items())]:
            print(printable(f"{name:{width}}  {use}"))
    config = conversion.model.config
    for note in conversion.notes:
        print(printable(f"note: {note}"))
    print(
        f"{type(conversion.model).__name__}: {sum(p.numel() for p in conversion.model.parameters()) / 1e6:.1f} M "
        f"parameters, patches of {config.frequency_patch_size} bins x {config.time_patch_size} frames every "
        f"{config.frequency_stride} x {config.time_stride}, {config.max_length} frames\n"
        f"{len(conversion.keys)} tensors used, {len(conversion.dropped)} dropped"
    )
    for reason, count in Counter(conversion.dropped.values()).items():
        print(printable(f"  {count} dropped: {reason}"))
    print(printable(f"written to {directory}"))
    return 0
