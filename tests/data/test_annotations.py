# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables of annotations as Raven, Audacity, DCASE and others write them: what they say, and about which recording."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ssast_hf.data.annotated_clips import Cutting, cut, group_of
from ssast_hf.data.annotation_tables import Annotation, NoAnnotations, read_table
from ssast_hf.data.annotations import Recording, find_annotated
from ssast_hf.data.sources import read_labelled, read_with_column

# As Raven 1.6 saves it: two views of each selection.
RAVEN = """\
Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation
1\tWaveform 1\t1\t2.000000000\t3.250000000\t0.000\t24000.000\tcrow
1\tSpectrogram 1\t1\t2.000000000\t3.250000000\t512.300\t4100.000\tcrow
2\tWaveform 1\t1\t2.500000000\t9.000000000\t0.000\t24000.000\t6" drum
2\tSpectrogram 1\t1\t2.500000000\t9.000000000\t50.000\t900.000\t6" drum
"""
# Three files opened in sequence, of 10 s each: selection 2 goes on from b.wav in c.wav.
SEQUENCE = """\
Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tBegin File\tEnd File\tSpecies
1\tSpectrogram 1\t1\t3.5\t4.0\tC:\\field\\a.wav\t3.5\ta.wav\ta.wav\towl
2\tSpectrogram 1\t1\t19.0\t21.5\tC:\\field\\b.wav\t9.0\tb.wav\tc.wav\towl
3\tSpectrogram 1\t1\t24.0\t25.0\tC:\\field\\c.wav\t4.0\tc.wav\tc.wav\tfox
"""
# As Audacity exports labels: the second of a spectral selection, the last a point.
AUDACITY = (
    "1.500000\t2.500000\tcrow\n4.000000\t4.750000\tsnap\n\\\t500.000000\t4000.000000\n7.000000\t7.000000\tsnap\n"
)
# As DESED and DCASE's task 4 have it: a file without events has a row of its own.
DCASE = """\
filename\tonset\toffset\tevent_label
a.wav\t0.5\t1.75\tSpeech
a.wav\t1.0\t2.0\tDog
b.wav\t\t\t
"""


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def record(*paths: Path, seconds: float = 10.0) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(int(seconds * 1000)), 1000)


def of(table) -> list[tuple]:
    return [(one.start, one.end, one.label, *([one.file] if one.file else [])) for one in table.annotations]


def test_a_selection_of_raven_counts_once_however_many_views_it_has(tmp_path):
    table = read_table(put(tmp_path / "rec.Table.1.selections.txt", RAVEN))
    assert of(table) == [(2.0, 3.25, "crow"), (2.5, 9.0, '6" drum')] and table.repeated == 2


def test_selections_of_concatenated_tables_of_raven_are_several(tmp_path):
    """Numbers start again in the second table; the same view, other times."""
    header, *rows = RAVEN.splitlines()
    more = [rows[1], rows[3], rows[1].replace("2.0000", "5.0000").replace("3.25", "6.25")]
    assert len(read_table(put(tmp_path / "rec.txt", "\n".join([header, *more]))).annotations) == 3


def test_a_selection_with_two_labels_is_refused(tmp_path):
    text = RAVEN.replace("4100.000\tcrow", "4100.000\trook")
    with pytest.raises(ValueError, match="line 3: selection 1 is rook, and crow in another view"):
        read_table(put(tmp_path / "rec.txt", text))


def test_raven_says_which_file_of_a_sequence(tmp_path):
    """An event over the end of a file is in both: 1 s at the end of b.wav, 1.5 s at the beginning of c.wav."""
    record(*(tmp_path / f"{name}.wav" for name in "abc"))
    put(tmp_path / "sequence.txt", SEQUENCE)
    a, b, c = find_annotated([tmp_path]).recordings
    assert [(one.start, one.end, one.label) for one in a.annotations] == [(3.5, 4.0, "owl")]
    assert [(one.start, one.end, one.label) for one in b.annotations] == [(9.0, 10.0, "owl")]
    assert [(one.start, one.end, one.label) for one in c.annotations] == [(0.0, 1.5, "owl"), (4.0, 5.0, "fox")]


@pytest.mark.parametrize("column", ["Filename", "file", "File Name", "Begin File"])
def test_times_as_ravens_beside_a_column_of_files(tmp_path, column):
    text = f"{column},Species,Begin Time (s),End Time (s)\na.wav,owl,1,2\nb.wav,fox,3,4\n"
    if column == "Begin File":  # Raven's own: the times may be those of a sequence
        with pytest.raises(ValueError, match="2 recordings"):
            read_table(put(tmp_path / "t.csv", text))
    else:
        assert of(read_table(put(tmp_path / "t.csv", text))) == [(1, 2, "owl", "a.wav"), (3, 4, "fox", "b.wav")]


def test_a_sequence_without_file_offsets_is_refused(tmp_path):
    text = SEQUENCE.replace("File Offset (s)", "Peak Freq (Hz)")
    with pytest.raises(ValueError, match=r"about 3 recordings .* add the column File Offset \(s\)"):
        read_table(put(tmp_path / "sequence.txt", text))


def test_audacity(tmp_path):
    assert of(read_table(put(tmp_path / "rec.txt", AUDACITY))) == [
        (1.5, 2.5, "crow"), (4.0, 4.75, "snap"), (7.0, 7.0, "snap")
    ]  # fmt: skip
    with pytest.raises(ValueError, match="line 1: no label"):
        read_table(put(tmp_path / "rec.txt", "0.5\t1.5\t\n"))
    assert of(read_table(tmp_path / "rec.txt", default_label="call")) == [(0.5, 1.5, "call")]


def test_dcase_and_sed_eval(tmp_path):
    table = read_table(put(tmp_path / "meta.tsv", DCASE))
    assert of(table) == [(0.5, 1.75, "Speech", "a.wav"), (1.0, 2.0, "Dog", "a.wav")]
    assert table.files == ["a.wav", "b.wav"]
    assert of(read_table(put(tmp_path / "a.txt", "0.5\t1.75\tSpeech\n"))) == [(0.5, 1.75, "Speech")]
    assert of(read_table(put(tmp_path / "meta.txt", "a.wav\t0.5\t1.75\tSpeech\n"))) == [(0.5, 1.75, "Speech", "a.wav")]
    scenes = put(tmp_path / "scenes.txt", "a.wav\thome\t0.5\t1.75\tSpeech\n")
    assert of(read_table(scenes)) == [(0.5, 1.75, "Speech", "a.wav")]


@pytest.mark.parametrize(
    "text",
    ["start,end,label\n0.5,1.75,owl\n", "Label;Onset;Offset\nowl;0.5;1.75\n",
     "\ufeffstart_time,end_time,Species\n0.5,1.75,owl\n", "begin,duration,class,comment\n0.5,1.25,owl,far away\n",
     "Start (s),End (s),Common name,Confidence\n0.5,1.75,owl,0.9\n"],
)  # fmt: skip
def test_tables_with_a_header(tmp_path, text):
    assert of(read_table(put(tmp_path / "rec.csv", text))) == [(0.5, 1.75, "owl")]


def test_two_labels_in_a_cell_are_two_annotations(tmp_path):
    assert of(read_table(put(tmp_path / "rec.csv", "start,end,label\n1,2,owl;fox\n"))) == [
        (1, 2, "owl"),
        (1, 2, "fox"),
    ]


def test_an_empty_table_is_a_recording_without_annotations(tmp_path):
    for text in ("", RAVEN.partition("\n")[0] + "\n", "start,end,label\n"):
        assert read_table(put(tmp_path / "rec.txt", text)).annotations == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("Selection\tView\tBegin Time (s)\tEnd Time (s)\tNotes\n1\tSpectrogram 1\t1\t2\towl\n",
      "found Selection, View, Begin Time .*--label-column"),
     ("start,end,species,label\n1,2,owl,call\n", "the labels may be in label or species"),
     (RAVEN.replace("3.250000000", "1.5"), "line 2: the end is 1.5 s, expected more than the start, 2 s"),
     (RAVEN.replace("3.250000000", "soon"), "line 2: the end is 'soon'"),
     ("1.5\t2.5\tcrow\n1,5\t2,5\tcrow\n", "line 2: the start is '1,5', expected .* a decimal point, 1.5"),
     ("1.5\tnan\tcrow\n", "no columns for start and end"), ("start,end,label\n1,,owl\n", "line 2: no end"),
     ("start,end,label\n-1,2,owl\n", "line 2: start is '-1'"),
     ("start,end,label\n3,2,owl\n", "end is 2, expected more"),
     ("file,level,start,end,label,score\na.wav,window,0,1,owl,0.1\n", "has scores of each window, expected events"),
     ("a\x00b", "no columns"), ("file,label\na.wav,owl\n", "no columns for start and end")],
)  # fmt: skip
def test_other_tables_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(put(tmp_path / "rec.txt", text))


def test_bytes_are_no_table(tmp_path):
    (tmp_path / "rec.txt").write_bytes(bytes(range(256)))
    with pytest.raises(NoAnnotations, match="not UTF-8 text"):
        read_table(tmp_path / "rec.txt")


TRACK = "1\t2\towl\n"


@pytest.mark.parametrize(
    "name",
    ["rec.txt", "rec.wav.txt", "rec.Table.1.selections.txt", "rec.Table.2.selections.txt", "rec.selections.txt",
     "rec_labels.txt", "rec-annotations.tsv", "rec.BirdNET.selection.table.txt", "rec events.TXT"],
)  # fmt: skip
def test_tables_belong_to_the_recording_of_their_name(tmp_path, name):
    record(tmp_path / "rec.wav", tmp_path / "rec.Table.wav", tmp_path / "rec2.wav")
    put(tmp_path / name, TRACK)
    found = find_annotated([tmp_path])
    assert [recording.path for recording in found.recordings] == [str(tmp_path / "rec.wav")]
    assert found.without_table == [str(tmp_path / "rec.Table.wav"), str(tmp_path / "rec2.wav")]


@pytest.mark.parametrize("name", ["rec_1.txt", "rec.1.txt", "record.txt", "other.txt", "labels.txt"])
def test_tables_without_a_recording_are_refused(tmp_path, name):
    record(tmp_path / "rec.wav")
    put(tmp_path / name, TRACK)
    with pytest.raises(ValueError, match=f"{name} has no recording"):
        find_annotated([tmp_path])


def test_of_two_recordings_of_a_name_that_in_the_same_folder_is_meant(tmp_path):
    record(tmp_path / "a/rec.wav", tmp_path / "b/rec.wav", seconds=5)
    put(tmp_path / "b/rec.txt", TRACK)
    assert [recording.path for recording in find_annotated([tmp_path]).recordings] == [str(tmp_path / "b/rec.wav")]


def test_folders_of_tables_are_like_folders_of_recordings(tmp_path):
    record(tmp_path / "audio/a/rec.wav", tmp_path / "audio/b/rec.wav")
    put(tmp_path / "tables/b/rec.txt", TRACK)
    found = find_annotated([tmp_path / "tables", tmp_path / "audio"])
    assert [recording.path for recording in found.recordings] == [str(tmp_path / "audio/b/rec.wav")]
    put(tmp_path / "tables/rec.txt", TRACK)
    with pytest.raises(ValueError, match=r"tables/rec.txt may be about .*a/rec.wav or .*b/rec.wav"):
        find_annotated([tmp_path])


def test_one_name_with_two_suffixes_is_ambiguous(tmp_path):
    record(tmp_path / "rec.wav", tmp_path / "rec.flac")
    put(tmp_path / "rec.txt", TRACK)
    with pytest.raises(ValueError, match=r"rec.txt may be about .*rec\.(wav|flac) or"):
        find_annotated([tmp_path])
    (tmp_path / "rec.txt").rename(tmp_path / "rec.wav.txt")
    assert [Path(recording.path).name for recording in find_annotated([tmp_path]).recordings] == ["rec.wav"]


def test_a_table_names_recordings_elsewhere(tmp_path):
    record(tmp_path / "audio/a.wav", tmp_path / "audio/b.wav", tmp_path / "audio/c.wav")
    table = put(tmp_path / "meta.tsv", DCASE)
    found = find_annotated([table, tmp_path / "audio"])
    assert [(Path(r.path).name, len(r.annotations)) for r in found.recordings] == [("a.wav", 2), ("b.wav", 0)]
    assert [Path(path).name for path in found.without_table] == ["c.wav"]
    (tmp_path / "audio/b.wav").unlink()
    with pytest.raises(ValueError, match=r"meta.tsv names b.wav, which is not there"):
        find_annotated([table, tmp_path / "audio"])


def test_a_table_alone_finds_the_recording_beside_it(tmp_path):
    record(tmp_path / "rec.wav", tmp_path / "other.wav")
    found = find_annotated([put(tmp_path / "rec.txt", TRACK)])
    assert [Path(r.path).name for r in found.recordings] == ["rec.wav"] and not found.without_table


def test_what_is_said(tmp_path):
    """Other files, several tables of one recording, ends that are cut; and recordings that are all heard."""
    record(tmp_path / "rec.wav", tmp_path / "quiet.wav")
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    put(tmp_path / "rec.txt", "1\t2\towl\n9\t10.5\tfox\n")
    put(tmp_path / "rec_labels.txt", TRACK)
    put(tmp_path / "README.txt", "Recordings of April.\n")
    found = find_annotated([tmp_path], all_heard=True)
    assert {Path(r.path).name: [(a.start, a.end) for a in r.annotations] for r in found.recordings} == {
        "quiet.wav": [], "rec.wav": [(1, 2), (9, 10)]
    }  # fmt: skip
    assert list(found.unreadable) == [str(tmp_path / "broken.wav")]
    said = "\n".join(found.notes)
    assert "README.txt has no columns" in said and "several tables each" in said and "1 annotation(s) reach" in said


def test_an_annotation_after_the_end_is_refused(tmp_path):
    record(tmp_path / "rec.wav", seconds=5)
    put(tmp_path / "rec.txt", "6\t7\towl\n")
    with pytest.raises(ValueError, match=r"rec.txt, line 1: owl begins at 6 s, and .*rec.wav ends at 5.000 s"):
        find_annotated([tmp_path])


def test_what_names_no_table_is_refused(tmp_path):
    record(tmp_path / "rec.wav")
    for source, message in ((tmp_path, "no table of annotations"), (tmp_path / "x", "No such file"),
                            (put(tmp_path / "a.md", "x"), "neither a folder, a table")):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            find_annotated([source])
    put(tmp_path / "rec.txt", "just text")
    with pytest.raises(NoAnnotations, match=r"rec.txt has no columns"):  # it has a recording's name
        find_annotated([tmp_path])


def recording(seconds: float, *annotations: tuple[float, float, str]) -> Recording:
    return Recording("a/N1_20260401_043000.wav", seconds, [Annotation(*one) for one in sorted(annotations)])


def test_windows_have_every_label_that_is_in_them_by_the_share():
    """Windows at 0, 1.5, 3, ..., the last from 7 to 10 s. The crow is half in at 1.5 s, the snap for 0.5 s at 3 s."""
    found = cut([recording(10, (1, 2, "crow"), (5.5, 9.5, "snap"))], Cutting(window=3, hop=1.5))
    assert [(part.start, part.end, part.labels) for part in found.parts] == [
        (0, 3, ("crow",)), (1.5, 4.5, ("crow",)), (4.5, 7.5, ("snap",)), (6, 9, ("snap",)), (7, 10, ("snap",))
    ]  # fmt: skip
    assert found.left_out == 1 and not found.lost
    strict = cut([recording(10, (1, 2, "crow"), (2.9, 3.1, "snap"))], Cutting(window=3, hop=3, share=0.6))
    assert [(part.start, part.labels) for part in strict.parts] == [(0, ("crow",)), (6, ()), (7, ())]
    assert [one.label for one in strict.lost] == ["snap"] and strict.left_out == 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from("abc")), max_size=6),
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 80), st.sampled_from([0.3, 0.5, 1.0]),
)  # fmt: skip
def test_windows_are_those_of_a_plain_loop(events, window, hop, length, share):
    """In tenths of a second; the windows cover the recording, and overlaps are counted tenth by tenth."""
    hop = min(hop, window)
    events = [
        (start, min(start + size, length), label) for start, size, label in events if start + (size > 0) <= length
    ]
    found = cut([recording(length / 10, *((s / 10, e / 10, label) for s, e, label in events))],
                Cutting(window=window / 10, hop=hop / 10, share=share))  # fmt: skip
    starts = [*range(0, max(0, length - window), hop), max(0, length - window)]
    expected = {}
    for start in starts:
        inside = set(range(start, min(start + window, length)))
        partly, labels = False, set()
        for first, end, label in events:
            own = set(range(first, end))
            common = len(own & inside)
            touches = common > 0 or (first == end and first in inside)
            partly |= touches
            if touches and common >= share * min(len(own), len(inside)) - 1e-9:
                labels.add(label)
        if labels or not partly:
            expected[start] = labels
    assert {round(part.start * 10): set(part.labels) for part in found.parts} == expected


def test_negatives_are_drawn_the_same_by_the_same_seed():
    recordings = [recording(100, (10, 11, "owl"))]
    found = cut(recordings, Cutting(window=2, negatives=5, seed=3))
    assert sum(not part.labels for part in found.parts) == 5 and found.not_drawn == 44
    assert cut(recordings, Cutting(window=2, negatives=5, seed=3)).parts == found.parts
    assert cut(recordings, Cutting(window=2, negatives=5, seed=4)).parts != found.parts
    with pytest.raises(ValueError, match="There are 49 windows without label, expected 50"):
        cut(recordings, Cutting(window=2, negatives=50))


def test_single_events_have_a_margin_and_negatives_lie_between_them():
    found = cut([recording(30, (0.2, 1, "owl"), (20, 22, "fox"))], Cutting(margin=0.5, negatives=50))
    events = [(part.start, part.end, part.labels) for part in found.parts if part.labels]
    assert events == [(0.0, 1.5, ("owl",)), (19.5, 22.5, ("fox",))]
    negatives = [part for part in found.parts if not part.labels]
    assert len(negatives) == 50 and {round(part.end - part.start, 6) for part in negatives} == {1.5, 3.0}
    assert all((part.start >= 1 and part.end <= 20) or (part.start >= 22 and part.end <= 30) for part in negatives)
    with pytest.raises(ValueError, match="owl is a point, expected a --margin above 0"):
        cut([recording(30, (1, 1, "owl"))], Cutting(margin=0))
    with pytest.raises(ValueError, match="No gap between annotations is longer than 30 s"):
        cut([recording(30, (0, 30, "owl"))], Cutting(margin=0, negatives=1))


@pytest.mark.parametrize(
    ("rule", "group"),
    [("file", "x/site 3/S4A01234_20260401_043000.wav"), ("folder", "site 3"), ("recorder", "S4A01234"),
     (r"site (\d)", "3")],
)  # fmt: skip
def test_groups(rule, group):
    assert group_of("x/site 3/S4A01234_20260401_043000.wav", rule) == group


@pytest.mark.parametrize(
    ("rule", "message"),
    [("recorder", "rec.wav does not tell its group"), ("(a)(b)", "one group"), ("(", "expected file, folder"),
     ("day", "expected file")],
)  # fmt: skip
def test_groups_that_are_not_told_are_errors(rule, message):
    with pytest.raises(ValueError, match=message):
        group_of("rec.wav", rule)


def test_annotations_are_a_source_of_labelled_clips(tmp_path):
    record(tmp_path / "N1_20260401_0430.wav")
    put(tmp_path / "N1_20260401_0430.txt", "1\t2\ta;b\n5\t6\tc\n")
    source = f"annotations:{tmp_path},window=2,hop=2,group=recorder"
    clips = read_labelled(source, several=True)
    assert [(clip.offset, clip.duration, clip.label) for clip in clips] == [
        (0, 2, "a;b"), (2, 2, ""), (4, 2, "c"), (6, 2, ""), (8, 2, "")
    ]  # fmt: skip
    assert read_with_column(source, True, "group")[1] == ["N1"] * 5
    with pytest.raises(ValueError, match=r"has 2 labels from 0 to 2 s, expected one: give --multi_label True"):
        read_labelled(source)
    assert [clip.label for clip in read_labelled(f"annotations:{tmp_path},margin=0")] == ["a", "b", "c"]
    for options, message in ((",window=x", "window is 'x'"), (",size=3", "'size=3' is no option"), ("", "a window")):
        with pytest.raises(ValueError, match=message):
            read_labelled(f"annotations:{tmp_path}{options}")
