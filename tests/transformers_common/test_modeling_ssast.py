# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Transformers' common tests of models and configurations, on every SSAST class."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch
from safetensors import safe_open
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.testing_utils import torch_device

from ssast_hf import SSASTConfig, SSASTForAudioClassification, SSASTForPreTraining, SSASTModel

from . import make_importable

make_importable()

from transformers_tests.test_configuration_common import ConfigTester  # noqa: E402
from transformers_tests.test_modeling_common import ModelTesterMixin, floats_tensor  # noqa: E402


class SSASTModelTester:
    """
    A tiny patch-based model and a batch without padding: 16 bins x 26 frames in patches of 4 x 4, F = 4, T = 6. These
    are 26 tokens as well, and so the masks of 26 that transformers' tests make up are those of 26 frames.
    """

    patches = {"frequency_patch_size": 4, "time_patch_size": 4}
    max_length = 26
    pooling = "mean"

    def __init__(self, parent):
        self.parent = parent
        self.batch_size = 5
        self.is_training = True
        self.hidden_size = 32
        self.num_hidden_layers = 2
        self.num_attention_heads = 4
        self.num_mel_bins = 16
        config = self.get_config()
        self.seq_length = config.num_patches + 2
        self.num_masks, self.mask_length = config.num_mask_patches, config.num_patches

    def get_config(self) -> SSASTConfig:
        return SSASTConfig(
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=37,
            num_mel_bins=self.num_mel_bins,
            max_length=self.max_length,
            pooling=self.pooling,
            **self.patches,
        )

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), {
            "input_values": floats_tensor([self.batch_size, self.max_length, self.num_mel_bins])
        }


class SSASTFrameModelTester(SSASTModelTester):
    """A tiny frame-based model that pools the special tokens, and a batch with a padded clip: F = 1, T = 12."""

    patches = {"frequency_patch_size": 16, "time_patch_size": 2, "mask_cluster_min": 1, "mask_cluster_max": 1}
    max_length = 24
    pooling = "cls"

    def prepare_config_and_inputs_for_common(self):
        config, inputs = super().prepare_config_and_inputs_for_common()
        attention_mask = torch.ones(self.batch_size, self.max_length, dtype=torch.int64, device=torch_device)
        attention_mask[1, self.max_length // 2 :] = 0
        return config, {**inputs, "attention_mask": attention_mask}


class SSASTModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (SSASTModel, SSASTForAudioClassification, SSASTForPreTraining)
    model_tester_class = SSASTModelTester
    test_resize_embeddings = False  # there are no tokens

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = ConfigTester(self, config_class=SSASTConfig, has_text_modality=False, hidden_size=36)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        """Gives the mask that SSASTForPreTraining would otherwise draw at random."""
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if model_class is SSASTForPreTraining:
            masked = torch.arange(self.model_tester.mask_length, device=torch_device) < self.model_tester.num_masks
            inputs["bool_masked_pos"] = masked.repeat(len(inputs["input_values"]), 1)
        return inputs

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_model_get_set_embeddings(self):
        """The input embeddings can be replaced. (Transformers' test is for text tokens; AST overrides it as well.)"""
        for model_class in self.all_model_classes:
            model = model_class(self.model_tester.get_config())
            self.assertIsInstance(model.get_input_embeddings().projection, torch.nn.Conv2d)
            new = torch.nn.Identity()
            model.set_input_embeddings(new)
            self.assertIs(model.get_input_embeddings(), new)
            self.assertIsNone(model.get_output_embeddings())

    def test_model_outputs_equivalence(self):
        """
        Transformers' test, whose message subtracts the tensors that it compares, right or wrong: torch refuses that
        for booleans, such as the mask that SSASTForPreTraining returns.
        """
        subtract = torch.Tensor.__sub__

        def difference(left, right):
            return (left ^ right).int() if left.dtype is torch.bool else subtract(left, right)

        with mock.patch.object(torch.Tensor, "__sub__", difference):
            super().test_model_outputs_equivalence()

    def test_reverse_loading_mapping(self):
        """Files hold the names of the modules. (Transformers' test is for models with names to convert, and skips.)"""
        self.check_no_conversion(save_original_format=True)

    def test_can_load_from_already_mapped_keys(self):
        """As `test_reverse_loading_mapping`, saved the other way."""
        self.check_no_conversion(save_original_format=False)

    def check_no_conversion(self, **save_kwargs):
        for model_class in self.all_model_classes:
            with self.subTest(model_class.__name__), tempfile.TemporaryDirectory() as directory:
                model = model_class(self.model_tester.get_config())
                self.assertEqual(get_model_conversion_mapping(model, add_legacy=False), [])
                model.save_pretrained(directory, **save_kwargs)
                with safe_open(Path(directory) / "model.safetensors", "pt") as file:
                    self.assertEqual(set(file.keys()), set(model.state_dict()))
                reloaded = model_class.from_pretrained(directory).state_dict()
                for name, value in model.state_dict().items():
                    torch.testing.assert_close(reloaded[name], value, rtol=0, atol=0)


class SSASTFrameModelTest(SSASTModelTest):
    model_tester_class = SSASTFrameModelTester
