# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSAST (Self-Supervised Audio Spectrogram Transformer) for Hugging Face transformers."""

import importlib
from typing import TYPE_CHECKING

from .integrations import auto as _auto
from .utils import moved as _moved

__version__ = "0.1.0"

if TYPE_CHECKING:  # for editors and type checkers; at run time `__getattr__` imports a name when it is first used
    from .audio import find_audio_files, load_audio
    from .checkpoints.convert import convert_checkpoint
    from .checkpoints.layouts import convert_state_dict
    from .configuration_ssast import SSASTConfig
    from .feature_extraction_ssast import SSASTFeatureExtractor
    from .inference import classify, embed
    from .integrations.pipelines import SSASTAudioClassificationPipeline, SSASTFeatureExtractionPipeline
    from .masking import sample_masks
    from .modeling_ssast import (
        SSASTForAudioClassification,
        SSASTForPreTraining,
        SSASTForPreTrainingOutput,
        SSASTModel,
        SSASTPreTrainedModel,
        patchify,
        unpatchify,
    )

__all__ = [
    "SSASTAudioClassificationPipeline", "SSASTConfig", "SSASTFeatureExtractionPipeline", "SSASTFeatureExtractor",
    "SSASTForAudioClassification", "SSASTForPreTraining", "SSASTForPreTrainingOutput", "SSASTModel",
    "SSASTPreTrainedModel", "classify", "convert_checkpoint", "convert_state_dict", "embed", "find_audio_files",
    "load_audio", "patchify", "sample_masks", "unpatchify",
]  # fmt: skip
_MODULES = {  # where each public name lives, so that `import ssast_hf` imports neither torch nor transformers
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
    "integrations.pipelines": ["SSASTAudioClassificationPipeline", "SSASTFeatureExtractionPipeline"],
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

_auto.register_on_import()
_moved.install()


if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
