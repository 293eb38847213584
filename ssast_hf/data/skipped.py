# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Clips that cannot be used: why, and the report of them."""

import json
import os
from pathlib import Path

import numpy as np

from ..utils.files import replacing
from ..utils.logs import get_logger
from ..utils.text import reason_of
from .clips import Clip

logger = get_logger(__name__)

SILENCE = 1e-4  # peak around the mean, -80 dB of full scale: three steps of 16-bit sound
PROBED_SECONDS = 60.0
WARNINGS = 10  # logged per process where there is a report of all


def reason_unusable(waveform: np.ndarray, min_samples: int, sampling_rate: int) -> str | None:
    """Why a waveform (samples,) cannot be trained on: too short or silent. None if it can."""
    if len(waveform) < min_samples:
        seconds, least = len(waveform) / sampling_rate, min_samples / sampling_rate
        return f"too short: {seconds:.3f} s, expected {least:.3f} s or more"
    return "silent" if np.abs(waveform - waveform.mean()).max() < SILENCE else None


def holds_sound(clip: Clip, sampling_rate: int = 16000) -> bool:
    """Whether a clip can be read and its first minute is not silent or too short."""
    try:
        waveform = clip.load(sampling_rate, 0.0, PROBED_SECONDS)
    except (OSError, ValueError):
        return False
    return reason_unusable(waveform, sampling_rate // 40, sampling_rate) is None


class Skipped:
    """
    The report of skipped clips: a `.jsonl` file with one `{"file", "reason"}` per line. Every worker and process
    appends to it. Without a `path`, the log is the report.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = path
        self.seen: set[str] = set()

    def add(self, name: str, error: str | BaseException) -> None:
        """Logs and reports a clip, once in this process."""
        if name in self.seen:
            return
        self.seen.add(name)
        reason = reason_of(error, name)
        if self.path is None or len(self.seen) <= WARNINGS:
            logger.warning("Skipped %s: %s", name, reason)
        if self.path is not None:
            line = json.dumps({"file": name, "reason": reason}) + "\n"
            try:
                with open(self.path, "ab", buffering=0) as file:  # one write per line: lines of processes do not mix
                    file.write(line.encode())
            except OSError as error:  # a full disk is no reason to end a run
                logger.warning("%s cannot be written (%s): it will lack %s", self.path, error, name)

    def finish(self) -> dict[str, str]:
        """Sorts the report and leaves one line per clip. Returns the reasons by the clips' names."""
        found: dict[str, str] = {}
        if self.path is not None and os.path.exists(self.path):
            for line in Path(self.path).read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    found.setdefault(entry["file"], entry["reason"])
                except (json.JSONDecodeError, KeyError, TypeError):  # the end of a line that a kill cut off
                    continue
            lines = [json.dumps({"file": name, "reason": found[name]}) + "\n" for name in sorted(found)]
            with replacing(self.path) as unfinished:
                unfinished.write_text("".join(lines), encoding="utf-8")
        return found
