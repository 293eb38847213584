# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`ssast` commands in forks of one process that has imported everything: a command begins in milliseconds instead of
seconds, so that thousands of runs are affordable. For the campaigns of `benchmarks/robustness.py`; needs Linux.
"""

import gc
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TRACEBACK = "Traceback (most recent call last)"
CRASHED = 70  # exit status of a child that ended with an exception which the command line does not expect
POLL_SECONDS = 0.005
MODULES = (
    "soundfile", "ssast_hf.cli.main", "ssast_hf.checkpoints.loading", "ssast_hf.inference.collections",
    "ssast_hf.inference.classify", "ssast_hf.training.pretrain", "ssast_hf.training.finetune",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin",
)  # fmt: skip


def import_all() -> None:
    """Imports what the commands need. Nothing is computed, so that no thread runs which a fork would lose."""
    for name in MODULES:
        importlib.import_module(name)
    import torch
    from transformers import conversion_mapping

    torch.set_num_threads(1)
    conversion_mapping.get_checkpoint_conversion_mapping("audio-spectrogram-transformer")  # compiled once
    gc.freeze()  # else the forks copy every page that their garbage collector looks at


@dataclass
class Outcome:
    """
    How a command ended.

    Attributes:
        status (`int`): Exit status; -N if signal N ended it.
        out (`str`), err (`str`): What it wrote.
        seconds (`float`): How long it ran.
        late (`bool`): Whether it was killed because it took too long.
    """

    status: int
    out: str
    err: str
    seconds: float
    late: bool = False

    def fault(self) -> str | None:
        """What is wrong with a command that may fail, but only in one sentence; None if nothing is."""
        if self.late:
            return "no end"
        if TRACEBACK in self.err or self.status == CRASHED:
            return "traceback"
        if self.status < 0:
            return f"signal {-self.status}"
        if self.status == 2 and not self.err.strip():
            return "no message"
        return None


@dataclass
class Running:
    """A command in a fork, the leader of a new session: `group` is the id of its process group."""

    group: int
    folder: Path
    begun: float = field(default_factory=time.monotonic)
    status: int | None = None

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.status is None:
            pid, status = os.waitpid(self.group, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self, seconds: float) -> Outcome:
        """Waits for its end, at most so long; then kills it and its children."""
        while self.poll() is None and time.monotonic() - self.begun < seconds:
            time.sleep(POLL_SECONDS)
        late = self.status is None
        if late:
            os.killpg(self.group, signal.SIGKILL)
            _, status = os.waitpid(self.group, 0)
            self.status = os.waitstatus_to_exitcode(status)
        text = {name: (self.folder / name).read_text("utf-8", "replace") for name in ("out", "err")}
        return Outcome(self.status or 0, text["out"], text["err"], time.monotonic() - self.begun, late)


def start(
    command: Callable[[], int],
    folder: Path,
    stdin: bytes | None = None,
    file_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> Running:
    """
    Runs a function in a fork.

    Args:
        command (`Callable`): Returns the exit status.
        folder (`Path`): The standard streams go to files here, and the fork works in this directory.
        stdin (`bytes`, *optional*): What comes through a pipe on standard input; default: nothing.
        file_bytes (`int`, *optional*): The longest file it may write: longer ones fail, as on a full disk.
        memory_bytes (`int`, *optional*): The address space it may use.
    """
    pid = os.fork()
    if pid:
        return Running(pid, folder)
    status = CRASHED
    try:
        os.setsid()
        os.chdir(folder)
        _redirect(folder, stdin)
        if memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        if file_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does: a write fails instead
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        status = command()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _redirect(folder: Path, stdin: bytes | None) -> None:
    read, write = os.pipe()
    if stdin and os.fork() == 0:  # whoever writes into the pipe
        os.close(read)
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(stdin)
        except OSError:
            pass
        finally:
            os._exit(0)
    os.close(write)
    os.dup2(read, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def ssast(*arguments) -> Callable[[], int]:
    """The `ssast` command of these arguments, for [`start`]."""

    def command() -> int:
        from ssast_hf.cli import main

        return main([str(argument) for argument in arguments])

    return command
