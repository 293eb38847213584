# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The manifest of kinds of sound, and what `prepare` says without what it needs."""

import csv
import sys

from recipes.debian_audio import kinds, prepare


def test_long_files_are_cut_and_one_source_cannot_dominate():
    assert kinds.pieces(19.0) == [0.0] and kinds.pieces(35.0) == [0.0, 10.0, 20.0]
    rows = [{"file": f"{group}{index}", "label": "speech", "group": group} for group in "ab" for index in range(150)]
    chosen = kinds.limit(rows[:200])
    assert len(chosen) == kinds.LIMIT + 50 and chosen == kinds.limit(rows[:200])


def test_kinds_leave_out_the_package_of_the_bundled_sounds(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/drums.csv").touch()
    row = {"version": "1", "licence": "CC0", "kind": "effect", "seconds": 1.0, "group": "g", "split": "train"}
    rows = [{"file": f"audio/{name}/a.wav", "package": name, **row} for name in ("sonic-pi-samples", "ufoai-sound")]
    with open(tmp_path / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert [row["file"] for row in kinds.candidates(tmp_path)] == ["audio/ufoai-sound/a.wav"]


def test_kinds_need_a_corpus(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prepare.py", "kinds", str(tmp_path)])
    assert prepare.main() == 2 and "holds no corpus" in capsys.readouterr().err
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["prepare.py", "corpus", str(tmp_path / "file")])
    assert prepare.main() == 2 and len(capsys.readouterr().err.splitlines()) == 1
