# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Type checkers see the public names, and only those, though they are imported when first used."""

import subprocess
import sys
from pathlib import Path

import pytest

import ssast_hf

pytest.importorskip("mypy")
ROOT = Path(ssast_hf.__file__).parents[1]


def check(code: str) -> str:
    command = [sys.executable, "-m", "mypy", "--follow-imports", "silent", "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_a_misspelled_public_name_is_an_error():
    names = ", ".join(ssast_hf.__all__)
    found = check(f"from ssast_hf import {names}\nfrom ssast_hf import SSASTModle")
    errors = [line for line in found.splitlines() if ": error:" in line]
    assert len(errors) == 1, found
    assert "SSASTModle" in errors[0] and "[attr-defined]" in errors[0]
