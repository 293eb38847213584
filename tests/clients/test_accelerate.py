# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""accelerate: a training loop of one's own, and models whose weights are on disk."""

import accelerate
import pytest
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel

from .loader import loader


def test_a_loop_of_ones_own_trains_saves_and_resumes(saved, clips, tmp_path):
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    model = SSASTForAudioClassification.from_pretrained(saved)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = loader(SSASTFeatureExtractor.from_pretrained(saved), clips)
    model, optimizer, batches = accelerator.prepare(model, optimizer, batches)
    losses = []
    for _ in range(12):  # a step each
        for batch in batches:
            with accelerator.accumulate(model):
                loss = model(**batch).loss
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    accelerator.save_state(tmp_path / "state")
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.classifier.dense.weight.zero_()
    accelerator.load_state(tmp_path / "state")
    torch.testing.assert_close(dict(model.state_dict()), trained)
    accelerator.unwrap_model(model).save_pretrained(  # transformers' positional parameters
        tmp_path / "saved", accelerator.is_main_process, accelerator.get_state_dict(model)
    )
    again = SSASTForAudioClassification.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(dict(again.state_dict()), trained)


@pytest.mark.parametrize(
    "grid", [{}, {"max_length": 40}, {"max_length": 120, "time_stride": 8}, {"frequency_stride": 8}], ids=str
)
@pytest.mark.parametrize("device_map", [{"": "disk"}, {"embeddings": "disk", "layers": "cpu", "layernorm": "disk"}])
def test_weights_on_disk_give_the_same_output(saved, tmp_path, grid, device_map):
    """Also where position embeddings are adapted to another grid on loading, and to another length in `forward`."""
    model = SSASTModel.from_pretrained(saved, **grid).eval()
    on_disk = SSASTModel.from_pretrained(saved, device_map=device_map, offload_folder=tmp_path / "weights", **grid)
    assert on_disk.embeddings.position_embeddings.is_meta
    for frames in (64, 40, 130):
        inputs = torch.randn(2, frames, 128, generator=torch.Generator().manual_seed(frames))
        mask = torch.arange(frames)[None] < torch.tensor([[frames], [frames // 2]])
        with torch.no_grad():
            for given in (None, mask.long()):
                expected = model(inputs, attention_mask=given).last_hidden_state
                torch.testing.assert_close(on_disk(inputs, attention_mask=given).last_hidden_state, expected)
    accelerate.disk_offload(model, tmp_path / "whole")
    with torch.no_grad():
        torch.testing.assert_close(model(inputs, attention_mask=given).last_hidden_state, expected)
