# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What ssast_hf is measured against, where the installed libraries do not have it."""

import importlib
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from transformers import ASTConfig, ASTModel

from ssast_hf import SSASTModel

TORCHAUDIO = "torchaudio==2.11.0"
CACHE = Path(__file__).parent.parent / ".venv" / "benchmarks"


def ast_like(model: SSASTModel) -> ASTModel:
    """transformers' AST of the same sizes, attention and weights: the two then compute the same."""
    config = model.config
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps",
             "num_mel_bins", "max_length", "frequency_stride", "time_stride")  # fmt: skip
    peer = ASTModel._from_config(
        ASTConfig(patch_size=config.time_patch_size, **{name: getattr(config, name) for name in sizes}),
        attn_implementation=config._attn_implementation,
    )
    state = {}
    for name, value in model.state_dict().items():
        if ".qkv." in name:
            state.update({name.replace("qkv", f"{q}_proj"): part for q, part in zip("qkv", value.chunk(3))})
        else:
            state[name.replace("attention.out", "attention.o_proj")] = value
    peer.load_state_dict(state)
    return peer


def torchaudio_fbank():
    """
    `torchaudio.compliance.kaldi.fbank`, or None where it cannot be had. torchaudio's compiled part does not load
    beside this torch, and the filterbank does not need it: so the wheel is unpacked without it, out of the
    environment's way.
    """
    if not (CACHE / "torchaudio").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), TORCHAUDIO]
        if subprocess.run(command).returncode != 0:
            return None
        (wheel,) = CACHE.glob("torchaudio-*.whl")
        unpacked = CACHE / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [n for n in archive.namelist() if not n.startswith("torchaudio/lib/")])
        shutil.move(unpacked / "torchaudio", CACHE / "torchaudio")
        shutil.rmtree(unpacked)
        wheel.unlink()
    sys.path.insert(0, str(CACHE))
    try:
        return importlib.import_module("torchaudio.compliance.kaldi").fbank
    finally:
        sys.path.remove(str(CACHE))


def sample_masks_in_a_loop(batch_size: int, grid: tuple[int, int], num_masked: int) -> torch.Tensor:
    """The plain way to draw cluster masks (B, F * T): C x C patches from random starts until there are enough."""
    rows, columns = grid
    masks = torch.zeros(batch_size, rows * columns, dtype=torch.bool)
    for mask in masks:
        size, masked = random.randint(3, 5), set()
        while len(masked) < num_masked:
            row, column = random.randrange(rows), random.randrange(columns)
            masked.update(
                r * columns + c
                for r in range(row, min(row + size, rows))
                for c in range(column, min(column + size, columns))
            )
        mask[random.sample(sorted(masked), num_masked)] = True
    return masks
