# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""torchao: weights of 8 bits, as transformers loads them. `make clients` runs this."""

import pytest
import torch

from ssast_hf import SSASTForAudioClassification


def test_torchao_by_from_pretrained(checkpoints):
    torchao = pytest.importorskip("torchao.quantization", reason="pip install torchao (make clients)")
    from transformers import TorchAoConfig

    path, values = checkpoints / "classifier", torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(0))
    quantization = TorchAoConfig(torchao.Int8WeightOnlyConfig())
    model = SSASTForAudioClassification.from_pretrained(path, quantization_config=quantization, device_map="cpu")
    assert type(model.ssast.layers[0].mlp.fc1.weight.data).__module__.startswith("torchao")
    with torch.no_grad():
        expected = SSASTForAudioClassification.from_pretrained(path).eval()(input_values=values).logits
        found = model.eval()(input_values=values).logits
    difference = (found - expected).abs().max()
    assert 0 < difference < 0.02 * expected.abs().max()
