# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' example script for audio classification, as it stands: it trains, evaluates, and its model loads."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import pipeline

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification

from .fetch import script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not script().exists(), reason="python tests/clients/fetch.py downloads the script"),
]
ACCURACY = """
import datasets
import evaluate
import numpy as np


class Accuracy(evaluate.Metric):
    def _info(self):
        number = datasets.Value("int32")
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
                                   features=datasets.Features({"predictions": number, "references": number}))

    def _compute(self, predictions, references):
        return {"accuracy": float(np.mean(np.array(predictions) == np.array(references)))}
"""  # in place of the Hub's, which is the same
WITH_PACKAGE = "import ssast_hf, runpy; runpy.run_path('run_audio_classification.py', run_name='__main__')"
PAGE = (Path(__file__).parents[2] / "docs/trainer.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", ["package", "remote code"])
def test_it_trains_evaluates_and_loads_back(saved, clips, tmp_path, code):
    """
    With the package imported first, and without it by the code beside the model. The script keeps no mask of the
    padding; with --attention_mask False the saved extractor says so, and what is measured again is the same.
    """
    pytest.importorskip("torchcodec", reason="make clients installs it")
    for split in ("train", "validation"):
        for number, clip in enumerate(clips):
            folder = tmp_path / "data" / split / ("low", "high")[clip["label"]]
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{number}.wav", clip["audio"]["array"], 16000)
    (tmp_path / "accuracy").mkdir()
    (tmp_path / "accuracy/accuracy.py").write_text(ACCURACY)
    (tmp_path / "hidden/ssast_hf").mkdir(parents=True)
    (tmp_path / "hidden/ssast_hf/__init__.py").write_text("raise ModuleNotFoundError('ssast_hf is hidden')\n")
    arguments = {
        "model_name_or_path": saved, "dataset_name": tmp_path / "data", "output_dir": tmp_path / "out",
        "freeze_feature_encoder": False, "attention_mask": False, "trust_remote_code": code == "remote code",
        "remove_unused_columns": False, "do_train": True, "do_eval": True, "max_steps": 60, "learning_rate": 3e-3,
        "per_device_train_batch_size": 12, "report_to": "none", "use_cpu": True, "max_length_seconds": 1,
    }  # fmt: skip
    flags = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    shutil.copy(script(), tmp_path / "run_audio_classification.py")
    command = ["-c", WITH_PACKAGE] if code == "package" else ["run_audio_classification.py"]
    search = [str(tmp_path / "hidden")] if code == "remote code" else []
    search += os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(search)}
    command = [sys.executable, *command, *flags]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert WITH_PACKAGE in PAGE and "--trust_remote_code True" in PAGE
    for name in ("freeze_feature_encoder", "attention_mask", "remove_unused_columns"):
        assert f"--{name} {arguments[name]}" in PAGE
    results = json.loads((tmp_path / "out/eval_results.json").read_text())
    assert results["eval_accuracy"] > 0.9

    model = SSASTForAudioClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.id2label == {0: "high", 1: "low"}  # folders in alphabetical order
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "out")
    assert extractor.return_attention_mask is False
    arrays = [clip["audio"]["array"] for clip in clips]
    labels = torch.tensor([1 - clip["label"] for clip in clips])
    with torch.no_grad():
        loss = model(**extractor(arrays, sampling_rate=16000, return_tensors="pt"), labels=labels).loss
    assert loss.item() == pytest.approx(results["eval_loss"], abs=1e-3)  # of 16-bit files
    found = pipeline("audio-classification", model=str(tmp_path / "out"))(arrays, top_k=1)
    accuracy = np.mean([best["label"] == ("low", "high")[clip["label"]] for (best,), clip in zip(found, clips)])
    assert accuracy == results["eval_accuracy"]
