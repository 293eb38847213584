# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed or not UTF-8, labels with control characters, how OpenMP waits, long names."""

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification

from ..conftest import SMALL
from ..fork_server import ssast_command

SOUND = Path(__file__).parents[1] / "data/sounds/misc_crow.flac"
LABELS = ["caf\u00e9", "\x1b[31mred\t", "=1+1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A classifier whose labels are hostile."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    labels = dict(enumerate(LABELS))
    config = SSASTConfig(**SMALL, max_length=64, id2label=labels, label2id={v: k for k, v in labels.items()})
    SSASTForAudioClassification(config).save_pretrained(folder)
    SSASTFeatureExtractor(max_length=64).save_pretrained(folder)
    return folder


def shell(command: str, **environment: str) -> subprocess.CompletedProcess:
    """A start as users start it where the streams are closed or variables are given."""
    real = environment or "&-" in command
    line = f"{sys.executable} -m ssast_hf.cli" if real else shlex.join(ssast_command())
    variables = {**os.environ, **environment, "SSAST": line}
    return subprocess.run(["bash", "-c", command], capture_output=True, env=variables, timeout=120)


def test_labels_are_escaped_on_terminals_and_whole_in_json(model):
    done = shell(f"$SSAST classify {SOUND} --model {model}")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "\x1b" not in text and "\r" not in text and r"\x1b[31mred\t" in text and "café" in text
    done = shell(f"$SSAST classify {SOUND} --model {model} --json")
    assert {entry["label"] for entry in json.loads(done.stdout)["labels"]} == set(LABELS)


def test_csv_for_spreadsheets_holds_no_formulas(model, tmp_path):
    sound = tmp_path / "=cmd.flac"
    sound.write_bytes(SOUND.read_bytes())
    command = f"cd {tmp_path}; $SSAST classify =cmd.flac --model {model} --format csv"
    rows = list(csv.DictReader(shell(command).stdout.decode().splitlines()))
    assert {row["file"] for row in rows} == {"=cmd.flac"} and "=1+1" in {row["label"] for row in rows}
    rows = list(csv.DictReader(shell(f"{command} --spreadsheet").stdout.decode().splitlines()))
    assert {row["file"] for row in rows} == {"'=cmd.flac"} and "'=1+1" in {row["label"] for row in rows}
    done = shell(f"$SSAST classify {SOUND} --model {model} --spreadsheet")
    assert done.returncode == 2 and b"--spreadsheet is for --format csv" in done.stderr


def test_terminals_that_are_not_utf_8_get_escapes(model, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xe9\xc3\xa9.flac"
    os.link(SOUND, name) if os.stat(SOUND).st_dev == os.stat(tmp_path).st_dev else os.symlink(SOUND, name)
    done = shell(f"$SSAST classify {tmp_path} --model {model}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert rb"caf\xe9" in done.stdout and b"/\xe9\\xe9.flac\n" in done.stdout
    done = shell(f"$SSAST classify {tmp_path}/nothere-é.wav --model {model}", PYTHONIOENCODING="ascii")
    assert done.returncode == 2 or done.returncode == 1
    assert b"nothere-" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("$SSAST classify - --model {model} <&-", "- is standard input, which is closed"),
        ("$SSAST classify {sound} --model {model} >&-", "standard output is closed"),
        ("$SSAST classify - --model {model} < /dev/null", "could not be read"),
    ],
)
def test_closed_streams_are_one_line(model, command, said):
    done = shell(command.format(model=model, sound=SOUND))
    assert done.returncode in (1, 2) and said in done.stderr.decode() and b"Traceback" not in done.stderr


def test_names_of_255_bytes(model, tmp_path):
    name = "é" * 125 + ".flac"
    (tmp_path / name).write_bytes(SOUND.read_bytes())
    command = f"$SSAST classify '{tmp_path}' --model {model}"
    assert shell(f"{command} --output '{tmp_path}/{'x' * 251}.csv'").returncode == 0
    assert shell(f"{command} --format audacity --output {tmp_path}").returncode == 0
    assert shell(f"{command} --plot {tmp_path}").returncode == 0
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{'x' * 251}.csv", "é" * 125 + ".txt", "é" * 125 + ".png"])


VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
WAITING = (
    "from ssast_hf.cli import main; import os, sys; main(['checkpoints']); "
    f"print([os.environ.get(name) for name in {VARIABLES[:2]}], 'torch' in sys.modules)"
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "['3000', '1']"),
        ({"GOMP_SPINCOUNT": "7"}, "['7', '1']"),
        ({"OMP_WAIT_POLICY": "active"}, "[None, None]"),
        ({"KMP_BLOCKTIME": "200"}, "['3000', '200']"),
    ],
)
def test_threads_of_openmp_wait_briefly_unless_the_user_says_how(given, expected):
    variables = {
        k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
    }
    done = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True, env={**variables, **given})
    assert done.stdout.splitlines()[-1] == f"{expected} False", done.stderr


def test_exported_models_are_named_as_such_where_they_cannot_be_used():
    done = shell("$SSAST embed x.wav --model model.onnx --output /tmp/never.npz")
    assert done.returncode == 2 and b"model.onnx is an exported model, which only `ssast classify`" in done.stderr
    done = shell("$SSAST classify x.wav --model model.onnx --plot x.png")
    assert done.returncode == 2 and b"--plot: not with an exported model (.onnx), which computes" in done.stderr
