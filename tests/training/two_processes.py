# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Starts training in several processes on this machine's CPU, and reads what they logged."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining

from ..fork_server import ssast_command

SOUNDS = Path(__file__).parents[1] / "data" / "sounds"
CONFIG = json.dumps({"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 48})
# 27 to 48 frames: batches are padded, and processes mask different numbers of patches.
COMMON = [
    "--num_train_epochs", "2", "--learning_rate", "1e-2", "--logging_steps", "1", "--eval_strategy", "epoch",
    "--save_strategy", "epoch", "--disable_tqdm", "True", "--report_to", "none", "--use_cpu", "True",
    "--per_device_eval_batch_size", "2", "--adam_epsilon", "1e-3",  # or Adam would make much of rounding
]  # fmt: skip
PRETRAINING = ["--data", str(SOUNDS), "--size", "tiny", "--config", CONFIG, "--max_length", "48",
               "--validation_fraction", "0.2"]  # fmt: skip
CURVE = ("step", "loss", "loss_discriminative", "loss_generative", "accuracy", "grad_norm", "hours_seen", "eval_loss",
         "eval_accuracy", "eval_mAP")  # fmt: skip


def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(what: str, processes: int, batch: int, output: Path, *more, fsdp: bool = False) -> list[subprocess.Popen]:
    """Starts the processes as torchrun would, with its environment variables."""
    module = [str(Path(__file__).with_name("fsdp_on_cpu.py")), f"ssast_hf.training.{what}"] if fsdp else [what]
    more = [*more, "--fsdp", "True", "--fsdp_config", '{"version": 2}'] if fsdp else more
    address, running = port(), []
    for rank in range(processes):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if processes > 1:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                            "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                            "MASTER_PORT": str(address)}  # fmt: skip
        line = [*ssast_command(), *module, *COMMON, "--per_device_train_batch_size", str(batch), "--output_dir",
                str(output), *map(str, more)]  # fmt: skip
        running.append(
            subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    return running


def wait(running: list[subprocess.Popen]) -> str:
    texts = [process.communicate(timeout=300)[0] for process in running]
    assert all(process.returncode == 0 for process in running), "\n".join(texts)
    return texts[0]


def curve(output: Path) -> list[dict]:
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [{k: entry[k] for k in CURVE if k in entry} for entry in log if "train_runtime" not in entry]


def labelled_data(folder: Path) -> list:
    """The arguments to fine-tune a small model, which is made here, with labels that are made up."""
    torch.manual_seed(0)
    SSASTForPreTraining(SSASTConfig.tiny(max_length=48, **json.loads(CONFIG))).save_pretrained(folder / "model")
    SSASTFeatureExtractor(max_length=48).save_pretrained(folder / "model")
    files = sorted(SOUNDS.glob("*.flac"))
    for name, part in (("train", files[:8]), ("test", files[7:])):
        lines = [f"{path},{'ab'[index % 3 > 0]}" for index, path in enumerate(part)]
        (folder / f"{name}.csv").write_text("\n".join(["file,label", *lines]))
    return ["--data", folder / "train.csv", "--validation_data", folder / "test.csv", "--model",
            folder / "model", "--save_predictions", "True"]  # fmt: skip


def assert_same_training(found: Path, expected: Path, atol: float) -> None:
    """Curves within 1e-4 of the values, weights of the classifiers within `atol`."""
    entries, others = curve(expected), curve(found)
    assert len(others) == len(entries) == 6
    for entry, other in zip(entries, others):
        assert other == pytest.approx(entry, rel=1e-4)
    weights = SSASTForAudioClassification.from_pretrained(found).state_dict()
    for key, value in SSASTForAudioClassification.from_pretrained(expected).state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=atol, msg=key)
