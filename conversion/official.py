# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The original's model (`src/models/ast_models.py` of github.com/YuanGongND/ssast) as a module, from a clone on this
machine. It imports timm 0.4.5, which current versions of torch cannot load. A stand-in has the few names that it uses.
"""

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

WIDTHS = {"tiny": 192, "small": 384, "base": 768}
HEAD_SIZE = 64


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.heads = width // HEAD_SIZE
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        query, key, value = self.qkv(x).reshape(batch, length, 3, self.heads, HEAD_SIZE).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * HEAD_SIZE**-0.5).softmax(dim=-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), MLP(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DistilledTransformer(nn.Module):
    """The parts of timm's distilled DeiT that the original uses, by timm's names."""

    def __init__(self, patch_embed: nn.Module, width: int, depth: int):
        super().__init__()
        self.patch_embed = patch_embed
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 2, width))  # the original replaces it
        self.pos_drop = nn.Dropout(0.0)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head, self.head_dist = nn.Linear(width, 1000), nn.Linear(width, 1000)


class Original:
    """
    The original's model class, with a number of layers to choose.

    Args:
        path: A clone of the official repository.

    Raises:
        FileNotFoundError: The clone has no `src/models/ast_models.py`.
    """

    def __init__(self, path: Path):
        source = Path(path) / "src" / "models" / "ast_models.py"
        if not source.is_file():
            raise FileNotFoundError(f"{source} is not there: --official expects a clone of YuanGongND/ssast.")
        self.depth = 12
        spec = importlib.util.spec_from_file_location("official_ast_models", source)
        self.module = importlib.util.module_from_spec(spec)
        with self._stand_ins():
            spec.loader.exec_module(self.module)

    def create_model(self, name: str, pretrained: bool = False) -> DistilledTransformer:
        width = next(width for size, width in WIDTHS.items() if f"_{size}_" in name)
        patch_embed = self.transformer.PatchEmbed(img_size=224, patch_size=16, in_chans=3, embed_dim=width)
        return DistilledTransformer(patch_embed, width, self.depth)

    @contextlib.contextmanager
    def _stand_ins(self) -> Iterator[None]:
        """timm 0.4.5 and matplotlib (for the original's drawings) as far as the original imports them."""
        names = ("timm", "timm.models", "timm.models.layers", "timm.models.vision_transformer", "matplotlib",
                 "matplotlib.pyplot")  # fmt: skip
        before = {name: sys.modules.get(name) for name in names}
        stand_ins = {name: types.ModuleType(name) for name in names}
        for name, module in stand_ins.items():
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(stand_ins[parent], child, module)
        timm, layers = stand_ins["timm"], stand_ins["timm.models.layers"]
        timm.__version__, timm.create_model = "0.4.5", self.create_model
        layers.trunc_normal_ = nn.init.trunc_normal_
        layers.to_2tuple = lambda value: value if isinstance(value, tuple) else (value, value)
        self.transformer = stand_ins["timm.models.vision_transformer"]
        sys.modules.update(stand_ins)
        try:
            yield
        finally:
            for name, module in before.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module

    def build(self, depth: int, **arguments) -> nn.Module:
        """The original's `ASTModel(**arguments)` with `depth` layers; what it prints is discarded."""
        self.depth = depth
        with contextlib.redirect_stdout(io.StringIO()):
            return self.module.ASTModel(**arguments).eval()
