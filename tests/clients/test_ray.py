# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Ray Data and Ray Train on a cluster of two workers on this machine. `make clients` runs these."""

import os
import signal
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import pytest
import soundfile

from recipes.ray import embed
from ssast_hf.cli import main
from ssast_hf.integrations.batches import Classifier, Embedder

ray = pytest.importorskip("ray", reason="pip install 'ssast_hf[ray]' (make clients)")
pytest.importorskip("ray.data", reason="pip install 'ssast_hf[ray]' (make clients)")

ROOT = Path(__file__).parents[2]
FILES = 21


@pytest.fixture(scope="module", autouse=True)
def cluster():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment},
        _system_config={"worker_niceness": 0},  # of 15 by default, with which workers starve on a busy machine
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def many(tmp_path) -> Path:
    """Sounds of 0.1 to 2 s, one that cannot be read, and a file of another kind."""
    folder, rng = tmp_path / "many", np.random.default_rng(0)
    (folder / "below").mkdir(parents=True)
    for index in range(FILES - 1):
        name = f"{'below/' if index % 2 else ''}{index:02}.wav"
        soundfile.write(folder / name, 0.1 * rng.standard_normal(1600 * (1 + index)), 16000)
    (folder / "broken.wav").write_bytes(b"RIFF nonsense")
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture
def expected(checkpoints, many, tmp_path) -> dict[str, list[float]]:
    """What `ssast embed` writes, by file."""
    output = tmp_path / "expected.parquet"
    assert main(["embed", str(many), "--model", str(checkpoints / "pretrained"), "--output", str(output)]) == 1
    rows = pads.dataset(output).to_table().to_pylist()
    assert len(rows) == FILES - 1
    return {row["file"]: row["embedding"] for row in rows}


def compare(output, expected: dict, name=str) -> None:
    """Every sound once, with its embedding within 1e-5; without one, and with a reason, where it cannot be read."""
    rows = pads.dataset(output, format="parquet").to_table().to_pylist()
    assert len(rows) == len({row["file"] for row in rows}) == len(expected) + 1
    found = {name(row["file"]): row["embedding"] for row in rows if row["error"] is None}
    assert found.keys() == expected.keys()
    for file, embedding in expected.items():
        np.testing.assert_allclose(found[file], embedding, rtol=0, atol=1e-5)
    (unread,) = (row for row in rows if row["error"] is not None)
    assert unread["embedding"] is None and unread["file"].endswith("broken.wav") and "RIFF" not in unread["file"]


def test_a_folder_whose_worker_is_killed_in_the_middle(checkpoints, many, expected, tmp_path):
    mark = tmp_path / "killed"

    class Killed(embed.FileEmbedder):
        """One of the two workers ends like a machine without power at its second batch."""

        batches = 0

        def __call__(self, batch=None):
            self.batches += 1
            if self.batches == 2:
                try:
                    mark.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
                except FileExistsError:
                    pass
            return super().__call__(batch)

    model = str(checkpoints / "pretrained")
    found = embed.embed(str(many), model, str(tmp_path / "out"), workers=2, batch_size=2, embedder=Killed)
    assert found == (FILES, 1) and mark.exists()
    compare(tmp_path / "out", expected)


def test_a_bucket_by_the_command_which_replaces_nothing(checkpoints, many, expected, tmp_path, capsys):
    """file:// stands for s3:// and the others: the same code of fsspec lists and opens it."""
    output, model = tmp_path / "out", str(checkpoints / "pretrained")
    command = [f"file://{many}", "--model", model, "--output", f"file://{output}", "--batch-size", "4"]
    assert embed.main(command) == 1
    assert f"embeddings of {FILES - 1} of {FILES} sound(s)" in capsys.readouterr().out
    compare(output, expected, name=lambda url: url.removeprefix("file://"))
    with pytest.raises(SystemExit) as ended:
        embed.main(command)
    assert ended.value.code == 2 and "exists" in capsys.readouterr().err


def test_a_dataset(checkpoints, many, expected, tmp_path):
    """As of the Hub: audio as bytes in a column."""
    import datasets

    files = [*expected, str(many / "broken.wav")]
    table = datasets.Dataset.from_dict({"audio": [{"bytes": Path(f).read_bytes(), "path": None} for f in files]})
    table = table.cast_column("audio", datasets.Audio(decode=False))
    table.save_to_disk(tmp_path / "table")
    name = f"hf:{tmp_path / 'table'}"
    assert embed.embed(name, str(checkpoints / "pretrained"), str(tmp_path / "out"), batch_size=8) == (FILES, 1)
    rows = pads.dataset(tmp_path / "out", format="parquet").to_table().to_pylist()
    assert sorted(row["file"] for row in rows) == sorted(f"{name}[{index}]" for index in range(FILES))
    for row in rows:
        file = files[int(row["file"].rpartition("[")[2][:-1])]
        assert (row["error"] is None) == (file in expected)
        if file in expected:
            np.testing.assert_allclose(row["embedding"], expected[file], rtol=0, atol=1e-5)


def test_map_batches_takes_both_as_they_are(checkpoints, many, expected):
    """Each in an actor of its own; the columns of the first are kept by the second."""
    table = ray.data.from_items([{"path": file} for file in [str(many / "broken.wav"), *expected]])
    options = {"batch_size": 4, "compute": ray.data.ActorPoolStrategy(size=1), "num_cpus": 0.5}
    table = table.map_batches(Embedder, fn_constructor_args=[str(checkpoints / "pretrained")], **options)
    given = {"fn_constructor_args": [str(checkpoints / "classifier")], "fn_constructor_kwargs": {"prefix": "kind_"}}
    rows = {row["path"]: row for row in table.map_batches(Classifier, **given, **options).take_all()}
    assert rows.pop(str(many / "broken.wav"))["error"]
    labelled = Classifier(checkpoints / "classifier")({"path": list(expected)})
    for index, (file, embedding) in enumerate(expected.items()):
        np.testing.assert_allclose(rows[file]["embeddings"], embedding, rtol=0, atol=1e-5)
        assert list(rows[file]["kind_labels"]) == list(labelled["labels"][index])
        np.testing.assert_allclose(rows[file]["kind_scores"], labelled["scores"][index], rtol=0, atol=1e-5)
    assert len(rows) == len(expected)
