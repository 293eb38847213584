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
