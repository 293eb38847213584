# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The scripts that measure checkpoints: how clips are divided, what is kept of earlier runs, tables."""

import csv
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import throughput
from recipes.debian_audio import ablate, measure, variants
from recipes.report import Measured, write_between
from ssast_hf import SSASTConfig

SOUNDS = Path(__file__).parent / "data" / "sounds"
MARKS = "".join(f"{module.BEGIN}\nold\n{module.END}\n" for module in (measure, variants, ablate))


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
    for module in (measure, variants):
        monkeypatch.setattr(module, "README", readme)
    return tmp_path


def test_three_seeds_judge_by_every_clip_once_and_by_no_group_that_was_trained_on():
    judged = Counter()
    for seed in range(3):
        train, test = measure.divide(rows(), "drums", "all", seed)
        assert not {row["group"] for row in train} & {row["group"] for row in test}
        assert len(train) + len(test) == len(rows())
        judged.update(row["file"] for row in test)
        few, same = measure.divide(rows(), "drums", "few", seed)
        assert same == test
        assert Counter(row["label"] for row in few) == {"a": measure.FEW, "b": measure.FEW}
        assert all(row in train for row in few)
    assert set(judged) == {row["file"] for row in rows()} and set(judged.values()) == {1}


@pytest.mark.parametrize("module, runs", [(measure, 2 * 2 * 3), (variants, 2 * 3)])
def test_what_was_measured_is_not_measured_again_and_stands_in_the_readme(dest, monkeypatch, module, runs):
    made = []

    def train_and_judge(train, test, arguments):
        made.append(arguments)
        return {"accuracy": 0.5, "balanced": 0.25 + 0.1 * len(made), "train": 1, "test": 1, "seconds": 1.0}

    monkeypatch.setattr(module, "train_and_judge", train_and_judge)
    ways = {
        measure: ["--way", "scratch", "checkpoint", "--clips", "few"],
        variants: ["--variant", "stride 10"],
    }
    monkeypatch.setattr(sys, "argv", ["x", str(dest), "--task", "drums", "vocal", *ways[module], "--readme"])
    assert module.main() == module.main() == 0
    assert len(made) == runs
    text = (dest / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    section = text.split(module.BEGIN)[1].split(module.END)[0]
    assert "±" in section and "vocal" in section and "20" in section.strip().splitlines()[0]
    assert text.count("old") == 2


def test_pretraining_choices_are_compared_by_the_same_masks(dest, monkeypatch):
    monkeypatch.setattr(ablate, "SMALL", {**ablate.SMALL, "hidden_size": 16, "num_hidden_layers": 1})
    monkeypatch.setattr(ablate, "VARIANTS", {name: ablate.VARIANTS[name] for name in [*ablate.VARIANTS][::7]})
    monkeypatch.setattr(ablate, "downstream", lambda dest, model, way: [float(way == "checkpoint")] * 3)
    for name, files in (("train", 8), ("validation", 10)):
        lines = [str(path) for path in sorted(SOUNDS.glob("*.flac"))[-files:]]
        (dest / f"{name}.csv").write_text("\n".join(["file", *lines]))
    line = ["x", str(dest), "--steps", "3", "--readme", "--flags", "--per_device_train_batch_size", "1"]
    monkeypatch.setattr(sys, "argv", line)
    assert ablate.main() == 0
    joint, generative, none = Measured(dest / "ablation" / "3-0" / "measured.jsonl").results
    assert 0 <= joint["accuracy"] <= 1 and joint["error"] > 0 and joint["error"] != generative["error"]
    assert none["vocal"] == [0.0] * 3 and "error" not in none
    table = (dest / "README.md").read_text().split(ablate.BEGIN)[1].split(ablate.END)[0]
    assert "; 3 steps." in table and f"| {joint['error']:.4f} | 1.000 ± 0.000 |" in table
    assert "| generative alone |  |" in table  # its other head was not trained


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
