# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What transformers' common tests import from files that its sdist lacks, in our own words."""

import pytest
import torch


class ExportTesterMixin:
    """Base class of `ModelTesterMixin`: the test that a model can be exported."""

    def test_torch_export(self):
        """`torch.export` captures each model as one graph that computes the same."""
        for model_class in self.all_model_classes:
            config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
            model = model_class(config).eval()
            inputs = self._prepare_for_class(inputs, model_class)
            with torch.no_grad():
                expected = model(**inputs)
                found = torch.export.export(model, (), inputs).module()(**inputs)
            for name, value in expected.items():
                if torch.is_tensor(value):
                    torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.generate
class GenerationTesterMixin:
    """What only the tests of models that generate text inherit from."""


config_common_kwargs = {  # other than the default values of the fields that every config has
    "architectures": ["SSASTModel"],
    "chunk_size_feed_forward": 3,
    "dtype": "float16",
    "id2label": {0: "rain", 1: "wind"},
    "is_encoder_decoder": True,
    "label2id": {"rain": 0, "wind": 1},
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "multi_label_classification",
    "return_dict": False,
}
