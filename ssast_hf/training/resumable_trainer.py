# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The Trainer of both training commands: it resumes from a checkpoint as if it had never been interrupted."""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PreTrainedModel, TrainerCallback, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy, seed_worker

from ..utils.logs import get_logger
from ..utils.processes import end_with_parent
from ..utils.text import print_error
from .card import CardTrainer
from .checkpoint_files import UNFINISHED, rotate_checkpoints, write_checksums
from .log_lines import print_lines

logger = get_logger(__name__)

# In the messages of `torch.save`, which raises RuntimeErrors where it cannot write.
FAILED_WRITES = ("inline_container", "iostream", "PytorchStreamWriter")
PROGRESS = "progress.json"  # in a checkpoint: what `ResumableTrainer.progress` returned


class ResumableTrainer(CardTrainer):
    """
    A Trainer for runs that are interrupted.

    - Checkpoints are written under another name and renamed when they are complete. One that cannot be written, to a
      full disk for instance, is a warning: training continues and the older checkpoints stay.
    - A resumed run logs what it would have logged without the interruption.
    - Ctrl-C saves a checkpoint after the current step and then raises `KeyboardInterrupt`; a second Ctrl-C does so at
      once.

    Attributes:
        unsaved (`dict[int, str]`): Steps whose checkpoint could not be written, and why.
        lost_metrics (`dict[int, float]`): The metric of those that would have been the best checkpoint.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.restored: dict = {}  # what a checkpoint's progress.json holds
        self.unsaved: dict[int, str] = {}
        self.lost_metrics: dict[int, float] = {}
        self.saved_best: tuple = (None, None, None)  # metric, step and path of the best checkpoint on the disk
        self.loss_sum: Any = None  # a tensor: of this process, since the last log line
        self.total_loss = 0.0  # of all processes, of the steps before that
        self.last_logged_step = 0
        self.interrupted = self.stepped = False
        print_lines(self)
        for callback in (DeferSaveToEpochEnd(), RestoreProgress(self), StopAfterInterrupt(self)):
            self.add_callback(callback)

    # What a checkpoint holds beside the Trainer's own state

    def progress(self) -> dict:
        """What is written to `progress.json` of a checkpoint; called on every process."""
        return {
            "loss": self.accelerator.gather(self._loss_so_far().reshape(1)).tolist(),
            "total_loss": self.total_loss,
            "logged": self.last_logged_step,
            "lost_metrics": self.lost_metrics,
        }

    def restore(self, checkpoint: str) -> dict:
        """Restores what [`progress`] returned, and returns it; `{}` for a checkpoint that another Trainer wrote."""
        path = Path(checkpoint, PROGRESS)
        self.restored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.lost_metrics = {int(step): value for step, value in self.restored.get("lost_metrics", {}).items()}
        return self.restored

    def restore_at_start(self) -> None:
        """Restores what the Trainer resets when training begins."""
        self.loss_sum, self.total_loss = torch.tensor(0.0, device=self.args.device), 0.0
        self.last_logged_step = self.state.global_step
        losses = self.restored.get("loss", [])
        if len(losses) == self.args.world_size:
            self.loss_sum += losses[self.args.process_index]
            self.total_loss = self.restored["total_loss"]
            self.last_logged_step = self.restored["logged"]
        if self.state.best_global_step:  # the directory may have been moved since the path was written
            best = Path(self.args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}")
            if best.is_dir():
                self.state.best_model_checkpoint = str(best)
            else:  # set aside as damaged: the next checkpoint is the best so far
                self.state.best_metric = self.state.best_global_step = self.state.best_model_checkpoint = None
        self.saved_best = self._best()

    def is_complete(self) -> bool:
        """Whether a resumed run has no step left."""
        return self.state.global_step >= self.state.max_steps

    def best_checkpoint_lost(self) -> bool:
        """Whether a checkpoint that could not be saved was better than the best of those that were."""
        best, higher = self.state.best_metric, self.args.greater_is_better
        return bool(self.args.load_best_model_at_end) and any(
            best is None or (metric > best if higher else metric < best) for metric in self.lost_metrics.values()
        )

    def report_unsaved(self) -> None:
        """Says which checkpoints could not be written."""
        for step, reason in self.unsaved.items():
            print_error(f"checkpoint-{step} could not be saved: {reason}")

    def whole_model(self, cls: type[PreTrainedModel]) -> PreTrainedModel:
        """The trained and saved model, for a single process to run: with FSDP, its weights are read from the disk."""
        if self.is_fsdp_enabled:
            return cls.from_pretrained(self.args.output_dir).to(self.args.device)
        return self.accelerator.unwrap_model(self.model)

    # Training

    def make_dataloader(
        self, dataset: Dataset, batch_size: int, sampler: Sampler | None, training: bool = False
    ) -> DataLoader:
        """A loader as the Trainer makes them, with a sampler of our own."""
        args = self.args
        seed = partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index)
        loader = DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            in_order=args.dataloader_in_order,
            drop_last=args.dataloader_drop_last,
            worker_init_fn=partial(_start_worker, seed=seed if training else None),
        )
        return self.accelerator.prepare(loader)

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        """
        As the Trainer's.

        Raises:
            ValueError: The checkpoint cannot be restored.
            KeyboardInterrupt: After Ctrl-C; a message on standard error names the checkpoint.
        """
        try:
            with self._catch_interrupt():
                if resume_from_checkpoint:
                    self.restore(resume_from_checkpoint)
                result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
            if self.interrupted:  # after the last step
                raise KeyboardInterrupt
            return result
        except (OSError, ValueError):
            raise
        except Exception as error:
            if resume_from_checkpoint and not self.stepped:
                raise ValueError(
                    f"The checkpoint {resume_from_checkpoint} cannot be restored: {type(error).__name__}: {error}"
                ) from error
            raise

    def training_step(self, *args, **kwargs) -> torch.Tensor:
        self.stepped = True
        loss = super().training_step(*args, **kwargs)
        if self.args.logging_nan_inf_filter and not torch.isfinite(loss):  # as the Trainer does: the mean so far
            self.loss_sum += self.loss_sum / (1 + self.state.global_step - self.last_logged_step)
        else:
            self.loss_sum += loss
        return loss

    def _loss_so_far(self) -> torch.Tensor:
        return torch.tensor(0.0, device=self.args.device) if self.loss_sum is None else self.loss_sum.detach()

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        self.complete_logs(logs)
        super().log(logs, *args, **kwargs)

    def complete_logs(self, logs: dict[str, float]) -> None:
        """Replaces the losses in what is logged, or adds to it, in place; called on every process."""
        if "loss" in logs or "train_loss" in logs:
            loss = self.accelerator.gather(self._loss_so_far().reshape(1)).mean().item()
            if "loss" in logs:  # also of the steps between the last log line and an interruption
                logs["loss"] = loss / (self.state.global_step - self.last_logged_step)
                self.total_loss += loss
                self.last_logged_step = self.state.global_step
                self.loss_sum.zero_()
            else:  # the mean of all steps, not of those since an interruption
                logs["train_loss"] = (self.total_loss + loss) / max(1, self.state.global_step)

    def _run_epoch(self, *args, **kwargs) -> None:
        if self.is_complete():  # the Trainer itself would take one more step
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    @contextlib.contextmanager
    def _catch_interrupt(self) -> Iterator[None]:
        """Ctrl-C sets a flag for [`StopAfterInterrupt`]. Data workers that are forked inherit this and stay alive."""
        several = self.args.world_size > 1  # whose processes would stop after different steps
        if several or self.args.save_only_model or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.default_int_handler:  # ignored, or handled by someone else
            yield
            return
        process = os.getpid()

        def interrupt(number, frame):
            if os.getpid() != process:  # a data worker
                return
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            print("\nInterrupted: a checkpoint is saved after this step. Ctrl-C again stops at once.", file=sys.stderr)

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    # Saving

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False):
        try:
            super().save_model(output_dir, _internal_call)
        except (SafetensorError, RuntimeError) as error:  # a full disk
            if isinstance(error, RuntimeError) and not any(part in str(error) for part in FAILED_WRITES):
                raise
            raise OSError(f"The model cannot be written to {output_dir or self.args.output_dir}: {error}") from error

    def _save_checkpoint(self, model, trial) -> None:
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        output = Path(self.args.output_dir)
        unfinished, final = output / UNFINISHED / name, output / name
        progress, best_before = self.progress(), self.state.best_model_checkpoint
        if self.args.should_save:
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        failure = self._write_checkpoint(output / UNFINISHED, model, trial)
        if failure is None and self.state.best_model_checkpoint not in (None, best_before):
            self.state.best_model_checkpoint = str(final)
        if not self._failed_anywhere(failure) and self.args.should_save:
            try:
                self.state.save_to_json(str(unfinished / "trainer_state.json"))
                (unfinished / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
                write_checksums(unfinished)
                if final.exists():  # of a run that resumed from a checkpoint before it
                    shutil.rmtree(final)
                os.replace(unfinished, final)
            except OSError as error:
                failure = error
        if self.args.should_save:
            shutil.rmtree(output / UNFINISHED, ignore_errors=True)
        if self._failed_anywhere(failure):
            return self._report_unsaved(name, failure)
        self.saved_best = self._best()
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(final))
        if self.args.should_save:
            rotate_checkpoints(output, self.args.save_total_limit, self.state.best_model_checkpoint)

    def _write_checkpoint(self, folder: Path, model, trial) -> Exception | None:
        """Lets the Trainer write a checkpoint into `folder` and push nothing; returns why it could not."""
        output, push = self.args.output_dir, self.args.push_to_hub
        self.args.output_dir, self.args.push_to_hub = str(folder), False
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            return error
        finally:
            self.args.output_dir, self.args.push_to_hub = output, push
        return None

    def _failed_anywhere(self, failure: Exception | None) -> bool:
        flag = torch.tensor([float(failure is not None)], device=self.args.device)
        return bool(self.accelerator.reduce(flag, "sum").item())

    def _best(self) -> tuple:
        return self.state.best_metric, self.state.best_global_step, self.state.best_model_checkpoint

    def _report_unsaved(self, name: str, failure: Exception | None) -> None:
        """Without a checkpoint, the best so far is that of the best checkpoint on the disk."""
        step = self.state.global_step
        self.unsaved[step] = str(failure or "another process could not write its part")
        if self.state.best_global_step == step:
            self.lost_metrics[step] = self.state.best_metric
            self.state.best_metric, self.state.best_global_step, self.state.best_model_checkpoint = self.saved_best
        if failure is not None:
            logger.warning("%s could not be written (%s): training continues without it.", name, failure)


def _start_worker(worker: int, seed: Callable[[int], None] | None) -> None:
    end_with_parent()
    if seed is not None:
        seed(worker)


class RestoreProgress(TrainerCallback):
    """Calls [`ResumableTrainer.restore_at_start`] once training has begun."""

    def __init__(self, trainer: ResumableTrainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.restore_at_start()


class DeferSaveToEpochEnd(TrainerCallback):
    """
    Saves the checkpoint of an epoch's last step, or the run's, after what happens at the end of the epoch, such as an
    evaluation: a run that resumes from that checkpoint begins with the next epoch.
    """

    due = False

    def on_step_end(self, args, state, control, **kwargs):
        if control.should_save and (ends_epoch(state) or control.should_training_stop):
            self.due, control.should_save = True, False

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.due:
            self.due, control.should_save = False, True


class PreferLaterCheckpoint(TrainerCallback):
    """
    Of two checkpoints with the same metric, the later is the best: with few clips for validation many are equal, the
    first of them after hardly any training.
    """

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        name = f"eval_{(args.metric_for_best_model or '').removeprefix('eval_')}"
        saved = args.save_strategy in (SaveStrategy.STEPS, SaveStrategy.EPOCH)
        if saved and name in metrics and metrics[name] == state.best_metric:
            state.best_global_step = state.global_step


class StopAfterInterrupt(TrainerCallback):
    """After Ctrl-C: saves a checkpoint, says which, and raises `KeyboardInterrupt`."""

    def __init__(self, trainer: ResumableTrainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer.interrupted and not ends_epoch(state) and not control.should_training_stop:
            control.should_save = True

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.trainer.interrupted:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        if not self.trainer.interrupted:
            return
        checkpoint = Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        if state.global_step in self.trainer.unsaved:
            print_error(f"{checkpoint.name} could not be saved: {self.trainer.unsaved[state.global_step]}")
        else:
            print_error(f"Interrupted: {checkpoint} is saved, from which the same command resumes.")
        raise KeyboardInterrupt


class PlateauWarmUp(TrainerCallback):
    """Linear warm-up for the plateau schedule, which has none of its own."""

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        steps = args.get_warmup_steps(state.max_steps)
        if optimizer is not None and state.global_step < steps:
            for group in optimizer.param_groups:
                group["lr"] = args.learning_rate * (state.global_step + 1) / steps


class SetEpoch(TrainerCallback):
    """Tells samplers and datasets the epoch, also where a run resumes within one, of which accelerate does not."""

    def __init__(self, *parts):
        self.parts = parts

    def on_epoch_begin(self, args, state, control, **kwargs):
        for part in self.parts:
            part.set_epoch(int((state.epoch or 0) + 1e-6))


def ends_epoch(state: TrainerState) -> bool:
    """Whether the step just taken was the last of an epoch."""
    return float(state.epoch).is_integer()
