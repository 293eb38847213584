#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Writes the tables of checkpoints in README.md and docs/hub.md from the table in code, which `ssast checkpoints` prints.

    python docs/checkpoints.py
"""

import re
from pathlib import Path

import torch

import ssast_hf
from ssast_hf import SSASTConfig, SSASTModel
from ssast_hf.checkpoints import FAMILY, table

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = Path(ssast_hf.__file__).parent / "bundled"
BEGIN, END = "<!-- python docs/checkpoints.py: begin -->", "<!-- python docs/checkpoints.py: end -->"
HEADER = (
    "| name | parameters | clip length | for what | licence | where from |",
    "|---|--:|--:|---|---|---|",
)
USES = {"patch": "pretrained; best on sound events", "frame": "pretrained; best on speech"}  # in the paper


def checkpoints() -> list:
    """The official family, then what the package carries; not the user's own names."""
    entries = table()
    bundled = [entry for name, entry in entries.items() if (BUNDLED / name / "config.json").is_file()]
    return [*FAMILY, *bundled]


def config_of(entry) -> SSASTConfig:
    if (BUNDLED / entry.name).is_dir():
        return SSASTConfig.from_pretrained(BUNDLED / entry.name)
    return getattr(SSASTConfig, entry.size)(patches=entry.patches)


def row(entry) -> str:
    """A row of the table; `parameters` are the encoder's."""
    config = config_of(entry)
    with torch.device("meta"):
        millions = SSASTModel(config).num_parameters() / 1e6
    if entry.official is None:
        use, place = re.sub(r"[,;]? [\d.]+ s$", "", entry.note or ""), "in the package"
    else:
        masked = f"{entry.num_mask_patches} of 512 patches masked"
        use = entry.note or "; ".join([USES[entry.patches], *([masked] if entry.num_mask_patches != 400 else [])])
        place = f"[{entry.repo}](https://huggingface.co/{entry.repo})" if entry.repo else f"`{entry.official}`"
    seconds = f"{config.max_length / 100:.2f} s"  # a frame is 10 ms
    return f"| `{entry.name}` | {millions:.1f} M | {seconds} | {use} | {entry.licence} | {place} |"


def is_ablation(entry) -> bool:
    return (entry.note or "").startswith("ablation")


def main() -> None:
    for page, shown in (
        ("README.md", [entry for entry in checkpoints() if not is_ablation(entry)]),
        ("docs/hub.md", checkpoints()),
    ):
        before, rest = (ROOT / page).read_text(encoding="utf-8").split(BEGIN)
        text = "\n".join([BEGIN, "", *HEADER, *map(row, shown), "", END])
        (ROOT / page).write_text(before + text + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
