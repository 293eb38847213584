# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Commands of docs/ print what the pages show: a block `text` after a block `bash` is its standard output."""

import re
import shutil
import subprocess

import pytest

from .test_readme import ROOT, SOUNDS, environment

SECTIONS = [
    ("embeddings.md", ("A collection that grows", "Sounds like this one"), 2e-3),
    (
        "field-recordings.md",
        ("Recordings and tables", "Clips", "A classifier", "Thresholds", "The judgement", "Events"),
        2e-2,
    ),
]
SPEED = r"; \d+ files, [\d.]+ h of sound a minute"
NUMBER = r"-?\d+\.\d+"


def blocks(page: str, titles: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """Commands of sections of a page, and what it shows of their output."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = []
    for title in titles:
        section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S).group(1)
        found += re.findall(r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", section, flags=re.M | re.S)
    return found


@pytest.mark.parametrize(
    "page, titles, tolerance", SECTIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_commands_print_what_the_page_shows(page, titles, tolerance, tmp_path):
    (tmp_path / "my_sounds").mkdir()
    (tmp_path / "runs").mkdir()
    for name, source in SOUNDS.items():
        shutil.copy(ROOT / f"tests/data/sounds/{source}.flac", tmp_path / f"my_sounds/{name}.flac")
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    found = blocks(page, titles)
    assert any(shown for _, shown in found)
    for code, shown in found:
        done = subprocess.run(["bash", "-euc", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        if not shown:
            continue
        printed, expected = (re.sub(SPEED, "", text) for text in (done.stdout, shown))
        assert re.sub(NUMBER, "N", printed) == re.sub(NUMBER, "N", expected)
        numbers, wanted = ([float(n) for n in re.findall(NUMBER, text)] for text in (printed, expected))
        assert numbers == pytest.approx(wanted, abs=tolerance), code
