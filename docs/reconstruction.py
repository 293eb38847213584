#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Draws the README's picture, docs/reconstruction.png: what the package's checkpoint fills in of its sounds."""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from transformers.utils import logging

import ssast_hf
from ssast_hf import SSASTFeatureExtractor, SSASTForPreTraining, load_audio, sample_masks
from ssast_hf.training.picture import draw

SOUNDS = Path(ssast_hf.__file__).parent / "bundled" / "sounds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ssast-tiny-patch-debian", help="pretrained checkpoint")
    parser.add_argument("--sounds", nargs="+", default=["loop/loop_amen", "guitar/guit_harmonics"],
                        help="names in ssast_hf/bundled/sounds, without .flac")  # fmt: skip
    parser.add_argument("--masked", type=float, default=0.4, metavar="X", help="share of patches that is masked")
    parser.add_argument("--cluster", type=int, default=2, metavar="C", help="side of masked clusters, in patches")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("reconstruction.png"))
    arguments = parser.parse_args()

    logging.disable_progress_bar()  # of loading weights, a tenth of a second
    extractor = SSASTFeatureExtractor.from_pretrained(arguments.model)
    model = SSASTForPreTraining.from_pretrained(arguments.model).eval()
    samples = (model.config.max_length + 2) * extractor.sampling_rate // 100  # a frame is longer than its shift
    sounds = [np.resize(load_audio(SOUNDS / f"{name}.flac"), samples) for name in arguments.sounds]  # repeated to fill
    clips = extractor(sounds, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_values"]
    grid = model.config.patch_grid()
    mask = sample_masks(
        len(clips), grid, round(arguments.masked * grid[0] * grid[1]), arguments.cluster, arguments.cluster,
        generator=torch.Generator().manual_seed(arguments.seed),
    )  # fmt: skip
    names = [Path(name).name for name in arguments.sounds]
    drawn = draw(model, {"input_values": clips, "bool_masked_pos": mask}, arguments.output, names)
    return 0 if drawn else 1


if __name__ == "__main__":
    sys.exit(main())
