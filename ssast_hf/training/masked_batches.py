# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Crops of sound -> batches of features with masks."""

import math

import numpy as np
import torch

from ..configuration_ssast import SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor, num_frames
from ..masking import sample_masks
from .crops import MASK, rng


class MaskingCollator:
    """
    Items of [`Crops`] -> a batch with masks, drawn per crop from (seed, its key) whatever batch it is in.

    Args:
        extractor (`SSASTFeatureExtractor`): Computes features, here or (`on_device`) later.
        config (`SSASTConfig`): How much to mask, in which clusters.
        seed (`int`): For the masks.
        on_device (`bool`): Return `waveforms` (batch, samples) and `samples` (batch,) instead of features, which
            [`features`] then makes on their device.
        full (`bool`): Pad to `max_length` frames instead of to the longest: one shape for a compiled model.

    Returns a dictionary: `input_values` (batch, frames, bins), `attention_mask` (batch, frames) where there is
    padding, `bool_masked_pos` (batch, patches), True is masked, and `frames` (batch,) for the log.
    """

    def __init__(
        self,
        extractor: SSASTFeatureExtractor,
        config: SSASTConfig,
        seed: int,
        on_device: bool = False,
        full: bool = False,
    ):
        self.extractor, self.config, self.seed = extractor, config, seed
        self.on_device, self.full = on_device, full

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        waveforms = [torch.from_numpy(np.ascontiguousarray(item["waveform"], np.float32)) for item in items]
        frames = [num_frames(len(waveform), self.extractor.sampling_rate) for waveform in waveforms]
        batch = {"bool_masked_pos": self.masks([item["key"] for item in items], frames)}
        batch["frames"] = torch.tensor([0 if item["key"] is None else n for item, n in zip(items, frames)])
        if "position" in items[0]:
            batch["position"] = torch.tensor([item["position"] for item in items])
        if not self.on_device:
            return {**batch, **self.features(waveforms)}
        batch["samples"] = torch.tensor([len(waveform) for waveform in waveforms])
        batch["waveforms"] = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        return batch

    def features(self, waveforms: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """`input_values` and, where there is padding, `attention_mask`, on the waveforms' device."""
        batch = self.extractor(
            waveforms,
            sampling_rate=self.extractor.sampling_rate,
            padding="max_length" if self.full else "longest",
            max_length=self.config.max_length,
            pad_to_multiple_of=self.config.time_patch_size,
            return_attention_mask=True,
            return_tensors="pt",
        )
        values, mask = batch["input_values"], batch["attention_mask"]
        frames = {num_frames(len(waveform), self.extractor.sampling_rate) for waveform in waveforms}
        padded = min(frames) // self.config.time_patch_size < values.shape[1] // self.config.time_patch_size
        return {"input_values": values, **({"attention_mask": mask} if padded else {})}

    def masks(self, keys: list[tuple[int, int] | None], frames: list[int]) -> torch.Tensor:
        """`bool_masked_pos` (batch, patches)."""
        config = self.config
        frames = [min(n, config.max_length) for n in frames]
        longest = config.max_length if self.full else max(frames)
        columns = config.patch_grid(math.ceil(longest / config.time_patch_size) * config.time_patch_size)[1]
        rows = config.num_frequency_patches
        masks = torch.zeros(len(keys), rows, columns, dtype=torch.bool)
        for mask, key, length in zip(masks, keys, frames):
            if key is None:  # a blank
                continue
            real = max(1, config.num_time_patches(length))
            seed = int(rng(MASK, self.seed, *key).integers(2**63))
            drawn = sample_masks(
                1,
                (rows, real),
                config.num_masked(rows * real),
                config.mask_cluster_min,
                config.mask_cluster_max,
                generator=torch.Generator().manual_seed(seed),
            )
            mask[:, :real] = drawn.view(rows, real)
        return masks.flatten(1)
