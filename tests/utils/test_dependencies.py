# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the package imports is what setup.cfg installs."""

import ast
import configparser
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"huggingface_hub": "huggingface-hub", "sklearn": "scikit-learn", "yaml": "pyyaml"}
# What a declared package itself needs and we import beside it.
THROUGH = {
    "PIL": "gradio", "fsspec": "huggingface-hub", "pyarrow": "datasets", "starlette": "gradio",
    "threadpoolctl": "scikit-learn",
}  # fmt: skip
OPTIONAL = {"faiss"}  # used where it is installed


def test_every_import_is_declared():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = {name: text for name, text in setup.items("options.extras_require", raw=True) if name != "dev"}
    listed = "\n".join([setup["options"]["install_requires"], *extras.values()])
    declared = {re.split(r"[\[>=<]", line.strip())[0] for line in listed.splitlines() if line.strip()}
    for path in sorted((ROOT / "ssast_hf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in {name.split(".")[0] for name in names} - {*sys.stdlib_module_names, *OPTIONAL, "ssast_hf"}:
                assert THROUGH.get(name, MODULES.get(name, name)) in declared, f"{path}: {name}"


def test_the_package_itself_needs_no_extra():
    """What is imported at the top of the files that every user loads is installed without extras."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    needed = {re.split(r"[>=<]", line)[0] for line in setup["options"]["install_requires"].split()}
    for path in sorted([*(ROOT / "ssast_hf").glob("*.py"), ROOT / "ssast_hf/integrations/pipelines.py"]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in {name.split(".")[0] for name in names} - {*sys.stdlib_module_names, "ssast_hf"}:
                assert MODULES.get(name, name) in needed, f"{path}: {name}"
