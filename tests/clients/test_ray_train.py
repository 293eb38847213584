# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Ray Train on two workers of this machine, against the same processes without Ray. `make clients` runs this."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from recipes.ray.finetune import finetune
from ssast_hf import SSASTForAudioClassification

from ..training.test_distributed import COMMON, curve, labelled_data, start, wait

ray = pytest.importorskip("ray", reason="pip install 'ssast_hf[ray]' (make clients)")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})
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
    expected, found = curve(tmp_path / "plain"), curve(tmp_path / "ray")
    assert len(found) == len(expected) == 6
    for entry, other in zip(expected, found):
        assert other == pytest.approx(entry, rel=1e-4)
    weights = [SSASTForAudioClassification.from_pretrained(tmp_path / name).state_dict() for name in ("plain", "ray")]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=0, atol=1e-5, msg=key)
    record = json.loads((tmp_path / "ray" / "_run.json").read_text())
    assert record["processes"] == 2 and record["finished"] is True
    assert result.metrics["eval_accuracy"] == pytest.approx(expected[-1]["eval_accuracy"])
    with result.checkpoint.as_directory() as folder:
        state = json.loads(Path(folder, "checkpoint", "trainer_state.json").read_text())
    assert state["global_step"] == 4
