# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What it costs to embed a folder by an engine: `datasets.map`, Ray Data, Spark, or a process of `ssast embed`.

    python -m benchmarks.scale

Each engine embeds the same sounds with one worker of one thread, which notes when each batch ends. Time per sound is
that from the end of the first batch to the end of the last, divided by that of a plain loop over batches in the same
round. What is left of the job's time is its fixed cost: processes, imports, the model, collecting. Writes the table of
docs/scale.md. An engine whose package is missing is left out.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before anything imports torch

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch

from recipes.report import machine, write_between
from ssast_hf.integrations.batches import Embedder

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/scale.md"
BEGIN, END = "<!-- overheads: begin -->", "<!-- overheads: end -->"
MODEL = "ssast-tiny-patch-debian"
SECONDS = 2.0
BATCH = 32


class Timed(Embedder):
    """Adds when each batch ended, in seconds since 1970."""

    def predict(self, sounds):
        columns = super().predict(sounds)
        return {**columns, "ended": np.full(len(columns["error"]), time.time())}


def in_process(files: list[str]) -> list[float]:
    embedder = Timed(MODEL, device="cpu")
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    return [ended for batch in batches for ended in embedder({"path": batch})["ended"]]


def command(files: list[str]) -> None:
    """Its times are not noted: it runs the same code as a loop."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "files.csv")
        listing.write_text("\n".join(["file", *files]))
        line = [sys.executable, "-m", "ssast_hf.cli", "embed", str(listing), "--model", MODEL, "--output",
                f"{folder}/embeddings.npz", "--device", "cpu"]  # fmt: skip
        subprocess.run(line, check=True, capture_output=True)


def by_datasets(files: list[str]) -> list[float]:
    import datasets

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"path": files})
    kept = {"keep_in_memory": True, "load_from_cache_file": False}
    return table.map(Timed(MODEL, device="cpu"), batched=True, batch_size=BATCH, **kept)["ended"][:]


def by_ray(files: list[str]) -> list[float]:
    import ray

    table = ray.data.from_items([{"path": file} for file in files], override_num_blocks=len(files) // BATCH)
    found = table.map_batches(
        Timed, fn_constructor_args=[MODEL], fn_constructor_kwargs={"device": "cpu"}, num_cpus=1, batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=1),
    )  # fmt: skip
    return [row["ended"] for row in found.take_all()]


def by_spark(files: list[str]) -> list[float]:
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    spark = SparkSession.getActiveSession()
    kind = StructType.fromDDL("embeddings array<float>, error string, ended double")
    of = predict_batch_udf(Timed(MODEL, device="cpu"), return_type=kind, batch_size=BATCH)
    table = spark.createDataFrame([(file,) for file in files], ["path"]).coalesce(1)
    return [row["found"]["ended"] for row in table.select(of("path").alias("found")).collect()]


def start_ray() -> None:
    import ray
    import ray.data

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False,
             runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False


def start_spark() -> None:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = str(ROOT)
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")


LOOP, COMMAND = "a loop over batches in a running process", "`ssast embed`, as each `--shard` runs it"
ENGINES = {  # name: package, start of its cluster, a job
    LOOP: (None, None, in_process),
    COMMAND: (None, None, command),
    "`datasets.map(Embedder(...), batched=True)`": ("datasets", None, by_datasets),
    "Ray Data, `map_batches(Embedder, ...)`, one actor": ("ray", start_ray, by_ray),
    "Spark, `predict_batch_udf(Embedder(...))`, one core": ("pyspark", start_spark, by_spark),
}


def timed(function, *arguments) -> tuple[float, list[float] | None]:
    start = time.perf_counter()
    found = function(*arguments)
    return time.perf_counter() - start, found


def measure(files: list[str], rounds: int) -> list[str]:
    """The rows of the table."""
    jobs, clusters = {}, {}
    for name, (package, start, job) in ENGINES.items():
        if package is None or importlib.util.find_spec(package):
            clusters[name] = timed(start)[0] if start else 0.0
            jobs[name] = job
            job(files[:BATCH])  # warm-up: imports, the page cache
            print(f"{name}: ready", file=sys.stderr, flush=True)
    ratios, fixed = {name: [] for name in jobs}, {name: [] for name in jobs}
    for index in range(rounds):
        times = {name: timed(jobs[name], files) for name in list(jobs)[:: 1 if index % 2 else -1]}
        rates = {name: (max(ended) - min(ended)) / (len(files) - BATCH) for name, (_, ended) in times.items() if ended}
        rates[COMMAND] = rates[LOOP]
        for name, (total, _) in times.items():
            fixed[name].append(total - rates[name] * len(files))
            ratios[name].append(rates[name] / rates[LOOP])
        print(index, fixed, ratios, file=sys.stderr, flush=True)
    rows = []
    for name in jobs:
        of = ratios[name]
        ratio = f"{median(of):.2f} ({min(of):.2f} to {max(of):.2f})" if name not in (LOOP, COMMAND) else "1"
        rows.append(f"| {name} | {clusters[name]:.1f} | {max(0.0, median(fixed[name])):.1f} | {ratio} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="jobs of each engine (default 3)")
    parser.add_argument("--batches", type=int, default=8, help=f"batches of {BATCH} sounds in a job (default 8)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{index:05}.wav" for index in range(arguments.batches * BATCH)]
        for file in files:
            soundfile.write(file, 0.1 * rng.standard_normal(int(SECONDS * 16000)), 16000)
        rows = measure(files, arguments.rounds)
    head = [
        "| engine | its cluster starts, s | a job's fixed cost, s | time per sound, of the loop's |",
        "|---|--:|--:|--:|",
    ]
    setting = (
        f"{machine()}; {date.today().isoformat()}; torch {torch.__version__}; {MODEL}, one thread, {len(files)} "
        f"sounds of {SECONDS:g} s in batches of {BATCH}; medians (range) of {arguments.rounds} rounds."
    )
    report = "\n".join([*head, *rows]) + f"\n\n{setting}\n"
    print(report)
    write_between(PAGE, BEGIN, END, f"\n{report}")


if __name__ == "__main__":
    main()
