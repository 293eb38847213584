# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The distribution in device/: four requirements, and `ssast classify` of an exported model with these alone."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from ssast_hf.cli import main

ROOT = Path(__file__).parents[2]
SOUNDS = sorted((ROOT / "tests/data/sounds").glob("*.flac"))[:3]
OTHERS = (
    "torch",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "tqdm",
    "pandas",
    "sklearn",
    "matplotlib",
    "pyarrow",
)
CODE = f"""
import sys
sys.path.insert(0, sys.argv.pop(1))
for name in {OTHERS!r}:
    sys.modules[name] = None
import ssast_hf
from ssast_hf.cli import main
print(ssast_hf.__file__, file=sys.stderr)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy: setuptools leaves its notes beside the package."""
    folder = tmp_path_factory.mktemp("device")
    ignore = shutil.ignore_patterns("bundled", "__pycache__")
    shutil.copytree(ROOT / "ssast_hf", folder / "ssast_hf", ignore=ignore)
    shutil.copytree(ROOT / "device", folder / "device", ignore=shutil.ignore_patterns("build"))
    shutil.copy(ROOT / "setup.cfg", folder)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        "out",
    ]
    done = subprocess.run([*command, "./device"], cwd=folder, capture_output=True, text=True)
    if done.returncode and "setuptools" in done.stderr:
        pytest.skip("setuptools is not installed")
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "out").glob("*.whl")
    return path


def test_it_requires_four_packages_and_has_no_weights(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    required = {line.split(": ")[1].split(">")[0] for line in lines if line.startswith("Requires-Dist")}
    assert required == {"numpy", "onnxruntime", "soundfile", "soxr"}
    assert "ssast_hf/export/runtime.py" in names and not any("bundled" in name for name in names)
    assert wheel.stat().st_size < 600_000


def test_it_labels_as_the_whole_package_does(wheel, exported, tmp_path, capsys):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")

    def run(*arguments):
        command = [sys.executable, "-c", CODE, str(tmp_path / "installed"), *map(str, arguments)]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    command = ["classify", str(SOUNDS[0]), "--model", str(exported / "x.onnx"), "--window", "0.3", "--json"]
    done = run(*command)
    assert done.returncode == 0 and str(tmp_path / "installed") in done.stderr, done.stderr
    assert main(command) == 0
    assert list(map(json.loads, done.stdout.splitlines())) == list(
        map(json.loads, capsys.readouterr().out.splitlines())
    )
    done = run("embed", str(SOUNDS[0]), "--model", "x", "--output", "e.npz")
    assert done.returncode == 2 and "this needs torch, which is not installed" in done.stderr
    assert done.stderr.count("\n") == 2  # the first is this test's
