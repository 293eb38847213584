# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What of the labels is written, and at which times."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.cli import main
from ssast_hf.inference.label_formats import LabelChoice

from ..conftest import SMALL


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A multi-label classifier that gives every sound 0.9 of a and b and 0.1 of c, and a recording of 4 s."""
    folder = tmp_path_factory.mktemp("formats")
    torch.manual_seed(0)
    names = {0: "a", 1: "b", 2: "c"}
    config = SSASTConfig(**SMALL, max_length=64, id2label=names, label2id={name: i for i, name in names.items()},
                         problem_type="multi_label_classification")  # fmt: skip
    model = SSASTForAudioClassification(config)
    torch.nn.init.zeros_(model.classifier.dense.weight)
    model.classifier.dense.bias.data = torch.tensor([0.9, 0.9, 0.1]).logit()
    model.save_pretrained(folder / "model")
    SSASTFeatureExtractor(max_length=64, return_attention_mask=True).save_pretrained(folder / "model")
    soundfile.write(folder / "long.wav", 0.1 * np.random.default_rng(0).standard_normal(64000), 16000)
    (folder / "parts.csv").write_text("file,offset,duration\nlong.wav,1.5,0.5\n")
    return folder


def run(place, capsys, *flags) -> str:
    assert main(["classify", *map(str, flags), "--model", str(place / "model")]) == 0
    return capsys.readouterr().out


def test_a_threshold_shows_every_label_above_it(place, capsys):
    file = place / "long.wav"
    track = run(place, capsys, file, "--format", "audacity", "--threshold", 0.5, "--window", 0.5).splitlines()
    assert [line.split("\t")[2] for line in track] == ["a 0.90", "b 0.90"] * 8
    rows = list(csv.DictReader(io.StringIO(run(place, capsys, file, "--format", "csv", "--threshold", 0.05))))
    assert [row["label"] for row in rows] == ["a", "b", "c"]
    track = run(place, capsys, file, "--format", "audacity", "--threshold", 0.5, "--top-k", 1).splitlines()
    assert {line.split("\t")[2] for line in track} == {"a 0.90"}
    track = run(place, capsys, file, "--format", "audacity").splitlines()
    assert {line.split("\t")[2] for line in track} == {"a 0.90"}


@pytest.mark.parametrize("threshold", ["1.5", "-0.1", "nan", "50"])
def test_a_threshold_that_no_probability_has_is_an_error(place, capsys, threshold):
    command = ["classify", str(place / "long.wav"), "--model", str(place / "model"), f"--threshold={threshold}"]
    assert main(command) == 2
    assert "expected a probability from 0 to 1" in capsys.readouterr().err


def test_times_of_a_part_are_those_of_the_recording(place, capsys):
    flags = (place / "parts.csv", "--window", 0.25)
    for line in run(place, capsys, *flags, "--format", "audacity").splitlines():
        assert 1.5 <= float(line.split("\t")[0]) < float(line.split("\t")[1]) <= 2.0
    rows = list(csv.DictReader(io.StringIO(run(place, capsys, *flags, "--format", "csv", "--top-k", 1))))
    assert [(row["level"], float(row["start"]), float(row["end"])) for row in rows] == [
        ("window", 1.5, 1.75), ("window", 1.75, 2.0), ("file", 1.5, 2.0)
    ]  # fmt: skip
    *windows, whole = map(json.loads, run(place, capsys, *flags, "--json").splitlines())
    assert [(window["start"], window["end"]) for window in windows] == [(1.5, 1.75), (1.75, 2.0)]
    assert (whole["start"], whole["seconds"]) == (1.5, 0.5)
    text = run(place, capsys, *flags).splitlines()
    assert [float(line.split()[0]) for line in text[1:3]] == [1.5, 1.75]


def test_events_have_every_label_above_its_threshold(place, capsys):
    """Windows of 0.5 s with 0.9 of a and b and 0.1 of c: one event each, in the times of the recording."""
    (place / "thresholds.csv").write_text("label,threshold\na,0.95\nc,0.05\n")
    flags = ("--events", "--window", 0.5, "--thresholds", place / "thresholds.csv")
    track = run(place, capsys, place / "long.wav", *flags, "--format", "audacity").splitlines()
    assert track == ["0.000000\t4.000000\tb", "0.000000\t4.000000\tc"]
    rows = list(csv.DictReader(io.StringIO(run(place, capsys, place / "parts.csv", *flags, "--format", "csv"))))
    assert [(row["level"], row["start"], row["end"], row["label"]) for row in rows] == [
        ("event", "1.500000", "2.000000", "b"), ("event", "1.500000", "2.000000", "c")
    ]  # fmt: skip
    found = [json.loads(line) for line in run(place, capsys, place / "parts.csv", *flags, "--json").splitlines()]
    assert found[0] == {"file": f"{place}/long.wav#t=1.5,2", "start": 1.5, "end": 2.0, "label": "b", "score": 0.9}
    table = run(place, capsys, place / "parts.csv", *flags, "--format", "raven").splitlines()
    header, first, second = (line.split("\t") for line in table)
    assert dict(zip(header, first)) == {
        "Selection": "1", "View": "Spectrogram 1", "Channel": "1", "Begin Time (s)": "1.500000",
        "End Time (s)": "2.000000", "Low Freq (Hz)": "0", "High Freq (Hz)": "8000", "Begin File": "long.wav",
        "Annotation": "b", "Score": "0.9000",
    }  # fmt: skip
    assert second[0] == "2" and second[8] == "c"
    text = run(place, capsys, place / "long.wav", "--events", "--threshold", 0.95).splitlines()
    assert text == [str(place / "long.wav"), f"{'no events':>21}"]


def test_labels_are_chosen_and_left_out(place, capsys):
    """Of events, of windows and of whole files; --min-length leaves out the event of 4 s."""
    file = place / "long.wav"
    assert "b" not in run(place, capsys, file, "--events", "--exclude-label", "b", "--format", "audacity")
    track = run(place, capsys, file, "--label", "c", "--window", 0.5, "--format", "audacity").splitlines()
    assert [line.split("\t")[2] for line in track] == ["c 0.10"] * 8
    assert [line.split()[1] for line in run(place, capsys, file, "--exclude-label", "a").splitlines()[1:]] == [
        "b",
        "c",
    ]
    assert run(place, capsys, file, "--events", "--min-length", 4.1, "--format", "audacity") == ""


def test_tables_of_several_sounds_are_named_as_raven_names_them(place, tmp_path):
    for name in ("one.wav", "two.wav"):
        (tmp_path / name).write_bytes((place / "long.wav").read_bytes())
    command = ["classify", str(tmp_path), "--model", str(place / "model"), "--events", "--format", "raven"]
    assert main([*command, "--output", str(tmp_path / "tables")]) == 0
    names = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert names == ["one.Table.1.selections.txt", "two.Table.1.selections.txt"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--gap", "1"], "--gap: only with --events"), (["--events", "--top-k", "2"], "--top-k is for labels"),
     (["--events", "--hysteresis", "2"], "hysteresis is 2"), (["--label", "owl"], "the model has no label owl"),
     (["--label", "a", "--exclude-label", "a"], "leave no label"),
     (["--events", "--thresholds", "long.wav"], "is not UTF-8 text")],
)  # fmt: skip
def test_wrong_flags_of_events_are_one_line(place, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(place)
    assert main(["classify", "long.wav", "--model", "model", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_labels_are_chosen_whichever_way_unicode_spells_them():
    """As macOS names folders: a letter and its accent apart."""
    choice = LabelChoice("text", only=["\u00e9"], without=["u\u0308"])
    names = ["e\u0301", "\u00fc", "b"]
    choice.check("single_label_classification", names)
    assert choice.names(names) == ["e\u0301"]
    assert LabelChoice("text", without=["u\u0308"]).names(names) == ["e\u0301", "b"]
