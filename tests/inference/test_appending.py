# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast embed --append`: what is appended to equals what is written anew; nothing is computed twice."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf import embed
from ssast_hf.cli import main
from ssast_hf.inference import collections, embed_collection
from ssast_hf.inference.collection_files import read_collection

NAMES = ("e.npz", "e.parquet", "e")


def write(path: Path, seed: int, samples: int = 9000) -> None:
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(samples), 16000)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(4):
        write(folder / f"{number}.wav", number, 5000 + 4000 * number)
    return folder


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """The names of the files that the model hears, in order."""
    heard, original = [], collections.embed_parts

    def listening(model, extractor, files, *options):
        heard.extend(Path(clip.path).name for clip in files)
        return original(model, extractor, files, *options)

    monkeypatch.setattr(collections, "embed_parts", listening)
    return heard


def rows_by_file(path: Path) -> dict[str, dict[str, np.ndarray]]:
    found = read_collection(path)
    assert sum(entry.get("rows", 0) for entry in found.entries) == len(found.columns["embeddings"])
    slices = {
        Path(entry["file"]).name: slice(entry["row"], entry["row"] + entry["rows"])
        for entry in found.entries
        if "error" not in entry
    }
    return {file: {name: values[rows] for name, values in found.columns.items()} for file, rows in slices.items()}


def same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for file, columns in expected.items():
        for name, values in columns.items():
            np.testing.assert_allclose(found[file][name], values, atol=1e-5, err_msg=f"{file} {name}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["clip", "frame"])
def test_only_new_and_changed_files_are_computed(encoder, folder, tmp_path, computed, name, level):
    if name == "e.parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / name

    def append(**options):
        computed.clear()
        return embed_collection(*encoder, folder, output, level, append=True, name="some/model", **options)

    assert append().done == 4 and computed == ["0.wav", "1.wav", "2.wav", "3.wav"]  # there is none: it is made
    (folder / "5.wav").write_bytes(b"RIFF nonsense")
    write(folder / "4.wav", 4)
    write(folder / "1.wav", 11, 20000)
    (folder / "2.wav").unlink()
    state = append()
    assert computed == ["1.wav", "4.wav", "5.wav"] and (state.done, state.failed) == (3, 1)
    assert (state.changed, list(map(os.path.basename, state.gone))) == (1, ["2.wav"])
    found = rows_by_file(output)
    expected = dict(
        zip(sorted(folder.iterdir()), (arrays for _, arrays in embed(*encoder, sorted(folder.iterdir()), level)))
    )
    assert found.keys() == {"0.wav", "1.wav", "2.wav", "3.wav", "4.wav"}  # what is gone stays
    for path, arrays in expected.items():
        if isinstance(arrays, dict):
            np.testing.assert_allclose(
                found[path.name]["embeddings"], np.atleast_2d(arrays["embeddings"]), atol=1e-5, err_msg=path.name
            )
    write(folder / "5.wav", 5)  # it can be read by now
    assert append(prune=True).gone and computed == ["5.wav"]
    before = output.stat().st_mtime_ns
    state = append(prune=True)
    assert computed == [] and state.rows == len(read_collection(output).columns["embeddings"])
    assert output.stat().st_mtime_ns == before
    embed_collection(*encoder, folder, tmp_path / f"new{output.suffix}", level, name="some/model")
    same(rows_by_file(output), rows_by_file(tmp_path / f"new{output.suffix}"))
    assert read_collection(output).metadata == read_collection(tmp_path / f"new{output.suffix}").metadata
    assert read_collection(output).metadata["model"] == "some/model"
    assert {path.name for path in tmp_path.iterdir()} == {"sounds", name, f"new{output.suffix}"}


class Stop(BaseException):
    """Ends a run where nothing can catch it, as being killed does."""


@pytest.mark.parametrize("name", NAMES[::2])
def test_appending_that_was_cut_off_goes_on(encoder, folder, tmp_path, computed, name):
    output = tmp_path / name
    embed_collection(*encoder, folder, output)
    for number in range(4, 8):
        write(folder / f"{number}.wav", number)
    write(folder / "0.wav", 10)

    def stop(state):
        if state.done == 3:
            raise Stop

    with pytest.raises(Stop):
        embed_collection(*encoder, folder, output, append=True, progress=stop)
    assert len(read_collection(tmp_path / (name if name == "e" else "e.npz.partial")).entries) == 7
    computed.clear()
    write(folder / "8.wav", 8)  # the next sound has arrived meanwhile
    embed_collection(*encoder, folder, output, append=True)
    assert computed == ["6.wav", "7.wav", "8.wav"]
    embed_collection(*encoder, folder, tmp_path / "new")
    same(rows_by_file(output), rows_by_file(tmp_path / "new"))


def test_seeding_that_was_cut_off_begins_anew(encoder, folder, tmp_path, monkeypatch):
    output = tmp_path / "e.npz"
    embed_collection(*encoder, folder, output)
    write(folder / "4.wav", 4)
    put = collections.Store.put

    def cut_off(store, entry, arrays):
        if entry["file"].endswith("2.wav"):
            raise Stop
        put(store, entry, arrays)

    with monkeypatch.context() as patched:
        patched.setattr(collections.Store, "put", cut_off)
        with pytest.raises(Stop):
            embed_collection(*encoder, folder, output, append=True)
    embed_collection(*encoder, folder, output, append=True)
    assert sorted(rows_by_file(output)) == [f"{number}.wav" for number in range(5)]


@pytest.mark.parametrize("name", NAMES[::2])
def test_other_settings_are_refused(encoder, folder, tmp_path, monkeypatch, name):
    output = tmp_path / name
    embed_collection(*encoder, folder, output)
    before = rows_by_file(output)
    model, extractor = encoder
    for options, message in (
        ({"level": "frame"}, r'level is "clip" there and "frame" now'),
        ({"layers": [1]}, r"layers is null there and \[1\] now"),
        ({"pooling": "cls"}, r'pooling is "mean" there and "cls" now'),
        ({"channel": 1}, "channel is null there and 1 now"),
    ):
        with pytest.raises(ValueError, match=message):
            embed_collection(*encoder, folder, output, append=True, **options)
    embed_collection(*encoder, folder, output, append=True, pooling="mean")  # the model's own
    with monkeypatch.context() as patched, pytest.raises(ValueError, match='ssast_hf is .* there and "9.9" now'):
        patched.setattr("ssast_hf.__version__", "9.9")
        embed_collection(*encoder, folder, output, append=True)
    model.layernorm.bias.data += 1
    with pytest.raises(ValueError, match="the model's checksum"):
        embed_collection(model, extractor, folder, output, append=True)
    same(rows_by_file(output), before)
    with pytest.raises(ValueError, match="without shards"):
        embed_collection(*encoder, folder, output, append=True, shard=(1, 2))
    with pytest.raises(ValueError, match="give --append as well"):
        embed_collection(*encoder, folder, tmp_path / "x", prune=True)


def test_files_of_earlier_versions_are_refused_in_one_line(encoder, folder, tmp_path):
    names = sorted(map(str, folder.iterdir()))
    np.savez(tmp_path / "e.npz", files=np.array(names), embeddings=np.zeros((4, 32), np.float32))
    with pytest.raises(ValueError, match="does not say which model .* --overwrite"):
        embed_collection(*encoder, folder, tmp_path / "e.npz", append=True)
    found = read_collection(tmp_path / "e.npz")
    assert [entry["file"] for entry in found.entries] == names and found.metadata is None


def test_the_command_says_what_it_does(checkpoints, folder, tmp_path, capsys):
    command = ["embed", str(folder), "--model", str(checkpoints / "pretrained"), "--output", str(tmp_path / "e.npz")]
    command += ["--append", "--pooling", "rows"]
    assert main(command) == 0
    shutil.move(folder / "0.wav", folder / "9.wav")
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr()
    assert f"{folder}/0.wav is gone: its embeddings stay" in said.err
    assert "5 embeddings of size 256, 1 file(s) added, 0 of them changed" in said.out
    metadata = json.loads(np.load(tmp_path / "e.npz")["metadata"].item())
    assert metadata["model"] == str(checkpoints / "pretrained") and metadata["pooling"] == "rows"
    assert main([*command, "--prune"]) == 0
    said = capsys.readouterr()
    assert "left out" in said.err and "4 embeddings of size 256, 0 file(s) added" in said.out
    assert main([*command[:-1], "mean"]) == 2
    assert 'pooling is "rows" there and "mean" now' in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 2
