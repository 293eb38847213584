# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What scripts that measure share: the machine's name, what was measured so far, and writing tables into a README."""

import json
import platform
import re
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ssast_hf.utils.parsing import parse_json


def machine() -> str:
    """The processor as Linux names it, else as Python does."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def write_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replaces what stands in a file between two marks."""
    before, rest = path.read_text(encoding="utf-8").split(begin)
    path.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def mean_and_deviation(values: list[float]) -> str:
    """As in a table; nothing of no values, and no deviation of one."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}" if values else ""


class Measured:
    """Results in a file of JSON lines, each of one key; what is there is not measured again."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.results = [parse_json(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]

    def get(self, key: dict, measure: Callable[[], dict]) -> dict:
        """The result of a key, which is `measure`'s if there is none yet, with the machine and the date."""
        for result in self.results:
            if all(name in result and result[name] == value for name, value in key.items()):
                return result
        made = {"machine": machine(), "date": date.today().isoformat()}
        self.results.append({**key, **measure(), **made})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(self.results[-1]) + "\n")
        return self.results[-1]

    def origin(self, results: list[dict]) -> str:
        """Machines and dates of results."""
        machines = sorted({result["machine"] for result in results})
        days = sorted({result["date"] for result in results})
        return f"{', '.join(machines)}; {days[0]}{f' to {days[-1]}' if days[1:] else ''}."
