# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
How long `ssast classify` takes beside a busy process, with waiting threads that spin briefly, as `ssast` sets it, and
with the defaults of the runtimes; and the same for an exported model, whose threads are onnxruntime's own:

    python -m benchmarks.spinning
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median

from recipes.report import machine
from ssast_hf.cli.terminal import WAITING

ROOT = Path(__file__).parents[1]
SOUNDS = sorted((ROOT / "ssast_hf/bundled/sounds").glob("*/*.*"))[::5]
MODEL = "ssast-tiny-patch-debian-kinds"
DEFAULTS = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # of GNU's and LLVM's runtimes, where nothing is set
BUSY = "while True: pass"
EXPORTED = """
import sys, time
import numpy as np
from ssast_hf.export.runtime import OnnxModel
model = OnnxModel(sys.argv[1])
if sys.argv[2] == "spin":
    import onnxruntime
    model.session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
sound = np.random.default_rng(0).standard_normal(80000).astype(np.float32) / 10
model([sound])
start = time.perf_counter()
for _ in range(int(sys.argv[3])):
    model([sound])
print(time.perf_counter() - start)
"""


def run_classify(spin: bool) -> float:
    """Seconds of the whole command."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **(DEFAULTS if spin else WAITING)}
    command = [sys.executable, "-m", "ssast_hf.cli", "classify", *map(str, SOUNDS), "--model", MODEL]
    start = time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def run_exported(path: Path, spin: bool, windows: int) -> float:
    """Seconds of so many windows of 5 s, one after another."""
    command = [sys.executable, "-c", EXPORTED, str(path), "spin" if spin else "yield", str(windows)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return float(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


def ratios(run, pairs: int) -> tuple[float, float, list[float]]:
    """Median seconds spinning and yielding, in turns, and the ratio of each pair."""
    found = []
    for index in range(pairs):
        order = (True, False) if index % 2 else (False, True)
        seconds = {spin: run(spin) for spin in order}
        found.append((seconds[True], seconds[False]))
    spinning, yielding = zip(*found)
    return median(spinning), median(yielding), [a / b for a, b in found]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spinning", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--busy", type=int, default=1, help="processes beside it that keep a core busy (default 1)")
    parser.add_argument("--windows", type=int, default=20, help="windows of the exported model (default 20)")
    arguments = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(arguments.busy)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "x.onnx")
            export = [sys.executable, "-m", "ssast_hf.cli", "export", "--model", MODEL, "--onnx", str(path)]
            subprocess.run(export, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL)
            rows = [
                (f"`ssast classify`, {len(SOUNDS)} sounds", ratios(run_classify, arguments.pairs)),
                (
                    f"exported model, {arguments.windows} windows",
                    ratios(lambda spin: run_exported(path, spin, arguments.windows), arguments.pairs),
                ),
            ]
    finally:
        for process in busy:
            process.kill()
    print(f"{machine()}; {date.today().isoformat()}; {arguments.busy} busy process(es); load "
          f"{os.getloadavg()[0]:.1f}")  # fmt: skip
    print("| what | spinning, s | yielding, s | ratio (range) |\n|---|--:|--:|---|")
    for name, (spinning, yielding, found) in rows:
        print(f"| {name} | {spinning:.2f} | {yielding:.2f} | **{median(found):.2f}** ({min(found):.2f} to "
              f"{max(found):.2f}) |")  # fmt: skip


if __name__ == "__main__":
    main()
