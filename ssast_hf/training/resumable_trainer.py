# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The Trainer that both training commands build on: complete checkpoints, and runs that resume without a trace."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel, TrainerCallback, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .card import CardTrainer
from .checkpoint_files import rotate_checkpoints, write_checksums
from .run_directory import UNFINISHED

logger = logging.getLogger(__name__)

PROGRESS = "progress.json"  # in a checkpoint: what the Trainer itself does not save


class ResumableTrainer(CardTrainer):
    """
    A Trainer whose checkpoints are complete or absent: they are written under another name and renamed at the end. If
    one cannot be written, because the disk is full for example, training continues with a warning and the previous
    checkpoint is kept. A resumed run logs what the same run logs without the interruption. Ctrl-C saves a checkpoint
    after the current step and then raises `KeyboardInterrupt`; a second Ctrl-C stops at once.

    Attributes:
        unsaved_best (`list[int]`): Steps whose checkpoint was the best so far and could not be written.
    """

    staging = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.restored: dict = {}
        self.unsaved_best: list[int] = []
        self.best_before: tuple = (None, None, None)
        self.interrupted = False
        self.add_callback(SaveAfterEpoch())
        self.add_callback(RestoreLosses(self))
        self.add_callback(StopWhenInterrupted(self))

    def progress(self) -> dict:
        """What `progress.json` of a checkpoint holds, beside the Trainer's own state. Every process calls it."""
        return {
            "loss": self.accelerator.gather(self._tr_loss.detach().reshape(1)).tolist(),  # since the last log line
            "total_loss": self._total_loss_scalar,
            "logged": self._globalstep_last_logged,
        }

    def restore(self, checkpoint: str) -> dict:
        """Reads what [`progress`] saved in a checkpoint; an empty dictionary for a checkpoint of another Trainer."""
        path = Path(checkpoint, PROGRESS)
        self.restored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return self.restored

    def restore_losses(self) -> None:
        """Restores what the Trainer resets when training begins: running losses, and where the best checkpoint is."""
        losses = self.restored.get("loss", [])
        if len(losses) == self.args.world_size:
            self._tr_loss += losses[self.args.process_index]
            self._total_loss_scalar = self.restored["total_loss"]
            self._globalstep_last_logged = self.restored["logged"]
        # The directory may have been moved since the path was written.
        best = Path(self.args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}")
        if self.state.best_global_step and best.is_dir():
            self.state.best_model_checkpoint = str(best)

    def whole_model(self, cls: type[PreTrainedModel]) -> PreTrainedModel:
        """The trained model, saved before, for one process to run: with FSDP, each process has a part of it only."""
        if self.is_fsdp_enabled:
            return cls.from_pretrained(self.args.output_dir).to(self.args.device)
        return self.accelerator.unwrap_model(self.model)

    def is_complete(self) -> bool:
        """Whether a resumed run has no step left."""
        return self.state.global_step >= self.state.max_steps

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        if resume_from_checkpoint:
            self.restore(resume_from_checkpoint)
        with self._ctrl_c_after_the_step():
            result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        if self.interrupted and not self.is_complete():
            if self.is_world_process_zero():
                print(self._what_ctrl_c_left(), file=sys.stderr)
            raise KeyboardInterrupt
        return result

    def _what_ctrl_c_left(self) -> str:
        saved = Path(self.args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
        if saved.is_dir():
            return f"Interrupted: {saved} is saved, from which the same command resumes."
        return "Interrupted: no checkpoint was saved after the last step (see --save_strategy)."

    @contextlib.contextmanager
    def _ctrl_c_after_the_step(self) -> Iterator[None]:
        """The first Ctrl-C lets the current step finish; the second acts as ever."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def handle(number, frame) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _run_epoch(self, *args, **kwargs) -> None:
        if self.is_complete():  # the Trainer itself would take one more step
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "train_loss" in logs and "loss" in self.restored:  # the mean over all steps, also those before resuming
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

    def _determine_best_metric(self, metrics: dict[str, float], trial) -> bool:
        state = self.state
        self.best_before = state.best_metric, state.best_global_step, state.best_model_checkpoint
        return super()._determine_best_metric(metrics=metrics, trial=trial)

    def _save_checkpoint(self, model, trial) -> None:
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        output = Path(self._get_output_dir(trial))
        progress, best = self.progress(), self.state.best_model_checkpoint
        failure = self._write_unfinished(model, trial, output)
        if failure is None and self.state.best_model_checkpoint not in (None, best):
            self.state.best_model_checkpoint = str(output / name)
        if not self._failed_anywhere(failure):
            failure = self._complete(output, name, progress)
            if not self._failed_anywhere(failure):
                if self.args.push_to_hub:
                    self._push_from_checkpoint(str(output / name))
                if self.args.should_save:
                    rotate_checkpoints(output, self.args.save_total_limit, self.state.best_model_checkpoint)
                return
        self._continue_without(output, name, failure, best)

    def _write_unfinished(self, model, trial, output: Path) -> Exception | None:
        """Writes the checkpoint under another name; returns the reason why that failed."""
        if self.args.should_save:
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.staging = True
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            return error
        finally:
            self.staging = False
        return None

    def _complete(self, output: Path, name: str, progress: dict) -> Exception | None:
        """Adds progress and checksums to the checkpoint and gives it its name; returns the reason of a failure."""
        if not self.args.should_save:
            return None
        unfinished, final = output / UNFINISHED / name, output / name
        try:
            self.state.save_to_json(str(unfinished / "trainer_state.json"))
            (unfinished / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
            write_checksums(unfinished)
            if final.exists():  # of a run that resumed from an earlier checkpoint
                shutil.rmtree(final)
            os.replace(unfinished, final)
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        except OSError as error:
            return error
        return None

    def _failed_anywhere(self, failure: Exception | None) -> bool:
        flag = torch.tensor([float(failure is not None)], device=self.args.device)
        return bool(self.accelerator.reduce(flag, "sum").item())

    def _continue_without(self, output: Path, name: str, failure: Exception | None, best: str | None) -> None:
        """Training continues without a checkpoint; the best one is again the best that exists."""
        state = self.state
        state.best_model_checkpoint = best
        if state.best_global_step == state.global_step:
            state.best_metric, state.best_global_step, state.best_model_checkpoint = self.best_before
            self.unsaved_best.append(state.global_step)
        if self.args.should_save:
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        if failure is not None:
            logger.warning("%s could not be written (%s): training continues without it.", name, failure)


class RestoreLosses(TrainerCallback):
    """Restores a [`ResumableTrainer`]'s running losses after the Trainer has reset them."""

    def __init__(self, trainer: ResumableTrainer):
        self.trainer = trainer

    def on_train_begin(self, *args, **kwargs):
        self.trainer.restore_losses()


class StopWhenInterrupted(TrainerCallback):
    """After Ctrl-C: saves a checkpoint at the end of the step, and stops training."""

    def __init__(self, trainer: ResumableTrainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer.interrupted and state.global_step < state.max_steps:
            control.should_training_stop = True
            if str(getattr(args.save_strategy, "value", args.save_strategy)) != "no":
                control.should_save = True


class SaveAfterEpoch(TrainerCallback):
    """
    Saves the checkpoint of an epoch's or a run's last step after the evaluation that follows it: a run that resumes
    from it begins with the next epoch.
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


class SetEpoch(TrainerCallback):
    """Sets the epoch of samplers and datasets, also where a run resumes within one: accelerate does not do that."""

    def __init__(self, *parts):
        self.parts = parts

    def on_epoch_begin(self, args, state, control, **kwargs):
        for part in self.parts:
            part.set_epoch(int((state.epoch or 0) + 1e-6))


class PlateauWarmUp(TrainerCallback):
    """Linear warm-up for the plateau schedule, which has none of its own."""

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        steps = args.get_warmup_steps(state.max_steps)
        if optimizer is not None and state.global_step < steps:
            for group in optimizer.param_groups:
                group["lr"] = args.learning_rate * (state.global_step + 1) / steps
