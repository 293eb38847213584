# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`ssast finetune` on a Ray cluster: the same flags, in as many processes as there are workers.

`--output_dir` and the data are on storage that all workers share. Ray starts the workers anew when one of them ends
early; the run then resumes from the newest checkpoint in `--output_dir`, as `ssast finetune` does, and ends with the
same model. Metrics and checkpoints are reported to Ray Train, too.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ssast_hf.cli.flags import positive
from ssast_hf.utils.require import require


def finetune(
    flags: list[str],
    workers: int = 2,
    gpu: bool = False,
    storage: str | None = None,
    name: str | None = None,
    max_failures: int = 3,
    callbacks: Callable[[], list] = list,
):
    """
    Fine-tunes on the cluster that `ray.init` connected to.

    Args:
        flags: Those of `ssast finetune`.
        workers: Processes, each with a CPU and, if `gpu`, a GPU; the batch size is `per_device_train_batch_size` times
            their number.
        storage, name: Where Ray keeps what is reported, and the run's name there. Default: Ray's own.
        max_failures: How often the workers are started anew.
        callbacks: Makes further `TrainerCallback`s, in each process.

    Returns:
        Ray's `Result`: `metrics`, and the last reported `checkpoint`.
    """
    train = require("ray.train", "ray", "recipes.ray.finetune")
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        run,
        train_loop_config={"flags": flags, "callbacks": callbacks},
        scaling_config=train.ScalingConfig(num_workers=workers, use_gpu=gpu),
        run_config=train.RunConfig(
            name=name,
            storage_path=storage,
            failure_config=train.FailureConfig(max_failures=max_failures),
            checkpoint_config=train.CheckpointConfig(num_to_keep=1),  # --output_dir has all that are kept
        ),
    )
    return trainer.fit()


def run(config: dict) -> None:
    """What each worker does. Ray has made the process group."""
    from ray.train.huggingface.transformers import RayTrainReportCallback
    from transformers import trainer

    from ssast_hf.training.finetune import main

    trainer.DEFAULT_CALLBACKS.extend([RayTrainReportCallback(), *config["callbacks"]()])  # the process trains no other
    try:
        main(config["flags"])
    except SystemExit as ended:  # of a wrong flag; Ray would take it for a crash of the process
        raise ValueError(
            f"ssast finetune ended with status {ended.code}: its message is in the worker's log"
        ) from None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.ray.finetune",
        description=__doc__,
        epilog="All other flags are those of ssast finetune.",
    )
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="processes that train (default: 2)")
    parser.add_argument("--gpu", action="store_true", help="one GPU for each worker")
    parser.add_argument("--storage", metavar="DIR", help="directory or URL where Ray keeps what is reported to it")
    parser.add_argument(
        "--max-failures", type=int, default=3, metavar="N", help="restarts of the workers (default: 3)"
    )
    parser.add_argument("--address", help="of a running cluster, such as auto (default: begin one on this machine)")
    arguments, flags = parser.parse_known_args(argv)
    try:
        ray = require("ray", "ray", "recipes.ray.finetune")
        if not ray.is_initialized():
            ray.init(arguments.address)
        storage = arguments.storage
        if storage is not None and "://" not in storage:
            storage = str(Path(storage).resolve())
        result = finetune(flags, arguments.workers, arguments.gpu, storage, max_failures=arguments.max_failures)
    except ValueError as error:
        parser.error(str(error))
    print(f"{result.path}: {result.metrics}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
