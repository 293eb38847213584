# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labels as JSON, pandas and people write them: one spelling of each, several in lists, nothing from empty cells."""

import json
import logging
import os
import unicodedata

import numpy as np
import pandas
import pytest
import soundfile

from ssast_hf.checkpoints.convert import read_label_names
from ssast_hf.data.clips import Clip
from ssast_hf.data.label_text import label_text, labels_of
from ssast_hf.data.labelled_checks import warn_of_labels
from ssast_hf.data.labels import Labels, check_known, find_labels
from ssast_hf.data.sources import read_labelled
from ssast_hf.inference.events import EventRules, read_thresholds

COMPOSED, DECOMPOSED = "Bécasse", "Be\u0301casse"
ZERO_WIDTH, BOM, SOFT_HYPHEN, NO_BREAK = "\u200b", "\ufeff", "\u00ad", "\u00a0"
FLAG = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"  # of Scotland: ends with a tag


def labels(folder, *rows, several=True) -> list[list[str]]:
    """The labels of each row of a .jsonl with these values."""
    lines = [json.dumps({"file": f"{index}.wav", "label": row}) for index, row in enumerate(rows)]
    (folder / "m.jsonl").write_text("\n".join(lines))
    return [labels_of(clip, several) for clip in read_labelled(str(folder / "m.jsonl"), several)]


@pytest.mark.parametrize(
    "lists",
    [[["d0", "george"], ["d0"], []], [["it's", 'say "a"'], ["a;b", "c, d"], ["é\n", "\\"]], [[1, 2], [1.0], [2.5]]],
)  # fmt: skip
def test_lists_as_pandas_writes_them(tmp_path, lists):
    pandas.DataFrame({"file": ["a.wav", "b.wav", "c.wav"], "label": lists}).to_csv(tmp_path / "m.csv", index=False)
    found = [labels_of(clip, True) for clip in read_labelled(str(tmp_path / "m.csv"), several=True)]
    assert found == [[f"{one:g}" if isinstance(one, (int, float)) else one.strip() for one in each] for each in lists]


def test_tuples_and_sets_are_lists_too():
    assert labels_of(Clip("a.wav", "('d0', 'george')"), True) == ["d0", "george"]
    assert labels_of(Clip("a.wav", "('d0',)"), False) == ["d0"]
    assert labels_of(Clip("a.wav", r"['\d', 'x']"), True) == [r"\d", "x"]
    assert labels_of(Clip("a.wav", "[u'd0']"), False) == ["d0"]  # of Python 2
    assert labels_of(Clip("a.wav", "{'d0', 'george'}"), True) == ["d0", "george"]


@pytest.mark.parametrize(
    "text",
    ["['d0' 'george']", "['d0'\n 'george']", "['d0', None]", "['d0', nan]", "[None]", "[nan]",
     "['d0', ['george']]", "['d0', True]", "[np.str_('d0'), np.str_('george')]", "[1. 2.]",
     "[b'd0']", "{'d0': 'george'}", '["d0", null]', "[NaN]", '["d0", ["george"]]', "['d0'] + ['george']"],
)  # fmt: skip
def test_what_looks_like_a_list_and_is_none_is_refused(tmp_path, text):
    (tmp_path / "m.csv").write_text('file,label\na.wav,owl\nb.wav,"' + text.replace('"', '""') + '"\n')
    with pytest.raises(ValueError, match=r"m\.csv, line (3|4): .* expected"):
        read_labelled(str(tmp_path / "m.csv"), several=True)


@pytest.mark.parametrize(
    "label",
    [
        "[laughter]",
        "[laughter, loud]",
        "[e]",
        "[+]",
        "[]x",
        "[don't know]",
        "(unknown)",
        "{noise}",
        "(a, b)",
        "owl [2]",
        "[",
        "['d0'",
    ],
)
@pytest.mark.parametrize("several", [True, False])
def test_brackets_alone_make_no_list(tmp_path, label, several):
    assert labels(tmp_path, label, several=several) == [[label]]
    assert labels_of(Clip("a.wav", label_text([label])), several) == [label]


@pytest.mark.parametrize("names", [["('a", "b')"], ["['a', 'b']"], ["a;b", "c"], ["('a', 'b')"]])
def test_label_text_is_read_as_the_labels_it_was_made_of(names):
    assert labels_of(Clip("a.wav", label_text(names)), True) == names


@pytest.mark.parametrize(
    "value", [["d0", None], [float("nan"), "d0"], [None], ["d0", True], ["d0", {"a": 1}], [["a"]]]
)
def test_null_and_what_is_no_label_in_a_list_is_refused(tmp_path, value):
    """`["d0", null]` gave the label "None"."""
    with pytest.raises(ValueError, match="line 2: .* expected text"):
        labels(tmp_path, "d0", value)


def test_a_number_is_one_label_however_json_writes_it(tmp_path):
    assert labels(tmp_path, 1, 1.0, "1", [1.0, 1], -0.0, 2.5, 10**400) == [
        ["1"], ["1"], ["1"], ["1"], ["0"], ["2.5"], [f"{10**400}"]
    ]  # fmt: skip
    with pytest.raises(ValueError, match="the label is Infinity, expected text, a number"):
        labels(tmp_path, float("inf"))


def test_nan_is_an_empty_label(tmp_path):
    assert labels(tmp_path, "a", float("nan"), None) == [["a"], [], []]
    with pytest.raises(ValueError, match="line 2: the label is empty"):
        labels(tmp_path, "a", float("nan"), several=False)


def parquet(folder, values, **columns):
    soundfile.write(folder / "a.wav", np.zeros(1600), 16000)
    audio = [{"bytes": (folder / "a.wav").read_bytes(), "path": None}] * len(values)
    pandas.DataFrame({"audio": audio, "label": values, **columns}).to_parquet(folder / "m.parquet")
    return str(folder / "m.parquet")


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_numbers_and_nothing_in_parquet(tmp_path, own_cache):
    path = parquet(tmp_path, [1.0, 20.0, float("nan")])
    assert [clip.label for clip in read_labelled(path, several=True)] == ["1", "20", ""]
    with pytest.raises(ValueError, match=r"\[2\]: no label in the column label"):
        read_labelled(path)
    with pytest.raises(ValueError, match=r"\[1\]: 2\.5 in the column label, expected a name or a whole number"):
        read_labelled(parquet(tmp_path, [1.0, 2.5]))


def test_null_in_a_list_in_parquet_is_refused(tmp_path, own_cache):
    with pytest.raises(ValueError, match=r"\[1\]: null in a list of labels, expected text or a number"):
        read_labelled(parquet(tmp_path, [["a", "b"], ["a", None]]), several=True)


def test_two_columns_of_labels_in_parquet_are_asked_about(tmp_path, own_cache):
    path = parquet(tmp_path, ["a", "b"], labels=["a", None])
    assert [clip.label for clip in read_labelled(path)] == ["a", "b"]
    path = parquet(tmp_path, ["a", "b"], labels=["a", "c"])
    with pytest.raises(ValueError, match=r"\[1\]: label is 'b' and labels is 'c'; name the column .*label=label"):
        read_labelled(path)
    assert [clip.label for clip in read_labelled(f"{path},label=labels")] == ["a", "c"]


@pytest.mark.parametrize("text", [DECOMPOSED, ZERO_WIDTH + COMPOSED, BOM + DECOMPOSED, f"{COMPOSED}{SOFT_HYPHEN} ",
                                  f"{NO_BREAK}{COMPOSED}{ZERO_WIDTH}{NO_BREAK}"])  # fmt: skip
def test_one_spelling_of_a_label_wherever_it_is_read(tmp_path, text):
    assert len({COMPOSED, text}) == 2 and COMPOSED.isalpha()
    (tmp_path / "m.csv").write_text(f"file,label\na.wav,{COMPOSED}\nb.wav,{text}\nc.wav,owl;{text}\n")
    clips = read_labelled(str(tmp_path / "m.csv"), several=True)
    assert find_labels(clips, True).names == (COMPOSED, "owl")
    (tmp_path / "names.txt").write_text(f"owl\n{text}\n")
    assert read_label_names(tmp_path / "names.txt") == ["owl", COMPOSED]
    check_known(clips, Labels(("owl", text), True), "m.csv", "the model has not")
    (tmp_path / "thresholds.csv").write_text(f"label,threshold\n{text},0.25\n")
    thresholds = read_thresholds(tmp_path / "thresholds.csv")
    assert thresholds == {COMPOSED: 0.25}
    assert EventRules(thresholds=thresholds).of(["owl", text]).tolist() == [0.5, 0.25]
    (tmp_path / "sounds" / text).mkdir(parents=True)
    soundfile.write(tmp_path / "sounds" / text / "a.wav", np.zeros(1600), 16000)
    (tmp_path / "sounds" / "a.txt").write_text(f"0\t0.1\t{text}\n")
    assert [clip.label for clip in read_labelled(f"annotations:{tmp_path}/sounds,margin=0")] == [COMPOSED]
    os.remove(tmp_path / "sounds" / "a.txt")
    assert [clip.label for clip in read_labelled(str(tmp_path / "sounds"))] == [COMPOSED]


def test_a_folder_without_a_visible_name_is_no_label(tmp_path):
    (tmp_path / ZERO_WIDTH).mkdir()
    soundfile.write(tmp_path / ZERO_WIDTH / "a.wav", np.zeros(1600), 16000)
    with pytest.raises(ValueError, match="lies in a folder whose name is blank, expected a label"):
        read_labelled(str(tmp_path))


def test_the_end_of_a_flag_stays(tmp_path):
    assert labels(tmp_path, FLAG) == [[FLAG]] and unicodedata.category(FLAG[-1]) == "Cf"


@pytest.mark.parametrize(
    "other", ["great  tit", f"great{NO_BREAK}tit", f"great{ZERO_WIDTH} tit", "Great Tit", "greattit"]
)
def test_labels_that_look_alike_are_named(caplog, other):
    clips = [Clip(f"{i}.wav", label) for i, label in enumerate(["great tit", other, "owl"] * 5)]
    with caplog.at_level(logging.WARNING):
        warn_of_labels(clips, find_labels(clips, False), "m.csv")
    (line,) = caplog.messages
    assert "differ only in case, spaces or characters without width" in line and "great tit" in line
    assert "owl" not in line and ZERO_WIDTH not in line


@pytest.mark.parametrize(("mark", "name"), [(",", "comma"), ("|", "vertical bar")])
@pytest.mark.parametrize("alone", [True, False])
def test_marks_between_labels_are_said(tmp_path, caplog, mark, name, alone):
    def said(*texts):
        caplog.clear()
        clips = [Clip(f"{i}.wav", text) for i, text in enumerate(texts * 5)]
        warn_of_labels(clips, find_labels(clips, True), "m.csv")
        return [line for line in caplog.messages if f"one label with a {name} in it" in line]

    assert len(said(f"d0{mark}george", "d0" if alone else "owl")) == 1
    assert bool(said(f"d0{mark}george", "owl;fox", "d0" if alone else "owl")) == alone  # semicolons are known here
    assert bool(said(json.dumps([f"d0{mark}george"]), "d0" if alone else "owl")) == alone  # and lists


def annotated(folder, label, options=""):
    soundfile.write(folder / "a.wav", np.zeros(16000), 16000)
    (folder / "a.txt").write_text(f"0\t0.5\t{label}\n")
    return [clip.label for clip in read_labelled(f"annotations:{folder}/a.txt,margin=0{options}")]


@pytest.mark.parametrize("label", [";", "[]", ZERO_WIDTH, NO_BREAK, "[None]", "['a', None]"])
def test_an_annotation_without_a_label_is_refused(tmp_path, label):
    """`;` was left out in silence."""
    with pytest.raises(ValueError, match=r"a\.txt, line 1: .*, expected"):
        annotated(tmp_path, label)


def test_labels_of_annotations_are_read_as_those_of_manifests(tmp_path):
    assert annotated(tmp_path, "['a', 'b']") == ["a", "b"]
    assert annotated(tmp_path, ZERO_WIDTH, f",default_label={DECOMPOSED}") == [COMPOSED]
