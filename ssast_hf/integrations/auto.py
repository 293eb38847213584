# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Registration with transformers' Auto classes and pipelines, and of what the package adds to loading and pushing.

`import ssast_hf` must register, yet importing transformers takes seconds that `ssast --help` has no use for. So each
registration waits until the module that it concerns has been imported, which may be already.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys

from ..utils.transformers_internals import add_models, replace_pipeline_class


def _register_config() -> None:
    from transformers import AutoConfig

    from ..configuration_ssast import SSASTConfig

    AutoConfig.register("ssast", SSASTConfig, exist_ok=True)


def _register_feature_extractor() -> None:
    from transformers import AutoFeatureExtractor

    from ..configuration_ssast import SSASTConfig
    from ..feature_extraction_ssast import SSASTFeatureExtractor

    AutoFeatureExtractor.register(SSASTConfig, SSASTFeatureExtractor, exist_ok=True)


def _register_processor() -> None:
    from transformers import AutoProcessor

    from ..configuration_ssast import SSASTConfig
    from ..feature_extraction_ssast import SSASTFeatureExtractor

    AutoProcessor.register(SSASTConfig, SSASTFeatureExtractor, exist_ok=True)


def _register_models() -> None:
    add_models("ssast", "SSASTConfig", sys.modules["ssast_hf"], MODELS)


def _import_pipelines() -> None:
    from . import pipelines  # noqa: F401  (registered when its import ends, which may have begun before)


def _register_pipelines() -> None:
    from .pipelines import SSASTAudioClassificationPipeline, SSASTFeatureExtractionPipeline

    replace_pipeline_class("audio-classification", SSASTAudioClassificationPipeline)
    replace_pipeline_class("feature-extraction", SSASTFeatureExtractionPipeline)


def _register_hooks() -> None:
    from ..configuration_ssast import LOADING_HOOKS

    for name, (module, function) in HOOKS.items():
        LOADING_HOOKS.setdefault(name, _imported_when_called(module, function))


def _imported_when_called(module: str, function: str):
    """A wrapper whose module is imported at its first call: some import the classes whose import registers them."""

    def hook(method, *args, **kwargs):
        return getattr(importlib.import_module(module, __package__), function)(method, *args, **kwargs)

    return hook


MODELS = {  # transformers' tables -> class
    "MODEL_MAPPING": "SSASTModel",
    "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING": "SSASTForAudioClassification",
    "MODEL_FOR_PRETRAINING_MAPPING": "SSASTForPreTraining",
}
HOOKS = {  # names in LOADING_HOOKS -> module and function
    "config": ("..checkpoints.loading", "load_config_dict"),
    "decode": ("..audio.decoding", "decode_hook"),
    "feature_extractor": ("..checkpoints.loading", "load_feature_extractor_dict"),
    "model": ("..checkpoints.loading", "load_model"),
    "push": ("..checkpoints.push", "push_hook"),
}
REGISTRATIONS = {
    "ssast_hf.configuration_ssast": _register_hooks,
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.feature_extraction_auto": _register_feature_extractor,
    "transformers.models.auto.modeling_auto": _register_models,
    "transformers.models.auto.processing_auto": _register_processor,
    "transformers.pipelines": _import_pipelines,
    "ssast_hf.integrations.pipelines": _register_pipelines,
}


class _RegisterAfterImport(importlib.abc.MetaPathFinder):
    """Lets the import system find the modules above as ever, and registers as soon as one has been executed."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in REGISTRATIONS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, REGISTRATIONS[fullname])
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, register):
        self.loader, self.register = loader, register

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module) -> None:
        self.loader.exec_module(module)
        module.__spec__.loader = module.__loader__ = self.loader
        self.register()


def register_on_import() -> None:
    """Registers SSAST with what is imported of transformers, and with the rest when it is."""
    if any(isinstance(finder, _RegisterAfterImport) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _RegisterAfterImport())
    for name, register in REGISTRATIONS.items():
        if name in sys.modules:
            register()
