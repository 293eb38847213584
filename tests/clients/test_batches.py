# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`Embedder` and `Classifier` against `ssast embed` and `ssast classify`, by hand and by `datasets.map`."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf.cli import main
from ssast_hf.integrations.batches import Classifier, Embedder

datasets = pytest.importorskip("datasets", reason="pip install 'ssast_hf[train]'")

READ = ("long.wav", "short.flac", "stereo.ogg")
NOT_READ = ("broken.wav", "too short.wav")


@pytest.fixture
def embedded(checkpoints, sounds, tmp_path) -> dict[str, np.ndarray]:
    """What `ssast embed` writes, by the files' names."""
    output = tmp_path / "embedded.npz"
    assert main(["embed", str(sounds), "--model", str(checkpoints / "pretrained"), "--output", str(output)]) == 1
    arrays = np.load(output)
    return {file.rpartition("/")[2]: row for file, row in zip(arrays["files"], arrays["embeddings"])}


def compare(columns, names, expected) -> None:
    """Embeddings within 1e-5, NaN and a reason for files that cannot be read."""
    assert len(columns["embeddings"]) == len(names) == len(columns["error"])
    for name, row, error in zip(names, columns["embeddings"], columns["error"]):
        if name in NOT_READ:
            assert np.isnan(row).all() and error
        else:
            assert not error
            np.testing.assert_allclose(row, expected[name], rtol=0, atol=1e-5)


def test_paths_are_embedded_as_by_the_command_and_columns_are_kept(checkpoints, sounds, embedded):
    names = [*NOT_READ, *READ]
    batch = {"path": np.array([str(sounds / name) for name in names]), "number": np.arange(5)}
    columns = Embedder(checkpoints / "pretrained")(batch)
    assert list(columns) == ["path", "number", "embeddings", "error"] and list(batch) == ["path", "number"]
    assert columns["number"] is batch["number"]
    assert columns["embeddings"].dtype == np.float32 and columns["embeddings"].shape == (5, 32)
    compare(columns, names, embedded)
    assert "RIFF" in columns["error"][0] or "broken.wav" in columns["error"][0]
    assert "too short.wav has 100 samples" in columns["error"][1]


def kinds_of(path) -> list:
    """A sound as each of the values that a column may have."""
    samples, rate = soundfile.read(path, dtype="float32")
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    planes = torch.from_numpy(np.atleast_2d(samples.T).copy())  # (channels, samples), as torchcodec has them
    decoder = SimpleNamespace(get_all_samples=lambda: SimpleNamespace(data=planes, sample_rate=rate))
    return [
        path, str(path), np.str_(path), f"file://{path}", path.read_bytes(),
        {"bytes": path.read_bytes(), "path": None},
        {"bytes": None, "path": str(path)}, {"array": mono, "sampling_rate": rate, "path": str(path)},
        {"array": mono.tolist(), "sampling_rate": float(rate)}, {"array": mono.astype(float), "sampling_rate": rate},
        decoder,
    ]  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_every_kind_of_value_has_the_embedding_of_its_file(checkpoints, sounds, embedded, name):
    values = kinds_of(sounds / name)
    columns = Embedder(checkpoints / "pretrained")({"audio": values})
    compare(columns, [name] * len(values), embedded)


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "NoneType"),
        ({"bytes": None, "path": None}, "NoneType"),
        ({"array": np.zeros((9000, 2), np.float32), "sampling_rate": 16000}, "(9000, 2)"),
        ({"array": np.zeros(9000, np.float32)}, "without `sampling_rate`"),
        ({"array": np.full(9000, np.nan), "sampling_rate": 16000}, "NaN"),
        ({"array": np.zeros(0, np.float32), "sampling_rate": 16000}, "samples"),
        (SimpleNamespace(get_all_samples=lambda: torch.zeros(2) + torch.zeros(3)), "cannot be decoded: The size"),
        ("s3x://bucket/a.wav", "s3x"),
        ("file:///nowhere/a.wav", "nowhere"),
        ("nowhere.wav", "nowhere.wav"),
    ],
)
def test_what_cannot_be_read_says_why(checkpoints, value, reason):
    columns = Embedder(checkpoints / "pretrained")({"audio": [value]})
    assert reason in columns["error"][0] and np.isnan(columns["embeddings"]).all()


def test_labels_are_those_of_the_command(checkpoints, sounds, capsys):
    model = checkpoints / "classifier"
    assert main(["classify", str(sounds), "--model", str(model), "--json", "--top-k", "2"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    columns = Classifier(model, top_k=2)({"path": [line["file"] for line in lines]})
    assert columns["labels"].shape == columns["scores"].shape == (5, 2)
    for line, labels, scores, error in zip(lines, columns["labels"], columns["scores"], columns["error"]):
        if "error" in line:
            assert error == line["error"] and list(labels) == ["", ""] and np.isnan(scores).all()
            continue
        assert list(labels) == [label["label"] for label in line["labels"]] and not error
        np.testing.assert_allclose(scores, [label["score"] for label in line["labels"]], rtol=0, atol=1e-5)


def test_at_most_as_many_labels_as_the_model_has(checkpoints, sounds):
    columns = Classifier(checkpoints / "classifier", top_k=99)({"path": [sounds / "long.wav"]})
    assert sorted(columns["labels"][0]) == ["drum", "rest", "voice"]
    assert columns["scores"].sum() == pytest.approx(1, abs=1e-6)


def test_datasets_map_takes_it_as_it_is(checkpoints, sounds, embedded):
    """
    The first batch has unreadable files alone, and its types are those of the whole table nevertheless. Processes are
    forked after this one has computed, which used up OpenMP's threads.
    """
    names = [*NOT_READ, *READ]
    table = datasets.Dataset.from_dict({"audio": [str(sounds / name) for name in names], "number": [*range(5)]})
    table = table.cast_column("audio", datasets.Audio(decode=False))
    found = table.map(Embedder(checkpoints / "pretrained"), batched=True, batch_size=2)
    assert found.column_names == ["audio", "number", "embeddings", "error"] and found["number"] == [*range(5)]
    assert found.features["audio"] == table.features["audio"]
    compare(found[:], names, embedded)
    labelled = found.remove_columns(["error", "embeddings"]).map(
        Classifier(checkpoints / "classifier"), batched=True, batch_size=2, num_proc=2
    )
    expected = Classifier(checkpoints / "classifier")({"path": [str(sounds / name) for name in names]})
    assert labelled["labels"] == expected["labels"].tolist()
    np.testing.assert_allclose(labelled["scores"], expected["scores"], rtol=0, atol=1e-5)


def test_datasets_map_of_decoded_audio(checkpoints, sounds, embedded):
    """torchcodec's `AudioDecoder`s, at the files' rates; the column is kept as it was, not encoded anew."""
    try:
        import torchcodec  # noqa: F401
    except (ImportError, OSError, RuntimeError):  # RuntimeError: FFmpeg's libraries are missing
        pytest.skip("pip install 'ssast_hf[torchcodec]', and FFmpeg's libraries (make clients)")
    table = datasets.Dataset.from_dict({"audio": [str(sounds / name) for name in READ]})
    found = table.cast_column("audio", datasets.Audio()).map(Embedder(checkpoints / "pretrained"), batched=True)
    assert found.features["audio"] == datasets.Audio()
    kept = found.cast_column("audio", datasets.Audio(decode=False))
    assert kept["audio"][:] == [{"bytes": None, "path": str(sounds / name)} for name in READ]
    compare({name: found[name] for name in ("embeddings", "error")}, READ, embedded)


def test_a_checkpoint_that_was_written_anew_is_not_taken_from_the_cache(checkpoints):
    from datasets.fingerprint import Hasher

    model = checkpoints / "classifier"
    first = Hasher.hash(Classifier(model))
    assert Hasher.hash(Classifier(model)) == first != Hasher.hash(Classifier(model, top_k=2))
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    assert Hasher.hash(Classifier(model)) != first


def test_the_model_is_loaded_once_and_not_pickled(checkpoints, sounds, embedded, monkeypatch):
    embedder = Embedder(checkpoints / "pretrained")
    assert embedder.loaded is None
    batch = {"path": [sounds / name for name in READ]}
    embedder(batch)
    loaded = embedder.loaded
    assert len(pickle.dumps(embedder)) < 2000
    embedder(batch)
    assert embedder.loaded is loaded
    again = pickle.loads(pickle.dumps(embedder))
    assert again.loaded is None
    compare(again(batch), READ, embedded)


def test_as_spark_calls_it(checkpoints, sounds, embedded):
    """Called without a batch it loads the model, and returns a function of one column, which gives the new ones."""
    embedder = Embedder(checkpoints / "pretrained")
    predict = embedder()
    assert embedder.loaded is not None
    columns = predict(np.array([str(sounds / name) for name in READ], dtype=object))
    assert list(columns) == ["embeddings", "error"]
    compare(columns, READ, embedded)


def test_layers_pooling_and_other_names(checkpoints, sounds):
    from ssast_hf import embed

    model, batch = checkpoints / "pretrained", {"sound": [sounds / "long.wav"], "audio": [None]}
    embedder = Embedder(model, column="sound", layers=[0, 2], pooling="rows", prefix="ssast_")
    columns = embedder(batch)
    ((_, expected),) = embed([sounds / "long.wav"], model=str(model), layers=[0, 2], pooling="rows")
    assert list(columns) == ["sound", "audio", "ssast_embeddings", "ssast_error"]
    np.testing.assert_allclose(columns["ssast_embeddings"], expected["embeddings"][None], rtol=0, atol=1e-5)
    assert embedder({"sound": []})["ssast_embeddings"].shape == columns["ssast_embeddings"][:0].shape


def test_wrong_columns_and_arguments_are_named(checkpoints, sounds):
    model = checkpoints / "classifier"
    with pytest.raises(ValueError, match="found labels among the columns.*prefix="):
        Classifier(model)({"path": [sounds / "long.wav"], "labels": [0]})
    with pytest.raises(ValueError, match="found the columns file, expected audio or path.*column="):
        Classifier(model)({"file": [sounds / "long.wav"]})
    with pytest.raises(ValueError, match="top_k.*0"):
        Classifier(model, top_k=0)
    with pytest.raises(ValueError, match="pooling"):
        Embedder(model, pooling="max")
    with pytest.raises(ValueError, match="not fine-tuned"):
        Classifier(checkpoints / "pretrained")({"path": [sounds / "long.wav"]})
