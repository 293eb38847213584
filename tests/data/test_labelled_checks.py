# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labels that may not be meant, and files that cannot be read, are found before training."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf import cli
from ssast_hf.data.labelled import label_names
from ssast_hf.data.labelled_checks import (
    check_found,
    clips_heard,
    readable,
    warn_of_heard,
    warn_of_labels,
    warn_of_shared,
)
from ssast_hf.data.labels import default_fraction, find_labels, hold_out
from ssast_hf.data.sources import Clip, read_clips, read_labelled
from ssast_hf.training import finetune, pretrain
from ssast_hf.training.optimization import sampling_weights
from ssast_hf.training.tuning import FineTuningArguments


def sounds(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.full(1600, 0.1), 16000)
    return folder


def test_unlabelled_clips_are_negatives_with_several_labels(tmp_path):
    rows = [f"{i}.wav,{('a', 'b', '', 'a;b')[i % 4]}" for i in range(40)]
    (tmp_path / "m.csv").write_text("\n".join(["file,label", *rows]))
    clips = read_labelled(str(tmp_path / "m.csv"), several=True)
    labels = find_labels(clips, True)
    expected = [([1, 0], [0, 1], [0, 0], [1, 1])[i % 4] for i in range(40)]
    np.testing.assert_array_equal(labels.targets(clips), expected)
    train, held_out = hold_out(clips, labels, 0.2, 0)
    assert sorted(train + held_out, key=str) == sorted(clips, key=str)
    assert sum(clip.label == "" for clip in held_out) == 2
    groups = [str(i // 4) for i in range(40)]
    train, held_out = hold_out(clips, labels, 0.2, 0, groups)
    assert len(train) + len(held_out) == 40 and any(clip.label == "" for clip in held_out)
    weights = sampling_weights(np.array(expected, np.float32))
    assert weights[2] == pytest.approx(0.1) and weights[0] == pytest.approx(1 / 20)
    (tmp_path / "m.jsonl").write_text('{"file": "a.wav", "label": []}\n')
    assert [clip.label for clip in read_labelled(str(tmp_path / "m.jsonl"), several=True)] == [""]


def test_an_empty_label_is_told_from_a_missing_column(tmp_path):
    (tmp_path / "m.csv").write_text("file,label\na.wav,x\nb.wav,\n")
    with pytest.raises(ValueError, match="line 3: the label is empty"):
        read_labelled(str(tmp_path / "m.csv"))
    (tmp_path / "m.csv").write_text("file,kind\na.wav,x\n")
    for several in (False, True):
        with pytest.raises(ValueError, match="line 2: no label in file, kind, expected a column named label"):
            read_labelled(str(tmp_path / "m.csv"), several)


def test_folders_in_folders_are_asked_about(tmp_path):
    folder = sounds(tmp_path, "Session1/Owl/a.wav", "Session2/Crow/b.wav")
    with pytest.raises(ValueError, match="is its label Session1 or Owl.*label=first or .*label=last"):
        read_labelled(str(folder))
    assert [clip.label for clip in read_labelled(f"{folder},label=first")] == ["Session1", "Session2"]
    assert [clip.label for clip in read_labelled(f"{folder},label=last")] == ["Owl", "Crow"]
    with pytest.raises(ValueError, match="label is 'middle', expected first or last"):
        read_labelled(f"{folder},label=middle")


@pytest.mark.parametrize("names", [("train/Owl/a.wav", "test/Owl/b.wav"), ("Training/a.wav", "validation/b.wav"),
                                   ("train_set/Owl/a.wav", "val/Owl/b.wav")])  # fmt: skip
def test_parts_of_a_split_are_no_labels(tmp_path, names):
    with pytest.raises(ValueError, match=r"are parts of a split.*--data \S+/[tT]rain\S*\).*--validation_data"):
        read_labelled(str(sounds(tmp_path, *names)))


def test_files_passed_over_are_counted(tmp_path, caplog):
    folder = sounds(tmp_path, "Owl/a.wav", "Crow/b.wav")
    for name in ("Owl/a.txt", "Crow/b.txt", "Crow/c.xyz"):
        (folder / name).write_text("x")
    read_labelled(str(folder))
    assert len(caplog.messages) == 1 and "3 file(s) passed over: 2 .txt, 1 .xyz" in caplog.text


def test_numbers_are_sorted_as_numbers():
    assert label_names([Clip("x", str(n)) for n in (10, 9, 100, 1, 2.5, -3)]) == ["-3", "1", "2.5", "9", "10", "100"]
    assert label_names([Clip("x", name) for name in ("10", "9", "x")]) == ["10", "9", "x"]


def test_missing_files_are_found(tmp_path, monkeypatch):
    sounds(tmp_path, "sets/there.wav", "a/b.wav")
    (tmp_path / "sets" / "m.csv").write_text("file,label\nthere.wav,x\na/b.wav,y\nnowhere.wav,y\n")
    monkeypatch.chdir(tmp_path)
    source = os.path.join("sets", "m.csv")
    with pytest.raises(ValueError, match="2 of its files do not exist: .*1 of them exist relative to the working"):
        check_found(read_labelled(source), source)


def test_unlabelled_manifests_hint_at_the_working_directory(tmp_path, monkeypatch, caplog):
    sounds(tmp_path, "a/b.wav")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "m.csv").write_text("file\na/b.wav\n")
    monkeypatch.chdir(tmp_path)
    read_clips(os.path.join("sets", "m.csv"), labelled=False)
    assert "such as a/b.wav; paths are expected relative to sets" in caplog.text


def test_evaluate_names_missing_paths_before_it_measures(tmp_path, monkeypatch, capsys):
    sounds(tmp_path, "a/b.wav")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "m.csv").write_text("file,label\na/b.wav,Bass\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", "--data", "sets/m.csv", "--model", "ssast-tiny-patch-debian-kinds", "--output-dir", "out"]
    assert cli.main(arguments) == 2
    assert "1 of its files do not exist" in (told := capsys.readouterr().err) and "relative to sets" in told
    assert not Path("out").exists()


def test_rows_of_tables_are_counted_as_files_are(tmp_path, caplog):
    """Of a Parquet file with a damaged sound, a truncated one and a path that leads nowhere."""
    datasets = pytest.importorskip("datasets")
    good = sounds(tmp_path, "good.wav") / "good.wav"
    whole = good.read_bytes()
    rows = [{"bytes": whole, "path": None}, {"bytes": b"no sound", "path": None},
            {"bytes": whole[:1000], "path": None}, {"bytes": None, "path": str(tmp_path / "nowhere.wav")}]  # fmt: skip
    table = datasets.Dataset.from_dict({"audio": rows, "label": ["x", "y", "y", "y"]})
    table.to_parquet(str(tmp_path / "t.parquet"))
    clips = read_labelled(str(tmp_path / "t.parquet"))
    assert readable(clips) == clips[:1]
    assert len(caplog.messages) == 3


def test_unreadable_clips_are_found_by_their_headers(tmp_path, caplog):
    sounds(tmp_path, "good.wav")
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:1000])
    clips = [Clip(str(tmp_path / "good.wav")), Clip(str(tmp_path / "bad.wav")),
             Clip(str(tmp_path / "good.wav"), offset=3.0), Clip(str(tmp_path / "cut.wav"))]  # fmt: skip
    assert readable(clips) == clips[:1]
    assert len(caplog.messages) == 3


def test_labels_that_may_not_be_meant_are_warned_of_once(caplog):
    names = ["Owl"] * 6 + ["owl"] * 6 + ["_background_noise_"] * 6 + ["Crow"]
    clips = [Clip(f"{i}.wav", name) for i, name in enumerate(names)] + [Clip("0.wav", "owl")]
    with caplog.at_level(logging.WARNING):
        warn_of_labels(clips, find_labels(clips, False), "here")
        warn_of_shared([Clip("0.wav", "x", 0.0, 1.0)], [Clip("0.wav", "x", 1.0, 1.0)], "here")
    messages = caplog.messages
    assert len(messages) == 5
    assert "_background_noise_" in messages[0] and "Owl and owl" in messages[1] and "Crow (1)" in messages[2]
    assert "1 sound(s) two labels" in messages[3] and "0.wav (Owl, owl)" in messages[3]
    assert "--group_column file" in messages[4]
    caplog.clear()
    several = [Clip(f"{i}.wav", "owl;fox") for i in range(6)] + [Clip("./3.wav", "fox;owl"), Clip("4.wav", "fox")]
    warn_of_labels(several, find_labels(several, True), "here")
    assert caplog.messages == [
        f"here has 1 sound(s) several times, such as {os.path.realpath('3.wav')}: each counts as often."
    ]


def test_sound_on_both_sides_is_found_under_other_names_and_in_other_parts(tmp_path, caplog):
    """By the file that a name leads to, and by seconds that overlap; parts that only touch share nothing."""
    sounds(tmp_path, "a.wav", "b.wav")
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    train = [Clip(str(tmp_path / "a.wav"), "x", 1.0, 2.0)]
    others = [
        (True, Clip(str(tmp_path / "linked/a.wav"), "x", 1.0, 2.0)),
        (True, Clip(str(tmp_path / "linked/./a.wav"), "x")),
        (True, Clip(str(tmp_path / "a.wav"), "x", 2.5)),
        (False, Clip(str(tmp_path / "a.wav"), "x", 3.0)),
        (False, Clip(str(tmp_path / "a.wav"), "x", 0.0, 1.0)),
        (False, Clip(str(tmp_path / "a.wav"), "x", 0.7, 0.1 + 0.2 + 1e-9)),
        (False, Clip(str(tmp_path / "b.wav"), "x")),
    ]  # fmt: skip
    assert [clips_heard(train, [clip]) for _, clip in others] == [int(heard) for heard, _ in others]
    warn_of_heard(train, [clip for _, clip in others], "test.csv", "train.csv")
    assert caplog.messages == [
        "test.csv: 3 of 7 clips are in the training data train.csv, too: results look better than they are."
    ]
    assert [warn_of_shared(train, [clip], "here") for _, clip in others] == [True] * 6 + [False]


def test_training_takes_one_channel_and_truncated_files_on_request(tmp_path):
    """Of stereo files the right channel, 0.3; of files that are cut off, what is left."""
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(4):
            path = tmp_path / "data" / label / f"{number}.wav"
            soundfile.write(path, np.tile([0.1, 0.3], (1600, 1)), 16000)
            path.write_bytes(path.read_bytes()[: 44 + 4 * 800])
    fields = {"validation_fraction": 0.0, "from_scratch": True}
    data = finetune.FineTuningDataArguments(str(tmp_path / "data"), "no model", **fields)
    training = FineTuningArguments(str(tmp_path / "run"), use_cpu=True)
    with pytest.raises(ValueError, match="None of the 8 clips"):
        finetune._read(data, training, {"frozen"})
    data.channel, data.accept_truncated = 2, True
    clips, *_ = finetune._read(data, training, {"frozen"})
    reader = finetune._reader(data, training, clips, 16000)
    assert len(clips) == 8
    np.testing.assert_allclose(reader.read(clips[0]), np.full(800, 0.3), atol=1e-4)
    sources = pretrain._sources([str(tmp_path / "data")], data)
    assert {(clip.channel, clip.accept_truncated) for clip in sources[0].clips} == {(2, True)}
    data.channel = 0
    with pytest.raises(ValueError, match="--channel is 0"):
        finetune._read(data, training, {"frozen"})


@pytest.mark.parametrize("held_out", [False, True])
def test_a_label_without_a_readable_clip_is_refused(tmp_path, held_out):
    """For training and for validation; --allow_missing_labels lifts it, and the clips that are left are counted."""
    folder = sounds(tmp_path, *(f"{label}/{i}.wav" for label in ("a", "b") for i in range(6)))
    (tmp_path / "a.csv").write_text("file,label\na/0.wav,a\nb/0.wav,b\n")
    for number in range(1 if held_out else 6):
        (folder / "b" / f"{number}.wav").write_bytes(b"no sound")
    fields = {"validation_data": str(tmp_path / "a.csv")} if held_out else {"validation_fraction": 0.0}
    data = finetune.FineTuningDataArguments(str(folder), "no model", from_scratch=True, **fields)
    training = FineTuningArguments(str(tmp_path / "run"), use_cpu=True)
    with pytest.raises(
        ValueError,
        match="has no clip of b that can be read, see the warnings. If .* give --allow_missing_labels",
    ):
        finetune._read(data, training, {"frozen"})
    data.allow_missing_labels = True
    clips, labels, *_ = finetune._read(data, training, {"frozen"})
    assert labels.names == ("a", "b") and len(clips) == (11 if held_out else 6)


@pytest.mark.parametrize(
    ("samples", "rate", "enough"), [(399, 16000, 0), (400, 16000, 6), (1101, 44100, 0), (1103, 44100, 6)]
)
def test_clips_shorter_than_a_frame_are_no_clips_for_training(tmp_path, samples, rate, enough):
    """Kaldi's frames have 25 ms. Such clips were counted, and then skipped in every epoch."""
    folder = sounds(tmp_path, *(f"a/{i}.wav" for i in range(3)))
    (folder / "b").mkdir()
    for number in range(3):
        soundfile.write(folder / "b" / f"{number}.wav", np.full(samples, 0.1), rate)
    data = finetune.FineTuningDataArguments(str(folder), "no model", from_scratch=True, validation_fraction=0.0)
    training = FineTuningArguments(str(tmp_path / "run"), use_cpu=True)
    if enough:
        assert len(finetune._read(data, training, {"frozen"})[0]) == enough
        return
    with pytest.raises(ValueError, match="has no clip of b that can be read, see the warnings"):
        finetune._read(data, training, {"frozen"})
    data.allow_missing_labels = True
    *_, unreadable = finetune._read(data, training, {"frozen"})
    assert unreadable == 3


@pytest.mark.parametrize("frozen", [False, True])
def test_a_label_whose_samples_are_not_numbers_is_refused(tmp_path, frozen):
    """Their headers are those of sound."""
    folder = sounds(tmp_path, *(f"{label}/{i}.wav" for label in ("a", "b") for i in range(3)))
    for number in range(3):
        soundfile.write(folder / "b" / f"{number}.wav", np.full(8000, np.nan), 16000, subtype="FLOAT")
    data = finetune.FineTuningDataArguments(
        str(folder), "no model", from_scratch=True, validation_fraction=0.0, frozen=frozen
    )
    training = FineTuningArguments(str(tmp_path / "run"), use_cpu=True)
    with pytest.raises(ValueError, match="has no clip of b that can be read, see the warnings"):
        finetune._read(data, training, {"frozen"})
    data.allow_missing_labels = True
    assert len(finetune._read(data, training, {"frozen"})[0]) == 6


@pytest.mark.parametrize(("each", "expected"), [(4, 0.3), (20, 0.25), (25, 0.2), (50, 0.1), (500, 0.1)])
def test_few_clips_have_a_greater_share_held_out(each, expected):
    clips = [Clip(f"{label}{i}.wav", label=label) for label in "abc" for i in range(each)]
    assert default_fraction(clips, find_labels(clips, False)) == pytest.approx(expected)
