# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`pipeline("feature-extraction")`: this package's class for SSAST, transformers' own for everything else."""

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer, FeatureExtractionPipeline, pipeline

from ssast_hf import SSASTFeatureExtractionPipeline, SSASTFeatureExtractor, SSASTModel


@pytest.fixture
def bert(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sound", "bird"]))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=7, **sizes)).save_pretrained(tmp_path / "bert")
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def test_other_models_keep_transformers_class_and_numbers(bert):
    found = pipeline("feature-extraction", model=bert)
    assert type(found) is FeatureExtractionPipeline
    stock = pipeline("feature-extraction", model=bert, pipeline_class=FeatureExtractionPipeline)
    assert found("sound bird") == stock("sound bird")
    assert type(pipeline("feature-extraction", model=found.model, tokenizer=found.tokenizer)) is type(stock)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_only_real_tokens_are_returned(config, tmp_path, batch_size):
    """Each clip's tokens are those of the clip alone, without padding; of 40 frames, 25 ms + 10 ms each."""
    model = SSASTModel(config).eval()
    model.save_pretrained(tmp_path)
    extractor = SSASTFeatureExtractor(num_mel_bins=24, max_length=40)
    extractor.save_pretrained(tmp_path)
    embed = pipeline("feature-extraction", model=str(tmp_path))
    assert type(embed) is SSASTFeatureExtractionPipeline
    clips = [torch.randn(n, generator=torch.Generator().manual_seed(n)).numpy() * 0.1 for n in (1680, 3600, 9000)]
    found = embed(clips, batch_size=batch_size, return_tensors=True)
    assert [tuple(tokens.shape) for tokens in found] == [(1, 2 + 6 * columns, 32) for columns in (2, 5, 10)]
    for clip, tokens in zip(clips, found):
        features = extractor(clip, sampling_rate=16000, padding=False, return_tensors="pt")
        with torch.no_grad():
            alone = model(features["input_values"]).last_hidden_state
        torch.testing.assert_close(tokens, alone, rtol=0, atol=1e-5)
