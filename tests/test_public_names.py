# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The public names of the package: the lazy ones at run time, and those that editors and type checkers read."""

import ast
from pathlib import Path

import pytest

import ssast_hf


def test_the_names_for_type_checkers_are_those_of_run_time():
    tree = ast.parse(Path(ssast_hf.__file__).read_text(encoding="utf-8"))
    blocks = [n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    imported = {
        alias.name: f"ssast_hf.{node.module}"
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == sorted(ssast_hf.__all__)
    assert {name: f"ssast_hf.{module}" for name, module in ssast_hf._HOMES.items()} == imported
    assert all(getattr(ssast_hf, name) is not None for name in ssast_hf.__all__)
    with pytest.raises(AttributeError, match="no attribute 'SSASTMode'"):
        ssast_hf.SSASTMode  # noqa: B018
    assert Path(ssast_hf.__file__).with_name("py.typed").is_file()
