# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A part of a file is the same part in every known spelling of its times; other spellings are refused."""

import csv
import logging

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssast_hf.data.sources import read_clips, read_labelled, read_sources
from ssast_hf.inference.events import read_thresholds

ENDS = [("start", "end"), ("onset", "offset"), ("begin", "end"), ("Start", "End"), ("Begin Time (s)", "End Time (s)"),
        ("start_time", "end_time"), ("startTime", "endTime"), ("ONSET", "OFFSET"), ("start_seconds", "end_seconds"),
        ("starttime", "endtime"), ("begintime_s", "endtime_s"), ("onset_s", "offset_s"),
        ("Start (sec)", "Stop (sec)"), ("offset", "end")]  # fmt: skip
LENGTHS = [("offset", "duration"), ("Offset", "Duration"), ("offset", "length"), ("start", "duration"),
           ("start", "length"), ("onset", "duration"), ("Begin Time (s)", "Length (s)")]  # fmt: skip


def read(folder, columns, *rows, labelled=False, suffix=".csv"):
    path = folder / f"clips{suffix}"
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",").writerows([("file", *columns), *rows])
    return read_clips(path, labelled)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 9000)), min_size=1, max_size=5))
def test_known_spellings_give_the_same_parts(tmp_path, parts):
    """Of (start, length) in milliseconds."""
    expected = [(start / 1000, length / 1000) for start, length in parts]
    for columns in ENDS:
        rows = [("a.wav", start / 1000, (start + length) / 1000) for start, length in parts]
        found = [(clip.offset, clip.duration) for clip in read(tmp_path, columns, *rows)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    for columns in LENGTHS:
        rows = [("a.wav", start / 1000, length / 1000) for start, length in parts]
        assert [(clip.offset, clip.duration) for clip in read(tmp_path, columns, *rows)] == expected


def test_a_start_alone_goes_to_the_end_and_empty_times_are_the_whole_file(tmp_path):
    for name in ("offset", "start", "onset"):
        clips = read(tmp_path, (name,), ("a.wav", 2.5), ("b.wav", ""))
        assert [(clip.offset, clip.duration) for clip in clips] == [(2.5, None), (0.0, None)]


def test_dcase_and_raven(tmp_path):
    (clip,) = read(tmp_path, ("onset", "offset", "event_label"), ("a.wav", 1.5, 4, "Speech"), labelled=True,
                   suffix=".tsv")  # fmt: skip
    assert (clip.offset, clip.duration, clip.label) == (1.5, 2.5, "Speech")
    columns = ["Begin Path", "Begin File", "Begin Clock Time", "Begin Time (s)", "End Time (s)", "Delta Time (s)",
               "Low Freq (Hz)", "Begin Sample", "label"]  # fmt: skip
    row = ["a.wav", "/x/a.wav", "a.wav", "12:00:00", 3, 5, 2, 400, 48000, "owl"]
    (clip,) = read(tmp_path, columns, row, labelled=True)
    assert (clip.offset, clip.duration, clip.label) == (3.0, 2.0, "owl")


@pytest.mark.parametrize(
    "columns",
    ["end", "duration", "Length (s)", "start,offset", "begin,offset", "start,begin", "start_ms,end_ms", "Begin Sample",
     "onset_frames", "start,end_ms", "clip_start", "time", "timestamp", "file_offset", "call_length",
     "from,to", "T0,T1", "tmin,tmax", "xmin,xmax"],
)  # fmt: skip
def test_other_time_columns_are_refused(tmp_path, columns):
    columns = columns.split(",")
    with pytest.raises(ValueError, match=r"the columns? .*Understood are start and end") as error:
        read(tmp_path, columns, ("a.wav", *range(1, len(columns) + 1)))
    assert any(name in str(error.value) for name in columns)


@pytest.mark.parametrize(
    "columns", ["seconds", "recorded_at", "fold", "date", "split", "Delta Time (s)", "Weekend", "from", "xmin"]
)
def test_columns_about_something_else_are_not_times(tmp_path, columns):
    (clip,) = read(tmp_path, [columns], ("a.wav", 3))
    assert (clip.offset, clip.duration) == (0.0, None)


@pytest.mark.parametrize(
    ("columns", "cells", "message"),
    [
        ("start,end", (3, 3), "line 2: end is 3, expected more than start, which is 3"),
        ("start,end", ("", 3), "line 2: end is stated and start is not"),
        ("offset,duration", (3, 0), "line 2: duration is 0"),
        ("onset,offset,duration", (1, 3, 5), "expected 2 for the last"),
        ("start,end", ("00:01", 3), "start is '00:01', expected a number of seconds"),
    ],
)
def test_times_that_make_no_part_are_refused(tmp_path, columns, cells, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, columns.split(","), ("a.wav", *cells))


def test_parts_past_the_end_of_their_file_are_said_once(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with caplog.at_level(logging.WARNING):
        read(tmp_path, ("start", "end"), ("a.wav", 0, 1.02), ("a.wav", 0.5, 1.5), ("a.wav", 0.5, 1), ("a.wav", 2, 3))
    assert len(caplog.messages) == 1
    assert "line 3: the clip ends at 1.500 s" in caplog.text and "a.wav after 1.000 s" in caplog.text
    assert "So do 1 more" in caplog.text


@pytest.mark.parametrize(
    "cell", ["0_1", "\u0661", "\u0660\u066b\u0665", "\uff11", "nan", "inf", "1e999", "0x1", "1 0"]
)
def test_seconds_are_numbers_in_ascii(tmp_path, cell):
    with pytest.raises(ValueError, match="start is .*, expected a number of seconds of at least 0"):
        read(tmp_path, ("start", "end"), ("a.wav", cell, "9"))
    (tmp_path / "a.txt").write_text(f"0.5\t1\towl\n{cell}\t9\towl\n")
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(ValueError, match=r"a\.txt, line 2: "):
        read_labelled(f"annotations:{tmp_path}/a.txt,margin=0")
    (tmp_path / "thresholds.csv").write_text(f"label,threshold\nowl,{cell}\n")
    with pytest.raises(ValueError, match="line 2: the threshold of owl is .*, expected a probability"):
        read_thresholds(tmp_path / "thresholds.csv")
    with pytest.raises(ValueError, match="margin is .*, expected a number"):
        read_labelled(f"annotations:{tmp_path}/a.txt,margin={cell}")
    with pytest.raises(ValueError, match="the weight is not a number above 0"):
        read_sources(f"{tmp_path},weight={cell}")


@pytest.mark.parametrize("value", ["true", "false", "[1]", "1" + "0" * 400])
def test_seconds_in_json_are_numbers(tmp_path, value):
    (tmp_path / "m.jsonl").write_text('{"file": "a.wav", "start": 0}\n{"file": "a.wav", "start": ' + value + "}")
    with pytest.raises(ValueError, match="line 2: start is .*, expected a number of seconds"):
        read_clips(tmp_path / "m.jsonl", False)


@pytest.mark.parametrize(("cell", "start"), [(" 0.5 ", 0.5), (".5", 0.5), ("5.", 5.0), ("+1e-1", 0.1), ("1E0", 1.0)])
def test_numbers_as_people_write_them(tmp_path, cell, start):
    (clip,) = read(tmp_path, ("start", "end"), ("a.wav", cell, "9"))
    assert (clip.offset, clip.offset + clip.duration) == (start, 9)
