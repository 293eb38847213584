# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Other names of modules: those up to version 0.1, such as `ssast_hf.collection`, and that of HEAR."""

import importlib
import importlib.abc
import importlib.machinery
import sys

PLACES = {
    "collection": "inference.collections",
    "convert": "checkpoints.convert",
    "demo": "integrations.page",
    "hear": "integrations.hear",  # the name that HEAR's tools import
    "hub": "checkpoints.hub",
    "layouts": "checkpoints.layouts",
    "onnx": "export.runtime",
    "pipelines": "integrations.pipelines",
    "s3prl": "integrations.s3prl",
    "sources": "data.sources",
}


class _Aliases(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module by its old name and gives the module of the new one."""

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.rpartition(".")
        if package != "ssast_hf" or name not in PLACES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec):
        module = importlib.import_module(f"ssast_hf.{PLACES[spec.name.rpartition('.')[2]]}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state  # the module has run under its own name, which it keeps


def install() -> None:
    """Makes the old names importable; the package's `__init__` calls it."""
    if not any(isinstance(finder, _Aliases) for finder in sys.meta_path):
        sys.meta_path.append(_Aliases())
