# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Stores of embeddings: one writer at a time, kills at the end of a run, damaged files."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf.inference import embed_collection, read_embeddings, store
from ssast_hf.inference.store import LOCK, Store


@pytest.fixture
def collection(tmp_path) -> Path:
    folder = tmp_path / "collection"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(5):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(4000), 16000)
    return folder


def answer_of(*call, **keywords) -> str:
    """What a call says in another process: the message of its ValueError, or how many rows it wrote."""
    pipe, end = multiprocessing.get_context("fork").Pipe()

    def run():
        try:
            end.send(str(embed_collection(*call, **keywords).rows))
        except ValueError as error:
            end.send(str(error))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    found = pipe.recv() if pipe.poll(60) else "no answer"
    process.kill()
    process.join()
    return found


@pytest.mark.parametrize("name", ["e", "e.npz"])
def test_overwrite_beside_a_running_writer_deletes_nothing(encoder, collection, tmp_path, name):
    """It destroyed the rows of the first process, which then reported success."""
    answers = []

    def second(state):
        if state.done == 3:
            work = tmp_path / ("e" if name == "e" else "e.npz.partial")
            read_embeddings(work)  # opening the files in the same process must not end the lock
            answers.append(answer_of(*encoder, collection, tmp_path / name, overwrite=True))
            answers.append(answer_of(*encoder, collection, tmp_path / name))

    embed_collection(*encoder, collection, tmp_path / name, progress=second)
    assert len(answers) == 2 and all("is being written by another process" in answer for answer in answers)
    found = read_embeddings(tmp_path / "e")[0] if name == "e" else np.load(tmp_path / name)["embeddings"]
    embed_collection(*encoder, collection, tmp_path / "alone")
    np.testing.assert_array_equal(found, read_embeddings(tmp_path / "alone")[0])
    assert embed_collection(*encoder, collection, tmp_path / name, overwrite=True).rows == 5
    assert not (tmp_path / "e" / LOCK).exists() and not (tmp_path / "e.npz.partial").exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", ["remove", "_delete", "save_written"])
def test_a_kill_at_the_end_leaves_a_run_that_the_same_command_finishes(
    encoder, collection, tmp_path, monkeypatch, call
):
    output = tmp_path / "e.npz"
    embed_collection(*encoder, collection, tmp_path / "whole.npz")
    save_written = Store.save_written

    def killed(place, *arguments):
        if call == "_delete":  # after the columns
            for path in place.glob("*.npy"):
                path.unlink()
        if call == "save_written":  # before the output has its name
            save_written(place, *arguments)
        raise Killed

    monkeypatch.setattr(store if call == "_delete" else Store, call, killed)
    with pytest.raises(Killed):
        embed_collection(*encoder, collection, output)
    monkeypatch.undo()
    assert output.exists() == (call != "save_written")
    state = embed_collection(*encoder, collection, output)
    assert (state.total, state.done, state.rows, state.failed) == (5, 5, 5, 0)
    assert not (tmp_path / "e.npz.partial").exists()
    np.testing.assert_array_equal(np.load(output)["embeddings"], np.load(tmp_path / "whole.npz")["embeddings"])


def test_another_file_of_the_outputs_name_is_left_alone(encoder, collection, tmp_path):
    """Also where an interrupted run had written a file of that name."""
    output = tmp_path / "e.npz"

    def stop(state):
        if state.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_collection(*encoder, collection, output, progress=stop)
    (tmp_path / "mine").write_text("mine")
    os.replace(tmp_path / "mine", output)
    with pytest.raises(ValueError, match="exists"):
        embed_collection(*encoder, collection, output)
    assert output.read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 20000, '{"settings": 1}', "\0"])
def test_a_damaged_store_is_said_to_be_damaged(encoder, collection, tmp_path, content):
    embed_collection(*encoder, collection, tmp_path / "e")
    settings = json.loads((tmp_path / "e/settings.json").read_text())
    (tmp_path / "e/settings.json").write_text(content)
    with pytest.raises(ValueError, match="settings.json is damaged"):
        embed_collection(*encoder, collection, tmp_path / "e")
    (tmp_path / "e/settings.json").write_text(json.dumps({**settings, "complete": False}))
    (tmp_path / "e/index.jsonl").write_text(f'{{"file": "x", "error": "y"}}\n{content}\n')
    with pytest.raises(ValueError, match="index.jsonl is damaged: line 2"):
        embed_collection(*encoder, collection, tmp_path / "e")
    with pytest.raises(ValueError, match="index.jsonl is damaged: line 2"):
        read_embeddings(tmp_path / "e")
    assert embed_collection(*encoder, collection, tmp_path / "e", overwrite=True).rows == 5
