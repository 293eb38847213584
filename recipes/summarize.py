#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Mean and standard deviation over runs, such as the folds of a cross-validation, of the metrics in their results."""

import argparse
import json
import statistics
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="output directories of ssast finetune")
    parser.add_argument("--name", default="test", help="which results: test or eval (default: test)")
    arguments = parser.parse_args()
    values: dict[str, list[float]] = {}
    for run in arguments.runs:
        path = run / f"{arguments.name}_results.json"
        if not path.is_file():
            print(f"{parser.prog}: error: {path} does not exist: was the run finished?", file=sys.stderr)
            return 2
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            if isinstance(value, int | float) and not name.endswith("samples"):
                values.setdefault(name, []).append(value)
    print("| metric | mean | standard deviation | runs |\n|---|--:|--:|--:|")
    for name, found in values.items():
        deviation = statistics.stdev(found) if len(found) > 1 else 0.0
        print(f"| {name} | {statistics.mean(found):.4f} | {deviation:.4f} | {len(found)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
