# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast similar`: neighbours by a naive loop, by FAISS, in text, JSON and a page."""

import base64
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf import embed, load_audio
from ssast_hf.cli import main
from ssast_hf.inference import embed_collection, similar
from ssast_hf.inference.collection_files import read_collection
from ssast_hf.inference.similar import MANY, Neighbours

SOUNDS = Path(__file__).parents[1] / "data/sounds"


def naive(embeddings: np.ndarray, query: np.ndarray) -> list[float]:
    """Cosines of centred vectors, one by one."""
    mean = np.mean(embeddings.astype(np.float64), axis=0)
    found = []
    for row in embeddings:
        a, b = row - mean, query - mean
        found.append(float(a @ b / np.sqrt((a @ a) * (b @ b))))
    return found


@pytest.mark.parametrize("name", ["e.npz", "e"])
def test_the_nearest_sounds_are_those_of_a_naive_loop(encoder, checkpoints, tmp_path, name):
    files = sorted(SOUNDS.glob("*.flac"))
    embed_collection(
        *encoder, files, tmp_path / name, layers=[1], pooling="rows", name=str(checkpoints / "pretrained")
    )
    vectors = np.stack([arrays["embeddings"] for _, arrays in embed(*encoder, files, layers=[1], pooling="rows")])
    expected = naive(vectors, vectors[0])
    order = [index for index in np.argsort(-np.array(expected)) if index != 0]
    found = similar(files[0], tmp_path / name, top_k=3)
    assert [neighbour.file for neighbour in found] == [str(files[index]) for index in order[:3]]
    assert [neighbour.score for neighbour in found] == pytest.approx([expected[i] for i in order[:3]], abs=1e-4)
    assert all(
        neighbour.end == pytest.approx(soundfile.info(neighbour.file).duration, abs=1e-3) for neighbour in found
    )
    assert len(similar(files[0], tmp_path / name, top_k=100)) == len(files) - 1


def test_a_moment_is_found_where_it_was_put(encoder, checkpoints, tmp_path):
    """A sound that a longer one contains, twice; the second time more quietly under noise."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    call = 0.5 * np.sin(2 * np.pi * (800 + 4000 * time) * time)
    recording = 0.01 * rng.standard_normal(64000)
    recording[16000:24000] += call  # second 1 to 1.5, where a step begins (every 0.16 s)
    recording[40960:48960] += 0.3 * call  # from second 2.56 on
    soundfile.write(folder / "recording.wav", recording, 16000)
    soundfile.write(folder / "noise.wav", 0.01 * rng.standard_normal(48000), 16000)
    soundfile.write(tmp_path / "call.wav", call + 0.01 * rng.standard_normal(8000), 16000)
    output = tmp_path / "e.npz"
    embed_collection(*encoder, folder, output, "frame", name=str(checkpoints / "pretrained"))
    found = similar(tmp_path / "call.wav", output, top_k=4)
    collection = read_collection(output)
    ((_, query),) = embed(*encoder, [tmp_path / "call.wav"], "frame")
    cosines = naive(collection.columns["embeddings"], query["embeddings"].mean(axis=0))
    best, length = {}, len(query["time"])
    for entry in collection.entries:
        for row in range(entry["row"], entry["row"] + entry["rows"] - length + 1):
            best[entry["file"], collection.columns["time"][row]] = np.mean(cosines[row : row + length])
    top = max(best, key=best.get)
    assert (found[0].file, found[0].start) == top and found[0].score == pytest.approx(best[top], abs=1e-4)
    assert found[0].file.endswith("recording.wav")
    for a, b in pairwise(found):
        assert a.score >= b.score
    inside = sorted((n.start, n.end) for n in found if n.file == found[0].file)
    assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(inside))  # no overlap


def test_faiss_finds_what_exact_search_finds():
    """100,000 rows, from which FAISS is used by itself."""
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((MANY, 16)).astype(np.float32) + 5
    fast, exact = Neighbours(vectors), Neighbours(vectors, faiss=False)
    assert fast.index is not None and exact.index is None and Neighbours(vectors[: MANY - 1]).index is None
    for query in (vectors[7], rng.standard_normal(16).astype(np.float32)):
        rows, scores = fast.nearest(query, 20)
        expected, cosines = exact.nearest(query, 20)
        assert rows.tolist() == expected.tolist()
        np.testing.assert_allclose(scores, cosines, atol=1e-5)
    np.testing.assert_allclose(exact.cosines(vectors[7])[:50], naive(vectors, vectors[7])[:50], atol=1e-4)


def test_wrong_collections_and_models_are_one_line(encoder, checkpoints, tmp_path, capsys):
    files = sorted(SOUNDS.glob("*.flac"))[:3]
    output = tmp_path / "e.npz"
    embed_collection(*encoder, files, output, "patch")
    with pytest.raises(ValueError, match="embeddings of patches"):
        similar(files[0], output)
    embed_collection(*encoder, files, output, overwrite=True, name=str(checkpoints / "pretrained"))
    with pytest.raises(ValueError, match="its checksum is another"):
        similar(files[0], output, model="ssast-tiny-patch-debian-v2")
    np.savez(tmp_path / "old.npz", files=np.array(["a", "b"]), embeddings=np.zeros((2, 32), np.float32))
    with pytest.raises(ValueError, match="does not say which model"):
        similar(files[0], tmp_path / "old.npz")
    (tmp_path / "x.npz").write_bytes(b"no archive")
    for path, message in (("x.npz", "(no .npz file)"), ("missing", "there is no")):
        assert main(["similar", str(files[0]), str(tmp_path / path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["similar", "missing.wav", str(output)]) == 2
    assert main(["similar", str(files[0]), str(output), "--format", "html"]) == 2
    assert "give --output" in capsys.readouterr().err


def test_text_json_and_the_page_say_the_same(encoder, checkpoints, tmp_path, capsys):
    files = sorted(SOUNDS.glob("*.flac"))[:4]
    output = tmp_path / "e.npz"
    embed_collection(*encoder, files, output, "frame", name=str(checkpoints / "pretrained"))
    command = ["similar", str(files[0]), str(output), "--top-k", "2"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main([*command, "--format", "json"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"{o['score']:8.4f}  {o['file']}  {o['start']:.2f} to {o['end']:.2f} s" for o in objects]
    page = tmp_path / "page.html"
    assert main([*command, "--format", "html", "--output", str(page)]) == 0
    assert "2 moment(s)" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert [f"<b>{o['score']:.4f}</b> {o['file']}" in text for o in objects] == [True, True]
    players = re.findall(r'src="data:audio/flac;base64,([^"]+)"', text)
    assert len(players) == 3  # the query's first
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(players[1])), dtype="float32")
    first = objects[0]
    expected = load_audio(first["file"], rate, first["start"], first["end"] - first["start"])
    np.testing.assert_allclose(heard, expected, atol=1e-4)
    assert main([*command, "--format", "html", "--output", str(page)]) == 2
    assert "exists" in capsys.readouterr().err
