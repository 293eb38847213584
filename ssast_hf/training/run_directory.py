# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The output directory of a training run: a record of the command, by which the same command resumes the run, and a lock
against a second process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import IO

import torch
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..utils.files import locked, replacing, target_of
from ..utils.text import print_error
from .checkpoint_files import (
    CHECKPOINT,
    CHECKSUMS,
    UNFINISHED,
    checkpoints_of,
    damage_of,
    delete_checkpoint,
    newest_complete_checkpoint,
    set_damaged_aside,
    state_damage_of,
)

# Names that begin with an underscore are not pushed to the Hub: these files hold paths of this machine.
RECORD, SKIPPED, LOCK = "_run.json", "_skipped.jsonl", "_lock"
FOLDS = "_folds"  # the directory of the folds' runs
RESULTS = "all_results.json"  # which the Trainer reads before it writes it
# What a run leaves beside its model. Of a run that is started over, none of it may stay: it would be taken for the new
# model's, by the model card too.
LEFT = re.compile(
    r"(all|train|eval|test|fold|folds)_results\.json|(eval|test|fold)_(per_class\.csv|confusion_matrix\.(csv|png)|"
    r"predictions\.csv)|folds\.csv|(curves|reconstruction)\.png|training\.json|trainer_state\.json"
)
RESUMES = (
    "After a crash, a kill or Ctrl-C, the same command resumes from the newest complete checkpoint and ends with the "
    "same model (--save_strategy steps --save_steps N saves more of them)."
)
# Flags that may differ when a run resumes: they change what is shown or kept, not what is trained.
FLAGS_THAT_MAY_CHANGE = {
    "output_dir", "overwrite", "resume_from_checkpoint", "report_to", "run_name", "project", "disable_tqdm",
    "log_level", "log_level_replica", "save_total_limit", "dataloader_num_workers", "dataloader_prefetch_factor",
    "dataloader_pin_memory", "dataloader_persistent_workers", "cache_audio", "cache_dir", "trackio_space_id",
    "push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_strategy", "hub_always_push", "hub_revision",
}  # fmt: skip
SECRET_NAMES = re.compile(r"(^|_)(token|key|secret|password)$")
SECRET_VALUES = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def flags_of(argv: list[str]) -> dict[str, list[str]]:
    """The flags of a command line (underscores, no `--`) and their values; of a repeated flag, the last."""
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


def recorded_flags(flags: dict[str, list[str]]) -> dict[str, list[str]]:
    """The flags that must stay the same for a run to resume, sorted, without anything like an access token."""
    return {
        name: [SECRET_VALUES.sub("***", value) for value in values]
        for name, values in sorted(flags.items())
        if name not in FLAGS_THAT_MAY_CHANGE and not SECRET_NAMES.search(name)
    }


class RunDirectory:
    """
    The output directory of a training run, with a record of the command in `_run.json`.

    Args:
        training (`TrainingArguments`): Gives the directory, and `overwrite` and `resume_from_checkpoint`.
        command (`str`): `"pretrain"` or `"finetune"`.
        flags (`dict[str, list[str]]`): The flags of the command line, from [`flags_of`].

    Attributes:
        checkpoint (`str`, *optional*): The checkpoint to resume from.
        main (`bool`): Whether this is the process that writes.

    Raises:
        ValueError: The directory holds something else, a run with other flags, or a finished one; another process
        trains in it; or the checkpoint of `--resume_from_checkpoint` is damaged.
    """

    def __init__(self, training, command: str, flags: dict[str, list[str]]):
        self.output = Path(training.output_dir)
        self.main = training.process_index == 0
        self.world_size = training.world_size
        self.record = {
            "command": command,
            "directory": os.getcwd(),  # in which relative paths of the flags are
            "processes": training.world_size,
            "flags": recorded_flags(flags),
            "data": None,
            "finished": False,
        }
        self.explicit = bool(training.resume_from_checkpoint)
        self.previous = None if training.overwrite else self._read_record()
        self.stale = training.overwrite
        if not training.overwrite and not self.explicit:
            self._check_resumable()
        if isinstance(training.resume_from_checkpoint, str):
            self._check_given(Path(training.resume_from_checkpoint))
        self._wait()  # every process has looked before one writes
        self.lock: IO | None = None
        if self.main:
            self._acquire_lock()
            self._remove_cut_off_results()
            if self.stale:
                self._remove_old_run(training.overwrite)
            elif self.explicit or self.previous is not None:
                shutil.rmtree(self.output / UNFINISHED, ignore_errors=True)
                set_damaged_aside(self.output)
                self._remove_after_unsaved()
        self._wait()
        self.checkpoint = self._checkpoint_to_resume_from(training)

    def _read_record(self) -> dict | None:
        path = self.output / RECORD
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            kinds = {name: type(record[name]) for name in ("command", "flags", "processes", "finished")}
            valid = kinds == {"command": str, "flags": dict, "processes": int, "finished": bool}
            unsaved = record.get("unsaved", [])
            valid &= isinstance(unsaved, list) and all(type(step) is int for step in unsaved)
        except (ValueError, TypeError, LookupError, RecursionError):
            valid = False
        if valid:
            return record
        if self.explicit:
            return None
        raise ValueError(
            f"{path} is damaged or not written by ssast: choose another --output_dir, give --overwrite to start over, "
            "or --resume_from_checkpoint True to resume from the newest checkpoint there"
        )

    def _check_resumable(self) -> None:
        """Raises ValueError unless the directory is empty or holds this run, unfinished."""
        if self.previous is None:
            if self.output.is_dir() and any(path.name != LOCK for path in self.output.iterdir()):
                raise ValueError(
                    f"--output_dir is {self.output}, which is not empty and holds no run of this command: choose "
                    "another, or give --overwrite"
                )
            return
        unfinished = not self.previous["finished"] and not any(self.output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
        if unfinished and not any(self.output.glob("*.safetensors")):
            self.previous, self.stale = None, True  # nothing to resume from, and nothing to lose
            return
        other = f"--output_dir is {self.output}, which holds "
        changes = [
            f"--{name} was {' '.join(map(str, old)) if old is not None else 'not given'}"
            for name in sorted(self.previous["flags"].keys() | self.record["flags"].keys())
            if (old := self.previous["flags"].get(name)) != self.record["flags"].get(name)
            and name not in FLAGS_THAT_MAY_CHANGE
        ]
        if self.previous["command"] != self.record["command"]:
            changes = [f"it was ssast {self.previous['command']}"]
        if not changes and self.previous["processes"] != self.record["processes"]:
            changes = [f"it ran in {self.previous['processes']} process(es), now {self.record['processes']}"]
        if changes:
            raise ValueError(
                f"{other}another run ({'; '.join(changes)}): repeat its command to resume it, choose another "
                "directory, or give --overwrite to start over"
            )
        if unfinished:  # its model is saved, not judged: the same command makes it again
            self.previous, self.stale = None, True
        elif self.previous["finished"]:
            raise ValueError(
                f"{other}this run, finished: choose another directory (and --model {self.output} to train on from "
                "it), or give --overwrite to start over"
            )

    def _acquire_lock(self) -> None:
        """Locks the directory until this process ends, however it ends."""
        target_of(self.output).mkdir(parents=True, exist_ok=True)
        busy = f"--output_dir is {self.output}, in which another process is training now."
        self.lock = locked(self.output / LOCK, busy)

    def _remove_old_run(self, overwrite: bool) -> None:
        """Removes what is left of a run that is overwritten: this run must not resume from its checkpoints."""
        folders = {UNFINISHED, FOLDS} if overwrite else {UNFINISHED}  # finished folds of this run are not repeated
        for path in self.output.iterdir():
            if path.name in folders or CHECKPOINT.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
            elif (path.name in (RECORD, SKIPPED) or LEFT.fullmatch(path.name)) and not path.is_dir():
                path.unlink()

    def _remove_after_unsaved(self) -> None:
        """Where a checkpoint could not be saved: removes those after it, so that training repeats its step."""
        unsaved = (self.previous or {}).get("unsaved", [])
        for step, path in checkpoints_of(self.output):
            if unsaved and step >= min(unsaved):
                delete_checkpoint(path)

    def _remove_cut_off_results(self) -> None:
        """Removes results that a full disk cut off, to which the Trainer would add those of this run."""
        path = self.output / RESULTS
        try:
            if path.is_file() and not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
                path.unlink()
        except ValueError:
            path.unlink()

    def _check_given(self, checkpoint: Path) -> None:
        """Raises ValueError if `--resume_from_checkpoint` names no checkpoint or a damaged one."""
        if not (checkpoint / "trainer_state.json").is_file():
            raise ValueError(f"--resume_from_checkpoint is {checkpoint}, which holds no checkpoint.")
        # Without checksums it is another Trainer's.
        damage = damage_of(checkpoint) if (checkpoint / CHECKSUMS).exists() else state_damage_of(checkpoint)
        if damage is not None:
            raise ValueError(f"--resume_from_checkpoint is {checkpoint}, which is damaged: {damage}.")

    def _checkpoint_to_resume_from(self, training) -> str | None:
        checkpoint = None
        if isinstance(training.resume_from_checkpoint, str):
            checkpoint = training.resume_from_checkpoint
        elif self.explicit or self.previous is not None:
            newest = newest_complete_checkpoint(self.output)
            checkpoint = None if newest is None else str(newest)
            if newest is None and self.explicit:
                raise ValueError(f"{self.output} holds no complete checkpoint to resume from.")
        if checkpoint and training.save_only_model:
            raise ValueError(
                f"--save_only_model is True, so that {checkpoint} holds no state of the optimizer to resume from: "
                "give --overwrite to start over"
            )
        return checkpoint

    def _wait(self) -> None:
        if self.world_size > 1 and torch.distributed.is_initialized():
            torch.distributed.barrier()

    def start(self, data: str) -> None:
        """
        Writes the record before the first step, and says which checkpoint the run resumes from.

        Args:
            data (`str`): A fingerprint of the clips.

        Raises:
            ValueError: The run that this one resumes had other clips.
        """
        if self.previous is not None and not self.explicit and self.previous.get("data") not in (None, data):
            raise ValueError(
                f"The clips are not those with which the run in {self.output} began: bring them back, choose another "
                "--output_dir, or give --overwrite to start over."
            )
        self.record["data"] = data
        self._write_record()
        if self.checkpoint and self.main:
            print_error(f"Resuming from {self.checkpoint}")

    def mark_finished(self) -> None:
        """Records that nothing is left to do, and releases the lock."""
        self.record["finished"] = True
        self._write_record()
        if self.lock is not None:
            self.lock.close()

    def mark_unsaved(self, steps: list[int]) -> None:
        """
        Records steps whose checkpoints could not be saved and would change the result: the same command repeats
        training from before the first of them. Releases the lock.
        """
        self.record["unsaved"] = sorted(steps)
        self._write_record()
        if self.lock is not None:
            self.lock.close()

    def _write_record(self) -> None:
        if self.main:
            with replacing(self.output / RECORD) as unfinished:
                unfinished.write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")
