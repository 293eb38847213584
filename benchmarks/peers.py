# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What ssast_hf is measured against, where the installed libraries do not have it."""

import collections.abc
import contextlib
import importlib
import io
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch
from transformers import ASTConfig, ASTModel

from ssast_hf import SSASTConfig, SSASTModel

OFFICIAL = "SSAST_OFFICIAL"  # environment variable with a checkout of the official code
TORCHAUDIO = "torchaudio==2.11.0"
TIMM = "timm==0.4.5"  # which the official code insists on
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


def _from_wheel(requirement: str, name: str, leave_out: str = "/nothing/") -> bool:
    """Unpacks a package's wheel into `CACHE`, out of the environment's way; whether it is there."""
    if not (CACHE / name).is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), requirement]
        if subprocess.run(command).returncode != 0:
            return False
        (wheel,) = CACHE.glob(f"{name}-*.whl")
        unpacked = CACHE / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [n for n in archive.namelist() if not n.startswith(leave_out)])
        shutil.move(unpacked / name, CACHE / name)
        shutil.rmtree(unpacked)
        wheel.unlink()
    return True


@contextlib.contextmanager
def _importing(*folders: Path):
    """Lets modules be imported from folders, for as long as it takes."""
    before = list(sys.path)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before


def torchaudio_fbank():
    """
    `torchaudio.compliance.kaldi.fbank`, or None where it cannot be had. torchaudio's compiled part does not load
    beside this torch, and the filterbank does not need it: so the wheel is unpacked without it.
    """
    if not _from_wheel(TORCHAUDIO, "torchaudio", leave_out="torchaudio/lib/"):
        return None
    with _importing(CACHE):
        return importlib.import_module("torchaudio.compliance.kaldi").fbank


def official_pretraining_model(config: SSASTConfig, size: str, frames: int):
    """
    The official pretraining model (`ASTModel` of `src/models/ast_models.py`), or None where the checkout that
    `$SSAST_OFFICIAL` names or timm 0.4.5 cannot be had. What they import and this model does not use, and current
    installations lack, is a stand-in.
    """
    checkout = os.environ.get(OFFICIAL)
    if not checkout or not _from_wheel(TIMM, "timm"):
        return None
    six = ModuleType("torch._six")
    six.container_abcs = collections.abc
    absent = {name: mock.MagicMock() for name in (
        "torchvision", "torchvision.transforms", "torchvision.transforms.functional", "matplotlib",
        "matplotlib.pyplot",
    )}  # fmt: skip
    stand_ins = {"torch._six": six, **absent}
    with _importing(CACHE, Path(checkout, "src", "models")), mock.patch.dict(sys.modules, stand_ins):
        official = importlib.import_module("ast_models")
    with contextlib.redirect_stdout(io.StringIO()):
        return official.ASTModel(
            fshape=config.frequency_patch_size, tshape=config.time_patch_size, fstride=config.frequency_stride,
            tstride=config.time_stride, input_fdim=config.num_mel_bins, input_tdim=frames, model_size=size,
            pretrain_stage=True,
        )  # fmt: skip


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
