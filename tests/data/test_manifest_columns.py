# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Columns of files and labels as people and their programs name them: understood, or refused by name."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf.data.labelled import label_names
from ssast_hf.data.labelled_checks import warn_of_labels
from ssast_hf.data.labels import find_labels
from ssast_hf.data.sources import find_sounds, read_clips, read_labelled, read_sources, read_with_column
from ssast_hf.inference.events import read_thresholds

KALEIDOSCOPE = "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,DATE,TIME,HOUR,AUTO ID,MANUAL ID"
RAVEN = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n1\t0\t1\ta.wav\towl\n"


def write(folder, text, name="clips.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    "columns",
    ["file,label", "File Name,Species", "Filename,Class", "audio_filename,primary_label", "FILE_PATH,Common Name",
     "Sound File,LABEL", "Path,Call Type", "wav,event_label", "label_2,file,Species"],
)  # fmt: skip
def test_columns_in_any_case_and_spacing(tmp_path, columns):
    names = columns.split(",")
    row = ["x"] * (len(names) - 2) + ["a.wav", "owl"]
    (clip,) = read_labelled(write(tmp_path, f"{columns}\n{','.join(row)}\n"))
    assert (clip.path, clip.label) == (str(tmp_path / "a.wav"), "owl")


@pytest.mark.parametrize("column", ["file", "Recording Site", "recording_site"])
def test_groups_by_columns_in_any_case_and_spacing(tmp_path, column):
    path = write(tmp_path, "Filename,Species,Recording Site\na.wav,owl,a.wav\nb.wav,fox,b.wav\n")
    folder = f"{tmp_path.resolve()}/" if column == "file" else ""  # of files the real paths
    assert read_with_column(path, column=column)[1] == [f"{folder}a.wav", f"{folder}b.wav"]
    with pytest.raises(ValueError, match="line 2: no column site, found Filename"):
        read_with_column(path, column="site")


def test_kaleidoscope(tmp_path):
    """Files lie in FOLDER below INDIR, or beside the table; OFFSET is a start, TIME that of the day."""
    (tmp_path / "night 1").mkdir()
    for path in (tmp_path / "night 1" / "a.wav", tmp_path / "b.wav"):
        soundfile.write(path, np.zeros(48000), 16000)
    rows = f"{tmp_path},night 1,a.wav,0,1.5,0.5,1,2026-04-01,05:30:00,5,x,owl\nE:\\,1,b.wav,0,0,2,1,d,t,5,x,fox\n"
    one, two = read_labelled(write(tmp_path, f"{KALEIDOSCOPE}\n{rows}"))
    assert (one.path, one.label, one.offset, one.duration) == (str(tmp_path / "night 1/a.wav"), "owl", 1.5, 0.5)
    assert (two.path, two.label, two.offset, two.duration) == (str(tmp_path / "b.wav"), "fox", 0.0, 2.0)


def test_options_name_the_columns(tmp_path):
    path = write(tmp_path, "clip,Common name,Scientific name\na.wav,owl,Strix\nb.wav,fox,Vulpes\n")
    clips = read_labelled(f"{path},column=clip,label=scientific name")
    assert label_names(clips) == ["Strix", "Vulpes"] and clips[0].path == str(tmp_path / "a.wav")
    assert find_sounds([f"{path},column=Clip"]) == read_clips(path, labelled=False, column="clip")
    assert read_sources(f"{path},column=clip,weight=2")[0].clips == find_sounds([f"{path},column=clip"])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("clip,label\na.wav,owl\n", "", r"no file name in clip, label, .* name the column .*column=NAME"),
        ("file,what\na.wav,owl\n", "", r"no label in file, what, expected .*label=NAME"),
        ("file,Common name,Species\na.wav,owl,x\n", "", "in the column Species or Common name; .*label=Species"),
        ("file,label\na.wav,owl\n", ",label=kind", "no column kind, found file, label"),
        ("file,label\na.wav,owl\n", ",column=clip", "no column clip, found file, label"),
        ("file,Species\na.wav,\n", "", "line 2: the label is empty"),
        ("file,Label,label\na.wav,owl,fox\n", "", "the columns Label and label may both be meant"),
        ("File Name,filename,label\na.wav,b.wav,fox\n", "", "the columns File Name and filename may both be meant"),
        (RAVEN, "", "selection table of Raven is no manifest; write annotations:TABLE,margin=0"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named(tmp_path, text, options, message):
    name = "clips.tsv" if "\t" in text else "clips.csv"
    with pytest.raises(ValueError, match=message):
        read_labelled(write(tmp_path, text, name) + options)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("file\tlabel\tstart\tend\na.wav\towl\t0,5\t1,25\n", "clips.tsv"),
        ('file,label,start,end\na.wav,owl,"0,5","1,25"\n', "clips.csv"),
    ],
)
def test_decimal_commas_are_named(tmp_path, text, name):
    with pytest.raises(ValueError, match=r"start is '0,5', expected a number .* with a decimal point, 0\.5"):
        read_labelled(write(tmp_path, text, name))


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_table_as_a_spreadsheet_writes_it_where_the_comma_is_the_decimal_sign(tmp_path, bom):
    """Semicolons, decimal commas, commas in text, empty columns and rows, lines that end with CR and LF."""
    soundfile.write(tmp_path / "a.wav", np.zeros(48000), 16000)
    text = bom + "file;label;start;end;Note, free;\r\na.wav;owl;0,5;1,25;dusk, rain;\r\na.wav;1,5;2;2,5;;\r\n;;;;;\r\n"
    expected = [("owl", 0.5, 0.75), ("1,5", 2, 0.5)]
    found = read_labelled(write(tmp_path, text))
    assert [(clip.label, clip.offset, clip.duration) for clip in found] == expected
    found = read_labelled(f"annotations:{write(tmp_path, text)},margin=0")
    assert [(clip.label, clip.offset, clip.duration) for clip in found] == expected
    write(tmp_path, bom + "label;threshold;F1\r\nowl;0,25;0,9\r\nfox;1;\r\n", "thresholds.csv")
    assert read_thresholds(tmp_path / "thresholds.csv") == {"owl": 0.25, "fox": 1}


@pytest.mark.parametrize("separator", [";", "|"])
@pytest.mark.parametrize("line", ["sep={}\r\n", '"sep={}"\n', "SEP={} \n"])
def test_the_line_that_tells_excel_the_separator_is_understood(tmp_path, line, separator):
    soundfile.write(tmp_path / "a.wav", np.zeros(48000), 16000)
    rows = [
        ["file", "label", "start", "end"],
        ["a.wav", "owl", *((",5", "1,25") if separator == ";" else (".5", "1.25"))],
    ]
    table = "".join(f"{separator.join(row)}\n" for row in rows)
    path = write(tmp_path, line.format(separator) + table)
    for source in (path, f"annotations:{path},margin=0"):
        (clip,) = read_labelled(source)
        assert (clip.label, clip.offset, clip.duration) == ("owl", 0.5, 0.75)
    with pytest.raises(ValueError, match=r"clips\.csv, line 4: start is 'x'"):  # its lines count
        read_labelled(
            write(tmp_path, f"{line.format(separator)}{table}{separator.join(('a.wav', 'fox', 'x', '2'))}\n")
        )


def test_spaces_around_files_and_backslashes_in_them_are_no_part_of_them_unless_there_is_such_a_file(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in ("clips/a.wav", "clips/b.wav", "c .wav", "d\\e.wav"):
        soundfile.write(tmp_path / name, np.zeros(16000), 16000)
    rows = [" clips/a.wav , owl ", "clips\\b.wav,fox", "c .wav,owl", "d\\e.wav,fox"]
    found = read_labelled(write(tmp_path, "\n".join(["file, label", *rows])))
    names = [Path(clip.path).relative_to(tmp_path).as_posix() for clip in found]
    assert names == ["clips/a.wav", "clips/b.wav", "c .wav", "d\\e.wav"]
    assert [clip.label for clip in found] == ["owl", "fox"] * 2
    (clip,) = read_labelled(write(tmp_path, "file,label\n gone.wav,owl\n"))
    assert clip.path == str(tmp_path / "gone.wav")


def test_a_name_beside_the_path_that_ends_in_it_names_the_same_file(tmp_path):
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips/a.wav", np.zeros(16000), 16000)
    text = f"file,filename,label\n{tmp_path}/clips/a.wav,a.wav,owl\n"
    (clip,) = read_labelled(write(tmp_path, text))
    assert clip.path == str(tmp_path / "clips/a.wav")
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)  # now either may be meant
    with pytest.raises(ValueError, match="name the column with the files: MANIFEST,column="):
        read_labelled(write(tmp_path, text))


def test_a_later_line_that_looks_like_it_is_text(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(48000), 16000)
    (clip,) = read_labelled(write(tmp_path, 'file,label,note\na.wav,owl,"x\nsep=;\n"\n'))
    assert clip.label == "owl"


def test_decimal_commas_in_a_label_track_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(48000), 16000)
    write(tmp_path, "0,5\t1,25\towl\n", "a.txt")
    with pytest.raises(ValueError, match=r"line 1: the start is '0,5', expected .* a decimal point, 0\.5"):
        read_labelled(f"annotations:{tmp_path},margin=0")


def test_decimal_commas_that_split_cells_are_refused(tmp_path):
    """They were taken for a clip from 0 s to 5 s."""
    with pytest.raises(ValueError, match=r"line 3 has more cells than the header has columns \(4\).*decimal points"):
        read_labelled(write(tmp_path, "file,label,start,end\na.wav,owl,0,1,\na.wav,owl,0,5,1,25\n"))


def test_commas_in_quoted_names_separate_no_columns(tmp_path):
    (clip,) = read_labelled(write(tmp_path, '"file";"label";"start, s";"end, s";"x, y"\na.wav;owl;0,5;1,25;z\n'))
    assert (clip.label, clip.offset, clip.duration) == ("owl", 0.5, 0.75)


def test_a_quote_that_is_not_closed_is_named(tmp_path):
    """The rest of the table was taken for a label."""
    with pytest.raises(ValueError, match=r"clips\.csv, line 2: .* is there a quote that is not closed\?"):
        read_labelled(write(tmp_path, 'file,label\na.wav,"owl\nb.wav,fox\n'))
    (clip,) = read_labelled(write(tmp_path, 'file,label,note\na.wav,"owl ""x""",6" of snow\n'))
    assert clip.label == 'owl "x"'


def test_empty_lines_before_the_header(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(48000), 16000)
    path = write(tmp_path, "\n\nfile;label;start;end\na.wav;owl;0,5;1\n")
    for source in (path, f"annotations:{path},margin=0"):
        (clip,) = read_labelled(source)
        assert (clip.label, clip.offset, clip.duration) == ("owl", 0.5, 0.5)
    with pytest.raises(ValueError, match="line 4: no file name"):
        read_labelled(write(tmp_path, "\n\nname,label\na.wav,owl\n"))


def test_a_manifest_is_read_once_with_the_column_of_groups(tmp_path, monkeypatch):
    path = Path(write(tmp_path, "file,label,site\na.wav,owl,N1\nb.wav,fox,S1\n"))
    text, reads = path.read_text(), []
    monkeypatch.setattr(Path, "read_text", lambda self, **options: reads.append(self) or text)
    clips, groups = read_with_column(str(path), column="site")
    assert reads == [path] and groups == ["N1", "S1"] and [clip.label for clip in clips] == ["owl", "fox"]
    with pytest.raises(ValueError, match="line 2: no column place, found file, label, site"):
        read_with_column(str(path), column="place")


@pytest.mark.parametrize("label", ['{"kind": 1}', "true"])
def test_values_that_are_no_labels_are_refused(tmp_path, label):
    with pytest.raises(ValueError, match="line 1: the label is .*, expected text, a number, or a list"):
        read_labelled(write(tmp_path, f'{{"file": "a.wav", "label": {label}}}\n', "clips.jsonl"))


@pytest.mark.parametrize(
    ("text", "message", "option"),
    [
        ("file,label,labels\na.wav,owl,owl\nb.wav,owl,fox\n",
         "line 3: label is 'owl' and labels is 'fox'; name the column with the labels: MANIFEST,label=label",
         "label=labels"),
        ("file,path,label\na.wav,x/../a.wav,owl\nb.wav,c.wav,fox\n",
         "line 3: file is 'b.wav' and path is 'c.wav'; name the column with the files: MANIFEST,column=file",
         "column=path"),
    ],
)  # fmt: skip
def test_two_columns_that_differ_in_a_row_are_asked_about(tmp_path, text, message, option):
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match=message):
        read_labelled(write(tmp_path, text))
    assert len(read_labelled(write(tmp_path, text) + f",{option}")) == 2
    same = "\n".join(text.split("\n")[:2])
    (clip,) = read_labelled(write(tmp_path, same))
    assert (Path(clip.path).name, clip.label) == ("a.wav", "owl")


def test_one_of_two_columns_may_be_empty(tmp_path):
    rows = "a.wav,,owl,\n,b.wav,,fox\nc.wav,c.wav,owl;fox,fox; owl\n"
    clips = read_labelled(write(tmp_path, f"file,path,label,labels\n{rows}"), several=True)
    assert [(Path(clip.path).name, clip.label) for clip in clips] == [
        ("a.wav", "owl"), ("b.wav", "fox"), ("c.wav", "owl;fox")
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", ["NaN", "null", '" "'])
def test_a_blank_file_is_none(tmp_path, nothing):
    path = write(tmp_path, '{"file": ' + nothing + ', "path": "a.wav", "label": "owl"}', "m.jsonl")
    assert [Path(clip.path).name for clip in read_labelled(path)] == ["a.wav"]
    with pytest.raises(ValueError, match="line 1: no file name"):
        read_labelled(write(tmp_path, '{"file": ' + nothing + ', "label": "owl"}', "m.jsonl"))


def test_columns_of_recordings_that_differ_are_asked_about(tmp_path):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(48000), 16000)
    text = "file,path,start,end,label\na.wav,./a.wav,0,1,owl\n"
    assert len(read_labelled(f"annotations:{write(tmp_path, text)},margin=0")) == 1
    with pytest.raises(ValueError, match="line 3: file is 'a.wav' and path is 'b.wav'; expected one column"):
        read_labelled(f"annotations:{write(tmp_path, text + 'a.wav,b.wav,0,1,owl')},margin=0")


@pytest.mark.parametrize("several", [True, False])
def test_a_row_that_ends_before_its_label_is_named(tmp_path, several):
    """With several labels it became a clip without any."""
    path = write(tmp_path, "file,start,end,label,note\na.wav,0,1,owl\nb.wav,0,1\n")
    with pytest.raises(ValueError, match="line 3: the row ends before its column label, expected 5 columns"):
        read_labelled(path, several)
    path = write(tmp_path, '{"file": "a.wav", "label": []}\n{"file": "b.wav", "label": null}\n', "m.jsonl")
    assert [clip.label for clip in read_labelled(path, several=True)] == ["", ""]


@pytest.mark.parametrize("several", [True, False])
def test_commas_between_labels_are_said(tmp_path, caplog, several):
    """`a,b` is one label, as AudioSet's "Child speech, kid speaking" is."""
    rows = '1.wav,"owl,fox"\n2.wav,owl\n3.wav,"Child speech, kid"\n'
    clips = read_labelled(write(tmp_path, f"file,label\n{rows}"), several)
    labels = find_labels(clips, several)
    assert labels.names == ("Child speech, kid", "owl", "owl,fox")
    warn_of_labels(clips, labels, "clips.csv")
    (said,) = [line for line in caplog.messages if "comma" in line]
    assert "the label 'owl,fox', which is one label" in said and "semicolons, with --multi_label" in said
