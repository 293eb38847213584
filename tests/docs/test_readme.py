# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
README.md, CONTRIBUTING.md and docs/: commands and Python run as they stand and print what the page shows, tables agree
with the code, and links and paths lead somewhere.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ssast_hf

from ..fork_server import ssast_command, ssast_path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RUN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]  # the pages whose blocks run
FOLDERS = ("benchmarks", "conversion", "recipes", "recipes/*", "tests/golden")
PAGES = sorted(
    {*RUN, *ROOT.glob("*.md"), *ROOT.glob("docs/api/*.md"), *(p for f in FOLDERS for p in ROOT.glob(f"{f}/README.md"))}
)
BLOCK = r"^```(bash|python)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?"
BLOCKS = [
    (page.name, *block)
    for page in RUN
    for block in re.findall(
        r"^```(bash|python)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?",
        page.read_text(encoding="utf-8"),
        flags=re.M | re.S,
    )
]
TOLERANCES = {"embeddings.md": 2e-3, "field-recordings.md": 2e-2}  # scores after a training differ more
SPEED = r"; \d+ files, [\d.]+ h of sound a minute"
NUMBER = r"-?\d+\.\d+"
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


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": ssast_path()}


def test_blocks_run_as_they_stand(place):
    """
    The commands in order, once where pages repeat one; then the Python, each block by itself, in one process. A block
    `text` after a command is what it prints: the same words, and numbers within the page's tolerance.
    """
    commands = {code: (page, shown) for page, language, code, shown in BLOCKS if language == "bash"}
    python = [(page, code) for page, language, code, _ in BLOCKS if language == "python"]
    assert len(commands) >= 8 and len(python) >= 8
    for code, (page, shown) in commands.items():
        done = subprocess.run(["bash", "-euc", code], cwd=place, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{page}: {code}\n{done.stdout}\n{done.stderr}"
        if shown:
            assert_prints(done.stdout, shown, TOLERANCES.get(page, 1e-3), f"{page}: {code}")
    for path in ("embeddings.npz", "runs/judged/test_results.json", "runs/plots/crow.png", "runs/classifier.onnx"):
        assert (place / path).exists(), path
    code = f"for page, code in {python!r}:\n    exec(compile(code, page, 'exec'), {{'__name__': '__main__'}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def assert_prints(printed: str, shown: str, tolerance: float, where: str) -> None:
    printed, shown = (re.sub(SPEED, "", text) for text in (printed, shown))
    assert re.sub(NUMBER, "N", printed) == re.sub(NUMBER, "N", shown), where
    numbers, expected = ([float(number) for number in re.findall(NUMBER, text)] for text in (printed, shown))
    assert numbers == pytest.approx(expected, abs=tolerance), where


def test_the_tables_of_checkpoints_are_those_of_the_code():
    """`python docs/checkpoints.py` writes them; the names are those of `ssast checkpoints`, in its order."""
    spec = importlib.util.spec_from_file_location("docs_checkpoints", ROOT / "docs/checkpoints.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    entries = script.checkpoints()
    assert entries[0].name == "ssast-base-patch" and len(entries) >= 15
    for page, shown in (
        ("README.md", [entry for entry in entries if not script.is_ablation(entry)]), ("docs/hub.md", entries)
    ):  # fmt: skip
        text = (ROOT / page).read_text(encoding="utf-8").split(script.BEGIN)[1].split(script.END)[0]
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        assert rows == list(map(script.row, shown)), f"{page}: run python docs/checkpoints.py"
    printed = subprocess.run(
        [*ssast_command(), "checkpoints"], env=environment(), capture_output=True, text=True
    ).stdout
    names = [line.split()[0] for line in printed.splitlines()]
    assert [name for name in names if name in {entry.name for entry in entries}] == [entry.name for entry in entries]


def test_the_tree_names_what_exists():
    tree = re.search(r"^ssast_hf/\n(.*?)^```", CONTRIBUTING, flags=re.M | re.S).group(1)
    inside = [f"ssast_hf/{name}" for name in re.findall(r"^  (\S+)", tree, flags=re.M)]
    beside = re.findall(r"^(\S+/)\s", tree, flags=re.M)
    for path in [*inside, *beside]:
        assert (ROOT / path).exists(), path
    package = [path for path in (ROOT / "ssast_hf").iterdir() if not path.name.startswith(("_", "."))]
    shown = {f"ssast_hf/{path.name}{'/' if path.is_dir() else ''}" for path in package if path.suffix != ".typed"}
    assert shown == set(inside)


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub and MkDocs make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = link.partition("#")
        if link.startswith("http"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.M)
            assert heading in map(slug, titles), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_modules_that_run_exist(page):
    """`python -m recipes.esc50.prepare` and `python recipes/debian_audio/prepare.py` name files of the repository."""
    text = page.read_text(encoding="utf-8")
    modules = re.findall(r"python -m ((?:recipes|conversion|benchmarks)[.\w]*)", text)
    scripts = re.findall(r"python ((?:recipes|conversion|tests|docs)/[/.\w]+\.py)", text)
    files = [f"{module.replace('.', '/')}.py" for module in modules if "NAME" not in module and "." in module]
    for path in [*files, *scripts]:
        assert (ROOT / path).is_file(), path


def test_every_public_name_is_in_the_api_reference():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/api").glob("*.md")))
    names = re.findall(r"^::: (\S+)$", pages, flags=re.M)
    assert len(names) == len(set(names))
    assert {f"ssast_hf.{name}" for name in ssast_hf.__all__} <= set(names)
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_every_environment_variable_is_on_its_page():
    page = (ROOT / "docs/environment.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "ssast_hf").rglob("*.py")))
    read = set(re.findall(r"environ(?:\.get\(|\[|\.setdefault\(|\.pop\()[\"'](\w+)", code))
    assert read >= {"SSAST_HOME", "SSAST_DEBUG"} and all(f"`{name}" in page for name in read), read
    everything = code + "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    assert all(name in everything for name in re.findall(r"`(SSAST_\w+)", page))


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
    section = re.search(r"^### What the checkpoints are worth\n(.*?)^## ", README, flags=re.M | re.S).group(1)
    names = ("`ssast finetune", "`ssast-tiny-patch-debian-v2`", "layer 6", "random", "mel", "all weights")
    rows = [line for line in section.splitlines() if line.startswith(tuple(f"| {name}" for name in names))]
    cells = [cell for row in rows for cell in re.findall(r"0\.\d{3}", row)[:6]]
    assert len(rows) == 9 and len(cells) == 9 * 6
    for cell in cells:
        assert f"| {cell} ± " in measured or f"| {cell} |" in measured, cell


def test_every_make_command_is_in_the_makefile_and_explained():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"\bmake ([a-z]+)\b", re.sub(r"\bmake style docs test\b", "", README + CONTRIBUTING)):
        assert re.search(rf"^{command}:", makefile, flags=re.M), command
    for command in re.findall(r"^([a-z]+):.*##", makefile, flags=re.M):
        assert f"`make {command}`" in CONTRIBUTING or command in ("help", "clean"), command


def test_the_picture_is_drawn_by_its_script(tmp_path):
    command = [sys.executable, str(ROOT / "docs/reconstruction.py"), "--output", str(tmp_path / "picture.png")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG") and not done.stdout
