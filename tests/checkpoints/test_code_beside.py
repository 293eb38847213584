# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The code beside a model: in converted and bundled directories alike, and what it says under transformers 4."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

import ssast_hf
from ssast_hf import SSASTForAudioClassification
from ssast_hf.checkpoints import BUNDLED
from ssast_hf.checkpoints.convert import convert_checkpoint
from ssast_hf.checkpoints.push import CODE
from ssast_hf.configuration_ssast import save_code

from ..golden import seeded
from ..hub.client import NO_PACKAGE

NAME = "ssast-tiny-patch-debian-kinds"
LOAD = """
import json
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

model = AutoModelForAudioClassification.from_pretrained("model", trust_remote_code=True).eval()
extractor = AutoFeatureExtractor.from_pretrained("model", trust_remote_code=True)
with torch.no_grad():
    logits = model(torch.load("input.pt")).logits
print(json.dumps([logits.tolist(), extractor.mean]))
"""


@pytest.mark.parametrize("way", ["copied by hand", "converted"])
def test_a_model_directory_loads_where_the_package_is_missing(way, tmp_path):
    if way == "converted":
        convert_checkpoint(NAME, tmp_path / "model")
    else:
        shutil.copytree(BUNDLED / NAME, tmp_path / "model")
    spectrograms = seeded.spectrogram(2, 64)
    torch.save(spectrograms, tmp_path / "input.pt")
    done = subprocess.run(
        [sys.executable, "-c", NO_PACKAGE + LOAD], cwd=tmp_path, capture_output=True, text=True,
        env={"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    logits, mean = json.loads(done.stdout.splitlines()[-1])
    with torch.no_grad():
        expected = SSASTForAudioClassification.from_pretrained(NAME).eval()(spectrograms).logits
    torch.testing.assert_close(torch.tensor(logits), expected, rtol=0, atol=1e-5)
    assert mean == ssast_hf.SSASTFeatureExtractor.from_pretrained(NAME).mean


@pytest.mark.parametrize("first", ["configuration_ssast", "feature_extraction_ssast"])
def test_under_transformers_4_the_code_says_what_it_needs(first, tmp_path):
    """Auto classes import one of these two first. The same on a second try. Stand-ins have the names that 4.57 has."""
    package, code = tmp_path / "transformers", tmp_path / "beside"
    package.mkdir()
    code.mkdir()
    (package / "__init__.py").write_text('__version__ = "4.57.6"\n')
    (package / "activations.py").write_text("ACT2FN = {}\n")
    (package / "configuration_utils.py").write_text("class PretrainedConfig: pass\n")
    (package / "feature_extraction_sequence_utils.py").write_text("class SequenceFeatureExtractor: pass\n")
    (package / "feature_extraction_utils.py").write_text("class BatchFeature: pass\n")
    (package / "utils.py").write_text(
        "import logging\nlogging.get_logger = logging.getLogger\nclass PaddingStrategy: pass\nclass TensorType: pass\n"
    )
    save_code(code, *CODE)
    code_text = f"""
import importlib
for attempt in range(2):
    try:
        importlib.import_module("beside.{first}")
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code_text], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    message = "SSAST's code needs transformers 5.23 or later, found 4.57.6: pip install --upgrade transformers"
    assert done.stdout.splitlines() == [message, message]
