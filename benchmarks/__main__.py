# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Measures the claims in `claims.py` and writes the results into README.md beside this file: `make bench`."""

import argparse
import json
from datetime import date
from pathlib import Path

import torch
import transformers

from recipes.report import machine, write_between

from .claims import CLAIMS
from .harness import table

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def setting(repeats: int) -> str:
    return (
        f"{machine()}, {torch.get_num_threads()} threads; {date.today().isoformat()}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}; float32; {repeats} pairs or more of each."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CLAIMS, default=list(CLAIMS), help="measure these, write no file")
    parser.add_argument("--repeats", type=int, default=20, help="pairs of runs (default 20; the quick ones thrice)")
    parser.add_argument("--output", type=Path, help="write a .md or .json file here instead of into README.md")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats is {arguments.repeats}, expected at least 1")
    if arguments.output and arguments.output.suffix not in (".md", ".json"):
        parser.error(f"--output is {arguments.output}, expected a name in .md or .json")

    torch.manual_seed(0)
    results = []
    for name in arguments.only:
        for result in CLAIMS[name](arguments.repeats):
            results.append(result)
            print(result.row(), flush=True)
    report = f"{setting(arguments.repeats)}\n\n{table(results)}\n"
    print(f"\n{report}")
    if arguments.output and arguments.output.suffix == ".json":
        content = {"setting": setting(arguments.repeats), "results": [result.as_dict() for result in results]}
        arguments.output.write_text(json.dumps(content, indent=2) + "\n")
    elif arguments.output:
        arguments.output.write_text(report)
    elif arguments.only == list(CLAIMS):
        write_between(README, BEGIN, END, f"\n## Results\n\n{report}")


if __name__ == "__main__":
    main()
