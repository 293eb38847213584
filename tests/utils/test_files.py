# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files that are complete or absent; devices, FIFOs and symlinks; what killed processes leave behind; locks."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ssast_hf.utils.files import LEFTOVER_SECONDS, beside, filling, lock, replacing, scratch_directory


def write(path, text: str) -> None:
    with replacing(path) as unfinished, open(unfinished, "w") as file:
        file.write(text)


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.csv"]
    write(path, "new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["x.csv"]


def test_the_target_of_a_symlink_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere/target", tmp_path / "link"
    link.symlink_to(target)
    for text in ("one", "two"):  # the first time the link is dangling
        write(link, text)
        assert link.is_symlink() and target.read_text() == text
    assert os.listdir(tmp_path / "elsewhere") == ["target"]


def test_a_fifo_is_written_through_and_stays(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    write(fifo, "labels")
    reader.join(10)
    assert read == ["labels"] and fifo.is_fifo() and os.listdir(tmp_path) == ["fifo"]


def test_a_device_is_written_through_and_stays():
    before = os.stat("/dev/null")
    write("/dev/null", "labels")
    assert os.stat("/dev/null").st_rdev == before.st_rdev != 0
    with pytest.raises(OSError, match="No space left"):
        write("/dev/full", "labels")


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 251 + ".csv"])
def test_names_of_255_bytes_are_written(tmp_path, name):
    write(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]
    partial = beside(tmp_path / name, ".partial")
    assert len(os.fsencode(partial.name)) <= 255 and partial.name.endswith(".partial")
    partial.touch()


KILLED = """
import os, signal, sys
from ssast_hf.utils.files import filling, replacing
with replacing(sys.argv[1]) as unfinished, filling(sys.argv[2]) as folder:
    unfinished.write_text("half")
    (folder / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_behind_is_removed_by_the_next_run(tmp_path):
    command = [sys.executable, "-c", KILLED, tmp_path / "x.csv", tmp_path / "model"]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    (tmp_path / ".x.csv.mine").touch()  # not named as those are
    write(tmp_path / "x.csv", "whole")
    with filling(tmp_path / "model") as folder:
        (folder / "file").write_text("whole")
    assert sorted(os.listdir(tmp_path)) == [".x.csv.mine", "model", "x.csv"]
    assert (tmp_path / "model/file").read_text() == "whole"


def test_what_a_living_process_or_another_machine_writes_stays_for_a_day(tmp_path):
    with scratch_directory(tmp_path / "x") as ours:
        prefix = ours.name.split("-")[0]
        living = tmp_path / f"{prefix}-{os.getppid()}-0"
        foreign = tmp_path / ".x.another_host-1-0"
        for path in (living, foreign):
            path.touch()
        write(tmp_path / "x", "")
        assert living.exists() and foreign.exists()
        old = time.time() - LEFTOVER_SECONDS - 1
        os.utime(foreign, (old, old))
        write(tmp_path / "x", "")
        assert living.exists() and not foreign.exists()


def _try_to_lock(path, answers) -> None:
    with open(path, "a") as file:
        try:
            lock(file, "busy")
            answers.put("locked")
        except ValueError as error:
            answers.put(str(error))


def test_a_lock_keeps_others_out_and_is_not_inherited(tmp_path):
    path = tmp_path / "lock"
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def ask() -> str:
        process = context.Process(target=_try_to_lock, args=(path, answers))
        process.start()
        process.join()
        return answers.get()

    with open(path, "a") as file:
        lock(file, "busy")
        assert ask() == "busy"
        child = context.Process(target=time.sleep, args=(60,))  # as a worker that outlives its parent
        child.start()
    try:
        assert ask() == "locked"
    finally:
        child.kill()
