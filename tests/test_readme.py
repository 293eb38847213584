# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The README's commands and Python run as they stand, one after the other, and the paths it names exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", README, flags=re.M | re.S)
SOUNDS = {"crow": "misc_crow", "snap": "perc_snap", "kick": "drum_heavy_kick", "tabla": "tabla_tas1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the sounds that the README speaks of."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "my_sounds").mkdir()
    for name, source in SOUNDS.items():
        shutil.copy(ROOT / f"tests/data/sounds/{source}.flac", folder / f"my_sounds/{name}.flac")
    for label, names in {"voice": ("crow", "snap"), "drum": ("kick", "tabla")}.items():
        (folder / "my_labelled_sounds" / label).mkdir(parents=True)
        for name in names:
            shutil.copy(folder / f"my_sounds/{name}.flac", folder / "my_labelled_sounds" / label)
    return folder


def test_blocks_run_in_order(place):
    assert len(BLOCKS) >= 8
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, code in BLOCKS:
        command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    assert (place / "runs/embeddings.npz").exists()


def test_the_tree_and_the_links_name_what_exists():
    tree = re.search(r"^ssast_hf/\n(.*?)^```", README, flags=re.M | re.S).group(1)
    inside = [f"ssast_hf/{name}" for name in re.findall(r"^  (\S+)", tree, flags=re.M)]
    beside = re.findall(r"^(\S+/)\s", tree, flags=re.M)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert len(inside) > 8
    for path in [*inside, *beside, *links]:
        assert (ROOT / path).exists(), path
    modules = {f"ssast_hf/{path.name}" for path in (ROOT / "ssast_hf").glob("*.py")} - {"ssast_hf/__init__.py"}
    assert modules <= set(inside), "a module is missing in the tree"


def test_its_two_commands_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"\bmake (\w+)", README):
        assert re.search(rf"^{command}:", makefile, flags=re.M), command
