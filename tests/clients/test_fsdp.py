# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""accelerate's configuration file for FSDP, with `ssast finetune` in two processes."""

import os
import subprocess
import sys
from pathlib import Path

from ..training.two_processes import COMMON, assert_same_training, labelled_data, port, start, wait

ROOT = Path(__file__).parents[2]


def test_accelerates_fsdp_trains_as_two_processes_do(tmp_path):
    """`accelerate launch --config_file recipes/fsdp.yaml`, by a script that allows FSDP on a CPU."""
    data = [*map(str, labelled_data(tmp_path))]
    plain = start("finetune", 2, 2, tmp_path / "plain", *data)
    line = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "recipes/fsdp.yaml"),
        "--num_processes", "2", "--main_process_port", str(port()), str(ROOT / "tests/training/fsdp_on_cpu.py"),
        "ssast_hf.training.finetune", *COMMON, "--per_device_train_batch_size", "2", "--output_dir",
        str(tmp_path / "sharded"), *data,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=280)
    wait(plain)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sharded/checkpoint-4/pytorch_model_fsdp.bin").is_file()  # else FSDP was left out
    assert_same_training(tmp_path / "sharded", tmp_path / "plain", atol=1e-4)
