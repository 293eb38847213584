# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed, run out of disk or find a damaged checkpoint, and go on."""

import contextlib
import errno
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import modeling_utils

from ssast_hf import SSASTForAudioClassification, SSASTForPreTraining
from ssast_hf.cli import main
from ssast_hf.training.checkpoint_files import (
    damage_of,
    newest_complete_checkpoint,
    rotate_checkpoints,
    set_damaged_aside,
    write_checksums,
)
from ssast_hf.training.run_directory import flags_of
from ssast_hf.utils.files import lock

from ..fork_server import ssast_command
from .two_labels import SOUNDS, drums_and_others

CONFIG = json.dumps({"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 48,
                     "hidden_dropout_prob": 0.1})  # fmt: skip
# Logged every 2 steps, saved every 3: a checkpoint falls into the middle of a log line. Dropout draws from torch's own
# random state.
COMMON = [
    "pretrain", "--data", str(SOUNDS), "--size", "tiny", "--config", CONFIG,
    "--max_length", "48", "--validation_fraction", "0.2", "--per_device_train_batch_size", "2", "--max_steps", "12",
    "--learning_rate", "1e-2", "--logging_steps", "2", "--save_strategy", "steps", "--save_steps", "3",
    "--eval_strategy", "steps", "--eval_steps", "6",
    "--per_device_eval_batch_size", "2", "--disable_tqdm", "True", "--report_to", "none",
]  # fmt: skip
CURVE = ("step", "epoch", "loss", "loss_discriminative", "loss_generative", "accuracy", "grad_norm", "learning_rate",
         "hours_seen", "eval_loss", "eval_accuracy")  # fmt: skip


# Likewise; 6 steps an epoch, so that a checkpoint falls on an epoch's end, too, and the end into an epoch.
TUNING = [
    "finetune", "--validation_fraction", "0.2", "--per_device_train_batch_size", "3", "--max_steps", "16",
    "--learning_rate", "3e-3", "--logging_steps", "2", "--save_strategy", "steps", "--save_steps", "3",
    "--mixup", "0.5", "--frequency_mask", "24", "--time_mask", "8", "--noise", "True", "--balanced_sampling", "True",
    "--class_weights", "True", "--head_lr_factor", "2", "--disable_tqdm", "True", "--report_to", "none",
]  # fmt: skip
WAYS = {
    "averaged": ["--average_epochs", "1", "2", "--lr_decay_start", "1", "--lr_decay_rate", "0.5"],
    "grouped": ["--balanced_sampling", "False", "--train_sampling_strategy", "group_by_length"],
    "stopped early": ["--eval_strategy", "steps", "--eval_steps", "3", "--early_stopping_patience", "2"],
}
TUNED = ("step", "epoch", "loss", "grad_norm", "learning_rate", "train_loss", "eval_loss", "eval_accuracy", "eval_mAP")


def command(output: Path, *more) -> list[str]:
    return [*COMMON, "--output_dir", str(output), *map(str, more)]


def curve(output: Path) -> list[dict]:
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    # Without the summary at the end of training.
    return [{k: entry[k] for k in CURVE if k in entry} for entry in log if "train_runtime" not in entry]


def assert_same_run(one: Path, two: Path) -> None:
    for first, second in zip(curve(one), curve(two), strict=True):
        assert first == pytest.approx(second, rel=1e-6)
    weights = [SSASTForPreTraining.from_pretrained(output).state_dict() for output in (one, two)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=0, msg=name)
    losses = [json.loads((output / "train_results.json").read_text())["train_loss"] for output in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def kill(line: list[str], output: Path, least: int) -> None:
    """Runs a command and kills it once it has written the checkpoint of step `least`, or a later one."""
    with open(output.with_suffix(".txt"), "ab") as log:
        process = subprocess.Popen([*ssast_command(), *line], stdout=log, stderr=log)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        found = newest_complete_checkpoint(output) if output.exists() else None
        if found is not None and int(found.name.split("-")[1]) >= least:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while time.monotonic() < deadline:  # the process itself may end a moment after the client of the fork server
        with contextlib.suppress(ValueError), open(output / "_lock", "a") as file:
            lock(file, "still running")
            break
        time.sleep(0.05)
    assert not (output / "model.safetensors").exists(), "the run ended before it could be killed"


def cut(whole: Path, output: Path, last: int) -> Path:
    """A run as it is when it is killed after the checkpoint of step `last`."""
    shutil.copytree(whole, output)
    for path in output.glob("checkpoint-*"):
        if int(path.name.split("-")[1]) > last:
            shutil.rmtree(path)
    (output / "model.safetensors").unlink()
    record = json.loads((output / "_run.json").read_text())
    (output / "_run.json").write_text(json.dumps({**record, "finished": False}))
    return output


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that was never interrupted."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    assert main(command(output)) == 0
    return output


def test_a_run_logs_what_it_saw_and_leaves_a_picture(whole):
    log = [entry for entry in curve(whole) if "loss" in entry]
    assert [entry["step"] for entry in log] == list(range(2, 13, 2))
    for entry in log:
        joint = entry["loss_discriminative"] + 10 * entry["loss_generative"]
        assert entry["loss"] == pytest.approx(joint, rel=1e-5)
        assert entry["grad_norm"] > 0
    state = json.loads((whole / "trainer_state.json").read_text())["log_history"]
    assert all(entry["clips_per_second"] > 0 for entry in state if "loss" in entry)
    # 24 crops of 27 to 48 frames.
    assert 24 * 27 <= log[-1]["hours_seen"] * 360000 <= 24 * 48
    assert (whole / "reconstruction.png").read_bytes()[:4] == b"\x89PNG"
    assert (whole / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((whole / "_run.json").read_text())["finished"] is True
    assert not (whole / "_skipped.jsonl").exists()


def test_killed_at_any_moment_the_same_command_ends_alike(whole, tmp_path):
    """SIGKILL twice, each time after a checkpoint was written."""
    output = tmp_path / "killed"
    for least in (3, 6):
        kill(command(output), output, least)
    assert main(command(output)) == 0
    assert_same_run(whole, output)
    assert all(damage_of(path) is None for path in output.glob("checkpoint-*"))
    assert not (output / "_unfinished").exists()


@pytest.fixture
def stopped(whole, tmp_path) -> Path:
    """A run that was killed after step 9, and has the checkpoint of that step only."""
    return cut(whole, tmp_path / "stopped", 9)


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_checkpoint_is_set_aside(tmp_path, damage, caplog):
    """With a warning; the one before it is found, and neither resuming nor rotation counts the damaged one."""
    for step in (9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(bytes(range(256)) * 10)
        write_checksums(folder)
    assert newest_complete_checkpoint(tmp_path) == folder
    path = folder / "optimizer.pt"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:1000])
    elif damage == "changed":
        path.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    else:
        path.unlink()
    assert newest_complete_checkpoint(tmp_path).name == "checkpoint-9"
    (tmp_path / "checkpoint-11").mkdir()  # as an interrupted writer would leave it
    assert newest_complete_checkpoint(tmp_path).name == "checkpoint-9"
    with caplog.at_level(logging.WARNING):
        set_damaged_aside(tmp_path)
    assert "Skipped the checkpoint" in caplog.text and "checkpoint-10.damaged" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-10.damaged", "checkpoint-11.damaged", "checkpoint-9",
    ]  # fmt: skip
    rotate_checkpoints(tmp_path, 1, None)
    assert (tmp_path / "checkpoint-9").is_dir() and (tmp_path / "checkpoint-10.damaged").is_dir()


def test_with_no_complete_checkpoint_a_run_begins_anew_and_ends_alike(whole, stopped, caplog):
    path = stopped / "checkpoint-9" / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert main(command(stopped)) == 0
    assert "Skipped the checkpoint" in caplog.text and "training starts over" in caplog.text
    assert_same_run(whole, stopped)


def test_ctrl_c_saves_a_checkpoint_from_which_the_command_resumes(whole, tmp_path):
    """The checkpoint is of the step in which Ctrl-C came; the resumed run ends as the one that was not interrupted."""
    output = tmp_path / "interrupted"
    with open(tmp_path / "log", "w") as log:
        line = [*ssast_command(), *command(output)]
        process = subprocess.Popen([*line, "--logging_steps", "1"], stdout=log, stderr=log)
        for _ in range(600):
            if ": loss " in (tmp_path / "log").read_text() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    text = (tmp_path / "log").read_text()
    if status == 0:
        pytest.skip("the run was faster than the signal")
    assert status == 130 and "is saved, from which the same command resumes" in text
    assert "Traceback" not in text and newest_complete_checkpoint(output) is not None
    assert main([*command(output), "--logging_steps", "1"]) == 0
    expected, found = (load_file(path / "model.safetensors") for path in (whole, output))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_model_that_torch_cannot_write_is_one_line(tmp_path, monkeypatch, capsys):
    """torch.save raises RuntimeErrors on a full disk, here of the arguments, after the model was written."""
    save = torch.save

    def fail(content, path, *args, **kwargs):
        if str(path).endswith("full/training_args.bin"):
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        return save(content, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fail)
    assert main(command(tmp_path / "full", "--max_steps", "1")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"ssast: error: The model cannot be written to {tmp_path}/full: [enforce fail")
    assert not json.loads((tmp_path / "full/_run.json").read_text())["finished"]


@pytest.mark.parametrize("content", ["", '{"train_loss": 1.', "[]"])
def test_results_that_a_full_disk_cut_off_do_not_stop_the_same_command(stopped, content):
    (stopped / "all_results.json").write_text(content)
    assert main(command(stopped)) == 0
    assert "train_loss" in json.loads((stopped / "all_results.json").read_text())


def test_a_full_disk_costs_a_checkpoint_but_not_the_run(whole, tmp_path, monkeypatch, caplog):
    """Writing the second checkpoint fails half-way; the first stays and training ends as it would have."""
    output = tmp_path / "full"
    save, calls = torch.save, []

    def fail(content, path, *args, **kwargs):
        if str(path).endswith("optimizer.pt"):
            calls.append(path)
            if len(calls) == 2:
                Path(path).write_bytes(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(content, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fail)
    with caplog.at_level(logging.WARNING):
        assert main(command(output, "--save_total_limit", "20")) == 0
    assert "checkpoint-6 could not be written" in caplog.text
    found = sorted(int(path.name.split("-")[1]) for path in output.glob("checkpoint-*"))
    assert found == [3, 9, 12]
    assert_same_run(whole, output)


def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_run_goes_on_later(whole, tmp_path, monkeypatch, capsys):
    save = modeling_utils.safe_save_file

    def fail(tensors, path, *args, **kwargs):
        if Path(path).parent.name == "late":
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        return save(tensors, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(modeling_utils, "safe_save_file", fail)
        assert main(command(tmp_path / "late")) == 2
    assert "ssast: error: The model cannot be written to" in capsys.readouterr().err
    assert main(command(tmp_path / "late")) == 0
    assert_same_run(whole, tmp_path / "late")


def test_what_lies_in_the_directory_decides(whole, stopped, tmp_path, capsys):
    def error(*arguments) -> str:
        assert main(list(map(str, arguments))) == 2
        return capsys.readouterr().err

    assert "holds this run, finished" in error(*command(whole))
    changed = error(*command(stopped, "--learning_rate", "1e-3"))
    assert "another run (--learning_rate was 1e-2)" in changed
    assert "--seed was not given" in error(*command(stopped, "--seed", "1"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    assert "is not empty and holds no run" in error(*command(other))
    (tmp_path / "sounds").mkdir()
    for path in list(SOUNDS.glob("*.flac"))[:5]:
        shutil.copy(path, tmp_path / "sounds")
    moved = [str(tmp_path / "sounds") if token == str(SOUNDS) else token for token in command(stopped)]
    record = json.loads((stopped / "_run.json").read_text())
    record["flags"]["data"] = [str(tmp_path / "sounds")]
    (stopped / "_run.json").write_text(json.dumps(record))
    assert "The clips are not those" in error(*moved)
    assert main(command(other, "--overwrite", "--max_steps", "1")) == 0
    assert (other / "precious.txt").read_text() == "mine"


def test_a_run_that_left_no_checkpoint_blocks_nothing(tmp_path, capsys):
    """Started on data without sound, and again on other data with other flags."""
    (tmp_path / "bad").mkdir()
    for index in range(3):
        (tmp_path / "bad" / f"{index}.wav").write_bytes(b"no sound")
    line = [str(tmp_path / "bad") if token == str(SOUNDS) else token for token in command(tmp_path / "out")]
    assert main(line) == 2
    assert "holds no sound to train on" in capsys.readouterr().err
    assert main(command(tmp_path / "out", "--max_steps", "1")) == 0
    assert not (tmp_path / "out" / "_skipped.jsonl").exists()


def test_two_processes_do_not_train_in_one_directory(tmp_path, capsys):
    pytest.importorskip("fcntl")
    output = tmp_path / "busy"
    output.mkdir()
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX)\n"
    code += "print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(output / "_lock")], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert main(command(output)) == 2
        holder.kill()
    assert "another process is training now" in capsys.readouterr().err


def test_flags_are_compared_as_they_count():
    assert flags_of(["--a-b", "1", "--c=x", "--d", "1", "2", "--d", "3", "--e"]) == {
        "a_b": ["1"], "c": ["x"], "d": ["3"], "e": []
    }  # fmt: skip


def test_ablations_are_flags_or_yaml(tmp_path):
    """Number masked, clusters, one objective, patches: what the saved model says, and what its loss is made of."""
    recipe = tmp_path / "ablation.yaml"
    recipe.write_text(
        f"data: [{SOUNDS}]\nsize: tiny\npatches: frame\nmax_length: 48\nconfig: {CONFIG}\nnum_mask_patches: 10\n"
        "mask_cluster_min: 1\nmask_cluster_max: 2\ndiscriminative_loss_weight: 0\nmax_steps: 2\nlogging_steps: 1\n"
        "per_device_train_batch_size: 4\nsave_strategy: 'no'\neval_strategy: 'no'\nreport_to: none\n"
        "features_on_device: true\n"
    )
    assert main(["pretrain", str(recipe), "--output_dir", str(tmp_path / "out"), "--max_steps", "1"]) == 0
    config = SSASTForPreTraining.from_pretrained(tmp_path / "out").config
    assert (config.frequency_patch_size, config.time_patch_size, config.num_mask_patches) == (128, 2, 10)
    assert (config.mask_cluster_min, config.mask_cluster_max) == (1, 2)
    (entry,) = [entry for entry in curve(tmp_path / "out") if "loss" in entry]
    assert entry["loss"] == pytest.approx(10 * entry["loss_generative"], rel=1e-6)


def test_the_plateau_schedule_warms_up_and_halves(tmp_path):
    """With a threshold that no accuracy can pass, each evaluation after the first halves the rate."""
    output = tmp_path / "plateau"
    more = ["--lr_scheduler_type", "reduce_lr_on_plateau", "--lr_scheduler_kwargs", '{"patience": 0, "threshold": 9}',
            "--warmup_steps", "4", "--eval_steps", "3", "--logging_steps", "1"]  # fmt: skip
    assert main(command(output, *more)) == 0
    rates = [entry["learning_rate"] for entry in curve(output) if "learning_rate" in entry]
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01, *[0.005] * 3, *[0.0025] * 3])


def test_the_schedule_of_a_recipe_can_be_another(tmp_path):
    """As recipes/pretrain/README.md has it for a laptop."""
    recipe = SOUNDS.parents[2] / "recipes/pretrain/tiny_patch.yaml"
    line = ["pretrain", str(recipe), *COMMON[1:], "--dataloader_num_workers", "0", "--warmup_steps", "2"]
    assert main([*line, "--lr_scheduler_type", "cosine", "--logging_steps", "1", "--output_dir", str(tmp_path)]) == 0
    rates = [entry["learning_rate"] for entry in curve(tmp_path) if "learning_rate" in entry]
    cosine = [0.01 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert rates == pytest.approx([0, 0.005, *cosine])


def test_packed_and_decoded(tmp_path, capsys):
    output = tmp_path / "packed"
    more = ["--pack", "--cache_audio", "--cache_dir", str(tmp_path / "decoded"), "--max_steps", "4"]
    assert main(command(output, *more)) == 0
    assert "crops for training" in capsys.readouterr().err
    log = [entry for entry in curve(output) if "loss" in entry]
    assert log[-1]["hours_seen"] == pytest.approx(8 * 48 / 360000)  # nothing is padding
    assert len(list((tmp_path / "decoded").iterdir())) == 1


def test_a_streaming_source_resumes_where_it_was(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)
    files = sorted(SOUNDS.glob("*.flac"))
    (tmp_path / "set").mkdir()
    audio = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
    datasets.Dataset.from_dict({"audio": audio}).to_parquet(tmp_path / "set" / "train.parquet")
    tail = [*COMMON[3:], "--validation_data", str(SOUNDS / "misc_crow.flac"), "--save_total_limit", "9"]
    line = ["pretrain", "--data", f"hf:{tmp_path}/set,streaming=true", *tail]
    for name in ("whole", "parts"):
        assert main([*line, "--output_dir", str(tmp_path / name)]) == 0
        if name == "parts":
            for step in (6, 9, 12):
                shutil.rmtree(tmp_path / "parts" / f"checkpoint-{step}")
            record = json.loads((tmp_path / "parts" / "_run.json").read_text())
            (tmp_path / "parts" / "_run.json").write_text(json.dumps({**record, "finished": False}))
            assert main([*line, "--output_dir", str(tmp_path / "parts")]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert main([*line, "--output_dir", str(tmp_path / "none"), "--max_steps", "-1"]) == 2


# Fine-tuning


@pytest.fixture(scope="module")
def tuning(tmp_path_factory) -> list[str]:
    return [*TUNING, *drums_and_others(tmp_path_factory.mktemp("tuning"), json.loads(CONFIG))]


@pytest.fixture(scope="module")
def tuned(tuning, tmp_path_factory) -> dict[str, Path]:
    """Runs that were never interrupted, with all their checkpoints."""
    folder = tmp_path_factory.mktemp("tuned")
    for name, flags in WAYS.items():
        assert main([*tuning, *flags, "--save_total_limit", "99", "--output_dir", str(folder / name)]) == 0
    return {name: folder / name for name in WAYS}


def steps_of(output: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in output.glob("checkpoint-*"))


def assert_tuned_alike(one: Path, two: Path) -> None:
    """Bit for bit: what was logged, the model, and how it was judged."""
    logs = [json.loads((output / "trainer_state.json").read_text())["log_history"] for output in (one, two)]
    first, second = ([{key: entry[key] for key in TUNED if key in entry} for entry in log] for log in logs)
    assert first == second
    weights = [SSASTForAudioClassification.from_pretrained(output).state_dict() for output in (one, two)]
    for name, value in weights[0].items():
        assert torch.equal(weights[1][name], value), name
    for name in ("eval_results.json", "trainer_state.json"):
        results = [json.loads((output / name).read_text()) for output in (one, two)]
        for key in ("eval_accuracy", "eval_mAP", "best_metric", "best_global_step", "global_step"):
            assert results[0].get(key) == results[1].get(key)


def test_a_fine_tuning_that_is_killed_ends_alike(tuning, tuned, tmp_path):
    """SIGKILL twice, with every augmentation, balanced sampling, step decay and averaged weights."""
    output = tmp_path / "killed"
    line = [*tuning, *WAYS["averaged"], "--output_dir", str(output)]
    for least in (3, 9):
        kill(line, output, least)
    assert main(line) == 0
    assert_tuned_alike(tuned["averaged"], output)
    assert all(damage_of(path) is None for path in output.glob("checkpoint-*"))
    assert json.loads((output / "_run.json").read_text())["finished"] is True


@pytest.mark.parametrize("way", WAYS)
def test_from_every_checkpoint_a_fine_tuning_ends_alike(tuning, tuned, tmp_path, way):
    """Within an epoch, at its end, and where nothing is left but to judge the model; in a folder that was moved."""
    steps = steps_of(tuned[way])
    assert {3, 6} <= set(steps) and (way == "stopped early") == (steps[-1] < 16)
    for last in steps:
        output = cut(tuned[way], tmp_path / str(last), last)
        assert main([*tuning, *WAYS[way], "--save_total_limit", "99", "--output_dir", str(output)]) == 0
        assert_tuned_alike(tuned[way], output)
        assert steps_of(output) == steps
        best = json.loads((output / "trainer_state.json").read_text())["best_model_checkpoint"]
        assert way != "stopped early" or Path(best).parent == output


def test_a_fine_tuning_passes_over_a_damaged_checkpoint(tuning, tuned, tmp_path, caplog):
    output = cut(tuned["averaged"], tmp_path / "o", 12)
    path = output / "checkpoint-12" / "average.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with caplog.at_level(logging.WARNING):
        assert main([*tuning, *WAYS["averaged"], "--output_dir", str(output)]) == 0
    assert "Skipped the checkpoint" in caplog.text and "average.safetensors is damaged" in caplog.text
    assert_tuned_alike(tuned["averaged"], output)


def test_what_lies_in_the_directory_of_a_fine_tuning_decides(tuning, tuned, tmp_path, capsys):
    def error(*arguments) -> str:
        assert main(list(map(str, arguments))) == 2
        return capsys.readouterr().err

    line = [*tuning, *WAYS["averaged"], "--output_dir"]
    assert "holds this run, finished" in error(*line, tuned["averaged"])
    output = cut(tuned["averaged"], tmp_path / "o", 9)
    assert "another run (--mixup was 0.5)" in error(*line, output, "--mixup", "0.4")
    assert "it was ssast finetune" in error(*command(output))
    manifest = Path(tuning[tuning.index("--data") + 1])
    relabelled = tmp_path / "clips.csv"
    relabelled.write_text(manifest.read_text().replace("misc_crow.flac,other,0.05", "misc_crow.flac,drum,0.05"))
    record = json.loads((output / "_run.json").read_text())
    (output / "_run.json").write_text(json.dumps({**record, "flags": {**record["flags"], "data": [str(relabelled)]}}))
    assert "The clips are not those" in error(*line, output, "--data", relabelled)
    assert "holds no state of the optimizer" in error(
        *line, output, "--data", manifest, "--save_only_model", "True", "--resume_from_checkpoint", "True"
    )
    judging = ["--data", manifest, "--model", tuned["averaged"], "--eval_only", "True", "--output_dir"]
    assert "is not empty" in error("finetune", *judging, tuned["averaged"])
    assert main([*line, str(output), "--overwrite", "--max_steps", "6"]) == 0
    assert steps_of(output) == [3, 6]
