# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Functions of a model, a feature extractor and files that take the name of a checkpoint in place of the first two."""

import functools
import os
from collections.abc import Callable

from .devices import load_on_device


def takes_names(load_model: Callable) -> Callable[[Callable], Callable]:
    """
    Decorates `function(model, extractor, files, ...)`: `function(files, model="name", device=None, ...)` is then
    accepted too. It loads the checkpoint at each call, on `device` (default: a GPU, if there is one).
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, model=None, device: str | None = None, **options):
            if isinstance(model, (str, os.PathLike)):
                extractor, loaded = load_on_device(os.fspath(model), load_model, device)
                return function(loaded, extractor, *args, **options)
            if device is not None:
                raise ValueError(f"`device` is {device!r}, expected none beside a model that is loaded already.")
            if model is not None:
                options["model"] = model
            return function(*args, **options)

        return call

    return decorate
