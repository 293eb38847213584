# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Conversion of checkpoint files: official `.pth`, transformers' AST and this package's, each to each."""

import contextlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import ASTFeatureExtractor

from ..configuration_ssast import SIZES
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForAudioClassification, SSASTForPreTraining, SSASTModel, SSASTPreTrainedModel
from ..utils.files import filling, is_special, replacing, target_of
from ..utils.logs import get_logger
from ..utils.parsing import normalized, parse_csv, parse_json
from .cards import write_facts
from .files import CONFIG, WEIGHTS, read_json
from .layouts import Conversion, State, convert_state_dict, dropped_by_ast, notes_on_ast, official_state_dict, to_ast
from .loading import EXTRACTOR_FIELDS, load_complete, loading
from .locate import find
from .names import FAMILY, home, table

logger = get_logger(f"transformers.{__name__}")  # its level is transformers' own

OFFICIAL_NAME = "best_audio_model.pth"  # the official code's name of its checkpoints
FORMATS = ("ssast", "ast", "official")


def load_official(path: str | os.PathLike) -> State:
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


def read_label_names(path: str | os.PathLike) -> list[str]:
    """
    Label names in the order of the classifier's outputs: a `.json` list, an official class CSV (`index`,
    `display_name` columns), or text with one name per line.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    if Path(path).suffix.lower() == ".json":
        names = parse_json(text, str(path))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{path} holds {type(names).__name__}, expected a JSON list of label names.")
    elif Path(path).suffix.lower() == ".csv":
        rows = [row for _, row in parse_csv(text, str(path))]
        if not rows or not {"index", "display_name"} <= rows[0].keys():
            raise ValueError(f"{path} has columns {list(rows[0]) if rows else []}, expected index and display_name.")
        names = [row["display_name"] for row in sorted(rows, key=lambda row: int(row["index"]))]
    else:
        names = [line for line in text.splitlines() if normalized(line)]
    names = [normalized(name) for name in names]
    if len(set(names)) != len(names):
        raise ValueError(f"{path} has {len(names)} label names, of which only {len(set(names))} differ.")
    return names


def load_checkpoint(source: str | os.PathLike) -> SSASTPreTrainedModel:
    """
    The model of a directory, short name or Hub repository, of the class it was saved from; in eval mode.

    Raises:
        ValueError: Weights are missing.
        OSError: There is no such checkpoint.
    """
    found = find(source, WEIGHTS)
    config = read_json(found.directory / CONFIG)
    with loading(source):
        architecture = str((config.get("architectures") or [""])[0])
    classes = {
        "SSASTForPreTraining": SSASTForPreTraining,
        "SSASTForAudioClassification": SSASTForAudioClassification,
        "ASTForAudioClassification": SSASTForAudioClassification,
    }
    with loading(source):
        return load_complete(classes.get(architecture, SSASTModel), source)


def convert_checkpoint(
    source: str | os.PathLike,
    directory: str | os.PathLike,
    to: str = "ssast",
    label_names: list[str] | None = None,
    mean: float | None = None,
    std: float | None = None,
    overwrite: bool = False,
    **overrides,
) -> Conversion:
    """
    Converts an official `.pth` file, or any checkpoint that `from_pretrained` takes.

    Args:
        source (`str`): An official file, or a directory, short name or Hub repository in either layout.
        directory (`str`): Where to write. For `to="official"` it may be the `.pth` file itself.
        to (`str`, defaults to `"ssast"`): `"ssast"` (safetensors, configuration and preprocessor configuration),
            `"ast"` (the same in transformers' `ASTModel` layout) or `"official"` (`best_audio_model.pth`).
        label_names (`list[str]`, *optional*): Names of a fine-tuned official file's labels, in order.
        mean (`float`, *optional*), std (`float`, *optional*): Normalisation the checkpoint was trained with; default
            the source's, and for official files AudioSet's and LibriSpeech's.
        overwrite (`bool`, defaults to `False`): Whether to replace what a non-empty directory holds.
        overrides: Fields of [`SSASTConfig`] that win over what an official file says.

    Returns:
        [`Conversion`]: how each tensor was used; its `notes` are logged as warnings, too.

    Raises:
        ValueError: The source is not a checkpoint, the target has no place for it, or is not empty.
        OSError: The target cannot be written; what was there is as it was.
    """
    if to not in FORMATS:
        raise ValueError(f"`to` is {to!r}, expected one of {', '.join(map(repr, FORMATS))}.")
    directory = Path(directory)
    as_file = to == "official" and directory.suffix in (".pth", ".pt")
    _check_target(directory, as_file, overwrite)
    statistics = {name: value for name, value in (("mean", mean), ("std", std)) if value is not None}
    conversion, extractor = _read(source, label_names, statistics, overrides)
    model = conversion.model
    if to == "ast":
        model = to_ast(model)
        conversion.drop(dropped_by_ast(conversion.model))
        conversion.notes += notes_on_ast(conversion.model)
    for note in conversion.notes:
        logger.warning(note)
    if to == "official":
        _write_official(conversion.model, directory if as_file else directory / OFFICIAL_NAME)
        return conversion
    if to == "ast":
        extractor = ASTFeatureExtractor(**{name: getattr(extractor, name) for name in EXTRACTOR_FIELDS})
    with filling(directory) as unfinished, _writing(directory):
        model.save_pretrained(unfinished)
        extractor.save_pretrained(unfinished)
    return conversion


def _check_target(directory: Path, as_file: bool, overwrite: bool) -> None:
    """Raises ValueError where writing would replace something unasked."""
    if as_file and is_special(directory):
        raise ValueError(f"{directory} is a device or a FIFO, expected a file to write.")
    if as_file and directory.is_file() and not overwrite:
        raise ValueError(f"{directory} exists: choose another name, or overwrite (--overwrite).")
    if directory.exists() and not directory.is_dir() and not as_file:
        raise ValueError(f"{directory} is a file, expected a directory.")
    target_of(directory)
    if directory.is_dir() and any(directory.iterdir()) and not overwrite:
        raise ValueError(f"{directory} is not empty: choose another directory, or overwrite (--overwrite).")


def _read(source, label_names, statistics: dict, overrides: dict) -> tuple[Conversion, SSASTFeatureExtractor]:
    """The source's model and feature extractor, whatever its layout."""
    if Path(source).is_file():
        conversion = _convert_official(source, label_names, overrides)
        config = conversion.model.config
        # The official fine-tuning has no mask. A pretrained encoder's embeddings must not depend on padding.
        mask = False if isinstance(conversion.model, SSASTForAudioClassification) else None
        return conversion, SSASTFeatureExtractor(
            num_mel_bins=config.num_mel_bins, max_length=config.max_length, return_attention_mask=mask, **statistics
        )
    if label_names or overrides:
        given = ", ".join([*overrides, *(["label_names"] if label_names else [])])
        raise ValueError(f"{given} is for official files, which do not record it; {source} does.")
    conversion = Conversion(load_checkpoint(source))
    conversion.keys = {name: name for name in conversion.model.state_dict()}
    return conversion, SSASTFeatureExtractor.from_pretrained(source, **statistics)


def _write_official(model: SSASTPreTrainedModel, file: Path) -> None:
    state = official_state_dict(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as unfinished, _writing(file):
        torch.save(state, unfinished)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what torch and safetensors raise for a full disk into an OSError."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise OSError(f"{path} cannot be written: {error}") from error


def _convert_official(source: str | os.PathLike, label_names: list[str] | None, overrides: dict) -> Conversion:
    state = load_official(source)
    if label_names is not None:
        labels = next((len(v) for k, v in state.items() if k.removeprefix("module.") == "mlp_head.1.bias"), 0)
        if labels != len(label_names):
            raise ValueError(f"There are {len(label_names)} label names, but the checkpoint has {labels} labels.")
        overrides["id2label"] = dict(enumerate(label_names))
        overrides["label2id"] = {name: index for index, name in enumerate(label_names)}
    return convert_state_dict(state, **overrides)


def convert_named(source: str | os.PathLike, name: str, overwrite: bool = False) -> tuple[Conversion, Path]:
    """
    Converts an official file to where `from_pretrained(name)` looks for it from then on (`checkpoints.names.home()`).

    Raises:
        ValueError: The name is not the table's, or the file is of another size or patch shape.
    """
    entry = table().get(name)
    if entry is None or entry.official is None:
        names = ", ".join(entry.name for entry in FAMILY)
        raise ValueError(f"--name is {name!r}, expected one of {names}.")
    model = convert_state_dict(load_official(source)).model
    config = model.config
    found = (type(model).__name__, config.hidden_size, config.frequency_patch_size, config.time_patch_size)
    expected = ("SSASTForPreTraining", SIZES[entry.size or ""][0], *(entry.patch_shape or ()))
    if found != expected:
        raise ValueError(
            f"{source} is not {entry.official}: found class, hidden size and patch shape {found}, expected {expected}."
        )
    directory = home() / name
    conversion = convert_checkpoint(source, directory, overwrite=overwrite, num_mask_patches=entry.num_mask_patches)
    write_facts(directory, official=entry.official)
    return conversion, directory
