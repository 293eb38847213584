# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast embed`."""

import os
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from ..utils.logs import quieten
from ..utils.text import printable
from .flags import FILES_HELP, add_batches, add_device, add_model, add_pooling, add_reading, natural, reading, shard
from .terminal import Meter, exit_status, report_skipped, say

SUMMARY = "write embeddings of sound files and whole collections"
DESCRIPTION = (
    "Writes embeddings. To .npz: arrays `files` and `embeddings`; for frames and patches also `file_index` (which of "
    "`files` a row belongs to), `time` (its start in seconds) and, for patches, `mel_bin` (its lowest bin). To "
    ".parquet: a row for each, with columns `file` and `embedding`. To a directory: memory maps `embeddings.npy` and "
    "so on, and `index.jsonl`, which says which rows are a file's. All say what they were made with. The same command "
    "resumes an interrupted run."
)
MOST_NAMED = 10  # files that are gone
EPILOG = "Example: ssast embed recordings/ --model ssast-base-patch --layers 6 9 12 --output embeddings.parquet"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    add_model(parser)
    add_device(parser)
    add_batches(parser)
    add_reading(parser)
    parser.add_argument("--output", required=True, metavar="X", help="file .npz or .parquet, or directory, to write")
    parser.add_argument(
        "--format",
        choices=("npz", "npy", "parquet"),
        help="format of the output; npy is a directory of memory maps (default: by its ending)",
    )
    parser.add_argument(
        "--level",
        choices=("clip", "frame", "patch"),
        default="clip",
        help="one vector per file, per time step or per patch (default: clip)",
    )
    parser.add_argument(
        "--layers",
        type=natural,
        nargs="+",
        metavar="N",
        help="mean of the outputs of these layers, from 1; 0 is the input of the first (default: the last's, "
        "normalised)",
    )
    add_pooling(parser)
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="only every N-th file, from the I-th of 1 to N; of processes that `accelerate launch` or `torchrun` "
        "started, each takes its own, on its own GPU, and writes X-I-of-N",
    )
    parser.add_argument(
        "--append",
        action="store_true",
        help="if the output exists, compute only files that it lacks or that have changed since; the model and all "
        "settings must be those that it was made with",
    )
    parser.add_argument("--prune", action="store_true", help="with --append: leave out files that are gone")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists, and start over")


def run(arguments: Namespace) -> int:
    from ..checkpoints.loading import load_complete
    from ..inference.collections import check_output, embed_collection
    from ..inference.devices import load_on_device
    from ..modeling_ssast import SSASTModel

    together = _share(arguments)
    if together and arguments.append:
        raise ValueError("--append is for one process: start it without torchrun or accelerate")
    check_output(arguments.output, arguments.format, arguments.overwrite, arguments.append)
    quieten()
    extractor, model = load_on_device(arguments.model, partial(load_complete, SSASTModel), arguments.device)
    folders: list[str] = []  # that cannot be read

    def report(path: str, error: Exception) -> None:
        folders.extend([path] if os.path.isdir(path) else [])
        report_skipped(path, error)

    with Meter() as meter:
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
                meter.show,
                arguments.pooling,
                append=arguments.append,
                prune=arguments.prune,
                name=arguments.model,
                **reading(arguments),
            )
        except KeyboardInterrupt:
            say("interrupted: the same command goes on from here")
            raise
    size = model.config.hidden_size
    if arguments.level == "clip":
        size *= model.config.pooled_parts(arguments.pooling)
    resumed = f", {state.resumed} of them in earlier runs" if state.resumed else ""
    if arguments.append:
        resumed = f" added, {state.changed} of them changed"
        _say_gone(state.gone, arguments.prune)
    print(
        f"{printable(arguments.output)}: {state.rows} embeddings of size {size}, "
        f"{state.done - state.failed} file(s){resumed}; {state.speed()}"
    )
    status = exit_status(state.failed + len(folders), state.total + len(folders))
    return 0 if together else status  # another status than 0, and the launcher would stop the other processes


def _say_gone(names: list[str], pruned: bool) -> None:
    """Which files of a collection are no longer there."""
    what = "left out" if pruned else "its embeddings stay (--prune leaves them out)"
    for name in names[:MOST_NAMED]:
        say(f"{name} is gone: {what}")
    if len(names) > MOST_NAMED:
        say(f"{len(names) - MOST_NAMED} more are gone")


def _share(arguments: Namespace) -> bool:
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
