# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from ssast_hf import SSASTConfig


def test_defaults_are_the_official_base_patch_400():
    config = SSASTConfig()
    assert config.to_dict().items() >= {
        "model_type": "ssast", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02, "layer_norm_eps": 1e-6, "qkv_bias": True,
        "position_embedding_init": "normal",
        "num_mel_bins": 128, "max_length": 1024, "frequency_patch_size": 16, "time_patch_size": 16,
        "frequency_stride": 16, "time_stride": 16, "pooling": "mean", "num_mask_patches": 400, "mask_cluster_min": 3,
        "classifier_layer_norm": True,
        "mask_cluster_max": 5, "discriminative_loss_weight": 1.0, "generative_loss_weight": 10.0,
    }.items()  # fmt: skip


@pytest.mark.parametrize(("size", "hidden", "heads"), [("tiny", 192, 3), ("small", 384, 6), ("base", 768, 12)])
def test_presets_are_the_papers(size, hidden, heads):
    patch, frame = (getattr(SSASTConfig, size)(patches=patches) for patches in ("patch", "frame"))
    assert (patch.hidden_size, patch.num_attention_heads, patch.intermediate_size) == (hidden, heads, 4 * hidden)
    assert (patch.patch_grid(), patch.num_mask_patches) == ((8, 64), 400)
    assert (frame.patch_grid(), frame.num_mask_patches) == ((1, 512), 400)
    assert (frame.mask_cluster_min, frame.mask_cluster_max) == (1, 1)
    assert SSASTConfig.tiny(hidden_size=96, num_labels=5).num_labels == 5
    with pytest.raises(ValueError, match="'patch', 'frame'"):
        SSASTConfig.tiny(patches="square")


@pytest.mark.parametrize("frames", [16, 17, 98, 100, 512, 1000, 1024, 3000])
@pytest.mark.parametrize(("stride", "patch"), [((16, 16), (16, 16)), ((10, 10), (16, 16)), ((128, 1), (128, 2))])
def test_the_grid_is_that_of_a_convolution(frames, stride, patch):
    config = SSASTConfig(
        frequency_patch_size=patch[0], time_patch_size=patch[1], frequency_stride=stride[0], time_stride=stride[1]
    )
    convolved = torch.nn.functional.conv2d(torch.zeros(1, 1, 128, frames), torch.zeros(1, 1, *patch), stride=stride)
    assert config.patch_grid(frames) == tuple(convolved.shape[2:])
    assert config.num_time_patches(torch.tensor([frames, 0])).tolist() == [convolved.shape[3], 0]
    assert config.num_time_patches(patch[1] - 1) == 0


IMPOSSIBLE = {
    "hidden_size": [0, -1, 1.5, "768", 770, None, True],
    "num_hidden_layers": [0], "num_attention_heads": [0, 7], "intermediate_size": [0], "num_mel_bins": [0, 8],
    "max_length": [0, 8], "frequency_patch_size": [0, 129], "time_patch_size": [0, 1025], "frequency_stride": [0],
    "time_stride": [-1], "hidden_act": ["gelo", ["gelu"]], "hidden_dropout_prob": [-0.1, 1.0, float("nan")],
    "attention_probs_dropout_prob": [1.5], "initializer_range": [-1], "position_embedding_init": ["zeros", None],
    "layer_norm_eps": [0, -1e-6, float("inf")],
    "classifier_layer_norm_eps": [0, float("inf")], "problem_type": ["ranking"],
    "qkv_bias": ["yes"], "classifier_layer_norm": [1], "pooling": ["max", None],
    "num_mask_patches": [0, 513, 2.5], "mask_cluster_min": [0, 6],
    "mask_cluster_max": [2], "discriminative_loss_weight": [-1], "generative_loss_weight": [-1, float("inf")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in IMPOSSIBLE.items() for value in values]
)
def test_impossible_values_name_the_field(field, value):
    with pytest.raises(ValueError, match=r"`(\w+)` is .*, expected ") as error:
        SSASTConfig(**{field: value})
    related = {"num_attention_heads": "hidden_size", "num_mel_bins": "frequency_patch_size",
               "max_length": "time_patch_size", "mask_cluster_min": "mask_cluster_max"}  # fmt: skip
    assert f"`{field}`" in str(error.value) or f"`{related.get(field)}`" in str(error.value)


def test_numbers_of_numpy_are_taken_and_saved(tmp_path):
    SSASTConfig(max_length=np.int64(512), layer_norm_eps=np.float32(0.5)).save_pretrained(tmp_path)
    loaded = SSASTConfig.from_pretrained(tmp_path)
    assert (loaded.max_length, loaded.layer_norm_eps, loaded.num_mask_patches) == (512, 0.5, 200)


def test_both_objectives_cannot_be_off():
    with pytest.raises(ValueError, match="discriminative_loss_weight is 0"):
        SSASTConfig(discriminative_loss_weight=0, generative_loss_weight=0)


def test_overrides_keep_the_masked_share_and_are_validated(tmp_path):
    SSASTConfig(num_mask_patches=250).save_pretrained(tmp_path)
    assert SSASTConfig.from_pretrained(tmp_path).num_mask_patches == 250
    assert SSASTConfig.from_pretrained(tmp_path, max_length=512).num_mask_patches == 125
    assert SSASTConfig.from_pretrained(tmp_path, max_length=512, num_mask_patches=7).num_mask_patches == 7
    strided = SSASTConfig.from_pretrained(tmp_path, frequency_stride=10, time_stride=10, max_length=128)
    assert strided.patch_grid() == (12, 12)
    with pytest.raises(ValueError, match="`max_length`|`time_patch_size`"):
        SSASTConfig.from_pretrained(tmp_path, max_length=3)
