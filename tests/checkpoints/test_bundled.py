# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The checkpoint and the classifier that the package carries: found by name, offline, and worth something."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ssast_hf import (
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTModel,
    load_audio,
    sample_masks,
)
from ssast_hf.checkpoints import locate
from ssast_hf.checkpoints import names as checkpoints
from ssast_hf.checkpoints.push import CODE
from ssast_hf.cli import main
from ssast_hf.configuration_ssast import code_file
from ssast_hf.modeling_ssast import patchify

SOUNDS = checkpoints.BUNDLED / "sounds"
ENCODER, PRETRAINED = checkpoints.DEFAULT_PRETRAINED, checkpoints.DEFAULT_RECONSTRUCTION


@pytest.mark.parametrize("entry", checkpoints.OWN, ids=lambda entry: entry.name)
def test_the_table_tells_the_truth_of_what_is_bundled(entry):
    directory = checkpoints.BUNDLED / entry.name
    config = json.loads((directory / "config.json").read_text())
    assert (config["frequency_patch_size"], config["time_patch_size"]) == entry.patch_shape
    assert config["hidden_size"] == {"tiny": 192}[entry.size]
    assert locate.status(entry) == "bundled"
    assert f"license: {entry.licence}" in (directory / "README.md").read_text()
    assert sum(path.stat().st_size for path in directory.iterdir()) < 13e6
    code = {Path(name).name: code_file(name) for name in ("configuration_ssast.py", *CODE)}
    assert {path.name for path in directory.glob("*.py")} == code.keys()
    for path in directory.glob("*.py"):
        assert path.read_bytes() == code[path.name].read_bytes()


def test_the_checkpoints_load_whole_and_in_single_precision():
    for cls, name in ((SSASTForPreTraining, PRETRAINED), (SSASTModel, PRETRAINED), (SSASTModel, ENCODER)):
        model, info = cls.from_pretrained(name, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
        assert model.dtype == torch.float32
    for name in (PRETRAINED, ENCODER):
        model = SSASTForAudioClassification.from_pretrained(name, num_labels=35)
        assert model.config.num_labels == 35
        assert SSASTFeatureExtractor.from_pretrained(name).return_attention_mask


def test_the_checkpoint_fills_in_sounds_it_has_not_heard():
    """Better than the mean of what is visible in the same mel bins, the best guess that knows no time."""
    model, extractor = (
        SSASTForPreTraining.from_pretrained(PRETRAINED).eval(),
        SSASTFeatureExtractor.from_pretrained(PRETRAINED),
    )
    samples = (model.config.max_length + 2) * 160
    sounds = [np.resize(load_audio(path), samples) for path in sorted(SOUNDS.glob("*/*.flac"))]
    inputs = extractor(sounds, sampling_rate=16000, return_tensors="pt")["input_values"]
    grid = model.config.patch_grid()
    masks = sample_masks(len(inputs), grid, grid[0] * grid[1] // 2, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = model(inputs, bool_masked_pos=masks)
    patches, hidden = patchify(inputs, model.config), masks[:, :, None]
    by_bin = patches.unflatten(1, grid).unflatten(3, (16, 16))  # (B, F, T, bins, frames)
    visible = (~masks).unflatten(1, grid)[..., None, None].expand_as(by_bin)
    mean = (by_bin * visible).sum(dim=(2, 4), keepdim=True) / visible.sum(dim=(2, 4), keepdim=True).clamp(min=1)
    guess = mean.expand_as(by_bin).flatten(3).flatten(1, 2)
    ours, theirs = (
        ((each - patches) ** 2)[hidden.expand_as(patches)].mean() for each in (outputs.reconstruction, guess)
    )
    assert ours < 0.7 * theirs
    assert outputs.accuracy > 5 / masks[0].sum()  # of picking the right one of the masked patches


def test_ssast_classify_needs_no_model(capsys):
    drums = [str(path) for kind in ("kick", "tabla", "cymbal") for path in sorted((SOUNDS / kind).glob("*.flac"))]
    assert main(["classify", *drums, "--top-k", "1", "--json"]) == 0
    found = [json.loads(line)["labels"][0]["label"] for line in capsys.readouterr().out.splitlines()]
    assert found.count("percussion") > 0.6 * len(drums)  # 19 of 26; the others are taken for effects
    assert main(["classify", drums[0], "--json", "--top-k", "4"]) == 0
    scores = json.loads(capsys.readouterr().out)["labels"]
    assert {entry["label"] for entry in scores} == {"speech", "music", "percussion", "effect"}
