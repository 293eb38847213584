# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSAST (Self-Supervised Audio Spectrogram Transformer) for Hugging Face transformers."""

import importlib

from .integrations import auto as _auto
from .utils import moved as _moved

__version__ = "0.1.0"

_MODULES = {  # where each public name lives; imported when first used, so that `import ssast_hf` costs nothing
    "audio": ["find_audio_files", "load_audio"],
    "configuration_ssast": ["SSASTConfig"],
    "checkpoints.convert": ["convert_checkpoint"],
    "feature_extraction_ssast": ["SSASTFeatureExtractor"],
    "inference": ["classify", "embed"],
    "checkpoints.layouts": ["convert_state_dict"],
    "masking": ["sample_masks"],
    "modeling_ssast": [
        "SSASTForAudioClassification", "SSASTForPreTraining", "SSASTForPreTrainingOutput", "SSASTModel",
        "SSASTPreTrainedModel", "patchify", "unpatchify",
    ],
    "integrations.pipelines": ["SSASTFeatureExtractionPipeline"],
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOMES)

_auto.register_on_import()
_moved.install()


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
