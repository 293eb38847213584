# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast similar`."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..utils.files import check_writable, is_special, replacing
from ..utils.logs import quieten
from ..utils.text import printable
from .flags import MODEL_HELP, add_device, positive

SUMMARY = "find the sounds of a collection that are nearest to a sound"
DESCRIPTION = (
    "Prints the sounds, or with embeddings of --level frame the moments, of a collection that are nearest to a sound. "
    "Its embedding is made by the model, and with the settings, that the collection says it was made with. Scores are "
    "cosine similarities, -1 to 1, of embeddings less the collection's mean. The query itself is left out."
)
EPILOG = "Example: ssast similar call.wav recordings.npz --top-k 20 --format html --output calls.html"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="sound file")
    parser.add_argument("embeddings", metavar="EMBEDDINGS", help="what `ssast embed` wrote: .npz, .parquet, directory")
    parser.add_argument("--top-k", type=positive, default=10, metavar="K", help="how many to print (default: 10)")
    parser.add_argument("--model", metavar="MODEL", help=f"{MODEL_HELP}, if it is not where it was (checked)")
    add_device(parser)
    parser.add_argument(
        "--format",
        choices=("text", "json", "html"),
        default="text",
        help="lines to read, a JSON object per line, or a page with players, which is one file (default: text)",
    )
    parser.add_argument("--output", metavar="FILE", help="file to write instead of printing")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def run(arguments: Namespace) -> int:
    from ..data.clips import Clip
    from ..inference.collection_files import read_collection
    from ..inference.similar import similar
    from ..inference.similar_formats import write_neighbours

    output = None if arguments.output is None else Path(arguments.output)
    if arguments.format == "html" and output is None:
        raise ValueError("--format html: give --output PAGE.html")
    if output is not None and output.exists() and not is_special(output) and not arguments.overwrite:
        raise ValueError(f"{output} exists: choose another name or give --overwrite")
    if output is not None:
        check_writable(output)
    quieten()
    collection = read_collection(arguments.embeddings)
    query = Clip(arguments.query)
    found = similar(query, collection, arguments.top_k, arguments.model, arguments.device)
    moments = collection.metadata is not None and collection.metadata["level"] == "frame"
    if output is None:
        write_neighbours(sys.stdout, arguments.format, query, found, moments)
        return 0
    with replacing(output) as unfinished, open(unfinished, "w", encoding="utf-8", errors="surrogateescape") as file:
        write_neighbours(file, arguments.format, query, found, moments)
    print(f"{printable(str(output))}: {len(found)} {'moment' if moments else 'sound'}(s)")
    return 0
