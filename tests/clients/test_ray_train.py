# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Ray Train on two workers of this machine, against the same processes without Ray. `make clients` runs this."""

import json
import os
import signal
from pathlib import Path

import pytest
from transformers import TrainerCallback

from recipes.ray.finetune import finetune

from ..training.two_processes import COMMON, assert_same_training, curve, labelled_data, start, wait

ray = pytest.importorskip("ray", reason="pip install 'ssast_hf[ray]' (make clients)")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ray.init(
        num_cpus=3, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment},
        _system_config={"worker_niceness": 0},  # of 15 by default, with which workers starve on a busy machine
    )  # fmt: skip
    yield
    ray.shutdown()


def test_a_run_whose_worker_is_killed_ends_as_without_ray(tmp_path):
    """One of two workers is killed after step 3; the run resumes from checkpoint-2, and repeats no step before it."""
    data = labelled_data(tmp_path)
    wait(start("finetune", 2, 2, tmp_path / "plain", *data))
    mark, steps = tmp_path / "killed", tmp_path / "steps"

    def callbacks():
        class Killed(TrainerCallback):
            def on_step_begin(self, args, state, control, **kwargs):
                if os.environ["RANK"] == "0":
                    with open(steps, "a") as file:
                        print(state.global_step, file=file)

            def on_step_end(self, args, state, control, **kwargs):
                if state.global_step == 3 and os.environ["RANK"] == "1" and not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

        return [Killed()]

    flags = [*COMMON, "--per_device_train_batch_size", "2", "--output_dir", str(tmp_path / "ray"), *map(str, data)]
    result = finetune(flags, workers=2, storage=str(tmp_path / "storage"), name="run", callbacks=callbacks)
    assert mark.exists()
    begun = list(map(int, steps.read_text().split()))
    assert begun[:3] == [0, 1, 2] and begun[-2:] == [2, 3] and begun.count(0) == begun.count(1) == 1
    assert_same_training(tmp_path / "ray", tmp_path / "plain", atol=1e-5)
    record = json.loads((tmp_path / "ray" / "_run.json").read_text())
    assert record["processes"] == 2 and record["finished"] is True
    assert result.metrics["eval_accuracy"] == pytest.approx(curve(tmp_path / "plain")[-1]["eval_accuracy"])
    with result.checkpoint.as_directory() as folder:
        state = json.loads(Path(folder, "checkpoint", "trainer_state.json").read_text())
    assert state["global_step"] == 4
