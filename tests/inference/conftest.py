# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
import pytest

from ssast_hf import SSASTFeatureExtractor, SSASTModel


@pytest.fixture
def encoder(checkpoints) -> tuple[SSASTModel, SSASTFeatureExtractor]:
    path = checkpoints / "pretrained"
    return SSASTModel.from_pretrained(path).eval(), SSASTFeatureExtractor.from_pretrained(path)
