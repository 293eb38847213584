# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Folders with links: each real folder is read once, and no label disappears."""

import tarfile

import numpy as np
import pytest
import soundfile

from ssast_hf import cli
from ssast_hf.data.folders import read_folder
from ssast_hf.data.sources import read_clips, read_labelled


def sound(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(16000, 0.1), 16000)
    return path


def test_tables_in_folders_with_loops_of_links_are_read_once(tmp_path, capsys):
    """Two loops make 2^40 ways to the same table."""
    for name in "abc":
        sound(tmp_path / "field" / name / f"{name}.wav")
        (tmp_path / "field" / name / f"{name}.txt").write_text(f"0\t1\t{name}\n")
        (tmp_path / "field" / name / "up").symlink_to("..", target_is_directory=True)
    clips = read_labelled(f"annotations:{tmp_path}/field,margin=0")
    assert [clip.label for clip in clips] == ["a", "b", "c"]
    assert [clip.path for clip in clips] == [str(tmp_path / "field" / name / f"{name}.wav") for name in "abc"]
    assert (
        cli.main(["annotations", str(tmp_path / "field"), "--margin", "0", "--output", str(tmp_path / "m.csv")]) == 0
    )
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize("option", ["", ",label=first", ",label=last"])
def test_a_label_that_is_another_by_a_link_is_refused(tmp_path, option):
    sound(tmp_path / "zzz" / "a.wav")
    sound(tmp_path / "owl" / "b.wav")
    (tmp_path / "aaa").symlink_to("zzz", target_is_directory=True)
    with pytest.raises(ValueError, match=r"/aaa and \S+/zzz are the same folder, expected one for each label"):
        read_labelled(f"{tmp_path}{option}")


def test_links_to_other_folders_are_labels(tmp_path):
    sound(tmp_path / "elsewhere" / "a.wav")
    sound(tmp_path / "data" / "owl" / "b.wav")
    (tmp_path / "data" / "fox").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data" / ".hidden").symlink_to("owl", target_is_directory=True)
    (tmp_path / "empty").mkdir()
    for name in ("x", "y"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "empty", target_is_directory=True)
    assert [clip.label for clip in read_labelled(str(tmp_path / "data"))] == ["fox", "owl"]


@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_what_is_passed_over_beside_shards_is_counted(tmp_path, caplog, monkeypatch, suffix):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    path, shards = sound(tmp_path / "a.wav"), tmp_path / "shards"
    shards.mkdir()
    for name in ("x.tar", "y.tar"):
        with tarfile.open(shards / name, "w") as archive:
            archive.add(path, "a.wav")
    (shards / "index.json").write_text("{}")
    if suffix == ".parquet":
        import pandas

        audio = [{"bytes": path.read_bytes(), "path": None}]
        pandas.DataFrame({"audio": audio}).to_parquet(shards / "x.parquet")
    clips = read_folder(shards)
    (line,) = [line for line in caplog.messages if "passed over" in line]
    if suffix == ".parquet":
        assert len(clips) == 1 and line == f"{shards}: 3 file(s) passed over: 2 .tar, 1 .json"
    else:
        assert len(clips) == 2 and line == f"{shards}: 1 file(s) passed over: 1 .json"
    assert len(read_clips(shards, labelled=False)) == len(clips)
