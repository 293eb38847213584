# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Official SSAST checkpoints -> this package's: the table of names, a strict load, every tensor accounted for."""

import csv
import json
import os
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .configuration_ssast import SSASTConfig
from .feature_extraction_ssast import SSASTFeatureExtractor
from .modeling_ssast import (
    NUM_SPECIAL_TOKENS,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTPreTrainedModel,
)

HEAD_SIZE = 64  # of every official model: 192 / 3, 384 / 6, 768 / 12
# Official name (without `module.`) -> name here. `{}` stands for the number of a layer.
KEYS = {
    "mask_embed": "ssast.embeddings.mask_token",
    "v.cls_token": "ssast.embeddings.cls_token",
    "v.dist_token": "ssast.embeddings.distillation_token",
    "v.pos_embed": "ssast.embeddings.position_embeddings",
    "v.patch_embed.proj": "ssast.embeddings.patch_embeddings.projection",
    "v.blocks.{}.norm1": "ssast.layers.{}.layernorm_before",
    "v.blocks.{}.attn.qkv": "ssast.layers.{}.attention.qkv",
    "v.blocks.{}.attn.proj": "ssast.layers.{}.attention.o_proj",
    "v.blocks.{}.norm2": "ssast.layers.{}.layernorm_after",
    "v.blocks.{}.mlp.fc1": "ssast.layers.{}.mlp.fc1",
    "v.blocks.{}.mlp.fc2": "ssast.layers.{}.mlp.fc2",
    "v.norm": "ssast.layernorm",
    "cpredlayer.0": "discriminative_head.dense",
    "cpredlayer.2": "discriminative_head.decoder",
    "gpredlayer.0": "generative_head.dense",
    "gpredlayer.2": "generative_head.decoder",
    "mlp_head.0": "classifier.layernorm",
    "mlp_head.1": "classifier.dense",
}
DROPPED = {
    "v.head": "timm's ImageNet classifier, never used",
    "v.head_dist": "timm's ImageNet classifier, never used",
    "p_input_fdim": "mel bins in pretraining, now config.num_mel_bins",
    "p_input_tdim": "frames in pretraining, now config.max_length",
}
# A fine-tuned checkpoint does not say its strides and length. The official recipes' (stride over frequency and time,
# frames) are tried on its number of patches; see `src/finetune` and `src/run.py`.
OFFICIAL_STRIDES = {"patch": [(10, 10), (16, 16)], "frame": [(128, 1), (128, 2)]}
OFFICIAL_LENGTHS = (1024, 512, 128, 100)


def resolve(name: str | os.PathLike) -> str:
    """The directory of a checkpoint, or the name of a Hub repository, which cannot be told from a missing `a/b`."""
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        raise ValueError(f"{name} has no config.json, expected the directory of a checkpoint.")
    if path.is_file():
        raise ValueError(f"{name} is a file, expected the directory of a checkpoint.")
    if not path.exists() and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(name)):
        raise FileNotFoundError(f"No such directory: {name}")
    return str(path) if path.exists() else str(name)


@dataclass
class Conversion:
    """A converted checkpoint and how each official tensor was used: `keys` maps official names to names here, and
    `dropped` official names to the reason."""

    model: SSASTPreTrainedModel
    keys: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)


def convert_name(name: str) -> str | None:
    """Name here of an official parameter; None where it is dropped. Raises ValueError for a name that SSAST lacks."""
    bare = name.removeprefix("module.")
    stem, _, kind = bare.rpartition(".")
    layer = re.match(r"v\.blocks\.(\d+)\.", stem)
    pattern = re.sub(r"^v\.blocks\.\d+\.", "v.blocks.{}.", stem)
    for candidate, ending in ((bare, ""), (pattern, f".{kind}")):
        if candidate in DROPPED and kind in ("weight", "bias", candidate):
            return None
        if candidate in KEYS:
            return KEYS[candidate].format(layer.group(1) if layer else "") + ending
    raise ValueError(f"Found a tensor {name!r}, which no official SSAST checkpoint has.")


def load_official(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """State dict in an official `.pth` file. Raises ValueError for files that hold anything but tensors by name."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"No such file: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a directory, expected an official checkpoint file (.pth).")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # runs no code that a pickle may carry
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        if "Unsupported" in str(error):
            reason = "it holds Python objects other than tensors, which can run code"
        else:
            reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise ValueError(f"{path} is not a checkpoint of plain tensors that can be read safely: {reason}.") from None
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path} holds no state dict (tensors by name), which an official SSAST checkpoint is.")
    return state


def config_of(state: dict[str, torch.Tensor], **overrides) -> SSASTConfig:
    """
    The configuration of an official state dict, read from its names and shapes.

    Args:
        state (`dict[str, torch.Tensor]`): Official state dict, with or without `module.`.
        overrides: Fields of [`SSASTConfig`] that win; fine-tuned checkpoints may need `frequency_stride`,
            `time_stride` and `max_length`, which they do not record.

    Raises:
        ValueError: Not an SSAST state dict, or several patch grids fit; names what to give.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    needed = ("v.cls_token", "v.dist_token", "v.pos_embed", "v.patch_embed.proj.weight", "v.blocks.0.mlp.fc1.weight")
    missing = [name for name in needed if name not in state]
    if missing:
        raise ValueError(f"Not an official SSAST checkpoint: it has no {', '.join(missing)}.")
    hidden, _, height, width = state["v.patch_embed.proj.weight"].shape
    num_patches = state["v.pos_embed"].shape[1] - NUM_SPECIAL_TOKENS
    num_mel_bins = int(state.get("p_input_fdim", 128))
    patches = "frame" if height == num_mel_bins else "patch"
    fields = {
        "hidden_size": hidden,
        "num_hidden_layers": len({name.split(".")[2] for name in state if name.startswith("v.blocks.")}),
        "num_attention_heads": max(1, hidden // HEAD_SIZE),
        "intermediate_size": state["v.blocks.0.mlp.fc1.weight"].shape[0],
        "qkv_bias": "v.blocks.0.attn.qkv.bias" in state,
        "num_mel_bins": num_mel_bins,
        "frequency_patch_size": height,
        "time_patch_size": width,
        "mask_cluster_min": 3 if patches == "patch" else 1,
        "mask_cluster_max": 5 if patches == "patch" else 1,
    }
    if "mlp_head.1.weight" in state:
        fields["num_labels"] = state["mlp_head.1.weight"].shape[0]
    if "p_input_tdim" in state:
        fields["max_length"] = int(state["p_input_tdim"])
    elif not {"max_length", "frequency_stride", "time_stride"} <= overrides.keys():
        fields.update(_guess_grid(fields, patches, num_patches, overrides))
    if "num_labels" in fields and ("id2label" in overrides):
        fields.pop("num_labels")
    config = SSASTConfig(**{**fields, **overrides})
    if config.num_patches != num_patches:
        raise ValueError(
            f"The checkpoint has position embeddings for {num_patches} patches, "
            f"but frequency_stride={config.frequency_stride}, time_stride={config.time_stride} and "
            f"max_length={config.max_length} make {config.num_patches}."
        )
    return config


def _guess_grid(fields: dict, patches: str, num_patches: int, overrides: dict) -> dict:
    strides, lengths = OFFICIAL_STRIDES[patches], OFFICIAL_LENGTHS
    if "frequency_stride" in overrides or "time_stride" in overrides:
        default = (fields["frequency_patch_size"], fields["time_patch_size"])
        strides = [tuple(overrides.get(f"{axis}_stride", d) for axis, d in zip(("frequency", "time"), default))]
    if "max_length" in overrides:
        lengths = (overrides["max_length"],)
    grids = [
        {"frequency_stride": stride[0], "time_stride": stride[1], "max_length": length}
        for stride in strides
        for length in lengths
    ]
    shapes = {k: v for k, v in fields.items() if k in ("num_mel_bins", "frequency_patch_size", "time_patch_size")}
    fitting = [grid for grid in grids if SSASTConfig(**shapes, **grid).num_patches == num_patches]
    if len(fitting) != 1:
        raise ValueError(
            f"A fine-tuned checkpoint records neither strides nor length, and {len(fitting) or 'none'} of the "
            f"official ones make its {num_patches} patches: give frequency_stride, time_stride and max_length (in "
            "frames), with which it was trained."
        )
    return fitting[0]


def convert_state_dict(state: dict[str, torch.Tensor], **overrides) -> Conversion:
    """
    Converts an official state dict: [`SSASTForPreTraining`] for pretraining, [`SSASTForAudioClassification`] for
    fine-tuned ones.

    Args:
        state (`dict[str, torch.Tensor]`): Official state dict, as `torch.save` wrote it from `DataParallel` or not.
        overrides: Fields of [`SSASTConfig`] that win over what the state dict says.

    Raises:
        ValueError: A tensor is missing, unknown or of the wrong shape.
    """
    config = config_of(state, **overrides)
    fine_tuned = any(name.removeprefix("module.").startswith("mlp_head.") for name in state)
    model = (SSASTForAudioClassification if fine_tuned else SSASTForPreTraining)(config)
    conversion = Conversion(model.eval())
    converted = {}
    for name, value in state.items():
        new_name = convert_name(name)
        if new_name is None:
            conversion.dropped[name] = DROPPED[_dropped_stem(name)]
        else:
            conversion.keys[name], converted[new_name] = new_name, value
    expected = model.state_dict()
    for problem, names in (("lacks", expected.keys() - converted.keys()), ("has", converted.keys() - expected.keys())):
        if names:
            kind = "fine-tuned" if fine_tuned else "pretraining"
            what = "which every" if problem == "lacks" else "which no"
            raise ValueError(f"The checkpoint {problem} {', '.join(sorted(names)[:5])}, {what} {kind} checkpoint has.")
    for name, value in converted.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)} in the checkpoint, expected {tuple(expected[name].shape)}."
            )
    model.load_state_dict(converted, strict=True)
    return conversion


def _dropped_stem(name: str) -> str:
    bare = name.removeprefix("module.")
    return bare if bare in DROPPED else bare.rpartition(".")[0]


def read_label_names(path: str | os.PathLike) -> list[str]:
    """
    Label names in the order of the classifier's outputs: a `.json` list, an official class CSV (`index`,
    `display_name` columns), or text with one name per line.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    if Path(path).suffix.lower() == ".json":
        names = json.loads(text)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{path} holds {type(names).__name__}, expected a JSON list of label names.")
    elif Path(path).suffix.lower() == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        if not rows or not {"index", "display_name"} <= rows[0].keys():
            raise ValueError(f"{path} has columns {list(rows[0]) if rows else []}, expected index and display_name.")
        names = [row["display_name"] for row in sorted(rows, key=lambda row: int(row["index"]))]
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(set(names)) != len(names):
        raise ValueError(f"{path} has {len(names)} label names, of which only {len(set(names))} differ.")
    return names


def convert_checkpoint(
    source: str | os.PathLike,
    directory: str | os.PathLike,
    label_names: list[str] | None = None,
    mean: float | None = None,
    std: float | None = None,
    overwrite: bool = False,
    **overrides,
) -> Conversion:
    """
    Converts an official `.pth` file to a directory that `from_pretrained` loads: weights (safetensors), configuration
    and preprocessor configuration.

    Args:
        source, directory (`str`): The official file, and where to write.
        label_names (`list[str]`, *optional*): Names of a fine-tuned checkpoint's labels, in order.
        mean (`float`, *optional*), std (`float`, *optional*): Normalisation the checkpoint was trained with; default
            AudioSet's and LibriSpeech's.
        overwrite (`bool`, defaults to `False`): Whether to replace what a non-empty directory holds.
        overrides: Fields of [`SSASTConfig`] that win over what the file says.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file, expected a directory.")
    if directory.is_dir() and any(directory.iterdir()) and not overwrite:
        raise ValueError(f"{directory} is not empty: choose another directory, or overwrite (--overwrite).")
    state = load_official(source)
    if label_names is not None:
        labels = next((len(v) for k, v in state.items() if k.removeprefix("module.") == "mlp_head.1.bias"), 0)
        if labels != len(label_names):
            raise ValueError(f"There are {len(label_names)} label names, but the checkpoint has {labels} labels.")
        overrides["id2label"] = dict(enumerate(label_names))
        overrides["label2id"] = {name: index for index, name in enumerate(label_names)}
    conversion = convert_state_dict(state, **overrides)
    config = conversion.model.config
    statistics = {name: value for name, value in (("mean", mean), ("std", std)) if value is not None}
    extractor = SSASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length, **statistics)
    conversion.model.save_pretrained(directory)
    extractor.save_pretrained(directory)
    return conversion
