# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Verifies a conversion: computes with the tensors of an official .pth file, by the official names and in plain torch,
what the converted checkpoint computes, and compares.

    python -m conversion.verify SSAST-Base-Patch-400.pth ssast-base-patch

Or runs the original's own code, from a clone of github.com/YuanGongND/ssast, beside this package on random
configurations with random weights:

    python -m conversion.verify --official ../ssast --random 500
"""

import argparse
import datetime
import sys
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers.utils import logging

from ssast_hf import SSASTForPreTraining, SSASTModel, unpatchify
from ssast_hf.checkpoints.convert import load_official

TOLERANCE = 1e-4  # absolute, on values of the order of 1
HEAD_SIZE = 64  # of every official model
EPS = 1e-6


def plain_hidden_states(state: dict[str, torch.Tensor], spectrograms: torch.Tensor) -> torch.Tensor:
    """
    Final hidden states (batch, 2 + patches, hidden) of an official state dict (with or without `module.`) for
    spectrograms (batch, frames, mel bins) of the length and stride it was trained with: a ViT, step by step.
    """
    state = {name.removeprefix("module."): value.float() for name, value in state.items()}
    kernel = state["v.patch_embed.proj.weight"]
    patches = F.conv2d(
        spectrograms.transpose(1, 2)[:, None], kernel, state["v.patch_embed.proj.bias"], kernel.shape[2:]
    )
    tokens = [state["v.cls_token"], state["v.dist_token"]]
    x = torch.cat(
        [*(token.expand(len(patches), -1, -1) for token in tokens), patches.flatten(2).transpose(1, 2)], dim=1
    )
    x = x + state["v.pos_embed"]
    batch, length, hidden = x.shape

    def norm(x, name):
        return F.layer_norm(x, (hidden,), state[f"{name}.weight"], state[f"{name}.bias"], EPS)

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    for index in range(sum(name.endswith(".attn.qkv.weight") for name in state)):
        block = f"v.blocks.{index}"
        qkv = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").reshape(batch, length, 3, -1, HEAD_SIZE)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) / HEAD_SIZE**0.5).softmax(dim=-1)
        x = x + linear((weights @ value).transpose(1, 2).reshape(batch, length, hidden), f"{block}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    return norm(x, "v.norm")


def plain_reconstruction(state: dict[str, torch.Tensor], hidden_states: torch.Tensor) -> torch.Tensor:
    """The generative head at every patch, (batch, patches, patch values)."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    x = hidden_states[:, 2:]
    for layer in ("0", "2"):
        x = x @ state[f"gpredlayer.{layer}.weight"].T + state[f"gpredlayer.{layer}.bias"]
        x = F.relu(x) if layer == "0" else x
    return x


@torch.no_grad()
def largest_differences(official: str, converted: str) -> dict[str, float]:
    """The largest absolute differences, of hidden states and, for pretraining checkpoints, of reconstructions."""
    state = load_official(official)
    model = SSASTModel.from_pretrained(converted).eval()
    config = model.config
    generator = torch.Generator().manual_seed(0)
    spectrograms = torch.randn(2, config.max_length, config.num_mel_bins, generator=generator)
    expected = plain_hidden_states(state, spectrograms)
    found = {"hidden states": (model(spectrograms).last_hidden_state - expected).abs().max().item()}
    if any("gpredlayer" in name for name in state):
        pretraining = SSASTForPreTraining.from_pretrained(converted).eval()
        nothing = torch.zeros(2, config.num_patches, dtype=torch.bool)
        reconstruction = pretraining(spectrograms, bool_masked_pos=nothing).reconstruction
        difference = unpatchify(reconstruction - plain_reconstruction(state, expected), config)
        found["reconstructions"] = difference.abs().max().item()
    return found


def verify_random(path: Path, count: int, seed: int) -> int:
    """Prints the largest differences from the original's code and what of it is not followed; returns the status."""
    from conversion.random_cases import NOT_DRAWN, QUIRKS, compare_random

    def progress(number: int) -> None:
        if number % 25 == 0:
            print(f"{number} of {count}", file=sys.stderr, flush=True)

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    findings = compare_random(path, count, TOLERANCE, seed, progress)
    for what, difference in sorted(findings.largest.items()):
        print(f"{what}: largest difference {difference:.2g}")
    print("Of the original, not followed:")
    for name, reason in QUIRKS.items():
        print(f"- {name}, {findings.quirks[name]} of {count} configurations: {reason}")
    for name, reason in NOT_DRAWN.items():
        print(f"- {name}, not drawn: {reason}")
    for mismatch in findings.mismatches:
        print(f"MISMATCH {mismatch}")
    print(
        f"{count} configurations, {findings.compared} comparisons, {len(findings.mismatches)} mismatches over "
        f"{TOLERANCE:g} (torch {torch.__version__}, {datetime.date.today()})"
    )
    return 1 if findings.mismatches else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="OFFICIAL.pth", nargs="?")
    parser.add_argument("converted", metavar="CONVERTED", nargs="?", help="directory or short name")
    parser.add_argument("--official", type=Path, metavar="PATH", help="a clone of the original's repository")
    parser.add_argument("--random", type=int, metavar="N", help="with --official: compare N random configurations")
    parser.add_argument("--seed", type=int, default=0, help="of the first configuration (default: 0)")
    arguments = parser.parse_args()
    if (arguments.official is None) != (arguments.random is None) or (arguments.converted is None) == (
        arguments.official is None
    ):
        parser.error("give OFFICIAL.pth and CONVERTED, or --official PATH and --random N")
    try:
        if arguments.official:
            return verify_random(arguments.official, arguments.random, arguments.seed)
        found = largest_differences(arguments.file, arguments.converted)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for what, difference in found.items():
        print(f"{what}: largest absolute difference {difference:.2g} (tolerance {TOLERANCE:g})")
    return 0 if max(found.values()) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
