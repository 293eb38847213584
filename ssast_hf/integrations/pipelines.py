# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`pipeline("feature-extraction")` for SSAST: transformers' own needs a tokenizer."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer
from transformers.pipelines import FeatureExtractionPipeline

from ..audio import load_audio, resample
from ..utils.transformers_internals import replace_pipeline_class

NUM_SPECIAL_TOKENS = 2


class SSASTFeatureExtractionPipeline(FeatureExtractionPipeline):
    """
    The `"feature-extraction"` pipeline of SSAST models. For every other model, calling this class gives transformers'
    own `FeatureExtractionPipeline`.

    Takes a waveform (samples,) at the extractor's rate, `{"array": waveform, "sampling_rate": Hz}`, or a file's name,
    or a list of these. Gives `last_hidden_state` without the tokens of padding, (1, 2 + real patches, hidden), as
    nested lists, or as a tensor with `return_tensors=True`.

    Raises:
        ValueError: There is no feature extractor, or the input is none of these.
    """

    _load_tokenizer = None  # optional: SSAST has none
    _load_feature_extractor = None

    def __new__(cls, *args, **kwargs):
        model = kwargs.get("model", args[0] if args else None)
        if getattr(getattr(model, "config", None), "model_type", None) == "ssast":
            return super().__new__(cls)
        if kwargs.get("tokenizer") is None and len(args) < 2:  # it could not be loaded; this raises the reason
            kwargs["tokenizer"] = AutoTokenizer.from_pretrained(model.config.name_or_path)
        kwargs.pop("feature_extractor", None)  # transformers' class loads none
        return FeatureExtractionPipeline(*args, **kwargs)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.feature_extractor is None:
            raise ValueError(
                "Found no feature extractor beside the model: give `feature_extractor=`, or save one in the model's "
                "directory."
            )

    def preprocess(self, inputs, **kwargs):
        rate = self.feature_extractor.sampling_rate
        if isinstance(inputs, (str, bytes, Path)):
            inputs = load_audio(inputs, rate)
        elif isinstance(inputs, dict):
            names = [name for name in ("array", "raw") if name in inputs]
            if not names or "sampling_rate" not in inputs:
                raise ValueError(f"Found a dict with {sorted(inputs)}, expected `array` and `sampling_rate`.")
            inputs, found = np.asarray(inputs[names[0]]), inputs["sampling_rate"]
            inputs = inputs if found == rate else resample(inputs, found, rate)
        if np.ndim(inputs) != 1:
            raise ValueError(f"Found a waveform of shape {np.shape(inputs)}, expected (samples,): mix its channels.")
        given = {"return_attention_mask": True, **kwargs}
        features = self.feature_extractor(inputs, sampling_rate=rate, return_tensors="pt", **given)
        return features.to(self.dtype) if isinstance(self.dtype, torch.dtype) else features

    def _forward(self, model_inputs):
        inputs = dict(model_inputs)
        mask = inputs.get("attention_mask")
        if self.feature_extractor.return_attention_mask is False:  # the model was trained without
            inputs.pop("attention_mask", None)
        outputs = self.model(**inputs)
        if "last_hidden_state" not in outputs or mask is None:
            return outputs
        encoder = getattr(self.model, self.model.base_model_prefix, self.model)
        real = encoder.real_patches(inputs["input_values"], encoder.num_real_time_patches(mask))
        real = torch.nn.functional.pad(real, (NUM_SPECIAL_TOKENS, 0), value=True)
        return {"last_hidden_state": outputs["last_hidden_state"], "real": real}

    def postprocess(self, model_outputs, return_tensors=False):
        if "real" not in model_outputs:
            return super().postprocess(model_outputs, return_tensors)
        tokens = model_outputs["last_hidden_state"][:, model_outputs["real"][0]]
        return tokens if return_tensors else tokens.tolist()


replace_pipeline_class("feature-extraction", SSASTFeatureExtractionPipeline)
