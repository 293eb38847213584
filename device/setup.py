# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The package ssast_hf without torch: see README.md."""

import configparser
import os
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NEEDED = ("numpy", "soundfile", "soxr", "onnxruntime")

os.chdir(HERE)
whole = configparser.ConfigParser()
whole.read(ROOT / "setup.cfg", encoding="utf-8")
lines = f"{whole['options']['install_requires']}\n{whole['options.extras_require']['onnx']}".split()
version = re.search(r'^__version__ = "(.+)"', (ROOT / "ssast_hf/__init__.py").read_text(encoding="utf-8"), re.M)
assert version is not None
setup(
    name="ssast_hf_device",
    version=version.group(1),
    description="SSAST audio models exported to ONNX, without torch",
    license="Apache-2.0",
    python_requires=whole["options"]["python_requires"],
    package_dir={"": ".."},
    packages=find_packages(str(ROOT), include=["ssast_hf", "ssast_hf.*"], exclude=["ssast_hf.bundled*"]),
    install_requires=[line for line in lines if re.split(r"[<>=]", line)[0] in NEEDED],
    entry_points={"console_scripts": ["ssast = ssast_hf.cli:main"]},
)
