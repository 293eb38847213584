# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The `ssast` command. Whatever is slow to import is imported by the subcommand that needs it."""

import argparse
import json
import os
import sys
from pathlib import Path

from . import __version__

MODEL_HELP = "directory, short name (see `ssast checkpoints`) or Hub repository of a checkpoint"
EXIT_PARTLY, EXIT_WRONG = 1, 2  # some files failed; nothing could be done


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str):
        self.exit(EXIT_WRONG, f"ssast: error: {message} (see `{self.prog} --help`)\n")


def build_parser() -> Parser:
    parser = Parser(
        prog="ssast",
        description="SSAST, the self-supervised audio spectrogram transformer: labels and embeddings of sound, "
        "fine-tuning and pretraining.",
        epilog="`ssast COMMAND --help` says more. Exit status: 0 done, 1 some files could not be read, 2 wrong input.",
    )
    parser.add_argument("--version", action="version", version=f"ssast_hf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    sound = Parser(add_help=False)
    sound.add_argument("files", nargs="+", metavar="FILE", help="sound file, or folder to search for sound files")
    sound.add_argument("--model", required=True, metavar="MODEL", help=MODEL_HELP)
    sound.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="clips per batch (default: 16)")
    sound.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: cuda if there is one)")

    classify = commands.add_parser(
        "classify",
        parents=[sound],
        help="print the labels of sound files",
        description="Prints the most probable labels of each file. Files longer than the model's max_length are cut "
        "into windows whose scores are averaged.",
    )
    classify.add_argument("--top-k", type=_positive, default=3, metavar="K", help="labels per file (default: 3)")
    classify.add_argument("--json", action="store_true", help="print one JSON object per file and line")
    classify.set_defaults(run=run_classify)

    embed = commands.add_parser(
        "embed",
        parents=[sound],
        help="write embeddings of sound files to .npz",
        description="Writes embeddings to a .npz file with the arrays `files` and `embeddings`; for frames and "
        "patches also `file_index` (which of `files` a row belongs to), `time` (its start in seconds) and, for "
        "patches, `mel_bin` (its lowest bin).",
    )
    embed.add_argument("--output", required=True, metavar="X.npz", help="file to write")
    embed.add_argument(
        "--level",
        choices=("clip", "frame", "patch"),
        default="clip",
        help="one vector per file, per time step or per patch (default: clip)",
    )
    embed.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    embed.set_defaults(run=run_embed)

    convert = commands.add_parser(
        "convert",
        help="convert a checkpoint: official .pth, transformers' AST layout, this package's",
        description="Converts an official SSAST checkpoint, pretrained or fine-tuned, to a directory that "
        "from_pretrained loads. Size and patch shape are read from the file; no code in it is run. Or converts any "
        "checkpoint that from_pretrained loads, to the layout that --to names.",
    )
    convert.add_argument("source", metavar="SOURCE", help=f"official .pth file; or {MODEL_HELP}")
    convert.add_argument("directory", metavar="DIR", nargs="?", help="directory to write")
    convert.add_argument(
        "--name", metavar="NAME", help="instead of DIR: where from_pretrained(NAME) finds it, a short name's own place"
    )
    convert.add_argument(
        "--to",
        choices=("ssast", "ast", "official"),
        default="ssast",
        help="layout to write: this package's, transformers' ASTModel's, or an official best_audio_model.pth "
        "(default: ssast)",
    )
    convert.add_argument(
        "--label-names",
        metavar="FILE",
        help="names of a fine-tuned checkpoint's labels: one per line, a .json list, or an official class CSV",
    )
    for name, unit in (("frequency-stride", "mel bins"), ("time-stride", "frames"), ("max-length", "frames")):
        convert.add_argument(
            f"--{name}", type=_positive, metavar="N", help=f"{unit}, for a fine-tuned checkpoint of an unusual grid"
        )
    convert.add_argument("--num-mask-patches", type=_positive, metavar="N", help="patches masked in pretraining")
    convert.add_argument(
        "--pooling", choices=("mean", "cls"), help="how a fine-tuned checkpoint pools (default: mean)"
    )
    convert.add_argument(
        "--problem-type",
        choices=("single_label_classification", "multi_label_classification", "regression"),
        help="what a fine-tuned checkpoint predicts",
    )
    for name in ("mean", "std"):
        convert.add_argument(
            f"--{name}", type=float, metavar="X", help=f"{name} of normalisation (default: AudioSet's)"
        )
    convert.add_argument("--keys", action="store_true", help="print how every tensor was used")
    convert.add_argument("--overwrite", action="store_true", help="write into a directory that is not empty")
    convert.set_defaults(run=run_convert)

    table = commands.add_parser(
        "checkpoints",
        help="list the checkpoints that have a short name",
        description="Lists the checkpoints that from_pretrained and --model take by a short name, where each comes "
        "from, and whether it is on this machine.",
        epilog="Names of your own: a JSON file, $SSAST_CHECKPOINTS or checkpoints.json in $SSAST_HOME (default: ssast "
        'beside the Hub\'s cache), such as {"birds": "me/birds", "bats": {"path": "/data/bats"}}; with repo, it may '
        "give revision and sha256. $SSAST_ORGANIZATION is where the official family's names are looked for instead.",
    )
    table.add_argument("--json", action="store_true", help="print one JSON object per checkpoint and line")
    table.set_defaults(run=run_checkpoints)

    export = commands.add_parser(
        "export",
        help="write a model as ONNX, filterbank included",
        description="Writes one ONNX file from waveform to logits, or to embeddings with --level, which `ssast "
        "classify --model X.onnx` and ssast_hf.onnx run without torch. Its outputs are compared with torch's first: "
        "where they differ by more than 1e-4, nothing is written.",
    )
    export.add_argument("--model", required=True, metavar="MODEL", help=MODEL_HELP)
    export.add_argument("--onnx", required=True, metavar="X.onnx", help="file to write")
    export.add_argument("--level", choices=("clip", "frame", "patch"), help="embeddings of these instead of logits")
    export.add_argument("--int8", action="store_true", help="8-bit weights; prints by how much that changes outputs")
    export.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    export.set_defaults(run=run_export)

    push = commands.add_parser(
        "push",
        help="push a saved checkpoint to the Hub",
        description="Pushes a saved model and its feature extractor to the Hub: safetensors, configurations, results, "
        "the code that loads them where this package is missing, and README.md or else a model card of what is known. "
        "Log in first (`hf auth login`).",
    )
    push.add_argument("directory", metavar="DIR", help="directory of a saved checkpoint")
    push.add_argument("repository", metavar="ORG/NAME", help="repository; made if it is not there")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--revision", metavar="BRANCH", help="branch to push to; made if it is not there")
    push.add_argument("--license", metavar="ID", help="the model's licence, such as cc-by-4.0, for the card")
    push.add_argument("--dataset", metavar="ID", action="append", help="Hub dataset, for the card; may be repeated")
    push.add_argument("--message", metavar="TEXT", help="commit message")
    push.set_defaults(run=run_push)

    for name, text in (("pretrain", "pretrain on unlabeled sound"), ("finetune", "train a classifier")):
        commands.add_parser(name, help=f"{text} (`ssast {name} --help`)", add_help=False)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] in (["pretrain"], ["finetune"]):
            return _train(argv[0], argv[1:])
        arguments = build_parser().parse_args(argv)
        return arguments.run(arguments)
    except BrokenPipeError:  # `ssast classify ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PARTLY
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        if os.environ.get("SSAST_DEBUG"):
            raise
        print(f"ssast: error: {_first_sentence(error)}", file=sys.stderr)
        return EXIT_WRONG


def run_classify(arguments: argparse.Namespace) -> int:
    if arguments.model.endswith(".onnx"):  # needs no torch
        from .onnx import OnnxModel, classify, expand_paths

        files = expand_paths(arguments.files)
        results = classify(OnnxModel(arguments.model, arguments.device or "cpu"), files, arguments.batch_size)
    else:
        from .inference import classify, expand_paths, load_classifier

        files = expand_paths(arguments.files)
        extractor, model = _load(arguments, load_classifier)
        results = classify(model, extractor, files, arguments.batch_size)
    failed = 0
    for path, scores in results if arguments.model.endswith(".onnx") else _progress(results, len(files)):
        if isinstance(scores, Exception):
            failed += 1
            _report(path, scores)
            if arguments.json:
                print(json.dumps({"file": path, "error": str(scores)}), flush=True)
            continue
        best = list(scores.items())[: arguments.top_k]
        if arguments.json:
            labels = [{"label": label, "score": round(score, 6)} for label, score in best]
            print(json.dumps({"file": path, "labels": labels}), flush=True)
        else:
            print(path, *(f"{score:8.4f}  {label}" for label, score in best), sep="\n", flush=True)
    return _finish(failed, len(files))


def run_embed(arguments: argparse.Namespace) -> int:
    import numpy as np

    from .inference import embed, expand_paths
    from .modeling_ssast import SSASTModel

    output = Path(arguments.output)
    if output.suffix != ".npz":
        raise ValueError(f"--output is {output}, expected a name that ends in .npz")
    if output.exists() and not arguments.overwrite:
        raise ValueError(f"{output} exists: choose another name or give --overwrite")
    if not output.parent.is_dir():
        raise ValueError(f"{output.parent} is not a directory")
    files = expand_paths(arguments.files)
    extractor, model = _load(arguments, SSASTModel.from_pretrained)
    done, rows, failed = [], [], 0
    embeddings = embed(model.eval(), extractor, files, arguments.level, arguments.batch_size)
    for path, arrays in _progress(embeddings, len(files)):
        if isinstance(arrays, Exception):
            failed += 1
            _report(path, arrays)
            continue
        if arguments.level == "clip":
            arrays = {"embeddings": arrays["embeddings"][None]}
        else:
            arrays["file_index"] = np.full(len(arrays["time"]), len(done))
        done.append(path)
        rows.append(arrays)
    if not rows:
        raise ValueError(f"none of {len(files)} file(s) could be read: {output} was not written")
    arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            np.savez(file, files=np.array(done), **arrays)
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{output}: {len(arrays['embeddings'])} embeddings of size {model.config.hidden_size}, {len(done)} file(s)")
    return _finish(failed, len(files))


def run_convert(arguments: argparse.Namespace) -> int:
    from .convert import convert_checkpoint, convert_named, read_label_names

    _quieten()
    if (arguments.directory is None) == (arguments.name is None):
        raise ValueError("give either DIR or --name NAME, as the place to write")
    fields = ("frequency_stride", "time_stride", "max_length", "num_mask_patches", "pooling", "problem_type")
    overrides = {name: getattr(arguments, name) for name in fields if getattr(arguments, name) is not None}
    if arguments.name is not None:
        given = [name for name in ("label_names", "mean", "std") if getattr(arguments, name) is not None]
        if overrides or given or arguments.to != "ssast":
            raise ValueError("--name takes a pretrained official file as it is, with no other option but --overwrite")
        conversion, directory = convert_named(arguments.source, arguments.name, arguments.overwrite)
        return _report_conversion(conversion, directory, arguments.keys)
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
    return _report_conversion(conversion, arguments.directory, arguments.keys)


def _report_conversion(conversion, directory, keys: bool) -> int:
    if keys:
        width = max(map(len, [*conversion.keys, *conversion.dropped]))
        for name, use in [*conversion.keys.items(), *((k, f"- ({v})") for k, v in conversion.dropped.items())]:
            print(f"{name:{width}}  {use}")
    config = conversion.model.config
    print(
        f"{type(conversion.model).__name__}: {sum(p.numel() for p in conversion.model.parameters()) / 1e6:.1f} M "
        f"parameters, patches of {config.frequency_patch_size} bins x {config.time_patch_size} frames every "
        f"{config.frequency_stride} x {config.time_stride}, {config.max_length} frames\n"
        f"{len(conversion.keys)} tensors used, {len(conversion.dropped)} dropped\nwritten to {directory}"
    )
    return 0


def run_checkpoints(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from .checkpoints import status, table

    rows = [(entry, status(entry)) for entry in table().values()]
    if arguments.json:
        for entry, here in rows:
            print(json.dumps({**asdict(entry), "here": here}))
        return 0
    cells = [("NAME", "SIZE", "PATCHES", "MASKED", "HERE", "LICENCE", "FROM", "NOTE")]
    for entry, here in rows:
        source = entry.path or entry.repo or (f"ssast convert {entry.official}" if entry.official else "")
        shown = (
            entry.name,
            entry.size,
            entry.patches,
            entry.num_mask_patches,
            here,
            entry.licence,
            source,
            entry.note,
        )
        cells.append(tuple("" if value is None else str(value) for value in shown))
    widths = [max(map(len, column)) for column in zip(*cells)]
    for row in cells:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip())
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    from .export import export_onnx
    from .feature_extraction_ssast import SSASTFeatureExtractor
    from .inference import load_classifier
    from .modeling_ssast import SSASTModel

    _quieten()
    load = SSASTModel.from_pretrained if arguments.level else load_classifier
    report = export_onnx(
        load(arguments.model),
        SSASTFeatureExtractor.from_pretrained(arguments.model),
        arguments.onnx,
        arguments.level,
        arguments.int8,
        arguments.overwrite,
    )
    print(f"{arguments.onnx}: {report.bytes / 1e6:.1f} MB; differs from torch by at most {report.error:.1g}")
    if arguments.int8 and arguments.level:
        print(f"8-bit weights: cosine similarity of embeddings at least {1 - report.change:.4f}")
    elif arguments.int8:
        print(
            f"8-bit weights: scores of {report.clips} test signals change by at most {report.change:.4f}, "
            f"{report.agreement:.0%} keep their best label"
        )
    return 0


def run_push(arguments: argparse.Namespace) -> int:
    from .hub import push_directory

    commit = push_directory(
        arguments.directory,
        arguments.repository,
        private=arguments.private or None,
        revision=arguments.revision,
        licence=arguments.license,
        datasets=arguments.dataset,
        commit_message=arguments.message,
    )
    print(commit.commit_url)
    return 0


def _train(command: str, argv: list[str]) -> int:
    try:
        if command == "pretrain":
            from .training.pretrain import main as train
        else:
            from .training.finetune import main as train
    except ImportError as error:
        raise ValueError(f"`ssast {command}` needs more packages ({error}): pip install 'ssast_hf[train]'") from error
    return train(argv)


def _load(arguments: argparse.Namespace, load_model):
    """The extractor and the model of `--model`, on `--device`."""
    import torch

    from .feature_extraction_ssast import SSASTFeatureExtractor

    _quieten()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device is {device}, which cannot be used here: {_first_sentence(error)}") from None
    path = arguments.model
    return SSASTFeatureExtractor.from_pretrained(path), load_model(path).to(device)


def _quieten() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _progress(iterable, total: int):
    """A progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(iterable, total=total, unit="file", disable=not sys.stderr.isatty() or total < 2, leave=False)


def _report(path: str, error: Exception) -> None:
    message = error.strerror if isinstance(error, OSError) and error.strerror else _first_sentence(error)
    print(f"ssast: skipped {path}: {message.removeprefix(path).lstrip(': ')}", file=sys.stderr)


def _finish(failed: int, total: int) -> int:
    if failed:
        print(f"ssast: {failed} of {total} file(s) could not be read", file=sys.stderr)
    return EXIT_PARTLY if failed else 0


def _first_sentence(error: BaseException) -> str:
    """The first paragraph of a message, on one line."""
    return " ".join(str(error).strip().split("\n\n")[0].split()) or type(error).__name__


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
