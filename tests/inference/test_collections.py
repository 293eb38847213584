# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Long recordings by window and whole collections: `ssast classify --window`, `ssast embed` cut off and resumed."""

import csv
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTFeatureExtractor, embed, load_audio
from ssast_hf.cli import main
from ssast_hf.inference import classify, classify_windows, embed_collection, load_classifier, read_embeddings
from ssast_hf.inference.batches import windows_of

from ..fake_microphone import FakeMicrophone
from ..fork_server import ssast_command

ROOT = Path(__file__).parents[2]


@pytest.fixture
def classifier(checkpoints):
    path = checkpoints / "classifier"
    return load_classifier(path), SSASTFeatureExtractor.from_pretrained(path)


@pytest.fixture
def collection(tmp_path) -> Path:
    """Twelve sounds of different lengths, one of them broken."""
    folder = tmp_path / "collection"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(11):
        soundfile.write(folder / f"{number:02}.wav", 0.1 * rng.standard_normal(3000 + 2500 * number), 16000)
    (folder / "05b.wav").write_bytes(b"RIFF nonsense")
    return folder


@pytest.mark.parametrize("window, hop", [(0.3, None), (0.5, 0.2), (0.2, 0.7), (None, 0.25), (None, None)])
@pytest.mark.parametrize("samples", [400, 3000, 8000, 20000, 20001])
def test_windows_are_slices_of_the_whole_wherever_the_blocks_end(window, hop, samples):
    """Every sample before the last window's end is in a window where hops leave no gap, and none is beyond the end."""
    windows = windows_of(SSASTFeatureExtractor(), 64, window, hop)
    waveform = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    expected = None
    for block in (samples, 777, 16000):
        found = list(windows.cut(waveform[i : i + block] for i in range(0, samples, block)))
        starts = [start for start, _ in found]
        assert starts == [index * windows.hop for index in range(len(found))] and found
        for start, values in found:
            np.testing.assert_array_equal(values, waveform[start : start + windows.length])
        assert expected in (None, starts)
        expected = starts
        assert windows.spans(samples) == [(start, start + len(values)) for start, values in found]
        last = starts[-1] + windows.length
        assert last >= samples or samples - (starts[-1] + windows.hop) < windows.shortest


def test_scores_by_window_are_those_of_the_cut_out_sound(classifier, sounds):
    model, extractor = classifier
    waveform = load_audio(sounds / "long.wav")
    found = list(classify_windows(model, extractor, sounds / "long.wav", window=0.5, hop=0.3))
    assert [round(start, 6) for start, *_ in found] == [round(0.3 * i, 6) for i in range(16)]
    assert found[-1][1] == 5.0
    for start, end, scores in found:
        part = waveform[round(16000 * start) : round(16000 * end)]
        inputs = extractor(part, sampling_rate=16000, padding=True, pad_to_multiple_of=16, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).logits.softmax(-1)[0]
        for index, label in model.config.id2label.items():
            assert scores[label] == pytest.approx(expected[index].item(), abs=1e-5)
    for aggregate, reduce in (("mean", np.mean), ("max", np.max)):
        ((_, total),) = classify(model, extractor, [sounds / "long.wav"], window=0.5, hop=0.3, aggregate=aggregate)
        for label in total:
            assert total[label] == pytest.approx(reduce([scores[label] for *_, scores in found]), abs=1e-6)
    with pytest.raises(ValueError, match=r"`window` is 9 s, expected 0.025 to 0.655 s"):
        list(classify_windows(model, extractor, sounds / "long.wav", window=9))


def test_worker_processes_change_nothing(classifier, encoder, collection):
    files = [str(path) for path in sorted(collection.iterdir())]
    alone, together = (dict(classify(*classifier, files, num_workers=n)) for n in (0, 2))
    assert list(alone) == list(together) == files
    for path in files:
        assert str(alone[path]) == str(together[path])


def test_formats_hold_the_same_labels(checkpoints, sounds, tmp_path, capsys):
    flags = ["--model", str(checkpoints / "classifier"), "--window", "0.5", "--hop", "0.5", "--top-k", "3"]
    path = str(sounds / "long.wav")
    assert main(["classify", path, *flags, "--format", "json"]) == 0
    *windows, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert [window["start"] for window in windows] == [0.5 * i for i in range(10)]
    assert whole["windows"] == 10 and whole["seconds"] == 5.0
    assert main(["classify", path, *flags, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    by_window = [row for row in rows if row["level"] == "window"]
    assert [(r["label"], float(r["score"])) for r in by_window] == [
        (label["label"], label["score"]) for window in windows for label in window["labels"]
    ]
    assert [r["label"] for r in rows if r["level"] == "file"] == [label["label"] for label in whole["labels"]]
    output = tmp_path / "track.txt"
    assert main(["classify", path, *flags[:-2], "--format", "audacity", "--output", str(output)]) == 0
    track = [line.split("\t") for line in output.read_text().splitlines()]
    assert [(float(a), float(b)) for a, b, _ in track] == [(w["start"], w["end"]) for w in windows]
    assert track[0][2].split()[0] == windows[0]["labels"][0]["label"]
    assert main(["classify", path, *flags, "--format", "audacity", "--output", str(output)]) == 2
    assert "exists" in capsys.readouterr().err
    folder = tmp_path / "tracks"
    command = ["classify", str(sounds), *flags, "--format", "audacity", "--output", str(folder), "--plot", str(folder)]
    assert main(command) == 1
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{ending}" for name in ("long", "short", "stereo") for ending in ("txt", "png")
    }
    assert (folder / "long.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["classify", path, *flags, "--threshold", "0.99"]) == 0
    assert "drum" not in capsys.readouterr().out


def test_standard_input_and_microphone(checkpoints, sounds, capsys, monkeypatch):
    model = ["--model", str(checkpoints / "classifier"), "--json"]
    assert main(["classify", str(sounds / "stereo.ogg"), *model]) == 0
    expected = json.loads(capsys.readouterr().out)["labels"]
    data = (sounds / "stereo.ogg").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert main(["classify", "-", *model]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "-", "labels": expected}
    raw = (load_audio(sounds / "long.wav") * 32768).round().astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
    assert main(["classify", "-", "--raw-rate", "16000", *model, "--hop", "0.5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 11
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(stop_after=48000))
    assert main(["classify", "--microphone", *model]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["file"] == "microphone" and lines[-1]["windows"] == len(lines) - 1 == 2


@pytest.mark.parametrize("level", ["clip", "frame", "patch"])
@pytest.mark.parametrize("name", ["e.npz", "e", "e.parquet"])
def test_collections_hold_what_embed_gives(encoder, collection, tmp_path, level, name):
    files = sorted(collection.iterdir())
    arrays = [found for _, found in embed(*encoder, files, level, layers=[1, 2]) if isinstance(found, dict)]
    expected = np.concatenate([np.atleast_2d(found["embeddings"]) for found in arrays])
    failed = []
    state = embed_collection(
        *encoder, collection, tmp_path / name, level, [1, 2], report=lambda path, _: failed.append(Path(path).name)
    )
    assert (state.done, state.failed, state.rows, failed) == (12, 1, len(expected), ["05b.wav"])
    if name == "e":
        found, index = read_embeddings(tmp_path / name)
        assert [entry["file"] for entry in index] == list(map(str, files))
        assert "error" in index[6] and index[7]["row"] == index[5]["row"] + index[5]["rows"]
    elif name == "e.npz":
        with np.load(tmp_path / name) as written:
            found = written["embeddings"]
            assert len(written["files"]) == 11
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(tmp_path / name)
        found = np.stack(table["embedding"].to_numpy())
        assert len(set(table["file"].to_pylist())) == 11
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collection", name]


def test_layers_are_means_of_hidden_states(encoder, sounds):
    model, extractor = encoder
    path = sounds / "short.flac"
    inputs = extractor(load_audio(path), sampling_rate=16000, padding=True, pad_to_multiple_of=16, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**inputs, output_hidden_states=True).hidden_states
    ((_, found),) = embed(model, extractor, [path], "patch", layers=[0, 2])
    np.testing.assert_allclose(found["embeddings"], (hidden[0] + hidden[2])[0, 2:] / 2, atol=1e-5)
    for layers in ([3], [-1], []):
        with pytest.raises(ValueError, match="from 0 to 2"):
            next(embed(model, extractor, [path], layers=layers))


class Stop(BaseException):
    """Ends a run where nothing can catch it, as being killed does."""


@pytest.mark.parametrize("name", ["e.npz", "e"])
@pytest.mark.parametrize("level", ["clip", "frame"])
def test_a_run_that_was_cut_off_goes_on_without_a_row_twice(encoder, collection, tmp_path, name, level):
    embed_collection(*encoder, collection, tmp_path / "whole", level)
    expected, _ = read_embeddings(tmp_path / "whole")

    def stop(state):
        if state.done == 7:
            raise Stop

    with pytest.raises(Stop):
        embed_collection(*encoder, collection, tmp_path / name, level, progress=stop)
    work = tmp_path / (name if name == "e" else "e.npz.partial")
    with open(work / "index.jsonl", "a") as file:
        file.write('{"file": "half a li')
    with open(work / "embeddings.npy", "ab") as file:
        file.write(bytes(1000))  # rows that the index does not have
    assert not (tmp_path / "e.npz").exists()
    with pytest.raises(ValueError, match="other level"):
        embed_collection(*encoder, collection, tmp_path / name, "patch")
    with pytest.raises(ValueError, match="other files, files_digest"):
        embed_collection(*encoder, collection / "01.wav", tmp_path / name, level)
    state = embed_collection(*encoder, collection, tmp_path / name, level)
    assert state.resumed == 7 and state.done == 12
    found = read_embeddings(tmp_path / "e")[0] if name == "e" else np.load(tmp_path / name)["embeddings"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="exists"):
        embed_collection(*encoder, collection, tmp_path / name, level)
    embed_collection(*encoder, collection, tmp_path / name, level, overwrite=True)


def test_ctrl_c_leaves_what_is_complete(encoder, collection, tmp_path):
    def stop(state):
        if state.done == 4:
            raise KeyboardInterrupt

    output = tmp_path / "e.npz"
    with pytest.raises(KeyboardInterrupt):
        embed_collection(*encoder, collection, output, progress=stop)
    assert len(np.load(output)["files"]) == 4
    assert embed_collection(*encoder, collection, output).resumed == 4
    assert len(np.load(output)["files"]) == 11


def test_shards_share_the_collection(encoder, collection, tmp_path):
    found = []
    for number in (1, 2, 3):
        embed_collection(*encoder, collection, tmp_path / f"{number}", shard=(number, 3))
        found += [entry["file"] for entry in read_embeddings(tmp_path / f"{number}")[1]]
    assert sorted(found) == sorted(map(str, collection.iterdir()))
    with pytest.raises(ValueError, match="is empty"):
        embed_collection(*encoder, collection / "01.wav", tmp_path / "x", shard=(2, 2))


def embed_command(checkpoints: Path, source: Path, output: Path) -> list[str]:
    return ["embed", str(source), "--model", str(checkpoints / "pretrained"), "--output", str(output)]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_processes_launched_together_share_the_collection(checkpoints, collection, tmp_path):
    """Each writes a file of its own; `accelerate launch` sets the same variables as torchrun."""
    command = embed_command(checkpoints, collection, tmp_path / "e.npz")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "--no-python"]
    ssast = [sys.executable, "-c", "import sys; from ssast_hf.cli import main; sys.exit(main())"]
    subprocess.run([*launch, *ssast, *command], check=True, timeout=300)
    found = [name for number in (1, 2) for name in np.load(tmp_path / f"e-{number}-of-2.npz")["files"]]
    assert len(found) == 11 and len(set(found)) == 11
    assert {path.name for path in tmp_path.glob("e*")} == {"e-1-of-2.npz", "e-2-of-2.npz"}


def test_shards_and_processes_exclude_each_other(checkpoints, collection, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = embed_command(checkpoints, collection, tmp_path / "e.npz")
    assert main([*command, "--shard", "1/2"]) == 2
    assert "choose one" in capsys.readouterr().err
    assert not list(tmp_path.glob("e*"))


def test_manifests_are_collections(checkpoints, collection, tmp_path, capsys):
    manifest = collection / "list.csv"
    manifest.write_text("file,note\n03.wav,x\n01.wav,y\n")
    output = tmp_path / "e.npz"
    command = embed_command(checkpoints, manifest, output)
    assert main(command) == 0
    assert [Path(name).name for name in np.load(output)["files"]] == ["03.wav", "01.wav"]
    assert "h of sound a minute" in capsys.readouterr().out


def test_parts_of_files_and_rows_of_datasets_are_embedded_as_if_they_were_files(encoder, collection, tmp_path):
    """A manifest's offset and duration, and a dataset's rows, against files that hold the same samples."""
    datasets = pytest.importorskip("datasets")
    files = sorted(collection.iterdir())[:3]
    parts, manifest = [], ["file,offset,duration"]
    for index, path in enumerate(files):
        samples, rate = soundfile.read(path, dtype="float32")
        start, stop = index * len(samples) // 8, len(samples) - index * len(samples) // 8
        parts.append(tmp_path / f"{index}.wav")
        soundfile.write(parts[-1], samples[start:stop], rate, subtype="FLOAT")
        manifest.append(f"{path},{start / rate!r},{(stop - start) / rate!r}")
    (tmp_path / "list.csv").write_text("\n".join(manifest))
    rows = {"audio": [{"bytes": part.read_bytes(), "path": None} for part in parts]}
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio()).to_parquet(tmp_path / "set" / "x.parquet")
    expected = dict(embed(*encoder, parts))
    for source, workers in ((tmp_path / "list.csv", 0), (f"hf:{tmp_path}/set", 0), (f"hf:{tmp_path}/set", 2)):
        output = tmp_path / f"{str(source)[-3:]}{workers}.npz"
        embed_collection(*encoder, source, output, num_workers=workers)
        found = np.load(output)
        np.testing.assert_allclose(
            found["embeddings"], [arrays["embeddings"] for arrays in expected.values()], atol=2e-5
        )
        names = [str(name) for name in found["files"]]
        if workers == 0 and source == tmp_path / "list.csv":
            assert names[0].startswith(f"{files[0]}#t=0,") and len(set(names)) == 3
        else:
            assert names == [f"hf:{tmp_path}/set[{index}]" for index in range(3)]
    with pytest.raises(ValueError, match="is a stream"):
        embed_collection(*encoder, f"hf:{tmp_path}/set,streaming=true", tmp_path / "x.npz")


def test_a_full_disk_is_one_line_and_leaves_no_half_file(checkpoints, collection, tmp_path):
    """A limit on the size of files stands in for the disk's."""
    for command, limit in (
        (["embed", "--level", "patch", "--output", "e.npz", "--model", checkpoints / "pretrained"], 20000),
        (["classify", "--format", "csv", "--hop", "0.01", "--output", "c.csv", "--model",
          checkpoints / "classifier"], 2000),
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "ssast_hf.cli", command[0], collection / "10.wav", collection / "09.wav",
             *map(str, command[1:])],
            cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1 and "File too large" in done.stderr
        assert not (tmp_path / "e.npz").exists() and not (tmp_path / "c.csv").exists()
        assert list(tmp_path.glob(".*")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_standard_output_is_one_line(checkpoints, collection):
    with open("/dev/full", "w") as full:
        command = [*ssast_command(), "classify", collection / "01.wav", "--model"]
        done = subprocess.run([*command, checkpoints / "classifier"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "No space left" in done.stderr


def test_ctrl_c_leaves_lines_that_say_they_are_partial_and_the_same_command_goes_on(checkpoints, collection, tmp_path):
    output, partial = tmp_path / "labels.jsonl", tmp_path / "labels.jsonl.partial"
    files = [str(collection / "10.wav")] * 100
    command = ["classify", *files, "--batch-size", "1", "--json", "--model", str(checkpoints / "classifier")]
    command += ["--output", str(output)]
    process = subprocess.Popen([*ssast_command(), *command], stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if partial.exists() and partial.stat().st_size:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    said = process.stderr.read()
    lines = partial.read_text().splitlines()
    assert f"interrupted after {len(lines)} of 100 sound(s): {partial} holds" in said and said.count("\n") == 1
    assert 0 < len(lines) < 100 and all(json.loads(line)["labels"] for line in lines)
    assert not output.exists() and list(tmp_path.glob(".labels*")) == []
    assert main(command) == 0
    resumed = output.read_text().splitlines()
    assert len(resumed) == 100 and resumed[: len(lines)] == lines
    assert [path.name for path in tmp_path.glob("labels*")] == ["labels.jsonl"]


def test_hostile_file_names_are_one_line_and_come_back(checkpoints, tmp_path, capsysbinary):
    folder = tmp_path / "hostile"
    folder.mkdir()
    names = [b"new\nline.wav", b"quo\"te',.wav", b"caf\xe9.wav", b"-dash.wav", b"$(x) %s {}.wav", b"tab\t.wav"]
    for name in names:
        soundfile.write(os.fsencode(folder) + b"/" + name, np.full(8000, 0.1), 16000, format="WAV")
    (folder / "loop").symlink_to(folder)
    flags = ["--model", str(checkpoints / "classifier")]
    assert main(["classify", str(folder), *flags, "--top-k", "1"]) == 0
    assert len(capsysbinary.readouterr().out.splitlines()) == 2 * len(names)
    assert main(["classify", str(folder), *flags, "--json"]) == 0
    found = [json.loads(line)["file"] for line in capsysbinary.readouterr().out.splitlines()]
    assert sorted(os.fsencode(Path(name).name) for name in found) == sorted(names)
    output = tmp_path / "e.npz"
    assert main(["embed", str(folder), "--model", str(checkpoints / "pretrained"), "--output", str(output)]) == 0
    assert sorted(os.fsencode(Path(str(name)).name) for name in np.load(output)["files"]) == sorted(names)
    assert main(["classify", str(folder), *flags, "--plot", str(tmp_path / "plots")]) == 0
    assert len(list((tmp_path / "plots").iterdir())) == len(names)
    capsysbinary.readouterr()  # a test's report must be UTF-8


def test_collections_keep_rows_where_asked_to(encoder, collection, tmp_path):
    files = sorted(collection.iterdir())
    expected = [found["embeddings"] for _, found in embed(*encoder, files, pooling="rows") if isinstance(found, dict)]
    embed_collection(*encoder, collection, tmp_path / "e", pooling="rows")
    np.testing.assert_allclose(read_embeddings(tmp_path / "e")[0], expected, atol=1e-5)
    assert expected[0].shape == (8 * 32,)
