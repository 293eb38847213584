# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`classify` and `embed` by the name of a checkpoint."""

from pathlib import Path

import numpy as np
import pytest

from ssast_hf import SSASTFeatureExtractor, SSASTModel, classify, embed
from ssast_hf.checkpoints import DEFAULT_CLASSIFIER, DEFAULT_PRETRAINED
from ssast_hf.inference import load_classifier

SOUND = Path(__file__).parents[1] / "data" / "sounds" / "perc_snap.flac"


def test_a_name_stands_for_model_and_extractor():
    extractor = SSASTFeatureExtractor.from_pretrained(DEFAULT_CLASSIFIER)
    expected = list(classify(load_classifier(DEFAULT_CLASSIFIER), extractor, [SOUND]))
    assert list(classify([SOUND], model=DEFAULT_CLASSIFIER, device="cpu")) == expected
    assert list(classify(str(SOUND), model=DEFAULT_CLASSIFIER, device="cpu")) == expected
    model = SSASTModel.from_pretrained(DEFAULT_PRETRAINED).eval()
    extractor = SSASTFeatureExtractor.from_pretrained(DEFAULT_PRETRAINED)
    (_, expected), (_, found) = (
        next(embed(model, extractor, [SOUND], layers=[6])),
        next(embed([SOUND], model=DEFAULT_PRETRAINED, layers=[6], device="cpu")),
    )
    np.testing.assert_array_equal(expected["embeddings"], found["embeddings"])


def test_a_loaded_model_stays_where_it_is():
    model = load_classifier(DEFAULT_CLASSIFIER)
    extractor = SSASTFeatureExtractor.from_pretrained(DEFAULT_CLASSIFIER)
    with pytest.raises(ValueError, match="`device` is 'cpu', expected none"):
        classify(model, extractor, [SOUND], device="cpu")
    assert list(classify(model=model, extractor=extractor, files=[SOUND]))
