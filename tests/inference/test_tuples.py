# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Models whose configuration asks for tuples instead of outputs with names."""

import numpy as np
import torch
from transformers import pipeline

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification, classify, embed


def test_a_configuration_that_asks_for_tuples_changes_no_result(config):
    """`return_dict=False` in config.json: `embed`, `classify` and the pipeline of tokens read names all the same."""
    torch.manual_seed(0)
    model = SSASTForAudioClassification(config).eval()
    extractor = SSASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, 8000).astype(np.float32)
    results = []
    for return_dict in (True, False):
        model.config.return_dict = return_dict
        ((_, arrays),) = embed(model.ssast, extractor, [waveform])
        ((_, scores),) = classify(model, extractor, [waveform])
        tokens = pipeline("feature-extraction", model=model.ssast, feature_extractor=extractor)(waveform)
        results.append((arrays["embeddings"].tolist(), scores, tokens))
    assert results[0] == results[1]
