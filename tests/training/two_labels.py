# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labelled clips and a model for runs of fine-tuning that are interrupted."""

from pathlib import Path

import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining

SOUNDS = Path(__file__).parents[1] / "data" / "sounds"


def drums_and_others(folder: Path, config: dict) -> list[str]:
    """
    What to fine-tune, on what: a small model, and two labels of 10 clips each, each recording whole and without its
    beginning.
    """
    rows = ["file,label,offset"]
    for path in sorted(SOUNDS.glob("*.flac")):
        label = "drum" if path.name.startswith(("drum", "perc", "tabla")) else "other"
        rows += [f"{path},{label},0", f"{path},{label},0.05"]
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    SSASTForPreTraining(SSASTConfig(**config, max_length=32)).save_pretrained(folder / "model")
    SSASTFeatureExtractor(max_length=32).save_pretrained(folder / "model")
    return ["--data", str(folder / "clips.csv"), "--model", str(folder / "model")]
