# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""accelerate's configuration file for FSDP, with `ssast finetune` in two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTForAudioClassification

from ..training.test_distributed import COMMON, curve, labelled_data, port, start, wait

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
    expected, found = curve(tmp_path / "plain"), curve(tmp_path / "sharded")
    assert len(found) == len(expected) == 6
    for entry, other in zip(expected, found):
        assert other == pytest.approx(entry, rel=1e-4)
    weights = [SSASTForAudioClassification.from_pretrained(tmp_path / n).state_dict() for n in ("plain", "sharded")]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=0, atol=1e-4, msg=key)
