# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The files of a checkpoint: their names, and reading those that are JSON. Nothing here loads weights."""

import json
import os
import re
from pathlib import Path

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG, PREPROCESSOR, ADAPTER = "config.json", "preprocessor_config.json", "adapter_config.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
LARGEST_JSON = 2**26  # bytes; a configuration with 100,000 labels has 5 MB


def read_json(path: str | os.PathLike) -> dict:
    """
    The JSON object in a file.

    Raises:
        ValueError: The file is not JSON, is nested too deeply, is larger than 64 MB, or holds another type.
        OSError: The file cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # opening a FIFO may wait for ever
        raise ValueError(f"{path} is a directory, a FIFO or a device, expected a file.")
    if path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, expected at most {LARGEST_JSON}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is not usable JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, expected a JSON object.")
    return content


def shard_names(index: str | os.PathLike) -> list[str]:
    """
    Names of the files in which an index (`model.safetensors.index.json`) says the weights are.

    Raises:
        ValueError: The index has no `weight_map` of names, or names anything but safetensors files beside it.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise ValueError(f"{index} has no `weight_map` from names of tensors to names of files.")
    names = sorted(set(weight_map.values()))
    for name in names:
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name):
            raise ValueError(f"{index} names the file {name!r}, expected the name of a .safetensors file beside it.")
    return names


def with_variant(filename: str, variant: str | None) -> str:
    """The name of a weights or index file of a `variant`, as transformers builds it: `model.fp16.safetensors`."""
    if not variant:
        return filename
    if "index" in filename:
        return filename.replace(".index.json", f".index.{variant}.json")
    return re.sub(r"^model", f"model.{variant}", filename)


def pickles_among(names) -> list[str]:
    """The files that are pickles of weights, sorted."""
    return sorted(name for name in names if name.endswith(PICKLES) and name != "training_args.bin")


def refusal_of_pickles(name: str, pickles: list[str]) -> str:
    """Why a checkpoint that has only pickles is not loaded."""
    return (
        f"{name} has no {WEIGHTS}, only {', '.join(pickles)}: a pickle can run code when it is opened. If you trust "
        "it, load it with use_safetensors=False, or save it again as safetensors."
    )


def check_files(name: str, folder: Path, needs: str = CONFIG, variant: str | None = None) -> None:
    """
    Raises ValueError where a directory lacks the file that is needed (`"config.json"`, `"preprocessor_config.json"` or
    `"model.safetensors"`), or where an index names files that must not be opened.

    Args:
        name (`str`): What the message calls the checkpoint.
        folder (`Path`): The directory.
        needs (`str`), variant (`str`, *optional*): See [`find`].
    """
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if needs == PREPROCESSOR and PREPROCESSOR in names:
        return
    if CONFIG not in names and ADAPTER not in names:
        raise ValueError(f"{name} has no {CONFIG}, expected the directory of a checkpoint.")
    if needs != WEIGHTS:
        return
    pickles = pickles_among(names)
    if pickles and not any(file.endswith(".safetensors") for file in names):
        raise ValueError(refusal_of_pickles(name, pickles))
    index = with_variant(WEIGHTS_INDEX, variant)
    if index in names and with_variant(WEIGHTS, variant) not in names:
        for shard in shard_names(folder / index):
            if shard not in names:
                raise ValueError(f"{name} has no {shard}, in which its {index} says that weights are.")
