# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`pipeline("feature-extraction")` for sound: transformers' own needs a tokenizer."""

from pathlib import Path

import numpy as np
import torch
from transformers.pipelines import PIPELINE_REGISTRY, FeatureExtractionPipeline

from ..audio.decoding import load_audio, resample


class SSASTFeatureExtractionPipeline(FeatureExtractionPipeline):
    """
    The `"feature-extraction"` pipeline, for models with a feature extractor as well as for those with a tokenizer,
    which go on as before.

    Takes a waveform (samples,) at the extractor's rate, `{"array": waveform, "sampling_rate": Hz}`, or a file's name,
    or a list of these; gives `last_hidden_state` as nested lists, or as a tensor with `return_tensors=True`. Raises
    ValueError for anything else.
    """

    _load_tokenizer = None  # optional
    _load_feature_extractor = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.tokenizer is None and self.feature_extractor is None:
            raise ValueError(
                "Found neither a feature extractor nor a tokenizer beside the model: give `feature_extractor=`, or "
                "save one in the model's directory."
            )

    def preprocess(self, inputs, **kwargs):
        if self.tokenizer is not None:
            return super().preprocess(inputs, **kwargs)
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
        features = self.feature_extractor(inputs, sampling_rate=rate, return_tensors="pt", **kwargs)
        return features.to(self.dtype) if isinstance(self.dtype, torch.dtype) else features


# Makes `pipeline("feature-extraction")` this one.
_TASKS = PIPELINE_REGISTRY.supported_tasks
_TASKS["feature-extraction"] = {**_TASKS["feature-extraction"], "impl": SSASTFeatureExtractionPipeline}
