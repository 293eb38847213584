# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Optional packages that are missing or broken."""

import sys

import pytest

from ssast_hf.utils.require import require


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"^--plot needs matplotlib \(.*\): pip install 'ssast_hf\[plot\]'$"):
        require("matplotlib", "plot", "--plot")


def test_a_package_that_a_module_of_this_package_needs_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "ssast_hf.integrations.page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match=r"^`ssast demo` needs gradio \(.*\): pip install 'ssast_hf\[demo\]'$"):
        require("ssast_hf.integrations.page", "demo", "`ssast demo`")


def test_a_broken_package_is_named_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("raise OSError('libPort.so: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"needs broken_package \(libPort.so: cannot open\)"):
        require("broken_package", "microphone", "--microphone")


def test_a_mistake_in_this_package_is_not_disguised():
    with pytest.raises(ImportError):
        require("ssast_hf.no_such_module", "demo", "x")


def test_what_is_there_is_returned():
    assert require("json", "x", "y").loads("[1]") == [1]
