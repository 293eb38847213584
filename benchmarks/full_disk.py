# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Lets `ssast` commands run out of disk, gives them room, and compares what the same command then makes with a run that
had room. The disk is a tmpfs in a mount namespace of this process, for which no root is needed (`unshare -Urm`).
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import forked
from .kills import LONGEST, in_fork
from .scenarios import Scenario, prepare, scenarios

INSIDE = "SSAST_BENCHMARK_NAMESPACE"


@dataclass
class Count:
    """Of one scenario: runs, those that the disk stopped or cost something, and how they ended."""

    runs: int = 0
    short_of_room: int = 0  # exit status 2, or a checkpoint that was not saved
    silent: int = 0  # the wrong result, and neither exit status 2 nor a message
    repaired: int = 0  # by the same command, with room
    wrong: int = 0


def enter_namespace() -> None:
    """Starts this program again in a namespace of its own where it may mount, unless it is in one."""
    if not os.environ.get(INSIDE):
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-Urm", *sys.orig_argv])


def campaign(runs: int, seed: int, folder: Path) -> dict[str, Count]:
    """Runs each scenario so often, on disks of random sizes below what it needs."""
    forked.import_all()
    if folder.exists():
        shutil.rmtree(folder)
    in_fork(prepare, folder)
    disk = folder / "disk"
    disk.mkdir()
    rng = np.random.default_rng(seed)
    counts = {}
    for scenario in scenarios(folder):
        if "workers" in scenario.name:
            continue
        count = counts[scenario.name] = Count()
        whole = folder / scenario.name
        whole.mkdir()
        used = _run(scenario, whole, whole)[1]
        for _ in range(runs):
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(used * rng.uniform(0.1, 1.0))}", "x", disk],
                           check=True)  # fmt: skip
            try:
                _fill(scenario, whole, disk, folder, count)
            finally:
                subprocess.run(["umount", disk], check=True)
        print(f"{scenario.name}: {count}", flush=True)
    return counts


def _run(scenario: Scenario, place: Path, streams: Path) -> tuple[forked.Outcome, int]:
    """Runs a command whose output goes to `place`; returns how it ended and the bytes on the disk then."""
    done = forked.start(forked.ssast(*scenario.arguments(place / scenario.output)), streams).wait(LONGEST)
    return done, sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _fill(scenario: Scenario, whole: Path, disk: Path, folder: Path, count: Count) -> None:
    done, _ = _run(scenario, disk, folder)
    count.runs += 1
    said = done.status == 2 or "could not be saved" in done.err
    count.short_of_room += said
    if done.fault():
        print(f"{scenario.name}: {done.fault()}: {done.err}", flush=True)
    right = _difference(scenario, whole, disk) is None
    if not right and not said:
        count.silent += 1
        print(f"{scenario.name}: status {done.status}, not as it should be: {done.err}", flush=True)
    subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
    if not right or said:
        done, _ = _run(scenario, disk, folder)
        if right and done.status == 2 and ("finished" in done.err or "exists" in done.err):
            count.repaired += 1  # nothing was left to do
        elif done.status in (0, 1) and _difference(scenario, whole, disk) is None:
            count.repaired += 1
        else:
            count.wrong += 1
            print(f"{scenario.name}: not repaired: {_difference(scenario, whole, disk)}: {done.err}", flush=True)


def _difference(scenario: Scenario, whole: Path, disk: Path) -> str | None:
    try:
        return scenario.difference(whole / scenario.output, disk / scenario.output)
    except (OSError, ValueError) as error:
        return f"no result ({error})"


def table(counts: dict[str, Count]) -> str:
    """In Markdown."""
    rows = ["| command | runs | short of room, and said so | wrong and silent | repaired by the same command | not |",
            "|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    for name, count in counts.items():
        rows.append(
            f"| {name} | {count.runs} | {count.short_of_room} | {count.silent} | {count.repaired} | {count.wrong} |"
        )
    return "\n".join(rows)
