# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast_hf.hear` keeps the rules of HEAR 2021's common API."""

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel, hear

from ..conftest import SMALL

SHAPES = [(16, 16, 16), (16, 16, 10), (128, 2, 2)]  # mel bins, frames and time stride of a patch


@pytest.fixture(params=SHAPES, ids=str)
def model(request, tmp_path):
    torch.manual_seed(0)
    bins, frames, stride = request.param
    config = SSASTConfig(**SMALL, max_length=64, frequency_patch_size=bins, time_patch_size=frames, time_stride=stride)
    SSASTModel(config).save_pretrained(tmp_path)
    SSASTFeatureExtractor(max_length=64).save_pretrained(tmp_path)
    return hear.load_model(str(tmp_path))


@pytest.mark.parametrize("samples", [100, 4000, 16000, 50000])
def test_shapes_timestamps_and_batches(model, samples):
    audio = torch.rand(3, samples, generator=torch.Generator().manual_seed(0)) * 2 - 1
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    scenes = hear.get_scene_embeddings(audio, model)
    assert model.sample_rate == 16000
    assert embeddings.dtype == timestamps.dtype == scenes.dtype == torch.float32
    assert embeddings.shape == (*timestamps.shape, model.timestamp_embedding_size)
    assert scenes.shape == (3, model.scene_embedding_size)
    assert embeddings.isfinite().all() and scenes.isfinite().all()
    step = 10.0 * model.model.config.time_stride
    assert torch.allclose(timestamps.diff(), torch.tensor(step), atol=1e-2)
    if samples >= 4000:
        assert timestamps.min() > 0 and timestamps.max() < samples / 16
    torch.testing.assert_close(hear.get_timestamp_embeddings(audio[1:2], model)[0], embeddings[1:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(hear.get_scene_embeddings(audio[1:2], model), scenes[1:2], atol=1e-5, rtol=0)


def test_wrong_audio_is_refused(model):
    for audio in (torch.zeros(16000), torch.zeros(1, 16000, dtype=torch.int16), torch.full((1, 16000), torch.nan)):
        with pytest.raises(ValueError, match="expected"):
            hear.get_scene_embeddings(audio, model)
