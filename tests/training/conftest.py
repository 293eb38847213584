# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining

from .tones import CONFIG, PITCHES


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> Path:
    """Three labels of 6 clips each, 0.3 to 0.4 s, in folders; manifests with speakers and with several labels."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    single, several = ["file,label,speaker"], []
    for label, pitch in PITCHES.items():
        (folder / "clips" / label).mkdir(parents=True)
        for i in range(6):
            time = np.arange(6400 - 300 * i) / 16000
            tone = 0.3 * np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * time)
            path = folder / "clips" / label / f"{i}.wav"
            soundfile.write(path, tone + 0.01 * rng.standard_normal(len(time)), 16000)
            single.append(f"clips/{label}/{i}.wav,{label},speaker{i % 3}")
            labels = [label, "even" if i % 2 == 0 else "odd"]
            several.append({"file": f"clips/{label}/{i}.wav", "label": labels})
    (folder / "single.csv").write_text("\n".join(single) + "\n")
    (folder / "several.jsonl").write_text("\n".join(map(json.dumps, several)) + "\n")
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    SSASTForPreTraining(SSASTConfig(**CONFIG, max_length=48)).save_pretrained(folder)
    SSASTFeatureExtractor(max_length=48).save_pretrained(folder)
    return folder
