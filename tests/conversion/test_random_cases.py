# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`conversion.verify --official`: what it draws, and its comparison. A clone in `SSAST_OFFICIAL` is compared, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conversion.random_cases import MOST_PATCHES, Case, Findings, compare_random

ROOT = Path(__file__).parents[2]


def test_what_is_drawn_covers_the_ranges_and_is_reproducible():
    cases = [Case.draw(seed) for seed in range(500)]
    assert cases == [Case.draw(seed) for seed in range(500)]
    lengths = [length for case in cases for length in (case.frames, case.new_frames)]
    assert min(lengths) < 20 and 2500 < max(lengths) <= 3000
    assert {case.size for case in cases} == {"tiny", "small", "base"}
    assert {case.pooling for case in cases} == {"mean", "cls"}
    for case in cases:
        rows, columns = case.mel_bins // case.shape[0], case.frames // case.shape[1]
        assert 1 <= case.masked <= rows * columns <= MOST_PATCHES
        assert case.shape[0] * case.shape[1] == 256


def test_a_difference_other_shapes_and_nan_are_mismatches():
    case, findings = Case.draw(0), Findings()
    one = torch.ones(3)
    findings.compare(case, "same", one, one + 1e-6, 1e-4)
    assert not findings.mismatches
    for other in (one + 1e-3, torch.ones(4), torch.full((3,), float("nan"))):
        findings.compare(case, "other", other, one, 1e-4)
    assert len(findings.mismatches) == 3


def test_a_folder_without_the_originals_code_is_an_error(tmp_path):
    command = [sys.executable, "-m", "conversion.verify", "--official", str(tmp_path), "--random", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "expects a clone of YuanGongND/ssast" in done.stderr


@pytest.mark.skipif("SSAST_OFFICIAL" not in os.environ, reason="SSAST_OFFICIAL names no clone of the original")
def test_the_original_computes_the_same():
    assert not compare_random(Path(os.environ["SSAST_OFFICIAL"]), 5, 1e-4).mismatches
