# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast annotations`: recordings and tables in, a manifest and a summary out."""

import csv

import numpy as np
import pytest
import soundfile

from ssast_hf.cli import main
from ssast_hf.data.sources import read_labelled, read_with_column

RAVEN = """\
Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation
1\tWaveform 1\t1\t2.0\t3.0\t0\t8000\tcrow
1\tSpectrogram 1\t1\t2.0\t3.0\t500\t4000\tcrow
2\tWaveform 1\t1\t2.5\t9.0\t0\t8000\train; wind
2\tSpectrogram 1\t1\t2.5\t9.0\t50\t4000\train; wind
"""


@pytest.fixture
def field(tmp_path):
    folder = tmp_path / "field"
    for name in ("north/N1_20260401_0430", "north/N1_20260401_0530", "south/S1_20260401_0430"):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(12000), 1000)
    (folder / "north/N1_20260401_0430.Table.1.selections.txt").write_text(RAVEN)
    (folder / "south/S1_20260401_0430.txt").write_text("1.5\t2.5\tcrow\n\\\t500.0\t4000.0\n")
    return folder


def test_a_manifest_of_windows_with_all_labels_and_a_summary(field, tmp_path, capsys):
    output = tmp_path / "clips.csv"
    command = ["annotations", str(field), "--window", "3", "--group", "recorder", "--output", str(output)]
    assert main(command) == 0
    out, err = capsys.readouterr()
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    north, south = "field/north/N1_20260401_0430.wav", "field/south/S1_20260401_0430.wav"
    assert [(row["file"], row["offset"], row["duration"], row["label"], row["group"]) for row in rows] == [
        (north, "0.0", "3.0", "crow", "N1"), (north, "3.0", "3.0", "rain;wind", "N1"),
        (north, "6.0", "3.0", "rain;wind", "N1"), (north, "9.0", "3.0", "", "N1"),
        (south, "0.0", "3.0", "crow", "S1"), *((south, f"{start:.1f}", "3.0", "", "S1") for start in (3, 6, 9)),
    ]  # fmt: skip
    assert [line.split() for line in out.splitlines()[:5]] == [
        ["label", "annotations", "seconds", "recordings", "groups", "clips"], ["crow", "2", "2.0", "2", "2", "2"],
        ["rain", "1", "6.5", "1", "1", "2"], ["wind", "1", "6.5", "1", "1", "2"], ["(none)", "2", "2", "4"],
    ]  # fmt: skip
    assert out.splitlines()[5] == f"{output}: 8 clips of 2 recording(s), 0.00667 h"
    assert "2 row(s) repeat a selection" in err and "1 recording(s) have no table and are left out" in err
    clips = read_labelled(str(output), several=True)
    assert clips == read_labelled(f"annotations:{field},window=3,group=recorder", several=True)
    assert read_with_column(str(output), True, "group")[1] == ["N1"] * 4 + ["S1"] * 4
    assert main(command) == 2 and "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--all-heard", "--negatives", "3"]) == 0
    assert "7 clips of 3 recording(s), 0.01 h, 5 negatives not drawn" in capsys.readouterr().out


def test_single_events(field, tmp_path):
    output = tmp_path / "events.csv"
    assert main(["annotations", str(field), "--margin", "0.25", "--output", str(output)]) == 0
    clips = read_labelled(str(output))
    assert [(clip.offset, clip.duration, clip.label) for clip in clips] == [
        (1.75, 1.5, "crow"), (2.25, 7.0, "rain"), (2.25, 7.0, "wind"), (1.25, 1.5, "crow")
    ]  # fmt: skip
    groups, files = (read_with_column(str(output), True, column)[1] for column in ("group", "file"))
    assert [str((tmp_path / group).resolve()) for group in groups] == files


def test_an_unreadable_recording_is_said(field, tmp_path, capsys):
    (field / "north/N1_20260401_0430.wav").write_bytes(b"no sound")
    assert main(["annotations", str(field), "--margin", "0", "--output", str(tmp_path / "clips.csv")]) == 1
    assert "N1_20260401_0430.wav" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--window", "3", "--hop", "4"], "The hop is 4 s"), (["--margin", "1", "--hop", "1"], "A hop is for windows"),
     (["--margin", "-1"], "The margin is -1 s"), (["--window", "3", "--share", "0"], "The share is 0"),
     (["--window", "3", "--negatives", "99"], "There are 4 windows without label, expected 99"),
     (["--window", "3", "--group", "(x)"], "does not tell its group"),
     (["--window", "3", "--label-column", "Species"], "has no column Species"),
     (["--window", "3", "--output", "clips.tsv"], "expected a name that ends in .csv")],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(field, tmp_path, capsys, flags, message):
    assert main(["annotations", str(field), "--output", str(tmp_path / "clips.csv"), *flags]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and not (tmp_path / "clips.csv").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"start\tend\tlabel\n1\tlate\towl\n", b"<html></html>"])
def test_a_garbage_table_is_one_line(field, tmp_path, capsys, content):
    (field / "south/S1_20260401_0430.txt").write_bytes(content)
    assert main(["annotations", str(field), "--window", "3", "--output", str(tmp_path / "clips.csv")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "S1_20260401_0430.txt" in err
