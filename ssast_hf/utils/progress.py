# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How far a run over many sound files is."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """`done` and `failed` count files from the beginning; `sound` and `elapsed` are those of this run only."""

    total: int
    done: int = 0
    failed: int = 0
    rows: int = 0  # of embeddings
    resumed: int = 0  # files that an earlier run completed
    sound: float = 0.0  # seconds of sound
    elapsed: float = 0.0  # seconds
    length: float | None = None  # seconds of sound in all files, where that is known
    changed: int = 0  # files that replaced others in a collection
    gone: list[str] = field(default_factory=list)  # files of a collection that are no longer there

    def speed(self) -> str:
        minutes = max(self.elapsed, 1e-9) / 60
        return (
            f"{(self.done - self.resumed) / minutes:.0f} files, {self.sound / 3600 / minutes:.2f} h of sound a minute"
        )

    def time_left(self) -> float:
        """Seconds, if the sound to come is like that so far."""
        if self.length is not None:
            return self.elapsed / max(1e-9, self.sound) * max(0.0, self.length - self.sound)
        return self.elapsed / max(1, self.done - self.resumed) * (self.total - self.done)
