# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast convert --to ast` keeps what transformers' AST can hold and counts the rest."""

import pytest
import torch
from transformers import ASTForAudioClassification, ASTModel

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining
from ssast_hf.checkpoints.convert import convert_checkpoint
from ssast_hf.cli import main

from ..golden import seeded
from ..official_states import fine_tuned_state


@pytest.fixture
def official(tmp_path):
    """A fine-tuned official file of 12 x 12 patches with one layer."""
    state = {
        key: value for key, value in fine_tuned_state(144).items() if ".blocks." not in key or ".blocks.0." in key
    }
    torch.save(state, tmp_path / "best.pth")
    return tmp_path / "best.pth"


def test_a_classifier_of_the_special_tokens_comes_along(official, tmp_path, capsys):
    for to in ("ssast", "ast"):
        assert main(["convert", str(official), str(tmp_path / to), "--pooling", "cls", "--to", to]) == 0
    assert "23 tensors used, 4 dropped" in capsys.readouterr().out
    spectrograms = seeded.spectrogram(2, 128)
    with torch.no_grad():
        expected = SSASTForAudioClassification.from_pretrained(tmp_path / "ssast").eval()(spectrograms).logits
        found = ASTForAudioClassification.from_pretrained(tmp_path / "ast").eval()(spectrograms).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_another_is_dropped_counted_and_said(official, tmp_path, capsys):
    assert main(["convert", str(official), str(tmp_path / "ast"), "--to", "ast"]) == 0
    out = capsys.readouterr().out
    assert "19 tensors used, 8 dropped" in out
    assert "4 dropped: classifier: AST pools the special tokens, this one was trained with pooling='mean'" in out
    assert "pooler_output is the mean of the two special tokens" in out
    assert ASTModel.from_pretrained(tmp_path / "ast").config.max_length == 128


def test_so_are_the_mask_token_and_the_pretraining_heads(config, tmp_path):
    SSASTForPreTraining(config).save_pretrained(tmp_path / "ours")
    SSASTFeatureExtractor(num_mel_bins=24, max_length=40).save_pretrained(tmp_path / "ours")
    conversion = convert_checkpoint(tmp_path / "ours", tmp_path / "ast", "ast")
    reasons = list(conversion.dropped.values())
    assert sum("mask token" in reason for reason in reasons) == 1
    assert sum("pretraining heads" in reason for reason in reasons) == 8
    assert len(reasons) == 9 and not set(conversion.keys) & set(conversion.dropped)
