# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The upstream for S3PRL, called as its `S3PRLUpstream` does (s3prl/nn/upstream.py of 0.4.18)."""

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel, hear
from ssast_hf.integrations.s3prl import UpstreamExpert


@pytest.fixture(params=["patch", "frame"])
def upstream(request, tmp_path) -> UpstreamExpert:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
    SSASTModel(SSASTConfig.tiny(request.param, max_length=64, **sizes)).save_pretrained(tmp_path)
    SSASTFeatureExtractor(max_length=64).save_pretrained(tmp_path)
    return UpstreamExpert(ckpt=str(tmp_path), refresh=False).eval()


@pytest.mark.parametrize("samples", [[800], [16000], [400, 9000, 40000], [10240, 10241, 20480]])
def test_its_hidden_states_fit_their_stride_and_are_each_waveforms_own(upstream, samples):
    generator = torch.Generator().manual_seed(1)
    wavs = [torch.rand(length, generator=generator) - 0.5 for length in samples]
    with torch.no_grad():
        states = upstream(wavs)["hidden_states"]
        alone = [upstream([wav])["hidden_states"] for wav in wavs]
    stride, config = upstream.get_downsample_rates("hidden_states"), upstream.model.config
    expected = len(range(0, max(samples), stride))
    assert len(states) == 3
    for layer, found in enumerate(states):
        assert found.shape[0] == len(wavs) and found.shape[2] == config.num_frequency_patches * 16
        few, many = sorted((found.shape[1], expected))
        assert many - few <= 2  # S3PRL allows for 4, and repeats the last step
        for index, own in enumerate(alone):
            steps = own[layer].shape[1]
            torch.testing.assert_close(found[index, :steps], own[layer][0], rtol=0, atol=1e-5)
            assert not found[index, steps:].any()


def test_its_states_are_the_models_and_have_gradients(upstream):
    wav = torch.rand(8000, generator=torch.Generator().manual_seed(2)) - 0.5
    states = upstream([wav])["hidden_states"]
    config = upstream.model.config
    inputs = upstream.extractor(
        wav, sampling_rate=16000, return_tensors="pt", padding="longest", return_attention_mask=True,
        pad_to_multiple_of=config.time_patch_size,
    )  # fmt: skip
    expected = upstream.model(**inputs, output_hidden_states=True).hidden_states
    for found, whole in zip(states, expected):
        steps = found.shape[1]
        for step in (0, steps // 2):
            patches = whole[0, 2:].unflatten(0, (config.num_frequency_patches, -1))[:, step]
            torch.testing.assert_close(found[0, step], patches.flatten(), rtol=0, atol=1e-5)
    states[-1].sum().backward()
    assert upstream.model.layers[0].attention.qkv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("fields", [{"max_length": 70}, {"max_length": 50, "time_stride": 10}, {"time_stride": 24}])
def test_steps_are_as_far_apart_as_hears_whatever_the_window(tmp_path, fields):
    """The mean over frequency of each step is HEAR's time step, also in windows that are no multiple of the patch."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}
    SSASTModel(SSASTConfig.tiny("patch", **{"max_length": 64, **sizes, **fields})).save_pretrained(tmp_path)
    SSASTFeatureExtractor(max_length=64).save_pretrained(tmp_path)
    upstream = UpstreamExpert(ckpt=str(tmp_path)).eval()
    config = upstream.model.config
    wav = torch.rand(100000, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.no_grad():
        (found,) = upstream([wav])["hidden_states"][-1]
    expected, _ = hear.get_timestamp_embeddings(wav[None], hear.load_model(str(tmp_path)))
    frames = (len(wav) - 400) // 160 + 1
    assert len(found) == (frames - 16) // config.time_stride + 1
    rows = upstream.model.layernorm(found.unflatten(1, (config.num_frequency_patches, -1)))
    torch.testing.assert_close(rows.mean(dim=1), expected[0], rtol=0, atol=1e-5)


def test_what_is_no_waveform_is_an_error(upstream):
    with pytest.raises(ValueError, match="NaN|finite"):
        upstream([torch.full((800,), float("nan"))])
