# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Groups by --group_column: one spelling of each, real paths for files, one group for each clip."""

import json

import numpy as np
import pytest
import soundfile

from ssast_hf.data.sources import read_with_column


def groups(folder, text, column, name="clips.csv", options=""):
    (folder / name).write_text(text)
    return read_with_column(f"{folder / name}{options}", column=column)[1]


def test_a_group_has_one_spelling(tmp_path):
    names = ["george", " george ", "george\u200b", "\ufeffgeorge"]
    rows = "".join(f"{index}.wav,a,{name}\n" for index, name in enumerate(names))
    assert groups(tmp_path, f"file,label,who\n{rows}", "who") == ["george"] * 4
    values = [1, 1.0, "1", " 1", "Be\u0301a", "Béa", True]
    rows = "\n".join(json.dumps({"file": f"{i}.wav", "label": "a", "who": who}) for i, who in enumerate(values))
    assert groups(tmp_path, rows, "who", "m.jsonl") == ["1"] * 4 + ["Béa"] * 2 + ["True"]


@pytest.mark.parametrize("value", ["null", "NaN", '" "', '"\u200b"'])
def test_no_group_is_named(tmp_path, value):
    rows = '{"file": "a.wav", "label": "a", "who": "x"}\n{"file": "b.wav", "label": "a", "who": ' + value + "}"
    with pytest.raises(ValueError, match="line 2: nothing in the column who"):
        groups(tmp_path, rows, "who", "m.jsonl")


@pytest.mark.parametrize("column", ["file", "Filename", "file_name"])
def test_files_are_groups_by_their_real_paths(tmp_path, column):
    (tmp_path / "clips").mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / "clips" / name, np.zeros(16000), 16000)
    (tmp_path / "link.wav").symlink_to("clips/a.wav")
    names = ["clips\\a.wav", "clips/a.wav", " clips/../clips/a.wav", "link.wav", "clips/b.wav"]
    rows = "".join(f"{name},x,{index / 10}\n" for index, name in enumerate(names))
    header = "File Name" if column == "file_name" else "Filename"
    found = groups(tmp_path, f"{header},label,start\n{rows}", column)
    real = (tmp_path / "clips").resolve()
    assert found == [str(real / "a.wav")] * 4 + [str(real / "b.wav")]


def test_file_is_the_clips_whatever_its_column_is_called(tmp_path):
    text = "clip,label,site\na.wav,x,N\nb.wav,y,S\n"
    real = tmp_path.resolve()
    found = groups(tmp_path, text, "file", options=",column=clip")
    assert found == [str(real / "a.wav"), str(real / "b.wav")]
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    for folder in "12":
        soundfile.write(tmp_path / folder / "a.wav", np.zeros(16000), 16000)
    found = groups(tmp_path, "FOLDER,IN FILE,label\n1,a.wav,x\n2,a.wav,y\n", "file")  # of Kaleidoscope
    assert found == [str(real / "1" / "a.wav"), str(real / "2" / "a.wav")]
    text = "clip,label,file\na.wav,x,whole.wav\nb.wav,y,whole.wav\n"  # parts of recordings, named by another column
    assert groups(tmp_path, text, "file", options=",column=clip") == [str(real / "whole.wav")] * 2


def test_recordings_of_annotations_are_groups_by_their_real_paths(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    (tmp_path / "a.txt").write_text("0\t0.5\towl\n")
    monkeypatch.chdir(tmp_path)
    assert read_with_column("annotations:.,margin=0", column="file")[1] == [str((tmp_path / "a.wav").resolve())]


def test_a_clip_in_two_groups_is_refused(tmp_path):
    (tmp_path / "link.wav").symlink_to("a.wav")
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 16000)
    text = "file,label,start,end,who\na.wav,x,0,1,george\n{},x,{},1,{}\n"
    for file in ("a.wav", "./a.wav", "link.wav"):
        with pytest.raises(ValueError, match="wav#t=0,1 is there twice, in the groups 'george' and 'lucas'"):
            groups(tmp_path, text.format(file, 0, "lucas"), "who")
        assert groups(tmp_path, text.format(file, 0, "george "), "who") == ["george", "george"]
        assert groups(tmp_path, text.format(file, 0.5, "lucas"), "who") == ["george", "lucas"]
