# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Names of files and labels that hold escape sequences, newlines and bidirectional controls never reach a terminal."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf.cli import main

SOUND = Path(__file__).parents[1] / "data/sounds/misc_crow.flac"
EVIL = "a\x1b[2J\x9b1m\n\u202eb\x07"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # but tabs and newlines


@pytest.fixture
def evil(checkpoints, tmp_path, monkeypatch) -> Path:
    """A folder with such a name and what is in it: sounds, annotations, manifests, a model, and broken files."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / EVIL
    rng = np.random.default_rng(0)
    for label in (f"x{EVIL}", f"X{EVIL}"):  # labels that differ only in case, of few clips: both are warned of
        (folder / "labelled" / label).mkdir(parents=True)
        for index in range(2):
            path = folder / "labelled" / label / f"{index}{EVIL}.wav"
            soundfile.write(path, 0.1 * rng.standard_normal(16000), 16000)
        (folder / "labelled" / label / f"broken{EVIL}.wav").write_bytes(b"RIFF nonsense")
    (folder / "labelled" / f"other.x{EVIL}").write_bytes(b"")
    (folder / "events").mkdir()
    shutil.copy(SOUND, folder / "events" / f"r{EVIL}.flac")
    (folder / "events" / f"broken{EVIL}.wav").write_bytes(b"RIFF nonsense")
    for name in (f"r{EVIL}", f"broken{EVIL}"):
        (folder / "events" / f"{name}.csv").write_text(f'start,end,label\n0.1,0.4,"x{EVIL}"\n0.2,0.4,voice\n')
    shutil.copy(SOUND, folder / "events" / f"alone{EVIL}.flac")
    (folder / "shards").mkdir()
    (folder / "shards" / f"d{EVIL}.parquet").write_bytes(b"PAR1nonsense")
    with open(folder / f"m{EVIL}.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file", "offset", "label"], [f"missing{EVIL}.wav", 99, EVIL], [SOUND, 99, EVIL]])
    shutil.copytree(checkpoints / "classifier", folder / "model")
    config = json.loads((folder / "model/config.json").read_text())
    labels = {"id2label": {"0": f"x{EVIL}", "1": f"X{EVIL}", "2": "voice"}, "label2id": None}
    (folder / "model/config.json").write_text(json.dumps({**config, **labels}))
    return folder


def said(capsys, caplog, *argv) -> tuple[int, str]:
    try:
        status = main([str(argument) for argument in argv])
    except SystemExit as error:  # of the parser
        status = int(error.code or 0)
    captured = capsys.readouterr()
    logged = [record.getMessage() for record in caplog.records]  # without pytest, on standard error
    return status, "\n".join([captured.out, captured.err, *logged])


COMMANDS = {
    "classify": "classify {f}/labelled {f}/events --model {f}/model",
    "classify, events": "classify {f}/labelled --model {f}/model --events --threshold 0",
    "classify to a file": "classify {f}/labelled --model {f}/model --output {f}/out{e}.csv",
    "classify, manifest": "classify {f}/m{e}.csv --model {f}/model",
    "classify, parquet": "classify {f}/shards --model {f}/model",
    "classify, no model": "classify {f}/labelled --model {f}/{e}",
    "an unknown command": "{e}",
    "an unknown flag": "classify {f} --{e}",
    "embed": "embed {f}/labelled --model {f}/model --output {f}/out{e}.npz",
    "embed to nowhere": "embed {f}/labelled --model {f}/model --output {f}/no{e}/x.npz",
    "similar to nothing": "similar {f}/labelled/x{e}/0{e}.wav {f}/no{e}.npz",
    "annotations": "annotations {f}/events --window 1 --hop 1 --output {f}/out{e}.csv",
    "evaluate": "evaluate --data {f}/labelled --model {f}/model --output-dir {f}/out{e}",
    "evaluate, events": "evaluate --data {f}/events --events --model {f}/model --output-dir {f}/out{e}",
    "stats": "stats {f}/labelled --clips 4",
    "stats of a manifest": "stats {f}/m{e}.csv",
    "pack": "pack {f}/labelled --output {f}/packed{e}",
    "convert": "convert {f}/model {f}/ast{e} --to ast",
    "export": "export --model {f}/model --onnx {f}/x{e}.onnx",
    "finetune": "finetune --data {f}/labelled --model {f}/model --output_dir {f}/out{e} --num_train_epochs 1 "
    "--new_classifier True --frozen False --use_cpu True --report_to none --validation_fraction 0.5 "
    "--allow_missing_labels True",
    "finetune, a manifest": "finetune --data {f}/m{e}.csv --model {f}/model --output_dir {f}/out{e} --use_cpu True",
    "pretrain": "pretrain --data {f}/labelled --model {f}/model --output_dir {f}/out{e} --max_steps 1 --use_cpu True "
    "--report_to none",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_no_control_character_reaches_the_terminal(evil, capsys, caplog, recwarn, name):
    argv = [part.format(f=evil, e=EVIL) for part in COMMANDS[name].split()]
    status, text = said(capsys, caplog, *argv)
    print(status, ascii(text))  # for the next reader of a failure
    assert not RAW.search(text + "".join(str(warning.message) for warning in recwarn))
    assert "\\x1b[2J" in text or name == "stats"
    assert status in (0, 1, 2)
    assert not any(line.startswith(("b", "\u202e")) for line in text.splitlines())  # what follows a raw newline
