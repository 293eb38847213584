# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the prepare modules do with copies, names in capitals, manifests of earlier runs, and damaged lists."""

import shutil
from pathlib import Path

import pytest

from recipes import manifests

from .helpers import Sounds, failed, labels_of, made, rows_of


def emotions(root: Path, speakers: int = 10, suffix: str = ".wav") -> Path:
    sounds = Sounds()
    for speaker in range(speakers):
        for letter in "WLN":
            sounds.write(root / f"{speaker:02}a01{letter}a{suffix}")
    return root


def test_folds_of_an_earlier_run_go_and_nothing_else(tmp_path):
    root, output = emotions(tmp_path / "emodb"), tmp_path / "o"
    made("emodb", root, "--output", output, "--folds", "10")
    mine = [output / name for name in ("fold9/notes.txt", "fold_mine/train.csv", "fold8/test.csv", "train.csv")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("file,label\nmine.wav,x\n")
    said = made("emodb", root, "--output", output, "--folds", "3", "--overwrite")
    assert said.count("which an earlier run wrote") == 2 * 7 - 1
    assert sorted(path.name for path in output.glob("fold*")) == [
        "fold0",
        "fold1",
        "fold2",
        "fold8",
        "fold9",
        "fold_mine",
    ]
    assert all(path.read_text() == "file,label\nmine.wav,x\n" for path in mine)
    assert sorted(path.name for path in output.glob("fold[89]/*")) == ["notes.txt", "test.csv"]
    assert sum(len(rows_of(output / f"fold{fold}/test.csv")) for fold in range(3)) == 30


def test_speakers_that_are_gone_have_no_fold(tmp_path):
    sounds = Sounds()
    for speaker in ("george", "jackson", "theo"):
        for digit in (0, 7):
            sounds.write(tmp_path / f"digits/{digit}_{speaker}_0.wav")
    made("fsdd", tmp_path / "digits", "--output", tmp_path / "o")
    for path in (tmp_path / "digits").glob("*_theo_*"):
        path.unlink()
    made("fsdd", tmp_path / "digits", "--output", tmp_path / "o", "--overwrite")
    assert {path.name for path in (tmp_path / "o/digits").iterdir()} == {"foldgeorge", "foldjackson"}
    assert {path.name for path in (tmp_path / "o/speakers").iterdir()} == {"fold0-4", "fold5-9"}


def test_the_same_source_counts_once_and_a_copy_is_an_error(tmp_path):
    root = emotions(tmp_path / "emodb")
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "links").mkdir()
    for path in root.iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    for number, sources in enumerate(([root, root], [root, tmp_path / "link"], [tmp_path / "links", root])):
        made("emodb", *sources, "--output", tmp_path / str(number))
        assert len(rows_of(tmp_path / f"{number}/emodb.csv")) == 30
    archive = shutil.make_archive(str(root), "zip", root)
    made("emodb", archive, archive, "--output", tmp_path / "3")
    assert len(rows_of(tmp_path / "3/emodb.csv")) == 30
    shutil.copytree(root, tmp_path / "both/one")
    shutil.copytree(root, tmp_path / "both/other")
    for sources in ([tmp_path / "both"], [root, tmp_path / "both/one"]):
        said = failed("emodb", *sources, "--output", tmp_path / "o")
        assert said.count("00a01La.wav") == 2 and "two files of one name" in said
    (tmp_path / "nothing").mkdir()
    assert f"found no clips in {tmp_path / 'nothing'}" in failed(
        "emodb", root, tmp_path / "nothing", "--output", tmp_path / "o"
    )


def test_two_roots_are_an_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert manifests.find_root([tmp_path / "a", tmp_path / "a", tmp_path / "link"], "mark") == tmp_path / "a"
    for folders in ([tmp_path], [tmp_path / "a", tmp_path / "b"]):
        with pytest.raises(ValueError, match=r"mark is in both .*/a and .*/b, expected one"):
            manifests.find_root(folders, "mark")
    with pytest.raises(FileNotFoundError, match="nowhere was not found in"):
        manifests.find_root([tmp_path], "nowhere")


def test_copies_in_voxceleb_and_audioset_are_an_error(tmp_path):
    sounds, split = Sounds(), tmp_path / "split.txt"
    names = [f"id1000{number}/video{number}/00001.wav" for number in range(3)]
    split.write_text("".join(f"{number + 1} {name}\n" for number, name in enumerate(names)))
    for name in names:
        sounds.write(tmp_path / "one/wav" / name)
    made("voxceleb", tmp_path / "one", tmp_path / "one", "--split", split, "--output", tmp_path / "a")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    both = (tmp_path / "one", tmp_path / "other")
    assert failed("voxceleb", *both, "--split", split, "--output", tmp_path / "b").count(names[0]) == 2
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/1,Speech\n")
    for name, video in (("balanced_train", "abc"), ("eval", "def")):
        (tmp_path / f"lists/{name}_segments.csv").write_text(f'{video}, 0.000, 10.000, "/m/1"\n')
    for path in ("abc.wav", "def.wav", "unlisted.wav", "deeper/unlisted.wav"):
        sounds.write(tmp_path / "sound" / path)
    line = (tmp_path / "sound", "--lists", tmp_path / "lists", "--output")
    made("audioset", *line, tmp_path / "c")
    sounds.write(tmp_path / "sound/deeper/abc.wav")
    assert failed("audioset", *line, tmp_path / "d").count("abc.wav") == 2


def test_names_in_capitals_are_found(tmp_path):
    emotions(tmp_path / "emodb", 5)
    for path in list((tmp_path / "emodb").iterdir()):
        path.rename(path.with_name(path.name.upper()))
    made("emodb", tmp_path / "emodb", "--output", tmp_path / "e")
    rows = rows_of(tmp_path / "e/emodb.csv")
    assert len(rows) == 15 and {row["sentence"] for row in rows} == {"a01"}
    assert labels_of(tmp_path / "e/emodb.csv") == ["anger", "boredom", "neutral"]
    sounds = Sounds()
    for name in ("0_george_0.WAV", "7_george_0.wav", "0_theo_0.Wav", "7_theo_0.WAV", "others.wav"):
        sounds.write(tmp_path / "digits" / name)
    said = made("fsdd", tmp_path / "digits", "--output", tmp_path / "f")
    assert len(rows_of(tmp_path / "f/fsdd.csv")) == 4 and "1 sounds with other names than" in said
    sounds.write(tmp_path / "digits/0_george_0.wav")
    assert "two files of one name" in failed("fsdd", tmp_path / "digits", "--output", tmp_path / "g")


def test_speech_commands_in_capitals_without_hidden_files(tmp_path):
    root, sounds = tmp_path / "speech_commands", Sounds()
    for name in ("1_nohash_0.WAV", "2_nohash_0.wav", "3_nohash_0.WAV"):
        sounds.write(root / "yes" / name)
    (root / "yes/._2_nohash_0.wav").write_bytes(b"macOS")
    (root / "validation_list.txt").write_text("yes/1_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("yes/2_nohash_0.wav\n")
    made("speechcommands", root, "--output", tmp_path / "o")
    assert [rows_of(tmp_path / f"o/{name}.csv")[0]["speaker"] for name in ("train", "validation", "test")] == list(
        "312"
    )
    line = (root, "--output", tmp_path / "p")
    assert "but --task is words" in failed("speechcommands", *line, "--test-set", root)
    noise = sounds.write(root / "_background_noise_/a.WAV", seconds=12)
    sounds.write(root / "_background_noise_/b.wav", seconds=12).write_bytes(b"damaged")
    failed("speechcommands", *line, "--task", "keywords")
    assert not (tmp_path / "p").exists()
    (noise.parent / "b.wav").unlink()
    made("speechcommands", *line, "--task", "keywords")
    assert len(rows_of(tmp_path / "p/train.csv")) == 1 + 10


def test_damaged_lists_are_named(tmp_path):
    meta = tmp_path / "esc50/meta/esc50.csv"
    meta.parent.mkdir(parents=True)
    for text, reason in (
        (b"filename,fold\n1.wav,1\n", "has the columns filename, fold; expected rows with the columns category"),
        (b"", "has no rows"), (b"filename,fold,category,src_file\n1.wav,1,dog\n", "line 2: nothing in the column src"),
        (b"filename,fold,category,src_file\n\xff.wav,1,dog,1\n", "is not UTF-8"),
    ):  # fmt: skip
        meta.write_bytes(text)
        said = failed("esc50", tmp_path / "esc50", "--output", tmp_path / "o")
        assert reason in said and "esc50.csv" in said and not (tmp_path / "o").exists()


def test_manifests_that_cannot_all_be_written_leave_none(tmp_path):
    output, sound = tmp_path / "o", Sounds().write(tmp_path / "1.wav")
    output.mkdir()
    (output / "fold1").touch()
    rows = [{"file": sound, "label": "x"}]
    with pytest.raises(OSError, match="fold1"):
        manifests.write_manifests(output, {"all.csv": rows, "fold0/test.csv": rows, "fold1/test.csv": rows})
    assert [path.name for path in output.iterdir()] == ["fold1"]
