# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSAST configuration: sizes, patch geometry and masking, with the only formula of the patch grid."""

import os
import shutil
import sys
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.activations import ACT2FN

try:
    from transformers.configuration_utils import PreTrainedConfig
except ImportError as error:  # transformers 4 has the class under another name. Every file here imports this one.
    sys.modules.pop(__name__, None)  # or a second attempt would find half of this module, and fail for another reason
    raise ImportError(
        f"SSAST's code needs transformers 5.23 or later, found {transformers.__version__}: "
        "pip install --upgrade transformers"
    ) from error

SIZES = {  # hidden_size, num_attention_heads, intermediate_size of the paper's models (12 layers each)
    "tiny": (192, 3, 768),
    "small": (384, 6, 1536),
    "base": (768, 12, 3072),
}
PATCHES = {  # how the paper's models cut 128 mel bins, and the clusters in which they mask
    "patch": {"frequency_patch_size": 16, "time_patch_size": 16, "mask_cluster_min": 3, "mask_cluster_max": 5},
    "frame": {"frequency_patch_size": 128, "time_patch_size": 2, "mask_cluster_min": 1, "mask_cluster_max": 1},
}
GRID_FIELDS = (
    "num_mel_bins", "max_length", "frequency_patch_size", "time_patch_size", "frequency_stride", "time_stride",
)  # fmt: skip
POOLINGS = ("mean", "cls", "rows", "segments")
SEGMENTS = 3  # of a clip, with `pooling="segments"`
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
MASKED_SHARE = 400 / 512  # of the patches, in the official pretraining
# Upper bounds of a configuration, which may be anyone's: larger models are refused before anything is allocated.
MOST_LAYERS, MOST_LABELS, MOST_MEL_BINS = 1000, 10**6, 2**12
MOST_PARAMETERS = 2**32
CLASSIFIER_LAYER_NORM_EPS = 1e-5  # torch's default, which the official classifier was trained with

# Files that travel with a saved model beside this one: they also run as custom code where the package is missing.
FEATURE_EXTRACTOR_CODE = ("feature_extraction_ssast.py", "batching.py")
PIPELINES = "integrations/pipelines.py"  # is `pipelines.py` beside the other files there
MODEL_CODE = ("modeling_ssast.py", "masking.py", PIPELINES)
# Hooks of the installed package around methods of those files: name of the method -> wrapper. As custom code the
# dictionary is empty, and transformers loads and pushes alone. `integrations/auto.py` registers what the package adds:
# short names and AST's layout (`checkpoints/loading.py`), model cards (`checkpoints/push.py`), and decoding (`audio`).
LOADING_HOOKS: dict[str, Callable] = {}
AUTO_MAP = {
    "AutoConfig": "configuration_ssast.SSASTConfig",
    "AutoModel": "modeling_ssast.SSASTModel",
    "AutoModelForAudioClassification": "modeling_ssast.SSASTForAudioClassification",
    "AutoModelForPreTraining": "modeling_ssast.SSASTForPreTraining",
}
# `custom_pipelines` of a saved `config.json`, which transformers follows where the package is missing. One task each:
# `pipeline(model=...)` without a task takes the only one there is.
ENCODER_PIPELINES = {"feature-extraction": {"impl": "pipelines.SSASTFeatureExtractionPipeline", "pt": ["AutoModel"]}}
CLASSIFIER_PIPELINES = {
    "audio-classification": {
        "impl": "pipelines.SSASTAudioClassificationPipeline", "pt": ["AutoModelForAudioClassification"]
    }
}  # fmt: skip


def call_with_hook(name: str, method: Callable, *args, **kwargs):
    """
    Calls `method(*args, **kwargs)`, or the wrapper that `LOADING_HOOKS` has under `name`. The wrapper receives the
    original method as its first argument.
    """
    hook = LOADING_HOOKS.get(name)
    return method(*args, **kwargs) if hook is None else hook(method, *args, **kwargs)


def code_file(name: str) -> Path | None:
    """A module of this package, or of the custom code that this file is part of; None where that lacks it."""
    here = Path(__file__).parent
    return next((path for path in (here / name, here / Path(name).name) if path.is_file()), None)


def save_code(directory: str | os.PathLike, *names: str) -> None:
    """Copies modules of this package into a directory that is being saved."""
    if not os.path.isfile(directory):  # transformers says what is wrong with a file
        os.makedirs(directory, exist_ok=True)
        for path in map(code_file, ("configuration_ssast.py", *names)):
            if path is not None:
                shutil.copyfile(path, Path(directory, path.name))


def custom_pipelines(class_name: str) -> dict:
    """`custom_pipelines` for the config of a saved model; empty where the code of pipelines is not at hand."""
    if code_file(PIPELINES) is None:
        return {}
    return CLASSIFIER_PIPELINES if class_name == "SSASTForAudioClassification" else ENCODER_PIPELINES


class SSASTConfig(PreTrainedConfig):
    r"""
    Configuration of every SSAST model. The defaults are the official `SSAST-Base-Patch-400`
    ([paper](https://arxiv.org/abs/2110.09784), section 3); [`SSASTConfig.tiny`], [`SSASTConfig.small`] and
    [`SSASTConfig.base`] give the paper's sizes, each patch-based (`patches="patch"`, 16 mel bins x 16 frames) or
    frame-based (`patches="frame"`, 128 mel bins x 2 frames).

    Args:
        hidden_size (`int`, defaults to 768): Width of the encoder.
        num_hidden_layers (`int`, defaults to 12): Number of encoder layers.
        num_attention_heads (`int`, defaults to 12): Attention heads per layer.
        intermediate_size (`int`, defaults to 3072): Width of each layer's MLP.
        hidden_act (`str`, defaults to `"gelu"`): Activation of the MLP.
        hidden_dropout_prob (`float`, defaults to 0.0): Dropout after embeddings, attention and MLP.
        attention_probs_dropout_prob (`float`, defaults to 0.0): Dropout of the attention weights.
        initializer_range (`float`, defaults to 0.02): Standard deviation of the initial weights.
        position_embedding_init (`str`, defaults to `"normal"`): Initial position embeddings: `"normal"`, drawn at
            random, as the original does, or `"sincos"`, sines and cosines of the patch's place in frequency and time
            (MAE, He et al. 2022), for short pretraining (`recipes/debian_audio`). They are learned either way.
        layer_norm_eps (`float`, defaults to 1e-6): Epsilon of the encoder's layer norms.
        classifier_layer_norm_eps (`float`, defaults to 1e-5): Epsilon of the classifier's layer norm.
        classifier_layer_norm (`bool`, defaults to `True`): Whether the classifier has a layer norm before its linear
            layer, as the official one does.
        qkv_bias (`bool`, defaults to `True`): Whether query, key and value have a bias.
        num_mel_bins (`int`, defaults to 128): Mel bins of the input.
        max_length (`int`, defaults to 1024): Frames (10 ms) that the position embeddings are laid out for. Inputs of
            any other length are accepted.
        frequency_patch_size (`int`, defaults to 16): Mel bins in a patch.
        time_patch_size (`int`, defaults to 16): Frames in a patch.
        frequency_stride (`int`, *optional*): Mel bins from one patch to the next. Default: the patch size.
        time_stride (`int`, *optional*): Frames from one patch to the next. Default: the patch size.
        pooling (`str`, defaults to `"mean"`): `"mean"` of the patch outputs; `"cls"`, the mean of the two special
            tokens; `"rows"`, the mean over time of each row of patches, the rows concatenated, the lowest
            frequencies first, as BYOL-A, M2D and EAT pool; or `"segments"`, the same in the first, middle and last
            third of the clip, one after the other, which keeps the order of sounds, as in a word.
        num_mask_patches (`int`, *optional*): Patches masked in a clip of `max_length` frames in pretraining; clips
            of other lengths have the same share masked. Default: 400 of 512.
        mask_cluster_min (`int`, defaults to 3), mask_cluster_max (`int`, defaults to 5): Masked patches come in
            C x C clusters, C drawn per clip from this range. 1 and 1: single patches, the frame-based way.
        discriminative_loss_weight (`float`, defaults to 1.0): Weight of the InfoNCE loss; 0 switches it off.
        generative_loss_weight (`float`, defaults to 10.0): Weight of the mean squared error; 0 switches it off.

    Raises:
        ValueError: A value is impossible; the message names the field, what was found and what is possible.

    Example:

    ```python
    >>> from ssast_hf import SSASTConfig
    >>> config = SSASTConfig.tiny(patches="frame", num_labels=35)
    >>> config.hidden_size, config.patch_grid(), config.num_patches
    (192, (1, 512), 512)
    ```
    """

    model_type = "ssast"
    # Outputs that the Trainer does not gather in evaluation, where a checkpoint's `output_hidden_states` is True.
    keys_to_ignore_at_inference = ["hidden_states", "attentions"]

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    position_embedding_init: str = "normal"
    layer_norm_eps: float = 1e-6
    classifier_layer_norm_eps: float = CLASSIFIER_LAYER_NORM_EPS
    classifier_layer_norm: bool = True
    qkv_bias: bool = True
    num_mel_bins: int = 128
    max_length: int = 1024
    frequency_patch_size: int = 16
    time_patch_size: int = 16
    frequency_stride: int | None = None
    time_stride: int | None = None
    pooling: str = "mean"
    num_mask_patches: int | None = None
    mask_cluster_min: int = 3
    mask_cluster_max: int = 5
    discriminative_loss_weight: float = 1.0
    generative_loss_weight: float = 10.0

    def __post_init__(self, **kwargs):
        _check_labels(self.id2label, self.label2id, kwargs.get("num_labels"))
        if isinstance(self.dtype, str) and not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise ValueError(f"`dtype` is {self.dtype!r}, expected a type of tensors such as 'float32'.")
        super().__post_init__(**kwargs)
        for field in type(self).__annotations__:
            value = getattr(self, field, None)
            if isinstance(value, np.generic):  # JSON has no place for NumPy's numbers
                setattr(self, field, value.item())
        for name in ("output_hidden_states", "output_attentions"):
            value = getattr(self, name)
            layers = isinstance(value, (list, tuple)) and all(isinstance(layer, Integral) for layer in value)
            if not isinstance(value, bool) and not layers:
                raise ValueError(f"`{name}` is {value!r}, expected True, False or numbers of layers.")
        if self.frequency_stride is None:
            self.frequency_stride = self.frequency_patch_size
        if self.time_stride is None:
            self.time_stride = self.time_patch_size
        self._validate()
        self._validate_size()
        if self.num_mask_patches is None:
            self.num_mask_patches = max(1, round(MASKED_SHARE * self.num_patches))
        self._require("num_mask_patches", f"a whole number from 1 to {self.num_patches} (all patches of max_length)",
                      _is_count(self.num_mask_patches) and self.num_mask_patches <= self.num_patches)  # fmt: skip

    @classmethod
    def tiny(cls, patches: str = "patch", **kwargs) -> "SSASTConfig":
        """The paper's tiny model (6 M parameters), `patches="patch"` or `"frame"`; `kwargs` override any field."""
        return cls._preset("tiny", patches, kwargs)

    @classmethod
    def small(cls, patches: str = "patch", **kwargs) -> "SSASTConfig":
        """The paper's small model (23 M parameters), `patches="patch"` or `"frame"`; `kwargs` override any field."""
        return cls._preset("small", patches, kwargs)

    @classmethod
    def base(cls, patches: str = "patch", **kwargs) -> "SSASTConfig":
        """The paper's base model (89 M parameters), `patches="patch"` or `"frame"`; `kwargs` override any field."""
        return cls._preset("base", patches, kwargs)

    @classmethod
    def _preset(cls, size: str, patches: str, overrides: dict) -> "SSASTConfig":
        if patches not in PATCHES:
            raise ValueError(f"`patches` is {patches!r}, expected one of {', '.join(map(repr, PATCHES))}.")
        hidden, heads, intermediate = SIZES[size]
        sizes = {"hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": intermediate}
        return cls(**{**sizes, **PATCHES[patches], **overrides})

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        return call_with_hook("config", super().get_config_dict, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        # Overrides join the dictionary, so that the result is validated as a whole. Where they change the patch
        # grid, the number of masked patches keeps its share.
        overrides = {name: kwargs.pop(name) for name in cls.__annotations__ if name in kwargs}
        if LOADING_HOOKS:  # in the package, whose pipelines are registered: no custom code is needed for them
            config_dict = {name: value for name, value in config_dict.items() if name != "custom_pipelines"}
        masked = config_dict.get("num_mask_patches")
        if masked is not None and "num_mask_patches" not in overrides and set(overrides) & set(GRID_FIELDS):
            before = cls(**{k: config_dict[k] for k in GRID_FIELDS if k in config_dict}).num_patches
            after = cls(**{k: v for k, v in {**config_dict, **overrides}.items() if k in GRID_FIELDS}).num_patches
            overrides["num_mask_patches"] = max(1, round(masked * after / before))
        return super().from_dict({**config_dict, **overrides}, **kwargs)

    def label_names(self) -> list[str]:
        """Names by number from `id2label`, whose keys may be strings, as in JSON; "LABEL_3" where one is missing."""
        names = {int(index): name for index, name in self.id2label.items()}
        return [names.get(index, f"LABEL_{index}") for index in range(self.num_labels)]

    @property
    def num_frequency_patches(self) -> int:
        """F, the number of patches along frequency."""
        stride = self.frequency_stride or self.frequency_patch_size
        return (self.num_mel_bins - self.frequency_patch_size) // stride + 1

    def num_time_patches(self, num_frames=None):
        """T, the number of whole patches in `num_frames` (default `max_length`): int to int, or tensor to tensor."""
        num_frames = self.max_length if num_frames is None else num_frames
        patches = (num_frames - self.time_patch_size) // self.time_stride + 1
        return patches.clamp(min=0) if torch.is_tensor(patches) else max(patches, 0)

    def patch_grid(self, num_frames: int | None = None) -> tuple[int, int]:
        """(F, T) of a spectrogram of `num_frames` frames (default `max_length`). Patch (f, t) has index f * T + t."""
        return self.num_frequency_patches, self.num_time_patches(num_frames)

    @property
    def num_patches(self) -> int:
        """F * T at `max_length` frames."""
        return self.num_frequency_patches * self.num_time_patches()

    @property
    def pooled_size(self) -> int:
        """Size of `pooler_output`: the hidden size; with the poolings that keep rows of patches, that of all kept."""
        return self.hidden_size * self.pooled_parts()

    def pooled_parts(self, pooling: str | None = None) -> int:
        """Vectors of the hidden size that `pooling` (default: the configuration's) makes of a clip."""
        parts = {"rows": self.num_frequency_patches, "segments": SEGMENTS * self.num_frequency_patches}
        return parts.get(pooling or self.pooling, 1)

    def num_masked(self, num_patches):
        """
        Number of masked patches for a clip with `num_patches` real patches, at least 1: the same share as
        `num_mask_patches` of a clip of `max_length` frames. int to int, or tensor to tensor.
        """
        # In whole numbers, which come out the same for a clip alone and in a padded batch.
        masked = (2 * self.num_mask_patches * num_patches + self.num_patches) // (2 * self.num_patches)
        return masked.clamp(min=1) if hasattr(masked, "clamp") else max(masked, 1)

    def _require(self, field: str, expected: str, fulfilled: bool) -> None:
        if not fulfilled:
            raise ValueError(f"SSASTConfig: `{field}` is {getattr(self, field)!r}, expected {expected}.")

    def _validate(self) -> None:
        """Raises ValueError at the first field that no SSAST model can have."""
        for field in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                      *GRID_FIELDS, "mask_cluster_min", "mask_cluster_max"):  # fmt: skip
            self._require(field, "a whole number of at least 1", _is_count(getattr(self, field)))
        heads = self.num_attention_heads
        self._require("hidden_size", f"a multiple of num_attention_heads={heads}", self.hidden_size % heads == 0)
        for field in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, field)
            self._require(field, "a probability of at least 0 and below 1", _is_real(value) and 0 <= value < 1)
        for field in ("initializer_range", "discriminative_loss_weight", "generative_loss_weight"):
            value = getattr(self, field)
            self._require(field, "a finite number of at least 0", _is_real(value) and 0 <= value < float("inf"))
        for field in ("layer_norm_eps", "classifier_layer_norm_eps"):
            value = getattr(self, field)
            self._require(field, "a finite number above 0", _is_real(value) and 0 < value < float("inf"))
        self._require("hidden_act", f"one of {', '.join(sorted(ACT2FN))}", self.hidden_act in list(ACT2FN))
        for field in ("qkv_bias", "classifier_layer_norm"):
            self._require(field, "True or False", isinstance(getattr(self, field), bool))
        self._require("position_embedding_init", "'normal', or 'sincos' where hidden_size is a multiple of 4",
                      self.position_embedding_init == "normal"
                      or (self.position_embedding_init == "sincos" and self.hidden_size % 4 == 0))  # fmt: skip
        self._require("pooling", f"one of {', '.join(map(repr, POOLINGS))}", self.pooling in POOLINGS)
        self._require("problem_type", f"None or one of {', '.join(PROBLEM_TYPES)}",
                      self.problem_type in (None, *PROBLEM_TYPES))  # fmt: skip
        self._require("frequency_patch_size", f"at most num_mel_bins={self.num_mel_bins}",
                      self.frequency_patch_size <= self.num_mel_bins)  # fmt: skip
        self._require("time_patch_size", f"at most max_length={self.max_length}",
                      self.time_patch_size <= self.max_length)  # fmt: skip
        self._require("mask_cluster_max", f"at least mask_cluster_min={self.mask_cluster_min}",
                      self.mask_cluster_max >= self.mask_cluster_min)  # fmt: skip
        self._require("generative_loss_weight", "above 0 where discriminative_loss_weight is 0",
                      self.generative_loss_weight + self.discriminative_loss_weight > 0)  # fmt: skip

    def _validate_size(self) -> None:
        """Raises ValueError for a model that is too large to be meant."""
        self._require("num_hidden_layers", f"at most {MOST_LAYERS}", self.num_hidden_layers <= MOST_LAYERS)
        self._require("num_mel_bins", f"at most {MOST_MEL_BINS}", self.num_mel_bins <= MOST_MEL_BINS)
        hidden, values = self.hidden_size, self.frequency_patch_size * self.time_patch_size
        layer = hidden * (4 * hidden + 2 * self.intermediate_size)
        parameters = self.num_hidden_layers * layer + hidden * (self.num_patches + values)
        parameters += self.pooled_size * (self.num_labels or 0)
        if parameters > MOST_PARAMETERS:
            raise ValueError(
                f"SSASTConfig: a model of these sizes has {parameters:.3g} parameters, expected at most "
                f"{MOST_PARAMETERS:.3g}."
            )


def _check_labels(id2label, label2id, num_labels) -> None:
    """Raises ValueError unless labels are named, or counted, from 0 on without gaps."""
    if num_labels is not None and not (isinstance(num_labels, Integral) and 0 <= int(num_labels) <= MOST_LABELS):
        raise ValueError(f"`num_labels` is {num_labels!r}, expected a whole number from 0 to {MOST_LABELS}.")
    if not isinstance(label2id, (dict, type(None))):
        raise ValueError(f"`label2id` is {label2id!r}, expected a dictionary.")
    if id2label is None:
        return
    if not isinstance(id2label, dict):
        raise ValueError(f"`id2label` is {id2label!r}, expected a dictionary.")
    if not all(isinstance(name, str) for name in id2label.values()):
        raise ValueError("`id2label` has a value that is no text, expected the name of each label.")
    numbers = [key if isinstance(key, Integral) else int(key) if _is_decimal(key) else -1 for key in id2label]
    if len(numbers) > MOST_LABELS or sorted(numbers) != list(range(len(numbers))):
        found = ", ".join(map(str, list(id2label)[:10])) + (", ..." if len(numbers) > 10 else "")
        raise ValueError(f"`id2label` has the keys {found}, expected 0 to {len(numbers) - 1} without gaps.")


def _is_decimal(key) -> bool:
    return isinstance(key, str) and len(key) < 10 and key.isascii() and key.isdecimal()


def _is_count(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _is_real(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # the last is not NaN


__all__ = ["SSASTConfig"]
