# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The contract with transformers: its private members are as `ssast_hf/utils/transformers_internals.py` lists them.

`make matrix` runs this file with the lowest and the newest transformers that setup.cfg allows.
"""

import argparse
import ast
import importlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import transformers

import ssast_hf
from ssast_hf.utils import transformers_internals
from ssast_hf.utils.transformers_internals import ATTRIBUTES, METHODS

PACKAGE = Path(ssast_hf.__file__).parent
ROOMS = ("training", "integrations", "checkpoints")
CLASSES = sorted({*ATTRIBUTES, *(place for place, _ in METHODS)})
OTHERS = (argparse.ArgumentParser(), argparse.HelpFormatter("prog"), torch)  # whose private members are in use, too


def find_class(place: str) -> type:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def members(cls: type) -> set[str]:
    """Names of a class: those of `dir`, and the attributes that its methods set on `self`."""
    found = set(dir(cls))
    for base in cls.__mro__:
        if base.__module__.split(".")[0] == "transformers":
            found |= {
                node.attr
                for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base))))
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name) and node.value.id == "self"
            }  # fmt: skip
            found |= set(vars(base).get("__annotations__", {}))
    return found


def test_methods_have_the_parameters_that_overrides_expect():
    wrong = []
    for (place, name), expected in METHODS.items():
        method = getattr(find_class(place), name, None)
        found = None if method is None else tuple(inspect.signature(method).parameters)
        found = found if found is None or found[:1] != ("self",) else found[1:]
        if found != expected:
            what = "no such method" if found is None else f"parameters {', '.join(found) or 'none'}"
            wrong.append(f"{place}.{name}: found {what}, expected parameters {', '.join(expected) or 'none'}")
    assert not wrong, f"transformers {transformers.__version__} differs:\n" + "\n".join(wrong)


def test_attributes_exist():
    missing = [
        f"{place}.{name}: found no such attribute, expected one"
        for place, names in ATTRIBUTES.items()
        for name in sorted(set(names) - members(find_class(place)))
    ]
    assert not missing, f"transformers {transformers.__version__} differs:\n" + "\n".join(missing)


def test_a_difference_is_told_with_member_found_and_expected(monkeypatch):
    monkeypatch.setitem(METHODS, (transformers_internals.TRAINER, "_save_checkpoint"), ("model", "trial", "step"))
    with pytest.raises(
        AssertionError, match=r"Trainer\._save_checkpoint: found parameters model, trial, expected .*step"
    ):
        test_methods_have_the_parameters_that_overrides_expect()
    monkeypatch.setitem(ATTRIBUTES, transformers_internals.TRAINER, ("_tr_loss", "_loss_so_far"))
    with pytest.raises(AssertionError, match=r"Trainer\._loss_so_far: found no such attribute"):
        test_attributes_exist()


def private_names(tree: ast.AST) -> tuple[dict[str, int], set[str]]:
    """Private attributes and methods in a file: all with their line, and those that the file itself defines."""
    used: dict[str, int] = {}
    defined: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [node.attr]
            if isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            names = [entry.name for entry in node.body if isinstance(entry, ast.FunctionDef)]
            targets = [entry.targets if isinstance(entry, ast.Assign) else [entry.target]
                       for entry in node.body if isinstance(entry, (ast.Assign, ast.AnnAssign))]  # fmt: skip
            names += [target.id for group in targets for target in group if isinstance(target, ast.Name)]
            defined.update(names)
        else:
            continue
        for name in names:
            if name.startswith("_") and not name.startswith("__"):
                used.setdefault(name, node.lineno)
    return used, defined


def unlisted(files: list[Path]) -> list[str]:
    """Private members of transformers that files use and the tables lack, one line each."""
    listed = {name for _, name in METHODS} | {name for names in ATTRIBUTES.values() for name in names}
    theirs = set().union(*(members(find_class(place)) for place in CLASSES))
    others = set().union(*map(dir, OTHERS))
    found = []
    for path in files:
        used, defined = private_names(ast.parse(path.read_text(encoding="utf-8")))
        for name, line in used.items():
            # A name that is neither transformers' nor defined in the file is a member of a class that is gone.
            unknown = name in theirs or name not in defined | others
            if unknown and name not in listed and path.stem != "transformers_internals":
                found.append(f"{path.name}:{line} uses {name}, which utils/transformers_internals.py does not list")
    return found


def test_every_private_member_in_use_is_listed():
    found = unlisted([path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))])
    assert not found, "\n".join(found)


def test_a_private_member_that_is_not_listed_is_found(tmp_path):
    source = tmp_path / "trainer.py"
    source.write_text(
        "class Mine(Trainer):\n    def _inner_training_loop(self):\n        self._own()\n        self._gone()\n"
        "    def _own(self):\n        return self._run_epoch\n"
    )
    assert [line.split(",")[0] for line in unlisted([source])] == [
        "trainer.py:1 uses _inner_training_loop", "trainer.py:4 uses _gone",
    ]  # fmt: skip


def test_only_this_module_touches_the_tables_of_the_auto_classes_and_pipelines():
    names = {*ATTRIBUTES[transformers_internals.MAPPING], "supported_tasks", "PIPELINE_REGISTRY"}
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if getattr(node, "attr", getattr(node, "id", getattr(node, "name", None))) in names
    }
    assert users == {"utils/transformers_internals.py"}


def test_importing_the_package_does_not_import_transformers():
    code = "import ssast_hf, ssast_hf.utils.transformers_internals, sys; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
