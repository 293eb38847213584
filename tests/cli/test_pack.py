# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast pack`: shards that come back as the sound they were made of, and nothing overwritten unasked."""

import json
from pathlib import Path

import numpy as np
import pytest

import ssast_hf
from ssast_hf.audio.decoding import load_audio
from ssast_hf.cli.main import main
from ssast_hf.training import packed

SOUNDS = Path(ssast_hf.__file__).parent / "bundled/sounds/kick"


@pytest.fixture(scope="module", autouse=True)
def opus(tmp_path_factory):
    """Skips the tests where Opus can be neither written nor read."""
    path = tmp_path_factory.mktemp("opus") / "noise.opus"
    try:
        packed.encode_opus(np.zeros(16000, np.int16), path)
        packed.decode_opus(path, 16000)
    except Exception as error:
        pytest.skip(f"no Opus here: {error}")


def test_shards_hold_the_sounds(tmp_path, capsys):
    assert main(["pack", str(SOUNDS), "--output", str(tmp_path / "shards"), "--kbits", "64", "--workers", "1"]) == 0
    files = sorted(SOUNDS.glob("*.flac"))
    assert f"1 shard(s), {len(files)} recordings, " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["0000.json", "0000.opus"]
    recordings = packed.unpack([tmp_path / "shards"], tmp_path / "flat", workers=1)
    samples = np.load(tmp_path / "flat.npy") / 32767
    assert sorted(recording.name for recording in recordings) == [file.name for file in files]
    for recording in recordings:
        waveform = load_audio(SOUNDS / recording.name)
        assert recording.samples == len(waveform)
        decoded = samples[recording.start : recording.start + recording.samples]
        assert np.corrcoef(decoded, waveform)[0, 1] > 0.9


def test_only_overwrite_replaces_shards_and_other_files_stay(tmp_path, capsys):
    output = tmp_path / "shards"
    output.mkdir()
    for name in ("0000", "0007"):
        (output / f"{name}.opus").write_bytes(b"old")
        (output / f"{name}.json").write_text("{}")
    (output / "notes.txt").write_text("mine")
    command = ["pack", str(SOUNDS), "--output", str(output), "--workers", "1"]
    assert main(command) == 2
    assert "is not empty: choose another, or give --overwrite" in capsys.readouterr().err
    assert main([*command, "--kbits", "1", "--overwrite"]) == 2
    assert "kbits is 1, expected 6 to 256" in capsys.readouterr().err
    assert (output / "0000.opus").read_bytes() == b"old"  # still there after a run that failed
    assert main([*command, "--overwrite"]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["0000.json", "0000.opus", "notes.txt"]
    assert json.loads((output / "0000.json").read_text())["samples"] > 0


def test_what_cannot_be_read_is_said(tmp_path, capsys):
    (tmp_path / "bad.wav").write_bytes(b"RIFF no sound")
    command = ["pack", str(tmp_path / "bad.wav"), "--output", str(tmp_path / "shards"), "--workers", "1"]
    assert main(command) == 2
    assert "nothing is written" in capsys.readouterr().err and not (tmp_path / "shards").exists()
    command.insert(1, str(SOUNDS))
    assert main(command) == 1
    assert "1 of " in capsys.readouterr().err and (tmp_path / "shards/0000.opus").exists()
