# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Optional packages."""

import importlib
from types import ModuleType


def require(module: str, extra: str, user: str) -> ModuleType:
    """
    Imports a module that only some features need.

    Args:
        module (`str`): Its name; or a module of this package that imports such modules.
        extra (`str`): The extra of `ssast_hf` that installs it.
        user (`str`): What needs it, for the message, such as "`ssast demo`" or "--plot".

    Raises:
        ValueError: It, or a module that it imports, is missing or cannot be loaded; the message says why, and what to
        install.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        name = getattr(error, "name", None) or module
        if name.split(".")[0] == __name__.split(".")[0]:
            raise  # a mistake in this package
        raise ValueError(
            f"{user} needs {name.split('.')[0]} ({first_line(error)}): pip install 'ssast_hf[{extra}]'"
        ) from error


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
