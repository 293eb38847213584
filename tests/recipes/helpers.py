# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the prepare modules share: small data sets of real sounds, running a recipe, reading manifests."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from ssast_hf import load_audio
from ssast_hf.data.sources import read_clips

ROOT = Path(__file__).parents[2]
SOUNDS = sorted((ROOT / "tests/data/sounds").glob("*.flac"))


class Sounds:
    """Writes real sounds in turn, as WAV at 16 kHz, none alike."""

    def __init__(self):
        self.waves = [load_audio(path) for path in SOUNDS]
        self.count = 0

    def write(self, path: Path, seconds: float | None = None) -> Path:
        wave = self.waves[self.count % len(self.waves)] * (1 - 0.5 * self.count / 1000)
        if seconds is not None:
            wave = np.resize(wave, round(16000 * seconds))
        self.count += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave[:16000] if seconds is None else wave, 16000)
        return path


def prepare(recipe: str, *arguments) -> subprocess.CompletedProcess:
    """Runs `python -m recipes.RECIPE.prepare ARGUMENTS` in the root of the repository, as the recipe's README says."""
    command = [sys.executable, "-m", f"recipes.{recipe}.prepare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def made(recipe: str, *arguments) -> str:
    done = prepare(recipe, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def failed(recipe: str, *arguments) -> str:
    """The one line that a run with exit status 2 says."""
    done = prepare(recipe, *arguments)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def rows_of(path: Path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def files_of(path: Path) -> set[Path]:
    """The files of a manifest, all there."""
    files = [Path(clip.path) for clip in read_clips(path, labelled=True)]
    assert all(file.is_file() for file in files) and len(set(files)) == len(files)
    return {file.resolve() for file in files}


def labels_of(path: Path) -> list[str]:
    return sorted({clip.label for clip in read_clips(path, labelled=True)})
