# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Training that is interrupted by Ctrl-C, runs out of disk, or finds a damaged checkpoint or record."""

import errno
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTForAudioClassification
from ssast_hf.cli import main
from ssast_hf.training.arguments import SharedArguments
from ssast_hf.training.checkpoint_files import (
    checkpoints_of,
    damage_of,
    rotate_checkpoints,
    set_damaged_aside,
    write_checksums,
)
from ssast_hf.training.run_directory import recorded_flags

from ..fork_server import ssast_command
from .two_labels import SOUNDS, drums_and_others

CONFIG = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 48}


@pytest.fixture(scope="module")
def tuning(tmp_path_factory) -> list[str]:
    """Two labels of 10 clips each; judged and saved every third of 12 steps."""
    return [
        "finetune", *drums_and_others(tmp_path_factory.mktemp("tuning"), CONFIG), "--max_steps", "12",
        "--validation_fraction", "0.2", "--per_device_train_batch_size", "3", "--learning_rate", "3e-3",
        "--save_strategy", "steps", "--eval_strategy", "steps", "--save_steps", "3", "--eval_steps", "3",
        "--metric_for_best_model", "loss", "--logging_steps", "2", "--disable_tqdm", "True", "--report_to", "none",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tuning, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    assert main([*tuning, "--save_total_limit", "9", "--output_dir", str(output)]) == 0
    return output


def weights(path: Path) -> dict[str, torch.Tensor]:
    return SSASTForAudioClassification.from_pretrained(path).state_dict()


def assert_same(one: Path, two: Path) -> None:
    first, second = weights(one), weights(two)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    states = [json.loads((path / "trainer_state.json").read_text()) for path in (one, two)]
    for key in ("best_metric", "best_global_step", "global_step"):
        assert states[0][key] == states[1][key]


def stopped(whole: Path, output: Path, *steps: int) -> Path:
    """The run as it is when it is killed with the checkpoints of these steps."""
    shutil.copytree(whole, output)
    for step, path in checkpoints_of(output):
        if step not in steps:
            shutil.rmtree(path)
    (output / "model.safetensors").unlink()
    record = json.loads((output / "_run.json").read_text())
    (output / "_run.json").write_text(json.dumps({**record, "finished": False}))
    return output


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_saves_a_checkpoint_and_the_same_command_ends_alike(tuning, tmp_path, workers):
    line = [*tuning, "--max_steps", "40", "--save_steps", "20", "--eval_steps", "20", "--dataloader_num_workers",
            workers]  # fmt: skip
    output = tmp_path / "run"
    process = subprocess.Popen(
        [*ssast_command(), *line, "--output_dir", str(output)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )  # fmt: skip
    for text in process.stdout:
        if ": loss " in text:
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the data workers, too
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    ((step, checkpoint),) = checkpoints_of(output)
    assert 0 < step < 40 and damage_of(checkpoint) is None
    assert f"{checkpoint} is saved, from which the same command resumes." in errors
    assert "Traceback" not in errors
    for name in ("run", "uninterrupted"):
        assert main([*line, "--output_dir", str(tmp_path / name)]) == 0
    assert_same(tmp_path / "uninterrupted", output)


def test_a_best_checkpoint_lost_to_a_full_disk_is_made_again_by_the_same_command(
    tuning, whole, tmp_path, monkeypatch, capsys
):
    """The best checkpoint cannot be written: status 1, not finished; with room, the same command makes the model."""
    best = json.loads((whole / "trainer_state.json").read_text())["best_global_step"]
    output, save = tmp_path / "run", torch.save

    def fail(content, path, *args, **kwargs):
        if f"checkpoint-{best}/" in str(path) and str(path).endswith("optimizer.pt"):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(content, path, *args, **kwargs)

    line = [*tuning, "--save_total_limit", "9", "--output_dir", str(output)]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        assert main(line) == 1
    errors = capsys.readouterr().err
    assert f"checkpoint-{best} could not be saved" in errors and "is not the best one" in errors
    state = json.loads((output / "trainer_state.json").read_text())
    assert state["best_global_step"] != best  # the metric is that of a checkpoint that is there
    losses = {entry["step"]: entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry}
    assert state["best_metric"] == losses[state["best_global_step"]]
    assert Path(state["best_model_checkpoint"]).is_dir()
    record = json.loads((output / "_run.json").read_text())
    assert record["finished"] is False and record["unsaved"] == [best]
    assert main(line) == 0
    assert_same(whole, output)
    assert json.loads((output / "_run.json").read_text())["finished"] is True


def test_a_damaged_checkpoint_is_set_aside_and_not_counted(tuning, whole, tmp_path, capsys):
    """Two of three are damaged; with a limit of 2, none of the good ones that follow is deleted for them."""
    output = stopped(whole, tmp_path / "run", 3, 6, 9)
    for step in (6, 9):
        path = output / f"checkpoint-{step}" / "optimizer.pt"
        path.write_bytes(path.read_bytes()[:100])
    assert main([*tuning, "--save_total_limit", "2", "--output_dir", str(output)]) == 0
    assert {path.name for path in output.glob("*.damaged")} == {"checkpoint-6.damaged", "checkpoint-9.damaged"}
    assert len(checkpoints_of(output)) == 2 and all(damage_of(path) is None for _, path in checkpoints_of(output))
    assert_same(whole, output)


def test_rotation_counts_complete_checkpoints_alone(tmp_path):
    for name in ("checkpoint-3", "checkpoint-6", "checkpoint-9", "checkpoint-12", "checkpoint-30.damaged"):
        (tmp_path / name).mkdir()
    rotate_checkpoints(tmp_path, 2, str(tmp_path / "checkpoint-3"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-12",
        "checkpoint-3",
        "checkpoint-30.damaged",
    ]
    rotate_checkpoints(tmp_path, None, None)
    assert len(checkpoints_of(tmp_path)) == 2


def error_of(line: list[str], capsys) -> str:
    capsys.readouterr()
    assert main(line) == 2
    lines = [text for text in capsys.readouterr().err.splitlines() if text.startswith("ssast: error:")]
    assert len(lines) == 1
    return lines[0]


def test_a_damaged_checkpoint_is_not_resumed_from(tuning, whole, tmp_path, capsys):
    output = stopped(whole, tmp_path / "run", 3, 6)
    line = [*tuning, "--output_dir", str(output), "--resume_from_checkpoint"]
    path = output / "checkpoint-6" / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:100])
    assert "checkpoint-6, which is damaged: optimizer.pt has 100 bytes" in error_of([*line, str(path.parent)], capsys)
    assert "holds no checkpoint" in error_of([*line, str(tmp_path)], capsys)


UNSAVED = '{"command": "finetune", "flags": {}, "processes": 1, "finished": false, "unsaved": ["a"]}'


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/ssast_hostile_checkpoint",)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "progress.json"])
def test_a_hostile_checkpoint_with_right_checksums_is_one_line(tuning, whole, tmp_path, capsys, name):
    output = stopped(whole, tmp_path / "run", 3)
    path = output / "checkpoint-3" / name
    if name.endswith(".json"):
        path.write_text('{"global_step": {"a": []}, "loss": [[]]}')
    else:
        buffer = io.BytesIO()
        torch.save(Hostile(), buffer)
        path.write_bytes(buffer.getvalue())
        assert zipfile.is_zipfile(path)
    write_checksums(path.parent)
    error_of([*tuning, "--output_dir", str(output)], capsys)
    assert not Path("/tmp/ssast_hostile_checkpoint").exists()


@pytest.mark.parametrize("contents", ['{"../../secret": [1, 2]}', "[]", '{"a": 1}', "", '{"/etc/passwd": [1, 2]}'])
def test_hostile_checksums_are_damage(tmp_path, contents):
    checkpoint = tmp_path / "a" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "a").write_text("a")
    (checkpoint / "contents.json").write_text(contents)
    assert damage_of(checkpoint) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"global_step": "x"}, "has the global_step 'x'"),
        ({"global_step": 10**9}, "is of step 1000000000"),
        ({"log_history": [1, 2]}, "cannot be used ('int' object has no attribute 'items')"),
        ({"log_history": [{"step": 3, "loss": {}}]}, "has a log whose loss is '{}'"),
        ({"log_history": [{"step": 3, "eval_loss": "x"}]}, "has a log whose eval_loss is 'x'"),
        ({"best_metric": "x"}, "has the best_metric 'x'"),
        ({"best_model_checkpoint": 3}, "has the best_model_checkpoint '3'"),
        ({"stateful_callbacks": [1]}, "has the stateful_callbacks '[1]'"),
        ({"train_batch_size": "x"}, "has the train_batch_size 'x'"),
    ],
)
def test_a_state_that_no_trainer_wrote_is_damage(tuning, whole, tmp_path, capsys, change, message):
    """Also where its checksum is right; from a path it is one line, and in the run's own directory it is set aside."""
    checkpoint = stopped(whole, tmp_path / "run", 3, 6) / "checkpoint-6"
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert damage_of(checkpoint) is None
    (checkpoint / "trainer_state.json").write_text(json.dumps({**state, **change}))
    write_checksums(checkpoint)
    line = [*tuning, "--output_dir", str(tmp_path / "other"), "--resume_from_checkpoint", str(checkpoint)]
    assert f"checkpoint-6, which is damaged: trainer_state.json {message}" in error_of(line, capsys)
    (checkpoint / "contents.json").unlink()  # as of another Trainer
    assert f"checkpoint-6, which is damaged: trainer_state.json {message}" in error_of(line, capsys)
    write_checksums(checkpoint)
    set_damaged_aside(checkpoint.parent)
    assert [step for step, _ in checkpoints_of(checkpoint.parent)] == [3]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"command": 1}', UNSAVED, "[" * 50_000, "\udcff"])
def test_a_foreign_record_is_one_line_and_can_be_resumed_or_overwritten(tuning, whole, tmp_path, capsys, content):
    output = stopped(whole, tmp_path / "run", 9)
    (output / "_run.json").write_bytes(content.encode(errors="surrogateescape"))
    line = [*tuning, "--output_dir", str(output)]
    assert "_run.json is damaged or not written by ssast" in error_of(line, capsys)
    assert main([*line, "--resume_from_checkpoint", "True", "--save_total_limit", "9"]) == 0
    assert json.loads((output / "_run.json").read_text())["finished"] is True
    if content == "":
        (output / "_run.json").write_text("")
        assert main([*line, "--overwrite", "--max_steps", "1"]) == 0


def test_no_token_is_recorded_and_no_flag_abbreviated(tuning, tmp_path, capsys):
    token = "hf_" + "a" * 34
    flags = {
        "hub_token": [token],
        "api_key": ["x"],
        "run_id": [f"x {token}"],
        "average_tokens_across_devices": ["True"],
    }
    recorded = recorded_flags(flags)
    assert recorded == {"average_tokens_across_devices": ["True"], "run_id": ["x ***"]}
    for flag in ("--hub_tok", "--num_train_epoch"):
        with pytest.raises(SystemExit) as stop:
            main([*tuning, flag, "3", "--output_dir", str(tmp_path / "o")])
        assert stop.value.code == 2
        assert f"there is no flag {flag}" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_both_spellings_of_a_flag(tuning, tmp_path):
    assert main([*tuning, "--max-steps", "1", "--output-dir", str(tmp_path / "o")]) == 0
    assert (tmp_path / "o/model.safetensors").exists()


def test_pickled_arguments_hold_no_path_of_this_machine(tmp_path):
    arguments = SharedArguments(output_dir=str(tmp_path / "secret" / "run"), run_name=str(tmp_path / "secret"))
    arguments.hub_token = "hf_secret"
    content = pickle.dumps(arguments)
    assert b"secret" not in content and str(tmp_path).encode() not in content
    assert pickle.loads(content).output_dir == "run"
    assert arguments.output_dir == str(tmp_path / "secret" / "run")


def test_a_run_pushes_no_path_in_its_arguments(whole):
    content = (whole / "training_args.bin").read_bytes()
    assert str(whole.parent).encode() not in content


def test_hidden_states_in_the_configuration_do_not_break_evaluation(tuning, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(Path(tuning[tuning.index("--model") + 1]), model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "output_hidden_states": True}))
    line = [*tuning, "--model", str(model), "--max_steps", "3", "--output_dir", str(tmp_path / "o")]
    assert main(line) == 0
    assert "eval_accuracy" in json.loads((tmp_path / "o/eval_results.json").read_text())


def test_workers_do_not_outlive_a_killed_run(tuning, tmp_path):
    """They end by themselves, and the lock is free at once: the same command resumes."""
    psutil = pytest.importorskip("psutil")
    output = tmp_path / "run"
    line = [*tuning, "--max_steps", "400", "--dataloader_num_workers", "2", "--output_dir", str(output)]
    command = [sys.executable, "-m", "ssast_hf.cli", *line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        next(text for text in process.stdout if ": loss " in text)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert workers
    assert main([*tuning, "--max_steps", "400", "--overwrite", "--max_steps", "1", "--output_dir", str(output)]) == 0
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def test_clips_that_cannot_be_read_are_counted_and_change_the_exit_status(tuning, tmp_path, capsys):
    manifest = Path(tuning[tuning.index("--data") + 1])
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    (tmp_path / "clips.csv").write_text(manifest.read_text() + f"{tmp_path}/bad.wav,drum,0\n")
    held_out = [f"{path},{label},0" for path, label in zip(sorted(SOUNDS.glob("*.flac")), ("drum", "other"))]
    (tmp_path / "some.csv").write_text("\n".join(["file,label,offset", *held_out, f"{tmp_path}/bad.wav,drum,0"]))
    common = [*tuning, "--max_steps", "1", "--save_strategy", "no", "--eval_strategy", "no"]
    assert main([*common, "--data", str(tmp_path / "clips.csv"), "--validation_data", str(manifest), "--output_dir",
                 str(tmp_path / "a")]) == 1  # fmt: skip
    assert "20 clips for training (1 more cannot be read), 20 for validation" in capsys.readouterr().err
    assert main([*common, "--validation_data", str(tmp_path / "some.csv"), "--output_dir", str(tmp_path / "b")]) == 1
    captured = capsys.readouterr()
    assert "on 2 of 3 clips, 1 unreadable" in captured.out and "1 clip(s) could not be read" in captured.err
    judging = ["finetune", "--eval_only", "True", "--model", str(tmp_path / "b"), "--report_to", "none"]
    assert main([*judging, "--data", str(tmp_path / "some.csv"), "--output_dir", str(tmp_path / "c")]) == 1
    assert main([*judging, "--data", str(manifest), "--output_dir", str(tmp_path / "d")]) == 0
