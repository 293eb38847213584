# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What the installed package adds to `from_pretrained` of the classes here: short names, transformers' AST layout, and
errors of one sentence. `integrations/auto.py` registers these functions in `LOADING_HOOKS` (configuration_ssast.py);
each receives the method that it wraps as its first argument.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers.configuration_utils import PreTrainedConfig

from ..configuration_ssast import GRID_FIELDS, SSASTConfig
from ..utils.logs import get_logger
from ..utils.text import first_sentence, listed
from .fetch import HUB_ARGUMENTS, how_to_fetch_again
from .files import ADAPTER, CONFIG, PREPROCESSOR, WEIGHTS, WEIGHTS_INDEX, read_json, shard_names, with_variant
from .layouts import AST_MODEL_TYPE, ast_config_to_ours, ast_state_to_ours
from .locate import find
from .names import Found

logger = get_logger(f"transformers.{__name__}")  # its level is transformers' own

OFFICIAL_GRID = 512  # patches of the clips that the official models were pretrained on
EXTRACTOR_FIELDS = (
    "sampling_rate", "num_mel_bins", "max_length", "padding_value", "do_normalize", "mean", "std",
)  # fmt: skip  # of transformers' ASTFeatureExtractor; its attention mask is off because AST has none

# What a caller may ask for in `from_pretrained` that gives weights other shapes than a checkpoint has.
ASKED_SIZES = (
    "num_labels", "pooling", "classifier_layer_norm", "hidden_size", "intermediate_size", "num_hidden_layers",
)  # fmt: skip
ASKABLE = (*ASKED_SIZES, "id2label", "label2id")


class MismatchedShapes(ValueError, RuntimeError):
    """Weights have other shapes than the configuration says."""


def _is_for_transformers(name, kwargs: dict) -> bool:
    """Whether transformers loads alone: no name, a file of another format, or pickles asked for."""
    return (
        name is None
        or bool(kwargs.get("gguf_file"))
        or kwargs.get("use_safetensors") is False
        or Path(name).expanduser().is_file()
    )


def _find(name, needs: str, kwargs: dict) -> tuple[Found, dict]:
    """The checkpoint, and the keywords that transformers still needs to load its directory."""
    given = {key: kwargs[key] for key in (*HUB_ARGUMENTS, "subfolder", "variant") if kwargs.get(key) is not None}
    found = find(name, needs, **given)
    rest = {key: value for key, value in kwargs.items() if key not in (*HUB_ARGUMENTS, "proxies")}
    return found, rest


def load_config_dict(load: Callable, name, **kwargs) -> tuple[dict, dict]:
    """Wraps `SSASTConfig.get_config_dict`: reads `config.json` in either layout, as fields of [`SSASTConfig`]."""
    if _is_for_transformers(name, kwargs):
        return load(name, **kwargs)
    found, kwargs = _find(name, CONFIG, kwargs)
    folder = found.directory / (kwargs.get("subfolder") or "")
    if (folder / CONFIG).is_file():
        read_json(folder / CONFIG)  # transformers' own reader fails less clearly
    config_dict, kwargs = load(str(found.directory), **kwargs)
    kind = config_dict.get("model_type")
    if kind == AST_MODEL_TYPE:
        shape = _patch_shape(folder) or (found.entry.patch_shape if found.entry else None)
        config_dict = ast_config_to_ours(config_dict, found.is_official, shape)
        if found.entry and found.entry.num_mask_patches:
            grid = {name: config_dict[name] for name in GRID_FIELDS if name in config_dict}
            share = found.entry.num_mask_patches / OFFICIAL_GRID
            config_dict["num_mask_patches"] = max(1, round(share * SSASTConfig(**grid).num_patches))
    elif kind != SSASTConfig.model_type:
        raise ValueError(
            f"{found.name} is a checkpoint of {kind or 'an unnamed model type'}, expected ssast or {AST_MODEL_TYPE}."
        )
    if found.has_name:
        config_dict["_name_or_path"] = found.name
    return config_dict, kwargs


def _patch_shape(directory: Path) -> tuple[int, int] | None:
    """Mel bins and frames of a patch by the header of the weights, if they are here: AST's config may be wrong."""
    for file in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as weights:
                for name in weights.keys():  # noqa: SIM118
                    if name.endswith("embeddings.patch_embeddings.projection.weight"):
                        height, width = weights.get_slice(name).get_shape()[2:]
                        return height, width
        except (SafetensorError, OSError):
            return None  # loading the weights reports the damage
    return None


def load_feature_extractor_dict(load: Callable, name, **kwargs) -> tuple[dict, dict]:
    """Wraps `SSASTFeatureExtractor.get_feature_extractor_dict`: reads this package's JSON or transformers' AST's."""
    if _is_for_transformers(name, kwargs):
        return load(name, **kwargs)
    found, kwargs = _find(name, PREPROCESSOR, kwargs)
    folder = found.directory / (kwargs.get("subfolder") or "")
    if not (folder / PREPROCESSOR).is_file():
        if not found.is_official:
            raise ValueError(f"{found.name} has no {PREPROCESSOR}: save the feature extractor beside the model.")
        config = read_json(folder / CONFIG)
        return {key: config[key] for key in ("num_mel_bins", "max_length") if key in config}, kwargs
    read_json(folder / PREPROCESSOR)
    content, kwargs = load(str(found.directory), **kwargs)
    kind = content.get("feature_extractor_type", "SSASTFeatureExtractor")
    if kind == "ASTFeatureExtractor":
        content = {key: content[key] for key in EXTRACTOR_FIELDS if key in content}
    elif kind != "SSASTFeatureExtractor":
        raise ValueError(
            f"{found.name} has the feature extractor {kind}, expected SSASTFeatureExtractor or ASTFeatureExtractor."
        )
    return content, kwargs


def load_model(load: Callable, name, *model_args, config=None, adapt: Callable | None = None, **kwargs):
    """
    Wraps `SSASTPreTrainedModel._load`: weights in either layout, safetensors only, errors of one sentence.

    Args:
        load (`Callable`): The method, bound to the model's class.
        name (`str`): Directory, short name or Hub repository; None with `state_dict`.
        config (`SSASTConfig`, *optional*): Configuration, or the name of one.
        adapt (`Callable`, *optional*): Maps the checkpoint's state dict to that of `config`'s patch grid.
        model_args, kwargs: See transformers' `from_pretrained`.

    Raises:
        ValueError: What is there cannot be loaded safely, or its weights have other shapes than the configuration says
        (which is a `RuntimeError` too, as transformers raises it).
        OSError: There is no such checkpoint, or its weights are missing, damaged or cut short.
    """
    if _is_for_transformers(name, kwargs):
        return load(name, *model_args, config=config, adapt=adapt, **kwargs)
    found, rest = _find(name, WEIGHTS, kwargs)
    folder = found.directory / (rest.get("subfolder") or "")
    if (folder / ADAPTER).is_file() and not (folder / CONFIG).is_file():
        return _load_adapter(load, found, folder, model_args, config, kwargs)
    kind = read_json(folder / CONFIG).get("model_type") if (folder / CONFIG).is_file() else None
    if kind in (SSASTConfig.model_type, AST_MODEL_TYPE) and not any(folder.glob("*.safetensors")):
        there = ", ".join(sorted(path.name for path in folder.iterdir() if path.suffix != ".py"))
        raise FileNotFoundError(f"{found.name} has no {WEIGHTS}: it holds {there}.")
    with_info = kwargs.get("output_loading_info", False)
    kwargs["output_loading_info"] = rest["output_loading_info"] = True
    try:
        if kind == AST_MODEL_TYPE:
            if not isinstance(config, PreTrainedConfig):
                config, rest = SSASTConfig.from_pretrained(config or name, return_unused_kwargs=True, **kwargs)
            loaded = _load_ast(load, found, folder, model_args, config, adapt, rest)
        else:
            rest = {"use_safetensors": True, **rest}
            loaded = load(str(found.directory), *model_args, config=config, adapt=adapt, **rest)
    except SafetensorError as error:
        again = how_to_fetch_again(found) if found.on_hub else "copy or save it again"
        raise OSError(
            f"The weights of {found.name} in {folder} are damaged or cut short ({error}): {again}."
        ) from None
    except RuntimeError as error:
        if "mismatch" not in str(error).lower():
            raise
        asked = _asked_sizes(folder, config, kwargs)
        raise MismatchedShapes(
            f"The weights of {found.name} do not have the shapes that "
            + (
                f"{asked} asks for: give ignore_mismatched_sizes=True, by which those weights are new and random."
                if asked
                else f"its {CONFIG} says."
            )
        ) from error
    model, info = loaded
    model.name_or_path = model.config._name_or_path = found.name if found.has_name else str(found.directory)
    note_random_weights(model, info)
    return loaded if with_info else model


def _asked_sizes(folder: Path, config, kwargs: dict) -> str:
    """Sizes of the model that the caller wants and the stored configuration does not say, as `name=value`s."""
    stored = SSASTConfig.from_pretrained(folder)
    if not isinstance(config, PreTrainedConfig):
        config = SSASTConfig.from_pretrained(config or folder, **{k: v for k, v in kwargs.items() if k in ASKABLE})
    names = [name for name in ASKED_SIZES if getattr(config, name) != getattr(stored, name)]
    return ", ".join(f"{name}={getattr(config, name)!r}" for name in names)


def _load_adapter(load: Callable, found: Found, folder: Path, model_args, config, kwargs: dict):
    """Loads the base model that an adapter of peft names, as `from_pretrained` does, and the adapter."""
    base = read_json(folder / ADAPTER).get("base_model_name_or_path")
    if not isinstance(base, str) or base in ("", found.name):
        raise ValueError(f"{found.name} is an adapter that does not name its base model ({ADAPTER}).")
    of_files = (*HUB_ARGUMENTS, "subfolder", "variant")
    rest = {key: value for key, value in kwargs.items() if key not in of_files or key in ("token", "cache_dir")}
    loaded = load.__self__.from_pretrained(base, *model_args, config=config, **rest)  # type: ignore[attr-defined]
    (loaded[0] if isinstance(loaded, tuple) else loaded).load_adapter(str(folder))
    return loaded


def _load_ast(load: Callable, found: Found, folder: Path, model_args, config, adapt: Callable | None, rest: dict):
    """Loads a checkpoint in transformers' AST layout as a state dict."""
    state = _ast_state(folder, rest.get("variant"))
    class_name = load.__self__.__name__  # type: ignore[attr-defined]
    if class_name != "SSASTForAudioClassification":
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    for_files = (*HUB_ARGUMENTS, "use_safetensors", "subfolder", "variant")
    rest = {key: value for key, value in rest.items() if key not in for_files}
    with _naming_checkpoint(found.name):
        loaded = load(None, *model_args, config=config, state_dict=adapt(state) if adapt else state, **rest)
    if class_name == "SSASTForPreTraining":
        logger.warning(
            f"{found.name} holds the encoder alone: the mask token and both heads of SSASTForPreTraining are new."
        )
    return loaded


@contextmanager
def _naming_checkpoint(name: str) -> Iterator[None]:
    """Names the checkpoint in transformers' report on missing weights, which a state dict has no name for."""
    report = logging.getLogger("transformers.modeling_utils")

    def named(record: logging.LogRecord) -> bool:
        record.msg = str(record.msg).replace("from: None", f"from: {name}")
        return True

    report.addFilter(named)
    try:
        yield
    finally:
        report.removeFilter(named)


def _ast_state(folder: Path, variant: str | None) -> dict[str, torch.Tensor]:
    index = folder / with_variant(WEIGHTS_INDEX, variant)
    names = [with_variant(WEIGHTS, variant)]
    if not (folder / names[0]).is_file() and index.is_file():
        names = shard_names(index)
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}, in which its weights should be.")
    return ast_state_to_ours({key: value for name in names for key, value in load_file(folder / name).items()})


def note_random_weights(model: torch.nn.Module, loading_info: dict) -> None:
    """Keeps, on the model, the weights of its encoder that a checkpoint lacks, for [`check_encoder`]."""
    parameters = dict(model.named_parameters())
    model.random_encoder_weights = {
        name: parameters[name].detach().clone()
        for name in missing_of_encoder(model, loading_info)
        if name in parameters and not parameters[name].is_meta
    }


def missing_of_encoder(model: torch.nn.Module, loading_info: dict) -> list[str]:
    """The encoder's weights that a checkpoint lacks, without the mask token, which only pretraining uses."""
    prefix = "" if not hasattr(model, "ssast") else "ssast."
    missing = {*loading_info["missing_keys"], *(entry[0] for entry in loading_info["mismatched_keys"])}
    return sorted(name for name in missing if name.startswith(prefix) and not name.endswith(".mask_token"))


def check_encoder(model: torch.nn.Module) -> None:
    """Raises ValueError if the encoder has weights that its checkpoint lacked, and that no training changed since."""
    noted = getattr(model, "random_encoder_weights", {})
    if noted:
        parameters = dict(model.named_parameters())
        random = [name for name, first in noted.items() if torch.equal(parameters[name].detach().to(first), first)]
        if random:
            raise _lacking(model.name_or_path, type(model).__name__, random)


def _lacking(name, class_name: str, missing: list[str]) -> ValueError:
    return ValueError(
        f"{name} lacks weights of {class_name}: {listed(missing, 3)}. With random ones instead, its results "
        "would be meaningless."
    )


def load_to_train(model_class, name, **kwargs) -> tuple:
    """
    `model_class.from_pretrained(name)` and its loading info, where missing weights of the encoder are an error; heads
    may be new.
    """
    with loading(name):
        model, info = model_class.from_pretrained(name, output_loading_info=True, **kwargs)
    if missing := missing_of_encoder(model, info):
        raise _lacking(name, model_class.__name__, missing)
    return model, info


def load_complete(model_class, name, **kwargs):
    """
    `model_class.from_pretrained(name)` in eval mode, where missing weights are an error instead of a warning. For
    every use of a model that does not train it.

    Raises:
        ValueError: The checkpoint lacks weights of the model, or has them in other shapes than its configuration says.
        OSError: See `from_pretrained`.
    """
    model, info = model_class.from_pretrained(name, output_loading_info=True, **kwargs)
    if missing := sorted(info["missing_keys"]):
        raise _lacking(name, model_class.__name__, missing)
    return model.eval()


@contextmanager
def loading(name) -> Iterator[None]:
    """
    Turns whatever a damaged or hostile checkpoint makes transformers raise into a ValueError of one sentence. For
    commands, which show no traceback.
    """
    try:
        yield
    except (OSError, ValueError):
        raise
    except (Exception, MemoryError) as error:
        raise ValueError(f"{name} cannot be loaded: {type(error).__name__}: {first_sentence(error)}") from error
