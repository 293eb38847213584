# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the commands that train write into a log."""

import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
from ..fork_server import ssast_command

SOUNDS = Path(__file__).parents[1] / "data/sounds"


def train(*command) -> str:
    """Standard output and error, as they go into one log file."""
    done = subprocess.run([*ssast_command(), *map(str, command)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def labelled(tmp_path) -> Path:
    """A manifest of two labels."""
    rows = [f"{path},{path.name.split('_')[0]}" for path in sorted(SOUNDS.glob("*.flac"))]
    labels = sorted({row.rpartition(",")[2] for row in rows})[:2]
    rows = [row for row in rows if row.rpartition(",")[2] in labels]
    manifest = tmp_path / "clips.csv"
    manifest.write_text("\n".join(["file,label", *rows, *rows]))
    return manifest


def test_fine_tuning_says_in_a_sentence_what_is_new(checkpoints, labelled, tmp_path):
    log = train("finetune", "--data", labelled, "--validation_data", labelled, "--model", checkpoints / "pretrained",
                "--output-dir", tmp_path / "out", "--max_steps", 2, "--logging-steps", 1, "--use_cpu")  # fmt: skip
    assert "classifier: new, 2 labels\n" in log
    assert "LOAD REPORT" not in log and "MISSING" not in log
    assert "\x1b" not in log and "\r" not in log and "it/s]" not in log
    assert re.search(r"^step 1 of 2, epoch [\d.]+: loss [\d.]+, grad norm [\d.]+, learning rate ", log, re.M)
    assert re.search(r"^step 2 of 2, epoch [\d.]+, validation: loss [\d.]+, .*accuracy [\d.]+", log, re.M)
    assert re.search(r"^step 2 of 2, epoch [\d.]+, in all: took [\d.]+ s, [\d.]+ clips/s, [\d.]+ steps/s", log, re.M)
    assert "{" not in log

    log = train("finetune", "--data", labelled, "--validation_fraction", 0, "--model", tmp_path / "out",
                "--output_dir", tmp_path / "more", "--max_steps", 1, "--use_cpu")  # fmt: skip
    assert "new" not in log


def test_pretraining_from_an_encoder_says_which_heads_are_new(checkpoints, tmp_path):
    log = train("pretrain", "--data", SOUNDS, "--model", checkpoints / "classifier", "--output_dir", tmp_path / "out",
                "--max_steps", 1, "--use_cpu")  # fmt: skip
    new = "discriminative_head, generative_head, ssast.embeddings.mask_token"
    assert f"{new}: new; {checkpoints / 'classifier'} has none\n" in log
    assert "LOAD REPORT" not in log and "\x1b" not in log and "\r" not in log
    # Validation by its line after the epoch, with the time it took, and once more as the result.
    number = r"[\d.e-]+"
    found = rf"discriminative loss {number}, generative loss {number}, accuracy {number}"
    assert re.search(rf"^step 1 of 1, .*, validation: loss {number}, {found}, took {number} s, ", log, re.M)
    assert re.search(rf"^Validation: {found}$", log, re.M) and log.lower().count("validation:") == 2
