# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The commands and the Python of README.md and docs/ run as they stand, and the paths that they name exist.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    (page.name, *block)
    for page in PAGES
    for block in re.findall(r"^```(bash|python)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
]
SOUNDS = {"crow": "misc_crow", "snap": "perc_snap", "kick": "drum_heavy_kick", "tabla": "tabla_tas1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the sounds that the pages speak of."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "my_sounds").mkdir()
    for name, source in SOUNDS.items():
        shutil.copy(ROOT / f"tests/data/sounds/{source}.flac", folder / f"my_sounds/{name}.flac")
    for label, names in {"voice": ("crow", "snap"), "drum": ("kick", "tabla")}.items():
        (folder / "my_labelled_sounds" / label).mkdir(parents=True)
        for name in names:
            shutil.copy(folder / f"my_sounds/{name}.flac", folder / "my_labelled_sounds" / label)
    return folder


def test_blocks_run_as_they_stand(place):
    """The commands in order, once where pages repeat one; then the Python, each block by itself, in one process."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = {code: page for page, language, code in BLOCKS if language == "bash"}
    python = [(page, code) for page, language, code in BLOCKS if language == "python"]
    assert len(commands) >= 8 and len(python) >= 8
    for code, page in commands.items():
        done = subprocess.run(["bash", "-euc", code], cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{page}: {code}\n{done.stdout}\n{done.stderr}"
    for path in ("embeddings.npz", "runs/judged/test_results.json", "runs/plots/crow.png", "runs/classifier.onnx"):
        assert (place / path).exists(), path
    code = f"for page, code in {python!r}:\n    exec(compile(code, page, 'exec'), {{'__name__': '__main__'}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_tree_names_what_exists():
    tree = re.search(r"^ssast_hf/\n(.*?)^```", README, flags=re.M | re.S).group(1)
    inside = [f"ssast_hf/{name}" for name in re.findall(r"^  (\S+)", tree, flags=re.M)]
    beside = re.findall(r"^(\S+/)\s", tree, flags=re.M)
    assert len(inside) > 8
    for path in [*inside, *beside]:
        assert (ROOT / path).exists(), path
    modules = {f"ssast_hf/{path.name}" for path in (ROOT / "ssast_hf").glob("*.py")} - {"ssast_hf/__init__.py"}
    assert modules <= set(inside), "a module is missing in the tree"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = link.partition("#")
        if link.startswith("http"):
            continue
        assert (page.parent / path).exists(), link
        titles = (
            re.findall(r"^#+ (.+)$", (page.parent / path).read_text(encoding="utf-8"), flags=re.M) if heading else []
        )
        assert not heading or heading in [title.lower().replace(" ", "-") for title in titles], link


def test_its_speeds_are_those_that_were_measured():
    benchmarks = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    measured = [float(median) for median in re.findall(r"\*\*([\d.]+)\*\*", benchmarks)]
    section = re.search(r"^## Measured\n(.*?)^##", README, flags=re.M | re.S).group(1)
    cells = [cell for line in re.findall(r"^\|.*\| ([\d./ ]+) \|$", section, flags=re.M) for cell in line.split(" / ")]
    assert len(cells) >= 10
    for cell in cells:
        digits = len(cell.partition(".")[2])
        assert float(cell) in [round(median, digits) for median in measured], cell
    assert re.search(r"\d{4}-\d\d-\d\d", section).group() in benchmarks


def test_its_accuracies_are_those_that_were_measured():
    measured = (ROOT / "recipes/debian_audio/README.md").read_text(encoding="utf-8")
    section = re.search(r"^### What the checkpoint is worth\n(.*?)^## ", README, flags=re.M | re.S).group(1)
    cells = re.findall(r"0\.\d{3}", section)
    assert len(cells) == 12
    for cell in cells:
        assert f"| {cell} ± " in measured, cell


def test_its_two_commands_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"\bmake (\w+)", README):
        assert re.search(rf"^{command}:", makefile, flags=re.M), command


def test_the_picture_is_drawn_by_its_script(tmp_path):
    command = [sys.executable, str(ROOT / "docs/reconstruction.py"), "--output", str(tmp_path / "picture.png")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG") and not done.stdout
