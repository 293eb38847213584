# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Layouts of checkpoints: the official code's and transformers' `ASTModel`'s <-> ours. Tables of names, strict shapes,
every tensor accounted for; nothing here reads or writes a file.
"""

import re
from dataclasses import dataclass, field

import torch
from transformers import ASTConfig, ASTForAudioClassification, ASTModel

from ..configuration_ssast import CLASSIFIER_LAYER_NORM_EPS, PATCHES, SSASTConfig
from ..modeling_ssast import (
    NUM_SPECIAL_TOKENS,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTModel,
    SSASTPreTrainedModel,
)
from .grids import guess_grid

State = dict[str, torch.Tensor]

HEAD_SIZE = 64  # of every official model: 192 / 3, 384 / 6, 768 / 12
# Official name (without `module.`) -> name here. `{}` stands for the number of a layer.
OFFICIAL_KEYS = {
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
OFFICIAL_DROPPED = {
    "v.head": "timm's ImageNet classifier, never used",
    "v.head_dist": "timm's ImageNet classifier, never used",
    "p_input_fdim": "mel bins in pretraining, now config.num_mel_bins",
    "p_input_tdim": "frames in pretraining, now config.max_length",
}
IMAGENET_CLASSES = 1000  # of the dropped heads

AST_MODEL_TYPE = "audio-spectrogram-transformer"
AST_PREFIX = "audio_spectrogram_transformer."
# Names inside the encoder in transformers 4 -> in transformers 5 and here.
AST_RENAMED = (
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attention.\1_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)
AST_DEFAULTS = {  # of ASTConfig, where they are not SSASTConfig's
    "patch_size": 16, "frequency_stride": 10, "time_stride": 10, "layer_norm_eps": 1e-12,
}  # fmt: skip
AST_FIELDS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps", "qkv_bias",
    "num_mel_bins", "max_length", "frequency_stride", "time_stride",
)  # fmt: skip
SHARED_FIELDS = ("id2label", "label2id", "problem_type", "dtype", "torch_dtype")


@dataclass
class Conversion:
    """
    A converted checkpoint and how each tensor was used.

    Args:
        model ([`SSASTPreTrainedModel`]): The model in this package's layout.
        keys (`dict[str, str]`): Names in the source -> names here, of what was written.
        dropped (`dict[str, str]`): Names in the source -> the reason why they were not.
        notes (`list[str]`): What is guessed because the source does not record it, and what changes in the target.
    """

    model: SSASTPreTrainedModel
    keys: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def drop(self, reasons: dict[str, str]) -> None:
        """Moves tensors, by their names here -> reason, from `keys` to `dropped`: the target has no place for them."""
        for source, name in list(self.keys.items()):
            if name in reasons:
                self.dropped[source] = reasons[name]
                del self.keys[source]


def _load(model: SSASTPreTrainedModel, state: State, kind: str) -> None:
    """Loads `state`, which must have exactly the model's names and shapes."""
    expected = model.state_dict()
    for problem, names in (("lacks", expected.keys() - state.keys()), ("has", state.keys() - expected.keys())):
        if names:
            what = "which every" if problem == "lacks" else "which no"
            raise ValueError(f"The checkpoint {problem} {', '.join(sorted(names)[:5])}, {what} {kind} checkpoint has.")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)} in the checkpoint, expected {tuple(expected[name].shape)}."
            )
    model.load_state_dict(state, strict=True)


def _dropped(bare: str) -> str | None:
    """Why an official tensor is dropped; None where it is not."""
    return OFFICIAL_DROPPED.get(bare, OFFICIAL_DROPPED.get(re.sub(r"\.(weight|bias)$", "", bare)))


def official_to_ours(name: str) -> str | None:
    """Name here of an official parameter; None where it is dropped. Raises ValueError for a name that SSAST lacks."""
    bare = name.removeprefix("module.")
    if _dropped(bare) is not None:
        return None
    layer = re.match(r"v\.blocks\.(\d+)\.", bare)
    pattern = re.sub(r"^v\.blocks\.\d+\.", "v.blocks.{}.", bare)
    stem, _, kind = pattern.rpartition(".")
    for candidate, ending in ((pattern, ""), (stem, f".{kind}")):
        if candidate in OFFICIAL_KEYS:
            return OFFICIAL_KEYS[candidate].format(layer.group(1) if layer else "") + ending
    raise ValueError(f"Found a tensor {name!r}, which no official SSAST checkpoint has.")


def ours_to_official(name: str) -> str:
    """The official name (with `module.`) of a parameter of [`SSASTForPreTraining`] or the classifier."""
    layer = re.match(r"ssast\.layers\.(\d+)\.", name)
    pattern = re.sub(r"^ssast\.layers\.\d+\.", "ssast.layers.{}.", name)
    stem, _, kind = pattern.rpartition(".")
    for official, ours in OFFICIAL_KEYS.items():
        if ours in (pattern, stem):
            ending = "" if ours == pattern else f".{kind}"
            return f"module.{official.format(layer.group(1) if layer else '')}{ending}"
    raise ValueError(f"{name} has no place in an official checkpoint.")


def config_from_official(state: State, **overrides) -> tuple[SSASTConfig, str | None]:
    """
    The configuration of an official state dict, read from its names and shapes, and what of it is guessed.

    Args:
        state (`dict[str, torch.Tensor]`): Official state dict, with or without `module.`.
        overrides: Fields of [`SSASTConfig`] that win; fine-tuned checkpoints may need `num_mel_bins` (default 128),
            `frequency_stride`, `time_stride` and `max_length`, which they do not record.

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
    num_mel_bins = int(overrides.get("num_mel_bins", state.get("p_input_fdim", 128)))
    if num_mel_bins < height:
        raise ValueError(f"`num_mel_bins` is {num_mel_bins}, expected at least {height}, the height of a patch.")
    patches = "frame" if height == num_mel_bins else "patch"
    fields = {
        "hidden_size": hidden,
        "num_hidden_layers": len({name.split(".")[2] for name in state if name.startswith("v.blocks.")}),
        "num_attention_heads": max(1, hidden // HEAD_SIZE),
        "intermediate_size": state["v.blocks.0.mlp.fc1.weight"].shape[0],
        "qkv_bias": "v.blocks.0.attn.qkv.bias" in state,
        "num_mel_bins": num_mel_bins,
        **PATCHES[patches],
        "frequency_patch_size": height,
        "time_patch_size": width,
    }
    if "mlp_head.1.weight" in state:
        fields["num_labels"] = state["mlp_head.1.weight"].shape[0]
    guess = None
    if "p_input_tdim" in state:
        fields["max_length"] = int(state["p_input_tdim"])
    elif not {"max_length", "frequency_stride", "time_stride"} <= overrides.keys():
        grid, guess = guess_grid(fields, state["v.pos_embed"][0, NUM_SPECIAL_TOKENS:], overrides)
        fields.update(grid)
    if "num_labels" in fields and ("id2label" in overrides):
        fields.pop("num_labels")
    config = SSASTConfig(**{**fields, **overrides})
    if config.num_patches != num_patches:
        raise ValueError(
            f"The checkpoint has position embeddings for {num_patches} patches, "
            f"but frequency_stride={config.frequency_stride}, time_stride={config.time_stride} and "
            f"max_length={config.max_length} make {config.num_patches}."
        )
    return config, guess


def convert_state_dict(state: State, **overrides) -> Conversion:
    """
    Converts an official state dict: [`SSASTForPreTraining`] for pretraining, [`SSASTForAudioClassification`] for
    fine-tuned ones.

    Args:
        state (`dict[str, torch.Tensor]`): Official state dict, as `torch.save` wrote it from `DataParallel` or not.
        overrides: Fields of [`SSASTConfig`] that win over what the state dict says.

    Raises:
        ValueError: A tensor is missing, unknown or of the wrong shape.
    """
    config, guess = config_from_official(state, **overrides)
    fine_tuned = any(name.removeprefix("module.").startswith("mlp_head.") for name in state)
    model = (SSASTForAudioClassification if fine_tuned else SSASTForPreTraining)(config)
    conversion = Conversion(model.eval(), notes=[guess] if guess else [])
    converted = {}
    for name, value in state.items():
        new_name = official_to_ours(name)
        if new_name is None:
            conversion.dropped[name] = _dropped(name.removeprefix("module.")) or ""
        else:
            conversion.keys[name], converted[new_name] = new_name, value
    _load(model, converted, "fine-tuned" if fine_tuned else "pretraining")
    return conversion


def official_state_dict(model: SSASTPreTrainedModel) -> State:
    """
    The state dict that the official code would have saved: names with `module.`, float32; timm's heads, which it never
    uses and conversion drops, are zeros.

    Args:
        model ([`SSASTForPreTraining`] or [`SSASTForAudioClassification`]): The model.

    Raises:
        ValueError: The model is the encoder alone, or its classifier is not made as the official one.
    """
    if not isinstance(model, (SSASTForPreTraining, SSASTForAudioClassification)):
        raise ValueError(
            f"Found the encoder alone ({type(model).__name__}), expected a model with pretraining heads or a "
            "classifier, one of which every official checkpoint has."
        )
    config = model.config
    if isinstance(model, SSASTForAudioClassification) and (
        config.pooling in ("rows", "segments") or not config.classifier_layer_norm
    ):
        raise ValueError(
            f"The classifier has pooling {config.pooling!r} and {'a' if config.classifier_layer_norm else 'no'} layer "
            "norm, expected 'mean' or 'cls' and a layer norm: the official code has no other."
        )
    state = {ours_to_official(name): value.detach().float().clone() for name, value in model.state_dict().items()}
    for head in ("v.head", "v.head_dist"):
        state[f"module.{head}.weight"] = torch.zeros(IMAGENET_CLASSES, config.hidden_size)
        state[f"module.{head}.bias"] = torch.zeros(IMAGENET_CLASSES)
    if isinstance(model, SSASTForPreTraining):
        state["module.p_input_fdim"] = torch.tensor(config.num_mel_bins)
        state["module.p_input_tdim"] = torch.tensor(config.max_length)
    return state


def ast_config_to_ours(config_dict: dict, known: bool = False, patch_shape: tuple[int, int] | None = None) -> dict:
    """
    The fields of [`SSASTConfig`] for a `config.json` in transformers' `ASTModel` layout.

    Args:
        config_dict (`dict`): Content of the `config.json`.
        known (`bool`, defaults to `False`): Whether the weights are SSAST's, whose mean pooling and LayerNorm epsilon
            the layout cannot express. Else special-token pooling and the configuration's own epsilon are right.
        patch_shape (`tuple[int, int]`, *optional*): Mel bins and frames of a patch, where the weights tell; custom
            code can have rectangular ones.
    """
    source = {**AST_DEFAULTS, **config_dict}
    if patch_shape is None:
        size = source["patch_size"]
        size = list(size) if isinstance(size, (list, tuple)) else [size, size]
        rows, columns = (source.get(f"{axis}_patch_size", n) for axis, n in zip(("frequency", "time"), size))
    else:
        rows, columns = patch_shape
    frame = rows == source.get("num_mel_bins", 128)
    eps = source["layer_norm_eps"]
    pooling = {"pooling": "cls", "classifier_layer_norm_eps": eps}
    if known:
        pooling = {"pooling": "mean", "layer_norm_eps": 1e-6, "classifier_layer_norm_eps": CLASSIFIER_LAYER_NORM_EPS}
    return {
        "model_type": SSASTConfig.model_type,
        **{name: source[name] for name in (*AST_FIELDS, *SHARED_FIELDS) if source.get(name) is not None},
        **PATCHES["frame" if frame else "patch"],
        "frequency_patch_size": rows,
        "time_patch_size": columns,
        **pooling,
    }


def ast_state_to_ours(state: State) -> State:
    """
    A state dict in transformers' `ASTModel` layout, of version 4 or 5, with or without prefix, renamed: names here
    (with `ssast.`), query, key and value fused.

    Raises:
        ValueError: A tensor is unknown, or query, key and value are not complete.
    """
    renamed: State = {}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        bare = name.removeprefix(AST_PREFIX)
        for pattern, replacement in AST_RENAMED:
            bare = re.sub(pattern, replacement, bare)
        if not re.match(r"(embeddings|layers\.\d+|layernorm|classifier)\.", bare):
            raise ValueError(f"Found a tensor {name!r}, which no AST checkpoint has.")
        part = re.fullmatch(r"(layers\.\d+\.attention)\.([qkv])_proj\.(weight|bias)", bare)
        if part:
            parts.setdefault(f"ssast.{part.group(1)}.qkv.{part.group(3)}", {})[part.group(2)] = value
        else:
            renamed[bare if bare.startswith("classifier.") else f"ssast.{bare}"] = value
    for name, found in parts.items():
        if found.keys() != set("qkv"):
            raise ValueError(f"The checkpoint has only {', '.join(sorted(found))} of query, key and value of {name}.")
        renamed[name] = torch.cat([found[part] for part in "qkv"])
    return renamed


def dropped_by_ast(model: SSASTPreTrainedModel) -> dict[str, str]:
    """Names of the tensors that transformers' `ASTModel` does not have -> the reason."""
    config, reasons = model.config, {}
    if config.pooling != "cls":
        classifier = f"classifier: AST pools the special tokens, this one was trained with pooling={config.pooling!r}"
    elif not config.classifier_layer_norm:
        classifier = "classifier: AST's has a layer norm, this one has none"
    else:
        classifier = None
    for name in model.state_dict():
        if name.endswith("embeddings.mask_token"):
            reasons[name] = "mask token: AST has no pretraining"
        elif name.startswith(("discriminative_head.", "generative_head.")):
            reasons[name] = "pretraining heads: AST has no pretraining"
        elif name.startswith("classifier.") and classifier:
            reasons[name] = classifier
    return reasons


def notes_on_ast(model: SSASTPreTrainedModel) -> list[str]:
    """Differences of the computation in transformers' `ASTModel`, beside the tensors of [`dropped_by_ast`]."""
    config, notes = model.config, []
    if config.pooling != "cls":
        notes.append(
            f"AST's pooler_output is the mean of the two special tokens; here it has {config.pooling!r} pooling."
        )
    elif isinstance(model, SSASTForAudioClassification) and config.classifier_layer_norm_eps != config.layer_norm_eps:
        notes.append(
            f"AST's classifier has the layer norm epsilon of its encoder, {config.layer_norm_eps:g}; here it has "
            f"{config.classifier_layer_norm_eps:g}. Logits may differ in the fifth digit."
        )
    return notes


def to_ast(model: SSASTPreTrainedModel) -> ASTModel | ASTForAudioClassification:
    """
    The model as transformers' `ASTModel`, with the same hidden states; without the tensors of [`dropped_by_ast`]. A
    classifier that pools the special tokens and has a layer norm comes along.

    Raises:
        ValueError: Patches are not square, which `ASTModel` needs.
    """
    config = model.config
    if config.frequency_patch_size != config.time_patch_size:
        raise ValueError(
            f"Patches are {config.frequency_patch_size} x {config.time_patch_size}, expected square ones: "
            "transformers' ASTModel has no others."
        )
    dropped = dropped_by_ast(model)
    with_classifier = isinstance(model, SSASTForAudioClassification) and "classifier.dense.weight" not in dropped
    fields = {name: getattr(config, name) for name in AST_FIELDS}
    if with_classifier:
        fields.update(id2label=config.id2label, label2id=config.label2id, problem_type=config.problem_type)
    ast_config = ASTConfig(patch_size=config.time_patch_size, **fields)
    encoder = model if isinstance(model, SSASTModel) else model.ssast
    state = {}
    for name, value in encoder.state_dict().items():
        if name == "embeddings.mask_token":
            continue
        if ".qkv." in name:
            for part, values in zip("qkv", value.chunk(3)):
                state[name.replace(".qkv.", f".{part}_proj.")] = values
        else:
            state[name] = value
    if with_classifier:
        state = {AST_PREFIX + name: value for name, value in state.items()}
        state.update({f"classifier.{name}": value for name, value in model.classifier.state_dict().items()})
    ast = (ASTForAudioClassification if with_classifier else ASTModel)(ast_config)
    ast.load_state_dict(state, strict=True)
    return ast.eval()
