# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How a claim about speed is measured: ours and a peer in turns, so that whatever else runs slows both."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

# What a goal's number bounds: how it is said, how it is computed from ours and the peer's seconds, whether it is met.
KINDS = {
    "speedup": (
        "at least {:g} x the peer's speed",
        lambda ours, peer: peer / ours,
        lambda value, bound: value >= bound,
    ),
    "time": ("at most {:g} x the peer's time", lambda ours, peer: ours / peer, lambda value, bound: value <= bound),
    "ms": ("under {:g} ms", lambda ours, peer: ours * 1000, lambda value, bound: value < bound),
}


@dataclass(frozen=True)
class Goal:
    """A bound that the median shall keep: `Goal("speedup", 1.5)`, `Goal("time", 1.1)`, `Goal("ms", 3)`."""

    kind: str
    bound: float

    def __str__(self) -> str:
        return KINDS[self.kind][0].format(self.bound)


@dataclass
class Result:
    """Seconds of each pair of runs; and whether what else the claim says holds."""

    name: str
    goal: Goal
    ours: list[float]
    peer: list[float]
    holds: bool = True

    @property
    def values(self) -> list[float]:
        """What the goal bounds, for each pair."""
        return [KINDS[self.goal.kind][1](ours, peer) for ours, peer in zip(self.ours, self.peer)]

    @property
    def met(self) -> bool:
        return self.holds and KINDS[self.goal.kind][2](median(self.values), self.goal.bound)

    def row(self) -> str:
        """A line of the table in `table`."""
        values, digits = self.values, 2
        return (
            f"| {self.name} | {1000 * median(self.ours):.4g} | {1000 * median(self.peer):.4g} "
            f"| **{median(values):.{digits}f}** ({min(values):.{digits}f} to {max(values):.{digits}f}) "
            f"| {self.goal} | {'yes' if self.met else 'no'} |"
        )

    def as_dict(self) -> dict:
        return {
            "name": self.name, "goal": str(self.goal), "met": self.met, "median": median(self.values),
            "minimum": min(self.values), "maximum": max(self.values), "ours_s": self.ours, "peer_s": self.peer,
        }  # fmt: skip


def compare(name: str, goal: Goal, ours: Callable, peer: Callable, repeats: int, warm_up: int = 2) -> Result:
    """Runs `ours` and `peer` in turns, each pair in the other order than the one before, after `warm_up` pairs."""
    seconds = {ours: [], peer: []}
    gc.collect()
    for index in range(warm_up + repeats):
        for function in (ours, peer) if index % 2 else (peer, ours):
            start = time.perf_counter()
            function()
            elapsed = time.perf_counter() - start
            if index >= warm_up:
                seconds[function].append(elapsed)
    return Result(name, goal, seconds[ours], seconds[peer])


def table(results: list[Result]) -> str:
    """A markdown table."""
    head = ["| what | ours, ms | peer, ms | median (range) of the pairs | goal | met |", "|---|--:|--:|--:|---|---|"]
    return "\n".join(head + [result.row() for result in results])
