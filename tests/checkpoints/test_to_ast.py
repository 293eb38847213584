# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast convert --to ast` keeps what transformers' AST can hold and counts the rest."""

import json

import pytest
import torch
from transformers import ASTForAudioClassification, ASTModel

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining
from ssast_hf.checkpoints.convert import convert_checkpoint
from ssast_hf.cli import main

from ..conftest import SMALL
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


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"pooling": "rows"}, "AST pools the special tokens, this one was trained with pooling='rows'"),
        ({"pooling": "rows", "classifier_layer_norm": False}, "pooling='rows'"),
        ({"pooling": "cls", "classifier_layer_norm": False}, "AST's has a layer norm, this one has none"),
    ],
    ids=str,
)
def test_no_classifier_that_ast_cannot_hold_is_lost_unsaid(fields, reason, tmp_path, capsys):
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, **fields)
    SSASTForAudioClassification(config).save_pretrained(tmp_path / "ours")
    SSASTFeatureExtractor(max_length=64).save_pretrained(tmp_path / "ours")
    assert main(["convert", str(tmp_path / "ours"), str(tmp_path / "ast"), "--to", "ast"]) == 0
    out = capsys.readouterr().out
    lost = 4 if config.classifier_layer_norm else 2
    assert f"31 tensors used, {lost} dropped\n  {lost} dropped: classifier: " in out and reason in out
    assert json.loads((tmp_path / "ast/config.json").read_text())["architectures"] == ["ASTModel"]


def test_so_are_the_mask_token_and_the_pretraining_heads(config, tmp_path):
    SSASTForPreTraining(config).save_pretrained(tmp_path / "ours")
    SSASTFeatureExtractor(num_mel_bins=24, max_length=40).save_pretrained(tmp_path / "ours")
    conversion = convert_checkpoint(tmp_path / "ours", tmp_path / "ast", "ast")
    reasons = list(conversion.dropped.values())
    assert sum("mask token" in reason for reason in reasons) == 1
    assert sum("pretraining heads" in reason for reason in reasons) == 8
    assert len(reasons) == 9 and not set(conversion.keys) & set(conversion.dropped)
