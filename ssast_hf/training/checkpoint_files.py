# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint directories (`checkpoint-STEP`): checksums of their files, damaged ones, and which of them are kept."""

import json
import os
import re
import shutil
import zlib
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..utils.logs import get_logger

logger = get_logger(__name__)

CHECKSUMS = "contents.json"  # in a checkpoint: {file: [bytes, CRC-32]}
DAMAGED = ".damaged"
CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-\d+({re.escape(DAMAGED)}(-\d+)?)?")  # names, also of those aside
UNFINISHED = "_unfinished"  # folder of checkpoints that are being written or deleted
BLOCK_BYTES = 2**22
STATE = "trainer_state.json"
NONE = type(None)
NUMBER = (int, float, bool, NONE)  # types of logged values
LOGGED = ("step", "epoch", "loss", "grad_norm", "learning_rate")
KINDS: dict[str, tuple[type, ...]] = {  # of what is restored from a state
    "global_step": (int,), "max_steps": (int,), "num_train_epochs": (int, float), "epoch": (int, float, NONE),
    "best_metric": (int, float, NONE), "best_global_step": (int, NONE), "best_model_checkpoint": (str, NONE),
    "train_batch_size": (int, NONE), "log_history": (list,), "stateful_callbacks": (dict,),
}  # fmt: skip


def write_checksums(folder: Path) -> None:
    """Writes the size and checksum of every file of a checkpoint into it, and flushes all of them to the disk."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / CHECKSUMS:
            contents[path.relative_to(folder).as_posix()] = _size_and_checksum(path)
    (folder / CHECKSUMS).write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
    for path in [*(folder / name for name in contents), folder / CHECKSUMS]:
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _size_and_checksum(path: Path) -> list[int]:
    checksum = size = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            checksum, size = zlib.crc32(block, checksum), size + len(block)
    return [size, checksum]


def damage_of(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None if every file has the size and checksum it was written with."""
    try:
        contents = json.loads((checkpoint / CHECKSUMS).read_text(encoding="utf-8"))
        for name, expected in contents.items():
            if (checkpoint / name).is_symlink() or not (checkpoint / name).resolve().is_relative_to(
                checkpoint.resolve()
            ):
                return f"{name} lies outside of the checkpoint"
            found = _size_and_checksum(checkpoint / name)
            if found[0] != expected[0]:
                return f"{name} has {found[0]} bytes, expected {expected[0]}"
            if found != expected:
                return f"{name} is damaged"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, AttributeError, TypeError, LookupError, RecursionError) as error:
        return f"{CHECKSUMS} cannot be used ({error or type(error).__name__})"
    return state_damage_of(checkpoint)


def state_damage_of(checkpoint: Path) -> str | None:
    """What in a checkpoint's `trainer_state.json`, if there is one, no Trainer can have written; None if nothing."""
    path = checkpoint / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        for name, kinds in KINDS.items():
            if name in state and type(state[name]) not in kinds:
                return f"{STATE} has the {name} {str(state[name])[:60]!r}"
        step = checkpoint.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
        if step.isdecimal() and state["global_step"] != int(step):
            return f"{STATE} is of step {state['global_step']}"
        for entry in state["log_history"]:
            for name, value in entry.items():
                if type(value) not in (NUMBER if name in LOGGED or name.startswith("eval_") else (str, *NUMBER)):
                    return f"{STATE} has a log whose {name} is {str(value)[:60]!r}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError, LookupError, RecursionError) as error:
        return f"{STATE} cannot be used ({error or type(error).__name__})"
    return None


def checkpoints_of(output: Path) -> list[tuple[int, Path]]:
    """The checkpoints in an output directory and their steps, oldest first; not those set aside as damaged."""
    return sorted(
        (int(step), path)
        for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if path.is_dir() and (step := path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")).isdecimal()
    )


def newest_complete_checkpoint(output: Path) -> Path | None:
    """The newest checkpoint without damage; changes nothing."""
    return next((path for _, path in reversed(checkpoints_of(output)) if damage_of(path) is None), None)


def set_damaged_aside(output: Path) -> None:
    """
    Renames damaged checkpoints to `checkpoint-STEP.damaged`, with a warning each, so that neither resuming nor the
    limit of checkpoints to keep counts them.
    """
    found = checkpoints_of(output)
    damaged = [(path, damage) for _, path in found if (damage := damage_of(path)) is not None]
    for path, damage in damaged:
        aside = path.with_name(path.name + DAMAGED)
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}{DAMAGED}-{number}")
        os.rename(path, aside)
        logger.warning("Skipped the checkpoint %s: %s. It is now named %s.", path, damage, aside.name)
    if damaged and len(damaged) == len(found):
        logger.warning("%s holds no complete checkpoint: training starts over.", output)


def rotate_checkpoints(output: Path, limit: int | None, best: str | None) -> None:
    """
    Deletes the oldest checkpoints until `limit` are left (None or 0: no limit), but neither the newest nor the best.
    transformers' own function would count those set aside as damaged.
    """
    if not limit or limit < 0:
        return
    found = [path for _, path in checkpoints_of(output)]
    kept = {path for path in found if best is not None and path.name == Path(best).name} | set(found[-1:])
    surplus = len(found) - max(limit, len(kept))
    for path in [path for path in found if path not in kept][: max(0, surplus)]:
        delete_checkpoint(path)


def delete_checkpoint(path: Path) -> None:
    """Deletes a checkpoint so that a kill in between leaves no part of it under its name."""
    folder = path.parent / UNFINISHED
    try:
        folder.mkdir(exist_ok=True)
        os.rename(path, folder / f"deleted-{path.name}")
    except OSError as error:
        logger.warning("%s could not be deleted: %s", path, error)
    shutil.rmtree(folder, ignore_errors=True)
