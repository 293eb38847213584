# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is said of files that are skipped: why, and the file's name once."""

import json
import os

import numpy as np
import pytest
import soundfile

from ssast_hf.audio import load_audio
from ssast_hf.cli.terminal import report_skipped
from ssast_hf.data.clips import Clip
from ssast_hf.data.labelled_checks import readable
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.training.baseline import statistics_of_clips
from ssast_hf.training.stats import Moments

NOISE = np.random.default_rng(0).normal(size=8000) / 10


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> list[Clip]:
    """A damaged WAV, a damaged MP3, one that was cut off, an empty file, a text, a folder, nothing at all."""
    place = tmp_path_factory.mktemp("damaged")
    soundfile.write(place / "cut.wav", NOISE, 16000)
    soundfile.write(place / "damaged.mp3", NOISE, 16000)
    for name, content in (
        ("damaged.wav", (place / "cut.wav").read_bytes()[:20] + b"\xff" * 80),
        ("damaged.mp3", (place / "damaged.mp3").read_bytes()[:100] + np.random.default_rng(1).bytes(2000)),
        ("cut.wav", (place / "cut.wav").read_bytes()[:9000]),
        ("empty.wav", b""),
        ("text.wav", b"no sound " * 20),
    ):
        (place / name).write_bytes(content)
    (place / "folder.wav").mkdir()
    names = ("damaged.wav", "damaged.mp3", "cut.wav", "empty.wav", "text.wav", "folder.wav", "none.wav")
    return [Clip(str(place / name)) for name in names] + [Clip(str(place / "text.wav"), offset=1.0, duration=2.0)]


def test_the_name_of_a_skipped_file_is_said_once(damaged, tmp_path, caplog, capsys):
    """By fine-tuning, pretraining and evaluation, which log, and by the commands that report."""
    readable(damaged)
    report = tmp_path / "skipped.jsonl"
    reader = Reader(16000, Skipped(report))
    assert [reader.read(clip) for clip in damaged] == [None] * len(damaged)
    for clip in damaged:
        with pytest.raises((OSError, ValueError)) as error:
            load_audio(clip.path)
        report_skipped(clip.name, error.value)
        report_skipped(*map(str, Moments([clip])[0]))
    with pytest.raises(ValueError, match="None of the"):
        statistics_of_clips(damaged, 16000)
    lines = [record.getMessage() for record in caplog.records] + capsys.readouterr().err.splitlines()
    lines += [f"{entry['file']}: {entry['reason']}" for entry in map(json.loads, report.read_text().splitlines())]
    lines = [line for line in lines if "Skipped" in line or "ssast: skipped" in line or line[0] == "/"]
    assert len(lines) > 5 * len(damaged)
    folder = os.path.dirname(damaged[0].path)
    for line in lines:
        assert line.count(folder) == 1 and line.count(".wav") + line.count(".mp3") == 1, line
        assert len(line.rpartition(": ")[2]) > 5, line  # a reason remains
        assert "does not exist" not in line or "none.wav" in line, line
