# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Embeds a folder, a bucket or a Hub dataset on a Ray cluster, into a directory of Parquet files.

The columns are those of `ssast embed --output X.parquet`, `file` and `embedding`, and `error`: why a sound cannot be
read, else null. Each worker loads the model once. What a worker that ends early had in hand is done again by another.
"""

import argparse
import math
import sys

import numpy as np

from ssast_hf.audio import audio_extensions
from ssast_hf.cli.flags import positive
from ssast_hf.data.sources import find_sounds, parse_source
from ssast_hf.data.tables import HUB, load_dataset
from ssast_hf.integrations.batches import Embedder
from ssast_hf.utils.require import require

BATCHES_PER_BLOCK = 4  # what is done again when a worker ends early, at most


class FileEmbedder(Embedder):
    """As [`Embedder`], for a table with the columns `file` and `audio`; gives the table that is written."""

    def __call__(self, batch=None):
        import pyarrow as pa

        columns = super().__call__(batch)
        embeddings, failed = columns["embeddings"], np.array([bool(error) for error in columns["error"]])
        values = pa.array(np.where(failed[:, None], 0, embeddings).ravel())
        rows = pa.FixedSizeListArray.from_arrays(values, embeddings.shape[1], mask=pa.array(failed))
        errors = [error or None for error in columns["error"]]
        return pa.table({
            "file": pa.array(columns["file"], pa.string()), "embedding": rows, "error": pa.array(errors, pa.string())
        })  # fmt: skip


def find(source: str, batch_size: int, workers: int):
    """The sounds of a source as a Ray dataset with the columns `file` and `audio`, and their number."""

    def rows_per_block(count: int) -> int:
        return max(1, min(BATCHES_PER_BLOCK * batch_size, math.ceil(count / (2 * workers))))

    ray_data = require("ray.data", "ray", "recipes.ray.embed")
    place, options = parse_source(source) if source.startswith(HUB) else (source, {})
    if place.startswith(HUB):
        name, table, column = load_dataset(place, options)
        if not hasattr(table, "num_rows"):
            raise ValueError(f"{source} is a stream, expected a dataset whose rows are known: leave streaming out.")
        table = table if column == "audio" else table.rename_column(column, "audio")
        table = table.add_column("file", [f"{name}[{index}]" for index in range(len(table))]).with_format("arrow")
        size = rows_per_block(len(table))
        # No task reads these: it would wait for a CPU where the workers have all of them.
        return ray_data.from_arrow([table[start : start + size] for start in range(0, len(table), size)]), len(table)
    names = _urls(source) if "://" in source else [_path(clip) for clip in find_sounds([source])]
    rows = [{"file": name, "audio": name} for name in names]
    blocks = math.ceil(len(rows) / rows_per_block(len(rows)))
    return ray_data.from_items(rows, override_num_blocks=blocks), len(rows)


def _path(clip) -> str:
    if clip.member is not None or clip.offset or clip.duration is not None:
        raise ValueError(f"{clip.name} is a part of a file, expected a folder or files: `ssast embed` takes parts.")
    return clip.path


def _urls(source: str) -> list[str]:
    """The URLs of the sounds in a bucket or a folder of one, sorted."""
    import fsspec

    filesystem, path = fsspec.url_to_fs(source)
    names = [name for name in filesystem.find(path) if name.lower().endswith(audio_extensions())]
    if not names:
        raise ValueError(f"{source} holds no audio files.")
    return [filesystem.unstrip_protocol(name) for name in sorted(names)]


def embed(
    source: str,
    model: str,
    output: str,
    workers: int = 2,
    gpus: float = 0,
    batch_size: int = 16,
    layers: list[int] | None = None,
    embedder: type[FileEmbedder] = FileEmbedder,
) -> tuple[int, int]:
    """
    Embeds `source` into the directory or URL `output`, by `workers` actors of the cluster that `ray.init` reached.

    Returns:
        The numbers of sounds and of those that cannot be read.

    Raises:
        ValueError: There is no sound, or `output` exists.
        RuntimeError: `output` has not every sound once.
    """
    import fsspec
    import pyarrow.dataset as pads

    ray_data = require("ray.data", "ray", "recipes.ray.embed")
    filesystem, path = fsspec.url_to_fs(output)
    if filesystem.exists(path):
        raise ValueError(f"{output} exists: choose another name, or remove it")
    sounds, count = find(source, batch_size, workers)
    options = {"batch_size": batch_size, "layers": layers}
    sounds.map_batches(
        embedder, fn_constructor_args=[model], fn_constructor_kwargs=options, batch_format="numpy",
        batch_size=batch_size, compute=ray_data.ActorPoolStrategy(size=workers), num_cpus=1, num_gpus=gpus,
    ).write_parquet(path, filesystem=filesystem, ray_remote_args={"num_cpus": 0})  # fmt: skip
    written = pads.dataset(path, filesystem=filesystem).to_table(columns=["file", "error"])
    if written.num_rows != count or len(written["file"].unique()) != count:
        raise RuntimeError(f"{output} has {written.num_rows} rows, expected {count} with a sound each")
    return count, count - written["error"].null_count


def main(argv: list[str] | None = None) -> int:
    """Returns 0, or 1 where some sounds cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m recipes.ray.embed", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="folder, URL that fsspec knows (s3://bucket/x), or hf:NAME")
    parser.add_argument("--model", required=True, help="name, directory or Hub repository that every worker can load")
    parser.add_argument("--output", required=True, metavar="DIR", help="directory or URL to write, which is made")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="actors that embed (default: 2)")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs of each worker (default: 0)")
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="sounds at a time (default: 16)")
    parser.add_argument("--layers", type=int, nargs="+", metavar="N", help="as for ssast embed")
    parser.add_argument("--address", help="of a running cluster, such as auto (default: begin one on this machine)")
    arguments = parser.parse_args(argv)
    try:
        ray = require("ray", "ray", "recipes.ray.embed")
        if not ray.is_initialized():
            ray.init(arguments.address)
        count, failed = embed(
            arguments.source, arguments.model, arguments.output, arguments.workers, arguments.gpus,
            arguments.batch_size, arguments.layers,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.output}: embeddings of {count - failed} of {count} sound(s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
