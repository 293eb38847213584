# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Transformers' common tests of feature extractors, on SSAST's."""

import unittest

import numpy as np

from ssast_hf import SSASTFeatureExtractor

from . import make_importable

make_importable()

from transformers_tests.test_sequence_feature_extraction_common import SequenceFeatureExtractionTestMixin  # noqa: E402


class SSASTFeatureExtractionTester:
    """Seven waveforms of increasing length."""

    batch_size = 7
    min_seq_length = 400
    max_seq_length = 2000
    seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)
    feature_size = 1

    def prepare_feat_extract_dict(self):
        return {
            "feature_size": self.feature_size,
            "padding_value": 0.0,
            "sampling_rate": 16000,
            "num_mel_bins": 24,
            "max_length": 40,
            "do_normalize": True,
            "return_attention_mask": True,
        }

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        lengths = range(self.min_seq_length, self.max_seq_length, self.seq_length_diff)
        random = np.random.default_rng(0)
        waveforms = [random.random(self.max_seq_length if equal_length else n, dtype=np.float32) for n in lengths]
        return waveforms if numpify else [waveform.tolist() for waveform in waveforms]


class SSASTFeatureExtractionTest(SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = SSASTFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = SSASTFeatureExtractionTester()
