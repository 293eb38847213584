# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What separates the columns of a table, and spaces between them, as Python's csv reads it or refused by name."""

import csv

import numpy as np
import pytest
import soundfile

from ssast_hf.data.sources import read_labelled
from ssast_hf.inference.events import read_thresholds
from ssast_hf.utils.parsing import parse_csv


def write(folder, text, name="clips.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def test_tabs_separate_the_columns_of_a_csv(tmp_path):
    (clip,) = read_labelled(write(tmp_path, "file\tlabel, kind\tstart\na.wav\towl, barn\t0.5\n") + ",label=label kind")
    assert (clip.path, clip.label, clip.offset) == (str(tmp_path / "a.wav"), "owl, barn", 0.5)
    assert read_thresholds(write(tmp_path, "label\tthreshold\nowl\t0.5\n")) == {"owl": 0.5}
    (clip,) = read_labelled(write(tmp_path, '"file\tx\ty",label,file\na,owl,a.wav\n'))  # quoted tabs aside
    assert clip.label == "owl"


@pytest.mark.parametrize(
    ("line", "separator", "name"),
    [("sep=,", ";", "semicolons"), ("sep=;", ",", "commas"), ("sep=", ";", "semicolons"), ("SEP=", ",", "commas"),
     ('"sep=;"', "\t", "tabs"), ("sep=|", ",", "commas")],
)  # fmt: skip
def test_a_separator_that_the_header_contradicts_is_named(tmp_path, line, separator, name):
    table = "file,label,start,end\na.wav,owl,0,1\n".replace(",", separator)
    path = write(tmp_path, f"{line}\n{table}")
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 16000)
    message = rf"the line .*(?i:sep)=.* contradicts the header, whose columns {name} separate \('\w.*'\): correct"
    for source in (path, f"annotations:{path},margin=0") if separator != "\t" else (path,):
        with pytest.raises(ValueError, match=message):
            read_labelled(source)
    with pytest.raises(ValueError, match=message):
        read_thresholds(write(tmp_path, f"{line}\nlabel{separator}threshold\nowl{separator}1\n", "thresholds.csv"))


def test_a_separator_that_the_header_has_is_believed(tmp_path):
    (clip,) = read_labelled(write(tmp_path, "sep=;\nfile;label, a, b, c\na.wav;owl\n") + ",label=label a b c")
    assert clip.label == "owl"


SPACED = [
    'file, label, note\na.wav, "0", "x, y"\n "b.wav",  "say ""a"", b",z\n',
    'file,label,note\r\na.wav, "0","x, ""y"""\r\nb.wav,"1", "two\r\nlines, ""here"""\r\n',
    '"file", "label", "note"\n"a, "" b.wav", "0",\n"c.wav","a, "" b",""\n',
]


@pytest.mark.parametrize("text", SPACED)
@pytest.mark.parametrize("separator", [",", ";"])
def test_spaces_before_quotes_as_pythons_csv_skips_them(text, separator):
    text = text.replace(",", separator)
    expected = list(csv.DictReader(text.splitlines(keepends=True), delimiter=separator, skipinitialspace=True))
    found = [row for _, row in parse_csv(text, "clips.csv", separator)]
    assert found == expected


def test_spaces_of_names_of_files_stay(tmp_path):
    for name in (" a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(1600), 16000)
    one, two = read_labelled(write(tmp_path, 'file, label\n a.wav, "0"\n b.wav, "1"\n'))
    assert (one.path, one.label) == (str(tmp_path / " a.wav"), "0")
    assert (two.path, two.label) == (str(tmp_path / "b.wav"), "1")


def test_quotes_in_selection_tables_of_raven_are_text(tmp_path):
    soundfile.write(tmp_path / "rec.wav", np.zeros(32000), 16000)
    write(tmp_path, 'Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t0\t1\t "owl\n', "rec.selections.txt")
    (clip,) = read_labelled(f"annotations:{tmp_path},margin=0")
    assert clip.label == '"owl'


def test_a_quote_after_spaces_that_is_not_closed_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"clips\.csv, line 2: .* is there a quote that is not closed\?"):
        read_labelled(write(tmp_path, 'file,label\na.wav, "owl\nb.wav,fox\n'))
