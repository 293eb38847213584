# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Runs that survive being killed: a record of the command beside its checkpoints, by which the same command goes on where
the run was, and checkpoints that are complete or absent.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import zlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel, TrainerCallback, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from ..utils.files import replacing
from .card import CardTrainer

logger = logging.getLogger(__name__)

# Names that begin with an underscore are not pushed to the Hub: these hold paths of this machine.
RECORD, SKIPPED, UNFINISHED = "_run.json", "_skipped.jsonl", "_unfinished"
CONTENTS, PROGRESS = "contents.json", "progress.json"
RESUMES = (
    "The same command again, after a crash or a kill, goes on from the newest complete checkpoint "
    "(--save_strategy steps --save_steps N makes more of them) as if nothing had happened."
)
# Flags that may differ when a run goes on: they change what is shown or kept, not what is trained.
FREE = {
    "output_dir", "overwrite", "resume_from_checkpoint", "report_to", "run_name", "project", "disable_tqdm",
    "log_level", "log_level_replica", "save_total_limit", "dataloader_num_workers", "dataloader_prefetch_factor",
    "dataloader_pin_memory", "dataloader_persistent_workers", "cache_dir", "trackio_space_id",
    "push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_strategy", "hub_always_push", "hub_revision",
}  # fmt: skip


def flags_of(argv: list[str]) -> dict[str, list[str]]:
    """The flags of a command line and their values; of a repeated flag, the last."""
    flags: dict[str, list[str]] = {}
    name = None
    for token in argv:
        if token.startswith("--"):
            name, equals, value = token[2:].partition("=")
            name = name.replace("-", "_")
            flags[name] = [value] if equals else []
        elif name is not None:
            flags[name].append(token)
    return flags


class Run:
    """
    A training run in its output directory, recorded in `_run.json`.

    Args:
        training (`TrainingArguments`): Names the directory, and `overwrite` and `resume_from_checkpoint`.
        command (`str`): `"pretrain"` or `"finetune"`.
        flags (`dict[str, list[str]]`): What [`flags_of`] found on its command line.

    Raises:
        ValueError: The directory holds something else, a run of other flags, or a finished one; or another process is
        working in it.
    """

    def __init__(self, training, command: str, flags: dict[str, list[str]]):
        self.output = Path(training.output_dir)
        self.main = training.process_index == 0
        self.world_size = training.world_size
        self.record = {
            "command": command,
            "processes": training.world_size,
            "flags": {name: values for name, values in sorted(flags.items()) if name not in FREE},
            "data": None,
            "finished": False,
        }
        self.explicit = bool(training.resume_from_checkpoint)
        self.known = self._read()
        self.stale = training.overwrite
        if training.overwrite:
            self.known = None
        elif not self.explicit:
            self._check()
        self._wait()  # every process has looked before one writes
        self.lock = None
        if self.main:
            self._lock()
            if self.stale:
                self._clear()
        self._wait()
        self.checkpoint = None
        if isinstance(training.resume_from_checkpoint, str):
            self.checkpoint = training.resume_from_checkpoint
        elif self.explicit or self.known is not None:
            newest = newest_complete(self.output)
            self.checkpoint = None if newest is None else str(newest)
            if newest is None and self.explicit:
                raise ValueError(f"{self.output} holds no complete checkpoint to resume from.")
        if self.checkpoint and training.save_only_model:
            raise ValueError(
                f"--save_only_model is True, so that {self.checkpoint} holds no state of the optimizer to go on from: "
                "give --overwrite to start anew"
            )

    def _read(self) -> dict | None:
        path = self.output / RECORD
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            raise ValueError(f"{path} is damaged: choose another --output_dir, or give --overwrite.") from None

    def _check(self) -> None:
        """Whether what lies in the directory is this run, to be continued."""
        if self.known is None:
            if self.output.is_dir() and any(path.name != "_lock" for path in self.output.iterdir()):
                raise ValueError(
                    f"--output_dir is {self.output}, which is not empty and holds no run of this command: choose "
                    "another, or give --overwrite"
                )
            return
        if not self.known["finished"] and not any(self.output.glob(f"{PREFIX_CHECKPOINT_DIR}-*")):
            self.known, self.stale = None, True  # nothing to go on with, and nothing to lose
            return
        other = f"--output_dir is {self.output}, which holds "
        changes = [
            f"--{name} was {' '.join(old) if old is not None else 'not given'}"
            for name in sorted(self.known["flags"].keys() | self.record["flags"].keys())
            if (old := self.known["flags"].get(name)) != self.record["flags"].get(name)
        ]
        if self.known["command"] != self.record["command"]:
            changes = [f"it was ssast {self.known['command']}"]
        if not changes and self.known["processes"] != self.record["processes"]:
            changes = [f"it ran in {self.known['processes']} process(es), now {self.record['processes']}"]
        if changes:
            raise ValueError(
                f"{other}another run ({'; '.join(changes)}): repeat its command to go on with it, choose another "
                "directory, or give --overwrite to start anew"
            )
        if self.known["finished"]:
            raise ValueError(
                f"{other}this run, finished: choose another directory (and --model {self.output} to train on from "
                "it), or give --overwrite to start anew"
            )

    def _lock(self) -> None:
        """Holds the directory until this process ends, however it ends."""
        self.output.mkdir(parents=True, exist_ok=True)
        try:
            import fcntl
        except ImportError:  # Windows
            return
        self.lock = open(self.output / "_lock", "w")  # noqa: SIM115 held open
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--output_dir is {self.output}, in which another process is training now.") from None
        except OSError:  # a file system without locks
            pass

    def _clear(self) -> None:
        """Removes the run that is overwritten, whose checkpoints would be taken for the new one's."""
        for path in [*self.output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), self.output / UNFINISHED]:
            shutil.rmtree(path, ignore_errors=True)
        for name in (RECORD, SKIPPED):
            (self.output / name).unlink(missing_ok=True)

    def _wait(self) -> None:
        if self.world_size > 1 and torch.distributed.is_initialized():
            torch.distributed.barrier()

    def start(self, data: str) -> None:
        """
        Records the run before its first step, and says from where it goes on.

        Args:
            data (`str`): A fingerprint of the clips.

        Raises:
            ValueError: The run that this one continues had other clips.
        """
        if self.known is not None and not self.explicit and self.known["data"] not in (None, data):
            raise ValueError(
                f"The clips are not those with which the run in {self.output} began: bring them back, choose another "
                "--output_dir, or give --overwrite to start anew."
            )
        self.record["data"] = data
        self._write()
        if self.checkpoint and self.main:
            print(f"Going on from {self.checkpoint}", file=sys.stderr)

    def finish(self) -> None:
        """Records that there is nothing left to do, and lets go of the directory."""
        self.record["finished"] = True
        self._write()
        if self.lock is not None:
            self.lock.close()

    def _write(self) -> None:
        if self.main:
            with replacing(self.output / RECORD) as unfinished:
                unfinished.write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")


def seal(folder: Path) -> None:
    """Writes the size and checksum of every file of a checkpoint into it, and everything to the disk."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            contents[path.relative_to(folder).as_posix()] = _size_and_checksum(path)
    (folder / CONTENTS).write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
    for path in [*(folder / name for name in contents), folder / CONTENTS]:
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _size_and_checksum(path: Path) -> list[int]:
    checksum = size = 0
    with open(path, "rb") as file:
        while block := file.read(2**22):
            checksum, size = zlib.crc32(block, checksum), size + len(block)
    return [size, checksum]


def flaw_of(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None if it is complete."""
    try:
        contents = json.loads((checkpoint / CONTENTS).read_text(encoding="utf-8"))
        for name, expected in contents.items():
            found = _size_and_checksum(checkpoint / name)
            if found[0] != expected[0]:
                return f"{name} has {found[0]} bytes, expected {expected[0]}"
            if found != expected:
                return f"{name} is damaged"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return None


def newest_complete(output: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones are warned of."""
    found = [
        (int(path.name.rpartition("-")[2]), path)
        for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if path.is_dir() and path.name.rpartition("-")[2].isdigit()
    ]
    for _, path in sorted(found, reverse=True):
        flaw = flaw_of(path)
        if flaw is None:
            return path
        logger.warning("Passed over the checkpoint %s: %s. The one before it is used.", path, flaw)
    return None


class ResumableTrainer(CardTrainer):
    """
    Writes checkpoints under another name and renames them when they are complete. One that cannot be written, for a
    full disk say, is a warning: training goes on, and the checkpoint before it stays. A run that goes on from one logs
    what it would have logged without the interruption.
    """

    staging = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.restored: dict = {}
        self.add_callback(SaveAfterEpoch())
        self.add_callback(TakeUp(self))

    def progress(self) -> dict:
        """What is to be found again in `progress.json`; called on every process."""
        return {
            "loss": self.accelerator.gather(self._tr_loss.detach().reshape(1)).tolist(),  # since the last log line
            "total_loss": self._total_loss_scalar,
            "logged": self._globalstep_last_logged,
        }

    def restore(self, checkpoint: str) -> dict:
        """Takes up what [`progress`] left in a checkpoint, and returns it; nothing, if another Trainer wrote it."""
        path = Path(checkpoint, PROGRESS)
        self.restored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return self.restored

    def take_up(self) -> None:
        """Likewise, of what the Trainer sets anew when it begins."""
        losses = self.restored.get("loss", [])
        if len(losses) == self.args.world_size:
            self._tr_loss += losses[self.args.process_index]
            self._total_loss_scalar = self.restored["total_loss"]
            self._globalstep_last_logged = self.restored["logged"]
        # The directory may have been moved, or be named from elsewhere, since the path was written.
        best = Path(self.args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}")
        if self.state.best_global_step and best.is_dir():
            self.state.best_model_checkpoint = str(best)

    def whole_model(self, cls: type[PreTrainedModel]) -> PreTrainedModel:
        """The trained model, saved before, for a single process to run: FSDP's has its weights on all of them."""
        if self.is_fsdp_enabled:
            return cls.from_pretrained(self.args.output_dir).to(self.args.device)
        return self.accelerator.unwrap_model(self.model)

    def over(self) -> bool:
        """Whether a run that goes on has no step left."""
        return self.state.global_step >= self.state.max_steps

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        if resume_from_checkpoint:
            self.restore(resume_from_checkpoint)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _run_epoch(self, *args, **kwargs) -> None:
        if self.over():  # the Trainer itself would take one more step
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "train_loss" in logs and "loss" in self.restored:  # the mean of all steps, not of those since
            logs["train_loss"] = self._total_loss_scalar / max(1, self.state.global_step)
        super().log(logs, *args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False):
        try:
            super().save_model(output_dir, _internal_call)
        except SafetensorError as error:  # a full disk
            raise OSError(f"The model cannot be written to {output_dir or self.args.output_dir}: {error}") from error

    def _get_output_dir(self, trial) -> str:
        output = super()._get_output_dir(trial)
        return os.path.join(output, UNFINISHED) if self.staging else output

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if not self.staging:
            super()._push_from_checkpoint(checkpoint_folder)

    def _save_checkpoint(self, model, trial) -> None:
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        output = Path(self._get_output_dir(trial))
        unfinished, final = output / UNFINISHED / name, output / name
        progress, best, failure = self.progress(), self.state.best_model_checkpoint, None
        if self.args.should_save:
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.staging = True
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            failure = error
        finally:
            self.staging = False
        if failure is None and self.state.best_model_checkpoint not in (None, best):
            self.state.best_model_checkpoint = str(final)
        if self._failed_anywhere(failure):
            return self._give_up(output, name, failure, best)
        if self.args.should_save:
            try:
                self.state.save_to_json(str(unfinished / "trainer_state.json"))
                (unfinished / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
                seal(unfinished)
                if final.exists():  # of a run that resumed from one before it
                    shutil.rmtree(final)
                os.replace(unfinished, final)
                shutil.rmtree(output / UNFINISHED, ignore_errors=True)
            except OSError as error:
                failure = error
        if self._failed_anywhere(failure):
            return self._give_up(output, name, failure, best)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(final))
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=str(output),
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
            )

    def _failed_anywhere(self, failure: Exception | None) -> bool:
        flag = torch.tensor([float(failure is not None)], device=self.args.device)
        return bool(self.accelerator.reduce(flag, "sum").item())

    def _give_up(self, output: Path, name: str, failure: Exception | None, best: str | None) -> None:
        self.state.best_model_checkpoint = best
        if self.args.should_save:
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        if failure is not None:
            logger.warning("%s could not be written (%s): training goes on without it.", name, failure)


class TakeUp(TrainerCallback):
    """Lets a [`ResumableTrainer`] take up its losses once it has begun."""

    def __init__(self, trainer: ResumableTrainer):
        self.trainer = trainer

    def on_train_begin(self, *args, **kwargs):
        self.trainer.take_up()


class SaveAfterEpoch(TrainerCallback):
    """
    Lets the checkpoint of an epoch's last step, or the run's, wait for what the epoch's end brings, such as an
    evaluation: a run that goes on from it begins with the next epoch.
    """

    due = False

    def on_step_end(self, args, state, control, **kwargs):
        if control.should_save and (ends_epoch(state) or control.should_training_stop):
            self.due, control.should_save = True, False

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.due:
            self.due, control.should_save = False, True


def ends_epoch(state: TrainerState) -> bool:
    """Whether the step just taken was the last of an epoch."""
    return float(state.epoch).is_integer()


class TellEpoch(TrainerCallback):
    """Tells samplers and clips the epoch, also where a run goes on within one, of which accelerate does not tell."""

    def __init__(self, *parts):
        self.parts = parts

    def on_epoch_begin(self, args, state, control, **kwargs):
        for part in self.parts:
            part.set_epoch(int((state.epoch or 0) + 1e-6))


class WarmUp(TrainerCallback):
    """Linear warm-up for the plateau schedule, which has none of its own."""

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        steps = args.get_warmup_steps(state.max_steps)
        if optimizer is not None and state.global_step < steps:
            for group in optimizer.param_groups:
                group["lr"] = args.learning_rate * (state.global_step + 1) / steps
