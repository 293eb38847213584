# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The scripts that measure checkpoints: how clips are divided, what is kept of earlier runs, tables."""

import csv
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import throughput
from recipes.debian_audio import frozen, measure, pack_tasks
from recipes.pretrain.judge import Pack
from recipes.report import Measured, write_between
from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining, load_audio
from ssast_hf.inference import embed

SOUNDS = Path(__file__).parents[1] / "data" / "sounds"
MARKS = f"{measure.BEGIN}\nold\n{measure.END}\n"


def rows(folds: int = 7, clips: int = 12) -> list[dict]:
    return [
        {"file": f"{fold}/{index}.wav", "label": "ab"[index % 2], "group": str(fold), "fold": str(fold)}
        for fold in range(folds)
        for index in range(clips + fold)
    ]


@pytest.fixture
def dest(tmp_path, monkeypatch) -> Path:
    """Where tasks lie, and a README to write tables into."""
    (tmp_path / "tasks").mkdir()
    for task in ("drums", "vocal"):
        with open(tmp_path / "tasks" / f"{task}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, ("file", "label", "group", "fold"))
            writer.writeheader()
            writer.writerows(rows())
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKS}after\n")
    monkeypatch.setattr(measure, "README", readme)
    return tmp_path


@pytest.fixture
def speech(tmp_path) -> Path:
    """Digits and emotions by six speakers, real sounds of half a second under those names."""
    sounds = [load_audio(path)[:8000] for path in sorted(SOUNDS.glob("*.flac"))]
    tables = {"fsdd": ["file,digit,speaker,take"], "emodb": ["file,emotion,speaker,sentence"]}
    for number in range(120):
        speaker, digit = "abcdef"[number % 6], number // 6 % 10
        soundfile.write(tmp_path / f"{number}.wav", sounds[digit] * (1 - number / 500), 16000)
        tables["fsdd"].append(f"{number}.wav,{digit},{speaker},{number // 60}")
        tables["emodb"].append(f"{number}.wav,{('fear', 'joy')[digit % 2]},{speaker},a01")
    for name, lines in tables.items():
        (tmp_path / name).mkdir()
        text = "\n".join(lines) + "\n"
        (tmp_path / name / f"{name}.csv").write_text(re.sub(r"^(\d+\.wav)", r"../\1", text, flags=re.M))
    return tmp_path


def test_folds_judge_by_every_clip_once_and_by_no_group_that_was_trained_on(dest, speech):
    for task, folds in (("drums", 3), ("vocal", 3), ("digits", 6), ("emotion", 3), ("speakers", 2)):
        found, judged = frozen.read(dest, task, speech), Counter()
        assert len(frozen.folds_of(found)) == folds
        held = "digit" if task == "speakers" else "group"
        for fold in frozen.folds_of(found):
            train, test = frozen.divide(found, "all", fold, 0)
            assert not {row[held] for row in train} & {row[held] for row in test}
            assert len(train) + len(test) == len(found)
            judged.update(row["file"] for row in test)
            few, same = frozen.divide(found, "few", fold, 1)
            assert same == test and few != frozen.divide(found, "few", fold, 2)[0]
            assert set(Counter(row["label"] for row in few).values()) == {frozen.FEW}
            assert all(row in train for row in few)
        assert set(judged) == {row["file"] for row in found} and set(judged.values()) == {1}
    with pytest.raises(ValueError, match="digits needs --speech"):
        frozen.read(dest, "digits")


def test_files_that_cannot_be_read_are_left_out_and_named(speech, capsys):
    path = speech / "7.wav"
    path.write_bytes(path.read_bytes()[:-9000])
    assert len(frozen.read(speech, "emotion", speech)) == 119
    assert "7.wav is truncated" in capsys.readouterr().out


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> str:
    """A checkpoint of two layers."""
    folder = tmp_path_factory.mktemp("small")
    config = SSASTConfig(hidden_size=24, num_attention_heads=2, num_hidden_layers=2, intermediate_size=32,
                         max_length=64, num_mask_patches=8, initializer_range=0.2)  # fmt: skip
    SSASTForPreTraining(config).save_pretrained(folder)
    SSASTFeatureExtractor(max_length=64, mean=-6.0, std=5.0).save_pretrained(folder)
    return str(folder)


def test_rows_are_the_means_over_time_that_embeddings_of_patches_have(small):
    """Of a clip shorter than a window, one longer, and one shorter than a patch."""
    model, extractor, digest = frozen.load(small)
    wave = load_audio(min(SOUNDS.glob("*.flac")))
    folder = Path(small)
    files = []
    for number, seconds in enumerate((0.5, 1.9, 0.1)):
        files.append(str(folder / f"{number}.wav"))
        soundfile.write(files[-1], np.resize(wave, int(16000 * seconds)), 16000)
    rows = frozen.row_means(model, extractor, files, [1, 2])
    assert rows.shape == (2, 3, 8, 24)
    padded = frozen.row_means(model, extractor, files, [1, 2], padded=64)
    assert np.abs(padded - rows)[:, [0, 2]].min(axis=(2, 3)).max() > 0  # silence is attended to
    alone = frozen.row_means(model, extractor, files[1:2], [1, 2], padded=64)
    np.testing.assert_allclose(padded[:, 1], alone[:, 0], atol=1e-5)
    for index, layer in enumerate((1, 2)):
        for number, (_, found) in enumerate(embed(model, extractor, files[:2], "patch", layers=[layer])):
            expected = found["embeddings"].reshape(-1, 8, 24).mean(axis=0)
            np.testing.assert_allclose(rows[index, number], expected, atol=1e-5)
    assert digest == frozen.load(small)[2] != frozen.load(small, random_weights=True)[2]
    assert frozen.load(small, random_weights=True)[2] == frozen.load(small, random_weights=True)[2]


def test_the_frozen_half_of_the_table_is_measured_once(dest, speech, small, monkeypatch, capsys):
    line = ["x", str(dest), "--speech", str(speech), "--model", small, "--task", "digits", "emotion", "--frozen-only"]
    monkeypatch.setattr(sys, "argv", [*line, "--draws", "1", "--readme"])
    assert measure.main() == 0
    log = Measured(dest / "measured.jsonl").results
    assert len(log) == 5 * (6 * 1 + 3 * 2 + 6 + 3)  # ways, of draws of 10 clips in each fold, and all
    assert {result["layer"] for result in log} == {None, 1}
    monkeypatch.setattr(frozen, "judge", None)
    monkeypatch.setattr(frozen, "row_means", None)
    before = capsys.readouterr().out.split("\n| 10")[1]
    assert measure.main() == 0
    assert capsys.readouterr().out.split("\n| 10")[1] == before
    assert "frozen rows less mel" in (dest / "README.md").read_text()


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--draws", "0"], "--draws is 0, expected 1 or more"), (["--draws", "-1"], "--draws is -1, expected 1"),
        (["--layer", "99"], "--layer is 99, expected 1 to 2"), (["--layer", "0"], "--layer is 0, expected 1 to 2"),
        (["--padded", "-5"], "--padded is -5, expected 0 to 64"), (["--padded", "65"], "65, expected 0 to 64"),
        (["--model", "no/checkpoint"], "no/checkpoint is neither"), (["--model", "."], "config.json"),
        (["--task", "digits"], "digits needs --speech"), (["--task", "drums", "emotion"], "emotion needs --speech"),
        (["--task", "digits", "--speech", "nowhere"], "--speech is nowhere, which is no folder"),
        (["--task", "emotion", "--speech", "."], "emodb/emodb.csv does not exist, expected it from python -m recipes"),
        (["--task", "language"], "language.csv does not exist"),
        (["--task", "vocal"], "vocal has 5 clips of 1 fold(s), expected 2 or more"),
        (["--way", "chosen", "--clips", "few"], "--way chosen --clips few leaves nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_measured_is_said_in_one_line(flags, reason, dest, small, monkeypatch, capsys):
    monkeypatch.chdir(dest)
    (dest / "tasks/vocal.csv").write_text("file,label,group,fold\n" + "x.wav,a,0,0\n" * 5)
    monkeypatch.setattr(sys, "argv", ["x", str(dest), "--model", small, "--task", "drums", "--frozen-only"])
    if "--way" in flags:
        sys.argv.remove("--frozen-only")
    sys.argv += flags
    assert measure.main() == 2
    line = capsys.readouterr().err.splitlines()[-1]  # after the bar of loading weights
    assert line.startswith("x: error: ") and reason in line and not (dest / "measured.jsonl").exists()


def test_where_there_are_no_tasks_nothing_is_measured(dest, monkeypatch, capsys):
    for place in (dest / "nowhere", dest / "README.md"):
        monkeypatch.setattr(sys, "argv", ["x", str(place)])
        assert measure.main() == 2 and f"{place} is no folder, expected" in capsys.readouterr().err
    (dest / "tasks/drums.csv").write_text("file,label\nx.wav,a\n")
    with pytest.raises(ValueError, match=r"drums.csv has the columns file, label; expected .* file, fold, group"):
        frozen.read(dest, "drums")
    (dest / "measured.jsonl").write_text('{"task": "drums"}\n{"task"\n')
    with pytest.raises(ValueError, match=r"measured.jsonl, line 2 is not JSON"):
        Measured(dest / "measured.jsonl")


def test_differences_are_of_pairs():
    """By hand: the mean of 0.1 and 0.3, and their deviation over the square root of 2; all clips have one draw."""
    one, other = {("a", 0): 0.6, ("b", 0): 0.9, ("c", 0): 1.0}, {("a", 0): 0.5, ("b", 0): 0.6}
    assert measure.difference(one, other) == pytest.approx((0.2, 0.1))
    assert measure.difference({("a", 0): 0.6, ("a", 1): 0.8}, {("a", 0): 0.5}) == pytest.approx((0.2, 0.1))
    assert measure.difference(one, {}) is None
    assert measure.mean_of_tasks([(0.2, 0.3), (0.4, 0.4)]) == pytest.approx((0.3, 0.25))
    assert measure.mean_of_tasks([(0.2, 0.3), None]) is None
    single = measure.difference({("a", 0): 0.6}, {("a", 0): 0.5})
    assert measure.with_error(single) == measure.with_error(measure.mean_of_tasks([single, (0.1, 0.2)])) == "+0.100"
    assert measure.with_error((-0.2, 0.1)) == "-0.200 ± 0.100"


def test_a_pack_gives_the_clips_back(dest, speech, monkeypatch, tmp_path):
    monkeypatch.setattr(frozen, "TASKS", ("digits", "speakers", "emotion"))
    line = ["x", str(dest), str(tmp_path / "pack"), "--speech", str(speech), "--raw", str(tmp_path / "raw.npy")]
    monkeypatch.setattr(sys, "argv", line)
    assert pack_tasks.main() == 0
    correlations, (index, stream) = [], pack_tasks.read(tmp_path / "pack")
    assert len(index) == 3 * 120 and len(stream) == len(np.load(tmp_path / "raw.npy"))
    for row, clip in zip(index, frozen.read(dest, "digits", speech)):
        assert row["task"] == "digits" and (row["label"], row["fold"]) == (clip["label"], clip["fold"])
        wave, coded = load_audio(clip["file"]), stream[row["start"] : row["start"] + row["samples"]] / 32767
        assert len(wave) == row["samples"]
        correlations.append(np.corrcoef(wave, coded)[0, 1])
    assert min(correlations) > 0.5 and np.median(correlations) > 0.9  # hiss is coded as such


def test_a_pack_is_not_written_over(dest, monkeypatch, tmp_path, capsys):
    (tmp_path / "mine.npy").write_text("mine")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/index.json").write_text("mine")
    line = ["x", str(dest), str(tmp_path / "new"), "--raw", str(tmp_path / "mine.npy")]
    for argv, path in ((line, "mine.npy"), ([*line[:2], str(tmp_path / "pack")], "pack/index.json")):
        monkeypatch.setattr(sys, "argv", argv)
        assert pack_tasks.main() == 2
        assert capsys.readouterr().err.endswith(f"{path} exists: choose another name or give --overwrite\n")
        assert (tmp_path / path).read_text() == "mine"
    monkeypatch.setattr(sys, "argv", ["x", str(dest / "nowhere"), str(tmp_path / "new")])
    assert pack_tasks.main() == 2 and "drums.csv does not exist, expected" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_pack_of_full_scale_does_not_wrap_around(tmp_path):
    """Decoded Opus exceeds full scale here, by libsndfile's floats; 16-bit samples keep its sign."""
    pitch = 2 * np.pi * 300 * np.arange(16000) / 16000
    soundfile.write(tmp_path / "clips_00.ogg", np.sign(np.sin(pitch)), 16000, format="OGG", subtype="OPUS")
    (tmp_path / "index.json").write_text("[]")
    (tmp_path / "parts.json").write_text("[16000]")
    decoded = soundfile.read(tmp_path / "clips_00.ogg", dtype="float32")[0]
    assert np.abs(decoded).max() > 1
    for samples in (Pack.read(tmp_path).samples, pack_tasks.read(tmp_path)[1]):
        assert samples.dtype == np.int16
        np.testing.assert_allclose(samples / 32767, decoded.clip(-1, 1), atol=1e-4)


def test_what_was_measured_is_not_measured_again_and_stands_in_the_readme(dest, monkeypatch):
    made = []

    def train_and_judge(train, test, *runs):
        made.append(runs)
        return {"accuracy": 0.5, "balanced": 0.25 + 0.1 * len(made), "train": 1, "test": 1, "seconds": 1.0}

    monkeypatch.setattr(measure, "train_and_judge", train_and_judge)
    names = ["scratch", "fine-tuned", "default", "chosen", "from the regression"]
    ways = ["--way", *names, "--clips", "few", "all", "--draws", "1"]
    monkeypatch.setattr(sys, "argv", ["x", str(dest), "--task", "drums", "vocal", *ways, "--readme"])
    assert measure.main() == measure.main() == 0
    few, full = 2 * 3, 3  # runs of a task with 3 folds: two draws of few clips, one of all
    tuned, untold, chosen, continued = 4 * (few + full), 2 * (few + full), 2 * full, 2 * few
    assert len(made) == tuned + untold + chosen + continued
    assert sum(len(runs) == 2 for runs in made) == continued
    assert sum("--frozen" in runs[0] for runs in made) == chosen + continued
    assert sum("--learning_rate" in runs[-1] for runs in made) == tuned + continued
    assert all(runs[0][runs[0].index("--model") + 1] != measure.START for runs in made)
    assert all(runs[1][:2] == ["--model", measure.START] for runs in made if runs[1:])
    text = (dest / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    section = text.split(measure.BEGIN)[1].split(measure.END)[0]
    assert "±" in section and "vocal" in section and "20" in section.strip().splitlines()[0]
    assert "old" not in text


def test_tables_are_written_between_their_marks(tmp_path):
    (tmp_path / "x.md").write_text("a <b>old</b> c")
    write_between(tmp_path / "x.md", "<b>", "</b>", "new")
    assert (tmp_path / "x.md").read_text() == "a <b>\nnew\n</b> c"


def test_flops_of_a_pretraining_step_are_those_of_its_matrix_products():
    """Forward and the two products of each in backward, by hand; patches need no gradient."""
    width, inner, layers, patches, values = 64, 128, 2, 32, 256
    config = SSASTConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=2,
        max_length=64, num_mask_patches=10,
    )  # fmt: skip
    tokens = patches + 2
    layer = tokens * (4 * width**2 + 2 * width * inner) + 2 * tokens**2 * width  # qkv, output, MLP; scores, values
    heads = 2 * patches * (width**2 + width * values)
    similarity, projection = patches**2 * values, patches * values * width  # each with one gradient
    expected = 2 * (3 * (layers * layer + heads) + 2 * (similarity + projection))
    assert throughput.flops_per_clip(config, 64) == expected


def test_throughput_says_clips_a_second_and_utilisation(monkeypatch, capsys):
    command = ["throughput", "--device", "cpu", "--size", "tiny", "--frames", "64", "--batch_size", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--steps", "1", "--peak_tflops", "0.5"])
    assert throughput.main() == 0
    line = capsys.readouterr().out
    rate, flops, share = (float(text) for text in re.search(
        r"([\d.]+) clips a second, ([\d.]+) GFLOP a clip.* MFU ([\d.]+)%", line).groups())  # fmt: skip
    assert share == pytest.approx(100 * rate * flops / 500, rel=0.1, abs=0.1)
