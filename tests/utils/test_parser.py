# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Flags: both spellings, no abbreviations, suggestions."""

import re

import pytest

from ssast_hf.cli import main
from ssast_hf.cli.main import COMMANDS, build_parser
from ssast_hf.utils.parser import Parser


def error_of(arguments: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    captured = capsys.readouterr()
    assert exit.value.code == 2 and captured.out == "" and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        ("finetune --data x --model y --output_dir z --epochs 3", "--num_train_epochs"),
        ("finetune --epochs 3", "--num_train_epochs"),  # said rather than that --data is missing
        ("pretrain --num_train_epoch 3", "--num_train_epochs"),  # an abbreviation trained 300 steps
        ("pretrain --num-train-epoch=3", "--num_train_epochs"),
        ("pretrain --lr 1e-3", "--learning_rate"),
        ("finetune --hub_tok hf_secret", "--hub_token"),
        ("classify x.wav --threshhold 0.5", "--threshold"),
        ("classify x.wav --topk 2", "--top-k"),
        ("classify x.wav --batch 2", "--batch-size"),
        ("embed x.wav --model m --output y.npz --layer 3", "--layers"),
        ("evaluate --output x", "--output-dir"),
    ],
)
def test_an_unknown_flag_suggests_the_nearest(arguments, suggested, capsys):
    said = error_of(arguments.split(), capsys)
    flag = next(word for word in arguments.split() if word.startswith("--") and word.partition("=")[0] in said)
    assert f"there is no flag {flag.partition('=')[0]}: did you mean {suggested}" in said
    assert "secret" not in said


def test_a_flag_like_no_other_suggests_none(capsys):
    assert "there is no flag --zyx (see `ssast classify --help`)" in error_of(["classify", "x", "--zyx"], capsys)
    assert "there is no flag --verson: did you mean --version?" in error_of(["--verson"], capsys)


@pytest.mark.parametrize(("typed", "meant"), [("fintune", "finetune"), ("Classify", "classify"), ("eval", "evaluate")])
def test_an_unknown_command_suggests_the_nearest(typed, meant, capsys):
    said = error_of([typed, "--data", "x"], capsys)
    assert said == f"ssast: error: there is no command {typed}: did you mean {meant}? (see `ssast --help`)\n"


def test_every_command_takes_both_spellings():
    commands = build_parser()._subparsers._group_actions[0].choices
    for name, parser in commands.items():
        if hasattr(COMMANDS[name], "main"):
            continue
        for action in parser._actions:
            for flag in action.option_strings:
                assert "_" not in flag  # shown with hyphens
                assert parser._spelled([flag[:2] + flag[2:].replace("-", "_")]) == [flag]


def test_training_takes_both_spellings(tmp_path):
    pytest.importorskip("accelerate")
    from ssast_hf.training.arguments import parse
    from ssast_hf.training.pretrain import PreTrainingArguments, PreTrainingDataArguments

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("num-train-epochs: 3\nper_device_train_batch_size: 5\n")
    flags = f"{recipe} --data x --output-dir {tmp_path}/o --mask-cluster_min 2 --learning_rate=0.5".split()
    data, training, given = parse((PreTrainingDataArguments, PreTrainingArguments), flags, "pretrain", "")
    assert (training.num_train_epochs, training.per_device_train_batch_size) == (3, 5)
    assert (training.output_dir, data.mask_cluster_min, training.learning_rate) == (f"{tmp_path}/o", 2, 0.5)
    assert {"num_train_epochs", "output_dir", "mask_cluster_min"} <= given.keys()


def test_arguments_after_two_hyphens_are_no_flags():
    parser = Parser(prog="x")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--a-b", type=int)
    found = parser.parse_args(["--a_b=3", "--", "--a_b", "--c"])
    assert (found.a_b, found.files) == (3, ["--a_b", "--c"])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_names_both_spellings_or_the_main_help_does(command, capsys):
    pytest.importorskip("accelerate")
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    flags = set(re.findall(r"^  (?:-h, )?(--[\w-]+)", shown, flags=re.M))
    assert flags and all(("_" not in flag) or command in ("pretrain", "finetune") for flag in flags)
