# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Kills `ssast` commands at random moments, resumes them, and compares the result with a run that was not killed."""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import forked
from .scenarios import Scenario, prepare, scenarios

ORPHAN_SECONDS = 10.0  # after which a process of a killed command counts as left behind
LONGEST = 600.0  # seconds for a run
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass
class Count:
    """Of one scenario: kills, commands that resumed after one, orphans, results as they should be, and the rest."""

    kills: int = 0
    resumed: int = 0
    orphans: int = 0
    leftovers: int = 0
    chains: int = 0
    equal: int = 0
    slowest: float = 0.0  # seconds until the last process of a killed command was gone


def campaign(kills: int, seed: int, folder: Path, only: str | None = None) -> dict[str, Count]:
    """Kills each scenario's command so often, in chains of one to three kills and a last run to the end."""
    forked.import_all()
    if folder.exists():
        shutil.rmtree(folder)
    in_fork(prepare, folder)
    rng = np.random.default_rng(seed)
    counts = {}
    for scenario in scenarios(folder):
        if only is not None and only not in scenario.name:
            continue
        count = counts[scenario.name] = Count()
        whole = folder / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        done = forked.start(forked.ssast(*scenario.arguments(whole / scenario.output)), whole).wait(LONGEST)
        if done.status not in (0, 1):
            raise RuntimeError(f"{scenario.name} fails without a kill: {done.err}")
        while count.kills < kills:
            _chain(scenario, whole, folder / "killed", done.seconds, min(3, kills - count.kills), count, rng)
        print(f"{scenario.name}: {count}", flush=True)
    return counts


def in_fork(function, *arguments) -> None:
    """Runs a function that computes with torch in a fork, so that this process stays without threads."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"{function.__name__} failed")


def _chain(scenario: Scenario, whole: Path, place: Path, seconds: float, most: int, count: Count, rng) -> None:
    """Up to `most` kills of one run, then the same command to its end, and the comparison."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    command = forked.ssast(*scenario.arguments(place / scenario.output))
    killed = 0  # kills since the last command that was seen to begin
    for _ in range(rng.integers(1, most + 1)):
        running = forked.start(command, place)
        time.sleep(rng.uniform(0, seconds))
        if running.poll() is not None:  # it was faster
            break
        os.kill(running.group, SIGNALS[rng.integers(2)])
        done = running.wait(ORPHAN_SECONDS)
        if done.status >= 0:  # likewise: it was about to exit
            break
        count.kills += 1
        killed += 1
        gone = _wait_for_orphans(running.group, count)
        count.slowest = max(count.slowest, gone)
    if not killed:
        return
    count.chains += 1
    result = running if running.status not in (-signal.SIGKILL, -signal.SIGTERM) else forked.start(command, place)
    done = result.wait(LONGEST)
    if done.status not in (0, 1) or done.fault():
        print(f"{scenario.name}: not resumed: status {done.status}: {done.err}", flush=True)
        return
    count.resumed += killed
    difference = scenario.difference(whole / scenario.output, place / scenario.output)
    if difference is None:
        count.equal += 1
    else:
        print(f"{scenario.name}: {difference}", flush=True)
    left = sorted(set(os.listdir(place)) - set(os.listdir(whole)))
    if left:
        count.leftovers += 1
        print(f"{scenario.name}: left behind: {left}", flush=True)


def _wait_for_orphans(group: int, count: Count) -> float:
    """Counts processes of the session that are there after `ORPHAN_SECONDS`; returns how long they stayed."""
    begun = time.monotonic()
    while found := session_of(group):
        if time.monotonic() - begun > ORPHAN_SECONDS:
            count.orphans += len(found)
            for process in found:
                os.kill(process, signal.SIGKILL)
            break
        time.sleep(0.02)
    return time.monotonic() - begun


def session_of(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(entry))
    return found


def table(counts: dict[str, Count]) -> str:
    """In Markdown."""
    rows = ["| command | kills | resumed | orphans after 10 s | last process gone after | results equal | litter |",
            "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for name, count in counts.items():
        rows.append(
            f"| {name} | {count.kills} | {count.resumed} | {count.orphans} | {count.slowest:.1f} s | "
            f"{count.equal} of {count.chains} | {count.leftovers} |"
        )
    return "\n".join(rows)
