# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.cli import main

from ..conftest import SMALL


@pytest.fixture(scope="package")
def exported(tmp_path_factory) -> Path:
    """A folder with a random `classifier` of 64 frames and `x.onnx`."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, initializer_range=0.2)
    SSASTForAudioClassification(config).save_pretrained(folder / "classifier")
    SSASTFeatureExtractor(max_length=64).save_pretrained(folder / "classifier")
    assert main(["export", "--model", str(folder / "classifier"), "--onnx", str(folder / "x.onnx")]) == 0
    return folder
