# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Patterns of files match what Python's `glob` matches, and end where links lead up."""

import glob
import os

import pytest

from ssast_hf.audio.find import find_audio_files, find_matching
from ssast_hf.data.sources import read_clips

FILES = ("a.wav", "x/b.wav", "x/y/c.wav", "x/y/z/d.wav", "[1]/e.wav", "x/.hidden/f.wav", "x/.g.wav")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PATTERNS = (
    "*.wav **/*.wav x/**/*.wav x/**/y/*.wav **/y/**/*.wav **/[a-c].wav */**/*.wav **/*/c.wav gone/**/*.wav "
    "x/**/**/*.wav **/gone.wav **/y [[]1]/**/*.wav"
)


@pytest.mark.parametrize("pattern", PATTERNS.split())
@pytest.mark.parametrize("absolute", [True, False])
def test_patterns_match_as_pythons_glob(folder, pattern, absolute):
    pattern = os.path.join(folder, pattern) if absolute else pattern
    assert find_matching(pattern) == sorted(set(glob.glob(pattern, recursive=True)))


def test_loops_of_links_end(folder):
    """Three of them make 3^40 ways to each file."""
    for name in ("x", "x/y", "[1]"):
        (folder / name / "up").symlink_to(os.path.relpath(folder, folder / name), target_is_directory=True)
    expected = ["[1]/e.wav", "a.wav", "x/b.wav", "x/y/c.wav", "x/y/z/d.wav"]
    assert find_matching("**/*.wav") == expected
    assert len(find_matching("**/x/**/*.wav")) == 5  # by x/up all
    assert [clip.path for clip in read_clips(f"{folder}/**/*.wav", labelled=False)] == [
        str(folder / name) for name in expected
    ]
    assert [str(path) for path in find_audio_files(".")] == expected
