# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The `ssast` command. Whatever is slow to import is imported by the subcommand that needs it."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from .. import __version__
from ..checkpoints import DEFAULT_CLASSIFIER, DEFAULT_PRETRAINED

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
        epilog="`ssast COMMAND --help` says more. Exit status: 0 done, 1 some files could not be read, 2 wrong input, "
        "130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"ssast_hf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    checkpoint, device = Parser(add_help=False), Parser(add_help=False)
    checkpoint.add_argument("--model", required=True, metavar="MODEL", help=MODEL_HELP)
    device.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: cuda if there is one)")

    sound = Parser(add_help=False, parents=[device])
    sound.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="windows per batch (default: 16)")
    sound.add_argument(
        "--num-workers",
        type=_natural,
        default=0,
        metavar="N",
        help="processes that decode and compute features (default: 0, this one does)",
    )
    files_help = (
        "sound file; folder to search for them; manifest (.csv, .tsv or .jsonl) with a column `file` and perhaps "
        "`offset` and `duration` in seconds; .tar or .parquet shard; Hub dataset, hf:ORG/NAME,split=test"
    )

    classify = commands.add_parser(
        "classify",
        parents=[sound],
        help="print the labels of sound files",
        description="Prints the most probable labels of each file. Files longer than the model's max_length are cut "
        "into windows whose scores are averaged. With --window or --hop, prints the labels of each window, too. Files "
        "are read bit by bit, so they may be of any length.",
        epilog="Example: ssast classify recordings/ --model runs/birds --window 2 --format csv --output labels.csv",
    )
    classify.add_argument("files", nargs="*", metavar="FILE", help=f"{files_help}; or -, a sound on standard input")
    classify.add_argument(
        "--model",
        default=DEFAULT_CLASSIFIER,
        metavar="MODEL",
        help=f"{MODEL_HELP} (default: {DEFAULT_CLASSIFIER}, which the package carries)",
    )
    classify.add_argument(
        "--top-k", type=_positive, metavar="K", help="labels to print, the best first (default: 3; audacity: 1)"
    )
    classify.add_argument("--threshold", type=float, metavar="X", help="leave out labels that score less than X")
    classify.add_argument(
        "--window", type=_seconds, metavar="S", help="length of a window in seconds (default: the model's max_length)"
    )
    classify.add_argument(
        "--hop",
        type=_seconds,
        metavar="S",
        help="seconds from the start of a window to that of the next (default: S of --window)",
    )
    classify.add_argument(
        "--aggregate",
        choices=("mean", "max"),
        default="mean",
        help="how windows' scores become those of the whole file (default: mean)",
    )
    classify.add_argument(
        "--format",
        choices=("text", "json", "csv", "audacity"),
        help="lines to read (text), a JSON object per line, CSV with a row per label, or a label track for Audacity "
        "(default: text)",
    )
    classify.add_argument("--json", action="store_true", help="the same as --format json")
    classify.add_argument(
        "--output",
        metavar="FILE",
        help="file to write instead of printing; for label tracks of several files, a directory",
    )
    classify.add_argument(
        "--plot",
        metavar="PNG",
        help="picture to draw, spectrogram and labels over time; for several files, a directory",
    )
    classify.add_argument("--overwrite", action="store_true", help="replace --output and --plot where they exist")
    classify.add_argument("--microphone", action="store_true", help="listen until Ctrl-C (needs sounddevice)")
    classify.add_argument("--seconds", type=_seconds, metavar="S", help="stop listening after S seconds")
    classify.add_argument(
        "--raw-rate", type=_positive, metavar="HZ", help="- is samples without a header, at this rate"
    )
    classify.add_argument(
        "--raw-format",
        choices=("u8", "s16", "s32", "f32", "f64"),
        help="type of those samples: (un)signed integers or floats and their bits, little-endian (default: s16)",
    )
    classify.add_argument(
        "--raw-channels", type=_positive, metavar="N", help="their channels, interleaved (default: 1)"
    )
    classify.set_defaults(run=run_classify)

    embed = commands.add_parser(
        "embed",
        parents=[checkpoint, sound],
        help="write embeddings of sound files and whole collections",
        description="Writes embeddings. To .npz: arrays `files` and `embeddings`; for frames and patches also "
        "`file_index` (which of `files` a row belongs to), `time` (its start in seconds) and, for patches, `mel_bin` "
        "(its lowest bin). To .parquet: a row for each, with columns `file` and `embedding`. To a directory: memory "
        "maps `embeddings.npy` and so on, and `index.jsonl`, which says which rows are a file's. A run that was cut "
        "off goes on where it was when the same command is given again.",
        epilog="Example: ssast embed recordings/ --model ssast-base-patch --layers 6 9 12 --output embeddings.parquet",
    )
    embed.add_argument("files", nargs="+", metavar="FILE", help=files_help)
    embed.add_argument("--output", required=True, metavar="X", help="file .npz or .parquet, or directory, to write")
    embed.add_argument(
        "--format",
        choices=("npz", "npy", "parquet"),
        help="format of the output; npy is a directory of memory maps (default: by its ending)",
    )
    embed.add_argument(
        "--level",
        choices=("clip", "frame", "patch"),
        default="clip",
        help="one vector per file, per time step or per patch (default: clip)",
    )
    embed.add_argument(
        "--layers",
        type=_natural,
        nargs="+",
        metavar="N",
        help="mean of the outputs of these layers, from 1; 0 is the input of the first (default: the last's, "
        "normalised)",
    )
    embed.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="only every N-th file, from the I-th of 1 to N; of processes that `accelerate launch` or `torchrun` "
        "started, each takes its own, on its own GPU, and writes X-I-of-N",
    )
    embed.add_argument("--overwrite", action="store_true", help="replace the output if it exists, and begin anew")
    embed.set_defaults(run=run_embed)

    convert = commands.add_parser(
        "convert",
        help="convert a checkpoint: official .pth, transformers' AST layout, this package's",
        description="Converts an official SSAST checkpoint, pretrained or fine-tuned, to a directory that "
        "from_pretrained loads. Size and patch shape are read from the file; no code in it is run. Or converts any "
        "checkpoint that from_pretrained loads, to the layout that --to names.",
        epilog="Example: ssast convert SSAST-Base-Patch-400.pth --name ssast-base-patch",
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
    convert.add_argument("--keys", action="store_true", help="print what became of every tensor")
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
        parents=[checkpoint],
        help="write a model as ONNX, filterbank included",
        description="Writes one ONNX file from waveform to logits, or to embeddings with --level, which `ssast "
        "classify --model X.onnx` and ssast_hf.onnx run without torch. Its outputs are compared with torch's first: "
        "where they differ by more than 1e-4, nothing is written.",
        epilog="Example: ssast export --model runs/birds --onnx birds.onnx",
    )
    export.add_argument("--onnx", required=True, metavar="X.onnx", help="file to write")
    export.add_argument(
        "--level",
        choices=("clip", "frame", "patch"),
        help="embeddings per clip, time step or patch, instead of logits",
    )
    export.add_argument(
        "--int8", action="store_true", help="store weights in 8 bits, and print by how much that changes the outputs"
    )
    export.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    export.set_defaults(run=run_export)

    push = commands.add_parser(
        "push",
        help="push a saved checkpoint to the Hub",
        description="Pushes a saved model and its feature extractor to the Hub: safetensors, configurations, results, "
        "the code that loads them where this package is missing, and README.md or else a model card of what is known. "
        "Log in first (`hf auth login`).",
        epilog="Example: ssast push runs/birds me/birds --private --license cc-by-4.0",
    )
    push.add_argument("directory", metavar="DIR", help="directory of a saved checkpoint")
    push.add_argument("repository", metavar="ORG/NAME", help="repository; made if it is not there")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--revision", metavar="BRANCH", help="branch to push to; made if it is not there")
    push.add_argument("--license", metavar="ID", help="the model's licence, such as cc-by-4.0, for the card")
    push.add_argument("--dataset", metavar="ID", action="append", help="Hub dataset, for the card; may be repeated")
    push.add_argument("--message", metavar="TEXT", help="commit message")
    push.set_defaults(run=run_push)

    stats = commands.add_parser(
        "stats",
        help="measure sound for normalisation: mean and std of its log-mel features",
        description="Prints the mean and the standard deviation of the log-mel features of sound, over all frames and "
        "bins without padding: what --mean and --std of `ssast pretrain` and `finetune` take.",
        epilog="A SOURCE is what `ssast pretrain --data` takes; see `ssast pretrain --help`.",
    )
    stats.add_argument("sources", nargs="+", metavar="SOURCE", help="folder, manifest, shards or dataset")
    stats.add_argument(
        "--clips", type=_positive, metavar="N", help="measure N clips of each source, drawn at random (default: all)"
    )
    stats.add_argument("--seed", type=int, default=0, metavar="N", help="seed of that draw (default: 0)")
    stats.add_argument("--workers", type=int, default=0, metavar="N", help="further processes that read (default: 0)")
    stats.add_argument("--json", action="store_true", help="print one JSON object")
    stats.set_defaults(run=run_stats)

    judge = commands.add_parser(
        "evaluate",
        parents=[checkpoint, device],
        help="measure a classifier on labelled sound",
        description="Measures a fine-tuned model on labelled clips, and writes its accuracy, macro F1, mAP, mAUC and "
        "d-prime, the same per label, and a confusion matrix. Files longer than the model's max_length are cut into "
        "windows whose scores are averaged.",
        epilog="Example: ssast evaluate --data labelled/ --model runs/birds --output-dir runs/judged",
    )
    judge.add_argument(
        "--data",
        required=True,
        metavar="SOURCE",
        help="folder with a subfolder per label, manifest with labels, or hf:NAME, a dataset (see docs/data.md)",
    )
    judge.add_argument("--label-file", metavar="FILE", help="the original's class CSV, for the labels of its .json")
    judge.add_argument("--output-dir", required=True, metavar="DIR", help="directory for the results")
    judge.add_argument(
        "--name", default="test", metavar="NAME", help="prefix of the names of files and metrics (default: test)"
    )
    judge.add_argument("--save-predictions", action="store_true", help="write the scores of each file, too")
    judge.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="clips per batch (default: 16)")
    judge.add_argument("--overwrite", action="store_true", help="replace results of the same name")
    judge.set_defaults(run=run_evaluate)

    page = commands.add_parser(
        "demo",
        parents=[device],
        help="show a page in the browser: labels and masked reconstruction of a sound",
        description="Serves a page on which a sound can be dropped or recorded. It shows the spectrogram, the labels "
        "that a classifier gives, and how a pretrained model fills in masked patches, with sliders for the number "
        "masked and the cluster size. Needs gradio and matplotlib: pip install 'ssast_hf[demo]'.",
    )
    page.add_argument(
        "--model", metavar="MODEL", help=f"pretrained checkpoint: {MODEL_HELP} (default: {DEFAULT_PRETRAINED})"
    )
    page.add_argument(
        "--classifier",
        metavar="MODEL",
        help=f"fine-tuned checkpoint, for labels (default: {DEFAULT_CLASSIFIER}; none where --model is given)",
    )
    page.add_argument(
        "--examples",
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"sounds to choose from (default: some of the package's): {files_help}",
    )
    page.add_argument("--host", default="127.0.0.1", metavar="NAME", help="address to serve on; 0.0.0.0 is every "
                      "one of this machine, for others to see (default: 127.0.0.1)")  # fmt: skip
    page.add_argument("--port", type=_port, metavar="N", help="default: the first that is free from 7860")
    page.set_defaults(run=run_demo)

    for name, text in (
        ("pretrain", "pretrain on unlabeled sound"),
        ("finetune", "train a classifier on labelled sound"),
    ):
        commands.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if not argv:
            build_parser().print_help(sys.stderr)
            return EXIT_WRONG
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
        try:
            sys.stdout.flush()
        except OSError:  # a full disk under a redirected standard output: Python would try again at its exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"ssast: error: {_first_sentence(error)}", file=sys.stderr)
        return EXIT_WRONG


def run_classify(arguments: argparse.Namespace) -> int:
    from .classify import run

    return run(arguments)


def run_embed(arguments: argparse.Namespace) -> int:
    from ..inference.collections import check_output, embed_collection
    from ..modeling_ssast import SSASTModel

    together = _share(arguments)
    check_output(arguments.output, arguments.format, arguments.overwrite)
    folders: list[str] = []  # that cannot be read
    extractor, model = _load(arguments, SSASTModel.from_pretrained)
    with _progress_bar(None) as bar:
        last = time.monotonic()

        def report(path: str, error: Exception) -> None:
            folders.extend([path] if os.path.isdir(path) else [])
            _report(path, error)

        def progress(state) -> None:
            nonlocal last
            if bar.disable:  # no terminal: a line a minute, for a log
                if time.monotonic() - last >= 60:
                    last = time.monotonic()
                    left = f"about {state.time_left() / 60:.0f} min left"
                    print(f"ssast: {state.done} of {state.total} files, {state.speed()}, {left}", file=sys.stderr)
                return
            if bar.total is None:
                bar.reset(state.total)
                bar.initial = state.resumed
            bar.set_postfix_str(state.speed(), refresh=False)
            bar.update(state.done - bar.n)

        try:
            state = embed_collection(
                model.eval(),
                extractor,
                arguments.files,
                arguments.output,
                arguments.level,
                arguments.layers,
                arguments.format,
                arguments.batch_size,
                arguments.num_workers,
                arguments.shard,
                arguments.overwrite,
                report,
                progress,
            )
        except KeyboardInterrupt:
            print("ssast: interrupted: the same command goes on from here", file=sys.stderr)
            raise
    resumed = f", {state.resumed} of them in earlier runs" if state.resumed else ""
    print(
        f"{arguments.output}: {state.rows} embeddings of size {model.config.hidden_size}, "
        f"{state.done - state.failed} file(s){resumed}; {state.speed()}"
    )
    status = _finish(state.failed + len(folders), state.total + len(folders))
    return 0 if together else status  # another status than 0, and the launcher would stop the other processes


def run_convert(arguments: argparse.Namespace) -> int:
    from ..checkpoints.convert import convert_checkpoint, convert_named, read_label_names

    _quieten()
    if arguments.source.endswith((".pth", ".pt")) and not os.path.exists(arguments.source):
        raise FileNotFoundError(f"No such file: {arguments.source}")
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

    from ..checkpoints.locate import status, table

    rows = [(entry, status(entry)) for entry in table().values()]
    if arguments.json:
        for entry, here in rows:
            print(json.dumps({**asdict(entry), "here": here}))
        return 0
    cells = [("NAME", "SIZE", "PATCHES", "MASKED", "HERE", "LICENCE", "FROM", "NOTE")]
    for entry, here in rows:
        source = entry.path or entry.repo or (f"official {entry.official}" if entry.official else "")
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
    from ..export.to_onnx import export_onnx
    from ..feature_extraction_ssast import SSASTFeatureExtractor
    from ..inference.core import load_classifier
    from ..modeling_ssast import SSASTModel

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
    from ..checkpoints.push import push_directory

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


def run_stats(arguments: argparse.Namespace) -> int:
    try:
        from ..data.sources import read_sources
        from ..training.stats import statistics
    except ImportError as error:
        raise ValueError(f"`ssast stats` needs more packages ({error}): pip install 'ssast_hf[train]'") from error

    _quieten()
    found = statistics(read_sources(arguments.sources), arguments.clips, arguments.seed, arguments.workers)
    for path, reason in found.skipped.items():
        _report(path, ValueError(reason))
    if arguments.json:
        print(json.dumps({"mean": found.mean, "std": found.std, "clips": found.clips, "hours": found.hours}))
    else:
        print(f"--mean {found.mean:.7g} --std {found.std:.7g}   # {found.clips} clips, {found.hours:.3g} h")
    return _finish(len(found.skipped), found.clips + len(found.skipped))


def run_evaluate(arguments: argparse.Namespace) -> int:
    try:
        from ..training.evaluation import run
    except ImportError as error:
        raise ValueError(f"`ssast evaluate` needs more packages ({error}): pip install 'ssast_hf[train]'") from error
    from ..inference.core import load_classifier

    extractor, model = _load(arguments, load_classifier)
    failed = run(arguments, model, extractor)
    if failed:
        print(f"ssast: {failed} file(s) could not be read", file=sys.stderr)
    return EXIT_PARTLY if failed else 0


def run_demo(arguments: argparse.Namespace) -> int:
    try:
        from ..integrations.page import run
    except ImportError as error:
        raise ValueError(f"`ssast demo` needs more packages ({error}): pip install 'ssast_hf[demo]'") from error
    return run(arguments)


def _train(command: str, argv: list[str]) -> int:
    try:
        if command == "pretrain":
            from ..training.pretrain import main as train
        else:
            from ..training.finetune import main as train
    except ImportError as error:
        raise ValueError(f"`ssast {command}` needs more packages ({error}): pip install 'ssast_hf[train]'") from error
    return train(argv)


def _load(arguments: argparse.Namespace, load_model):
    """The extractor and the model of `--model`, on `--device`."""
    import torch

    from ..feature_extraction_ssast import SSASTFeatureExtractor

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


def _progress_bar(total: int | None):
    """A progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    disable = not sys.stderr.isatty() or (total is not None and total < 2)
    return tqdm(total=total, unit="file", disable=disable, leave=False, dynamic_ncols=True)


def _report(path: str, error: Exception) -> None:
    from .classify import shown

    message = error.strerror if isinstance(error, OSError) and error.strerror else _first_sentence(error)
    message = message.removeprefix(path).lstrip(": ")
    print(f"ssast: skipped {shown(path)}: {shown(message)}", file=sys.stderr)


def _finish(failed: int, total: int) -> int:
    if failed:
        print(f"ssast: {failed} of {total} file(s) could not be read", file=sys.stderr)
    return EXIT_PARTLY if failed else 0


def _first_sentence(error: BaseException) -> str:
    """The first paragraph of a message, on one line."""
    return " ".join(str(error).strip().split("\n\n")[0].split()) or type(error).__name__


def _natural(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _shard(text: str) -> tuple[int, int]:
    number, _, shards = text.partition("/")
    if not (number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, such as 1/4")
    return int(number), int(shards)


def _share(arguments: argparse.Namespace) -> bool:
    """Whether several processes were launched together; sets `--shard`, and for these `--output` and `--device`."""
    processes, rank, local = (int(os.environ.get(name, "0")) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"))
    if processes < 2:
        arguments.shard = arguments.shard or (1, 1)
        return False
    if arguments.shard is not None:
        raise ValueError(f"--shard is given, and so are {processes} processes, which divide the work: choose one")
    arguments.shard = (rank + 1, processes)
    path = Path(arguments.output)
    arguments.output = str(path.with_name(f"{path.stem}-{rank + 1}-of-{processes}{path.suffix}"))
    import torch

    if arguments.device in (None, "cuda") and torch.cuda.is_available():
        arguments.device = f"cuda:{local}"
    return True


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1 to 65535")
    return int(text)


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
