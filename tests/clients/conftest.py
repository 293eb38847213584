# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification

SAMPLES = range(3000, 10200, 600)  # of twelve clips, 0.19 to 0.6 s, 17 to 58 frames


@pytest.fixture(scope="package")
def saved(tmp_path_factory) -> str:
    """A small random classifier of two labels with its feature extractor, in a directory."""
    directory = tmp_path_factory.mktemp("clients") / "classifier"
    config = SSASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37,
                         max_length=64, label2id={"low": 0, "high": 1}, id2label={0: "low", 1: "high"})  # fmt: skip
    torch.manual_seed(0)
    SSASTForAudioClassification(config).save_pretrained(directory)
    SSASTFeatureExtractor(max_length=64).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="package")
def clips() -> list[dict]:
    """Tones of 200 and 2000 Hz in noise, as `datasets` gives sound, with labels 0 and 1."""
    rng = np.random.default_rng(0)
    found = []
    for number, samples in enumerate(SAMPLES):
        tone = np.sin(2 * np.pi * (200, 2000)[number % 2] * np.arange(samples) / 16000)
        array = (0.3 * tone + 0.1 * rng.standard_normal(samples)).astype(np.float32)
        found.append({"audio": {"array": array, "sampling_rate": 16000}, "label": number % 2})
    return found
