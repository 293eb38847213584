# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""State dicts as the official code saves them, with seeded weights."""

import torch

from .golden import seeded


def pretraining_state(size="tiny", fshape=16, tshape=16, tdim=1024) -> dict[str, torch.Tensor]:
    return seeded.pretraining_checkpoint(size, fshape, tshape, tdim=tdim)


def fine_tuned_state(patches: int, labels: int = 5, fshape=16, tshape=16) -> dict[str, torch.Tensor]:
    """As the official fine-tuning saves it: no pretraining heads, no recorded length, adapted positions."""
    state = {
        key: value
        for key, value in pretraining_state(fshape=fshape, tshape=tshape).items()
        if key.startswith("module.v.")
    }
    state["module.v.pos_embed"] = torch.randn(1, patches + 2, 192)
    head = seeded.classifier_head("tiny", labels)
    return state | {f"module.{key}": value for key, value in head.items()}
