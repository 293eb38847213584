# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
transformers' pipelines for SSAST. `integrations/auto.py` registers them; where the package is missing, this file
travels with saved models (`custom_pipelines` of their config), so it imports nothing of the package.
"""

import urllib.request
from pathlib import Path

import torch
from transformers import AutoTokenizer
from transformers.pipelines import AudioClassificationPipeline, FeatureExtractionPipeline

NUM_SPECIAL_TOKENS = 2


def is_ssast(args: tuple, kwargs: dict) -> bool:
    """Whether a pipeline is constructed, with these arguments, of an SSAST model."""
    model = kwargs.get("model", args[0] if args else None)
    return getattr(getattr(model, "config", None), "model_type", None) == "ssast"


def as_sound(inputs):
    """A file's name, address or content in the form that the feature extractor takes; anything else as it is."""
    if isinstance(inputs, str) and inputs.startswith(("http://", "https://")):
        with urllib.request.urlopen(inputs) as answer:  # follows redirects, raises for a status of 400 and more
            return {"bytes": answer.read()}
    if isinstance(inputs, (str, Path)):
        return {"path": str(inputs)}
    return {"bytes": inputs} if isinstance(inputs, bytes) else inputs


class SSASTAudioClassificationPipeline(AudioClassificationPipeline):
    """
    The `"audio-classification"` pipeline of SSAST models. For every other model, calling this class gives
    transformers' own `AudioClassificationPipeline`.

    Takes what the feature extractor takes (a waveform (samples,) at its rate; `{"array": waveform, "sampling_rate":
    Hz}`, `{"bytes": ..., "path": ...}` or torchcodec's `AudioDecoder`, resampled by soxr), a file's name, address or
    content, or a list of these. Sound behind the extractor's `max_length` is cut off; [`classify`] hears all of it.

    Raises:
        ValueError: The input is none of these, or cannot be read.
    """

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls) if is_ssast(args, kwargs) else AudioClassificationPipeline(*args, **kwargs)

    def preprocess(self, inputs):
        features = self.feature_extractor(
            [as_sound(inputs)], sampling_rate=self.feature_extractor.sampling_rate, return_tensors="pt"
        )
        return features.to(self.dtype) if isinstance(self.dtype, torch.dtype) else features


class SSASTFeatureExtractionPipeline(FeatureExtractionPipeline):
    """
    The `"feature-extraction"` pipeline of SSAST models; transformers' own needs a tokenizer. For every other model,
    calling this class gives transformers' own `FeatureExtractionPipeline`.

    Takes what [`SSASTAudioClassificationPipeline`] takes. Gives `last_hidden_state` without the tokens of padding, (1,
    2 + real patches, hidden), as nested lists, or as a tensor with `return_tensors=True`.

    Raises:
        ValueError: There is no feature extractor, or the input is none of these, or cannot be read.
    """

    _load_tokenizer = None  # optional: SSAST has none
    _load_feature_extractor = None

    def __new__(cls, *args, **kwargs):
        if is_ssast(args, kwargs):
            return super().__new__(cls)
        model = kwargs.get("model", args[0] if args else None)
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
        given = {"return_attention_mask": True, **kwargs}
        features = self.feature_extractor(
            [as_sound(inputs)], sampling_rate=self.feature_extractor.sampling_rate, return_tensors="pt", **given
        )
        return features.to(self.dtype) if isinstance(self.dtype, torch.dtype) else features

    def _forward(self, model_inputs):
        inputs = dict(model_inputs)
        mask = inputs.get("attention_mask")
        if self.feature_extractor.return_attention_mask is False:  # the model was trained without
            inputs.pop("attention_mask", None)
        outputs = self.model(**inputs, return_dict=True)
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
