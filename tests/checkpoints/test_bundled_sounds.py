# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The sounds in the package: each with author and licence, readable, small; and how their licence is read."""

import re
from pathlib import Path

import pytest
import soundfile

import ssast_hf
from recipes.bundled_sounds import KINDS, RATE, cc0_entries, cc0_text

FOLDER = Path(ssast_hf.__file__).parent / "bundled" / "sounds"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.flac"))


def test_every_sound_is_listed_with_author_source_and_cc0_and_nothing_else_is():
    rows = re.findall(r"^\| (\S+\.flac) \| [\d.]+ \| \d{4} \S.* \| https?://\S+ \| CC0 \|$",
                      (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.M)  # fmt: skip
    assert sorted(rows) == FILES == sorted(f"{k}/{name}.flac" for k, names in KINDS.items() for name in names.split())
    assert "creativecommons.org/publicdomain/zero/1.0" in (FOLDER / "LICENSE").read_text(encoding="utf-8")


def test_they_are_mono_16_khz_and_together_below_one_and_a_half_megabytes():
    for name in FILES:
        info = soundfile.info(FOLDER / name)
        assert (info.samplerate, info.channels) == (RATE, 1) and info.frames > 0.1 * RATE, name
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 1.5e6


def test_only_an_entry_of_its_own_under_cc0_makes_a_sample_free():
    text = (
        "Files: etc/samples/a.flac\nCopyright: 2010 Somebody\nSource: http://a\nLicense: CC0\n\n"
        "Files: etc/samples/b.flac\nCopyright: 2010 Somebody\nLicense: CC-BY-4.0\n\n"
        "Files: etc/samples/*\nCopyright: 2010 Somebody\nLicense: CC0\n\n"
        "Files: *\nCopyright: Other\nLicense: MIT\n\nLicense: CC0\n Statement\n .\n 1. Waived.\n\nLicense: MIT\n Other"
    )
    assert list(cc0_entries(text)) == ["a"] and cc0_entries(text)["a"]["Copyright"] == "2010 Somebody"
    assert cc0_text(text) == "Statement\n\n1. Waived.\n"
    with pytest.raises(StopIteration):
        cc0_text("License: MIT\n Other")
