# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""PEFT's LoRA around a classifier: trained, saved as an adapter, loaded, merged."""

import pytest
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.checkpoints import DEFAULT_PRETRAINED

peft = pytest.importorskip("peft")


def test_an_adapter_is_trained_saved_and_merged(saved, clips, tmp_path):
    extractor = SSASTFeatureExtractor.from_pretrained(saved)
    inputs = extractor([clip["audio"] for clip in clips], padding=True, return_tensors="pt")
    labels = torch.tensor([clip["label"] for clip in clips])
    config = peft.LoraConfig(r=4, target_modules=["qkv", "o_proj"], modules_to_save=["classifier"])
    model = peft.get_peft_model(SSASTForAudioClassification.from_pretrained(saved), config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.eval().save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(**inputs).logits
        again = peft.PeftModel.from_pretrained(SSASTForAudioClassification.from_pretrained(saved), tmp_path).eval()
        torch.testing.assert_close(again(**inputs).logits, expected)
        auto = peft.AutoPeftModel.from_pretrained(tmp_path, import_allowlist=["ssast_hf"])
        torch.testing.assert_close(auto.eval()(**inputs).logits, expected)
        merged = again.merge_and_unload()
        merged.save_pretrained(tmp_path / "merged", True)
        merged = SSASTForAudioClassification.from_pretrained(tmp_path / "merged").eval()
        torch.testing.assert_close(merged(**inputs).logits, expected, atol=1e-5, rtol=1e-5)


def test_an_adapter_of_a_bundled_model_names_it(tmp_path):
    """By its short name, which is found on every machine, and not by where this one has it."""
    model = SSASTForAudioClassification.from_pretrained(DEFAULT_PRETRAINED, num_labels=2, max_length=64)
    assert model.name_or_path == model.config.name_or_path == DEFAULT_PRETRAINED
    peft.get_peft_model(model, peft.LoraConfig(target_modules=["qkv"])).save_pretrained(tmp_path)
    assert peft.PeftConfig.from_pretrained(tmp_path).base_model_name_or_path == DEFAULT_PRETRAINED
