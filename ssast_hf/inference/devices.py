# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Models and their feature extractors on a device, and checksums of models."""

import hashlib
import json
from collections.abc import Callable
from typing import TypeVar

import torch

from ..checkpoints.loading import loading
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..utils.logs import quiet_loading
from ..utils.text import first_sentence

PROVENANCE = ("_name_or_path", "architectures", "transformers_version")  # fields of a configuration
Model = TypeVar("Model", bound=torch.nn.Module)


def choose_device(name: str | None = None) -> torch.device:
    """
    The device of a name such as `"cpu"` or `"cuda:1"`; by default a GPU, if there is one.

    Raises:
        ValueError: There is no such device, or it cannot be used.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device is {name}, which cannot be used here: {first_sentence(error)}") from None


def load_on_device(
    path: str, load_model: Callable[[str], Model], device: str | None = None
) -> tuple[SSASTFeatureExtractor, Model]:
    """
    Loads a checkpoint's feature extractor and, on a device, its model, without transformers' report and progress bar.

    Args:
        path (`str`): What `from_pretrained` takes.
        load_model: Loads the model, such as `SSASTModel.from_pretrained` or [`load_classifier`].
        device (`str`, *optional*): As for [`choose_device`].

    Raises:
        ValueError or OSError: There is no such checkpoint or device, or it is an exported model.
    """
    if path.lower().endswith(".onnx"):
        raise ValueError(
            f"{path} is an exported model, which only `ssast classify` and ssast_hf.onnx run: name the checkpoint "
            "that it was made from"
        )
    chosen = choose_device(device)
    with loading(path), quiet_loading():
        return SSASTFeatureExtractor.from_pretrained(path), load_model(path).to(chosen)


def checksum(model: torch.nn.Module) -> str:
    """
    SHA-256 of a model's configuration and weights, in hexadecimal. The version of transformers and the class that
    saved it do not count.
    """
    config = {name: value for name, value in model.config.to_dict().items() if name not in PROVENANCE}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()
