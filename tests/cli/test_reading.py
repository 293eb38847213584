# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`--channel` and `--accept-truncated`, against files that hold the same samples."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf.cli import main


@pytest.fixture
def sounds(tmp_path) -> Path:
    """`stereo.wav` of `left.wav` and `right.wav`; `cut.wav`, which states 4 s and holds the 2 s of `whole.wav`."""
    rng = np.random.default_rng(0)
    left, right = 0.1 * rng.standard_normal((2, 32000))
    soundfile.write(tmp_path / "left.wav", left, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "right.wav", np.cumsum(right) / 100, 16000, subtype="FLOAT")
    both = np.stack([left, np.cumsum(right) / 100], axis=1)
    soundfile.write(tmp_path / "stereo.wav", both, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.wav", left, 16000)
    soundfile.write(tmp_path / "long.wav", np.concatenate([left, left]), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "long.wav").read_bytes()[: 44 + 2 * 32000])
    return tmp_path


def classified(checkpoints: Path, capsys, *arguments) -> list[dict]:
    status = main(["classify", *map(str, arguments), "--model", str(checkpoints / "classifier"), "--json"])
    assert status == 0
    return [json.loads(line)["labels"] for line in capsys.readouterr().out.splitlines()]


def test_a_channel_is_the_file_of_that_channel(checkpoints, sounds, tmp_path, capsys):
    for number, name in ((1, "left"), (2, "right")):
        found = classified(checkpoints, capsys, sounds / "stereo.wav", "--channel", number)
        assert found == classified(checkpoints, capsys, sounds / f"{name}.wav")
        output, expected = tmp_path / f"{name}.npz", tmp_path / f"{name}-alone.npz"
        command = ["embed", "--model", str(checkpoints / "pretrained")]
        assert main([*command, str(sounds / "stereo.wav"), "--channel", str(number), "--output", str(output)]) == 0
        assert main([*command, str(sounds / f"{name}.wav"), "--output", str(expected)]) == 0
        np.testing.assert_array_equal(np.load(output)["embeddings"], np.load(expected)["embeddings"])
        capsys.readouterr()
    assert (
        main(["classify", str(sounds / "left.wav"), "--channel", "2", "--model", str(checkpoints / "classifier")]) == 1
    )


def test_truncated_files_are_taken_on_request(checkpoints, sounds, capsys):
    assert main(["classify", str(sounds / "cut.wav"), "--model", str(checkpoints / "classifier")]) == 1
    assert "--accept-truncated" in capsys.readouterr().err
    found = classified(checkpoints, capsys, sounds / "cut.wav", "--accept-truncated")
    assert found == classified(checkpoints, capsys, sounds / "whole.wav")
    assert main(["stats", str(sounds / "cut.wav"), "--accept_truncated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hours"] == pytest.approx(2 / 3600, rel=0.01)
