# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What all commands say on the terminal: errors in one line, progress, the number of files that failed."""

import codecs
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ..utils.logs import without_bars
from ..utils.parser import EXIT_WRONG
from ..utils.progress import Progress
from ..utils.text import first_sentence, printable, reason_of

EXIT_PARTLY, EXIT_INTERRUPTED = 1, 130  # some files failed; Ctrl-C
NOT_ON_DEVICES = {"torch", "transformers", "safetensors", "huggingface_hub"}  # see device/
LOG_SECONDS = 60  # from one line about progress to the next, where standard error is no terminal
# Threads of OpenMP that wait for work give up their core after this many rounds, about 20 us (GNU), or milliseconds
# (Intel, LLVM): beside other busy processes, waiting longer makes every operation slower by an order of magnitude.
WAITING = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}


def prepare() -> None:
    """Before anything slow is imported: how OpenMP waits, no progress bars in logs, and any text on the terminal."""
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
    if not is_terminal(sys.stderr):
        without_bars()
    codecs.register_error("ssast", _encode_anyway)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="ssast")


def guarded(command: Callable[..., int], *arguments) -> int:
    """Runs a command; returns its exit status. Errors that a user can cause become one line on standard error."""
    try:
        if sys.stdout is None:
            raise ValueError("standard output is closed")
        return command(*arguments)
    except BrokenPipeError:  # `ssast classify ... | head`
        _abandon_standard_output()
        return EXIT_PARTLY
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in NOT_ON_DEVICES or os.environ.get("SSAST_DEBUG"):
            raise
        say(
            f"error: this needs {error.name}, which is not installed: pip install ssast_hf; without it, `ssast "
            "classify --model X.onnx` runs what `ssast export` wrote"
        )
        return EXIT_WRONG
    except (ValueError, OSError) as error:
        if os.environ.get("SSAST_DEBUG"):
            raise
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:  # a full disk under a redirected standard output: Python would try again when it exits
            _abandon_standard_output()
        say(f"error: {first_sentence(error)}")
        return EXIT_WRONG


def say(message: str) -> None:
    """A line on standard error, above the progress bar if there is one."""
    if Meter.bar is not None:
        Meter.bar.clear()
    print(f"ssast: {printable(message)}", file=sys.stderr)
    if Meter.bar is not None:
        Meter.bar.refresh()


def is_terminal(stream) -> bool:
    """Whether standard output or error is a terminal; Python has None where it is closed."""
    return stream is not None and stream.isatty()


def report_skipped(path: str, error: Exception) -> None:
    """Says that a file was skipped, and why."""
    say(f"skipped {path}: {reason_of(error, path)}")


def exit_status(failed: int, total: int) -> int:
    """The exit status after `failed` of `total` files could not be read, which is said."""
    if failed:
        say(f"{failed} of {total} file(s) could not be read")
    return EXIT_PARTLY if failed else 0


class Meter:
    """
    Shows how far a run is: a bar on standard error if that is a terminal, else a line a minute. Of one sound, the
    seconds are counted; of several, the sounds.

    Args:
        shown (`bool`, defaults to `True`): Whether to show a bar; False where results go to the same terminal.
    """

    bar: Any = None  # that of the one running command

    def __init__(self, shown: bool = True):
        self.shown, self.last = shown, time.monotonic()
        # Without tqdm, which small devices need not have, lines are shown on a terminal, too.
        self.terminal = is_terminal(sys.stderr) and importlib.util.find_spec("tqdm") is not None

    def show(self, state: Progress) -> None:
        if not self.shown:
            return
        by_time = state.total == 1
        if not self.terminal:
            if time.monotonic() - self.last >= LOG_SECONDS:
                self.last = time.monotonic()
                done = f"{state.sound / 60:.0f} min of sound" if by_time else f"{state.done} of {state.total} files"
                left = f", about {state.time_left() / 60:.0f} min left" if state.length or not by_time else ""
                say(f"{done}, {state.speed()}{left}")
            return
        if Meter.bar is None:
            from tqdm import tqdm

            total = state.length and round(state.length) if by_time else state.total
            unit, initial = ("s", 0) if by_time else ("file", state.resumed)
            Meter.bar = tqdm(total=total, initial=initial, unit=unit, leave=False, dynamic_ncols=True)
        if not by_time:
            Meter.bar.set_postfix_str(state.speed(), refresh=False)
        Meter.bar.update((round(state.sound) if by_time else state.done) - Meter.bar.n)

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_) -> None:
        if Meter.bar is not None:
            Meter.bar.close()
            Meter.bar = None


def _encode_anyway(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of file names that are not UTF-8 as they were; other characters that an encoding lacks as escapes."""
    if isinstance(error, UnicodeDecodeError):
        return codecs.lookup_error("surrogateescape")(error)
    assert isinstance(error, UnicodeEncodeError)
    char = error.object[error.start]
    if 0xDC80 <= ord(char) <= 0xDCFF:
        return bytes([ord(char) - 0xDC00]), error.start + 1
    return char.encode("ascii", "backslashreplace").decode(), error.start + 1


def _abandon_standard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
