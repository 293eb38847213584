# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Exported models equal torch's, and run where torch and transformers cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel
from ssast_hf.cli import main
from ssast_hf.export import to_onnx as export_module
from ssast_hf.export.runtime import OnnxModel
from ssast_hf.inference import classify, load_classifier

from ..conftest import SMALL

SOUNDS = sorted((Path(__file__).parents[1] / "data/sounds").glob("*.flac"))[:3]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A folder with a random `classifier` of 64 frames and `x.onnx`."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, initializer_range=0.2)
    SSASTForAudioClassification(config).save_pretrained(folder / "classifier")
    SSASTFeatureExtractor(max_length=64).save_pretrained(folder / "classifier")
    assert main(["export", "--model", str(folder / "classifier"), "--onnx", str(folder / "x.onnx")]) == 0
    return folder


def test_frame_based_models_of_several_labels_a_clip_are_served_too(tmp_path, capsys):
    """Sigmoids, one row of patches, and clips longer and shorter than `max_length`."""
    torch.manual_seed(1)
    fields = {
        "max_length": 64,
        "num_labels": 4,
        "initializer_range": 0.2,
        "problem_type": "multi_label_classification",
    }
    config = SSASTConfig(**SMALL, frequency_patch_size=128, time_patch_size=2, **fields)
    SSASTForAudioClassification(config).save_pretrained(tmp_path / "classifier")
    SSASTFeatureExtractor(max_length=64).save_pretrained(tmp_path / "classifier")
    assert main(["export", "--model", str(tmp_path / "classifier"), "--onnx", str(tmp_path / "x.onnx")]) == 0
    capsys.readouterr()
    command = ["classify", *map(str, SOUNDS), "--model", str(tmp_path / "x.onnx"), "--json", "--top-k", "4"]
    assert main(command) == 0
    found = [json.loads(line)["labels"] for line in capsys.readouterr().out.splitlines()]
    extractor = SSASTFeatureExtractor.from_pretrained(tmp_path / "classifier")
    expected = dict(classify(load_classifier(tmp_path / "classifier"), extractor, SOUNDS))
    for labels, scores in zip(found, expected.values(), strict=True):
        assert {x["label"]: x["score"] for x in labels} == pytest.approx(scores, abs=1e-4)
        assert abs(sum(scores.values()) - 1) > 1e-3


def test_classify_without_torch_gives_torchs_scores(exported):
    code = (
        "import sys\nfor name in ('torch', 'transformers'): sys.modules[name] = None\n"
        "from ssast_hf.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "classify",
        *map(str, SOUNDS),
        "--model",
        str(exported / "x.onnx"),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    extractor = SSASTFeatureExtractor.from_pretrained(exported / "classifier")
    expected = classify(load_classifier(exported / "classifier"), extractor, SOUNDS)
    for row, (path, scores) in zip(found, expected, strict=True):
        assert row["file"] == path
        assert {x["label"]: x["score"] for x in row["labels"]} == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("arguments", [[], ["--level", "frame"], ["--level", "patch", "--int8"]])
def test_every_level_exports(exported, tmp_path, arguments, capsys):
    command = ["export", "--model", str(exported / "classifier"), "--onnx", str(tmp_path / "y.onnx"), *arguments]
    assert main(command) == 0
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err


def test_a_mismatch_is_an_error_and_leaves_no_file(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssast_hf.export.waveform_model.PREEMPHASIS", 0.96)
    assert main(["export", "--model", str(exported / "classifier"), "--onnx", str(tmp_path / "y.onnx")]) == 2
    assert "differ from torch's" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_flags_that_an_exported_model_cannot_serve_are_refused(exported, capsys):
    command = ["classify", str(SOUNDS[0]), "--model", str(exported / "x.onnx")]
    for flags in (["--window", "2"], ["--hop", "1"], ["--aggregate", "max"], ["--plot", "x.png"],
                  ["--format", "audacity"], ["--microphone"]):  # fmt: skip
        assert main([*command, *flags]) == 2
        assert f"{' '.join(flags[:1])}" in capsys.readouterr().err


def test_the_other_flags_serve_exported_models_too(exported, tmp_path, capsys):
    """CSV into a file, fewer labels, a threshold; the file is not replaced."""
    output = tmp_path / "labels.csv"
    command = ["classify", *map(str, SOUNDS), "--model", str(exported / "x.onnx"), "--format", "csv",
               "--output", str(output)]  # fmt: skip
    assert main([*command, "--top-k", "2"]) == 0
    rows = output.read_text().splitlines()
    assert rows[0] == "file,level,start,end,label,score" and len(rows) == 1 + 2 * len(SOUNDS)
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--threshold", "0.999"]) == 0
    assert len(output.read_text().splitlines()) == 1


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("level", [None, "clip"])
def test_rows_are_pooled_in_the_graph(tmp_path, level, mask):
    """With padding masked and heard; the export itself compares with torch."""
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, pooling="rows", classifier_layer_norm=False)
    model = (SSASTModel if level else SSASTForAudioClassification)(config)
    extractor = SSASTFeatureExtractor(max_length=64, return_attention_mask=mask)
    export_module.export_onnx(model, extractor, tmp_path / "x.onnx", level)
    found = OnnxModel(tmp_path / "x.onnx")([np.zeros(8000, np.float32), np.ones(12000, np.float32)])
    assert found.shape == (2, config.pooled_size if level else 3)


@pytest.mark.parametrize(("level", "mask"), [(None, None), (None, False), ("clip", False), ("frame", False)])
def test_without_a_mask_the_graph_pads_as_the_original_does(tmp_path, level, mask):
    """What the extractor says about the mask is in the graph and in the metadata; clips alone and in a batch."""
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=70, num_labels=3, initializer_range=0.2)
    model = (SSASTModel if level else SSASTForAudioClassification)(config).eval()
    extractor = SSASTFeatureExtractor(max_length=70, return_attention_mask=mask)
    export_module.export_onnx(model, extractor, tmp_path / "x.onnx", level)
    exported = OnnxModel(tmp_path / "x.onnx")
    assert exported.metadata["attention_mask"] is False
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (400, 5000, 69 * 160 + 400)]
    inputs = extractor(clips, sampling_rate=16000, return_tensors="pt")
    assert "attention_mask" not in inputs
    with torch.no_grad():
        outputs = model(**inputs)
    expected = outputs.logits if level is None else outputs.pooler_output
    if level == "frame":
        patches = outputs.last_hidden_state[:, 2:].unflatten(1, (8, -1)).mean(dim=1)
        expected = [clip[:steps] for clip, steps in zip(patches, (1, 1, 4))]
    for found in (exported(clips), [exported([clip])[0] for clip in clips]):
        for one, other in zip(found, expected):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4)


def test_axes_have_names_and_the_filterbanks_nodes_can_be_left_out_of_quantization(exported, tmp_path):
    """A generic quantizer that excludes "/filterbank/..." leaves the DFT as it is, and changes the scores little."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = SSASTModel.from_pretrained(exported / "classifier")
    extractor = SSASTFeatureExtractor.from_pretrained(exported / "classifier")
    export_module.export_onnx(model, extractor, tmp_path / "frame.onnx", "frame")
    graph = onnx.load(tmp_path / "frame.onnx").graph
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in graph.output
    }
    assert axes == {"embeddings": ["batch", "time_patches", 32], "num_time_patches": ["batch"], "time_patches": [1]}
    nodes = [node.name for node in graph.node if node.name.startswith("/filterbank/")]
    products = [name for name in nodes if "MatMul" in name]
    assert len(products) == 3  # cosine, sine, mel filters
    quantize_dynamic(exported / "x.onnx", tmp_path / "int8.onnx", weight_type=QuantType.QInt8, nodes_to_exclude=nodes)
    quantized = onnx.load(tmp_path / "int8.onnx").graph
    assert {node.name for node in quantized.node if node.op_type == "MatMul"} >= set(products)
    clips = [(0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32) for n in (3000, 9000)]
    exact, rough = (OnnxModel(path).scores(clips) for path in (exported / "x.onnx", tmp_path / "int8.onnx"))
    assert 0 < np.abs(exact - rough).max() < 0.05
