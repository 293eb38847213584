# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Exported models equal torch's, and run where torch and transformers cannot be imported."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTModel, load_audio
from ssast_hf.cli import main
from ssast_hf.export import to_onnx as export_module
from ssast_hf.export.runtime import OnnxModel
from ssast_hf.inference import classify, load_classifier, timing

from ..conftest import SMALL
from ..fake_microphone import FakeMicrophone

SOUNDS = sorted((Path(__file__).parents[1] / "data/sounds").glob("*.flac"))[:3]


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
    for flags in (["--plot", "x.png"], ["--num-workers", "2"]):
        assert main([*command, *flags]) == 2
        assert f"{flags[0]}: not with an exported model" in capsys.readouterr().err


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


@pytest.mark.parametrize("flags", [
    ["--window", "0.3", "--hop", "0.15", "--format", "json", "--top-k", "3"],
    ["--hop", "0.2", "--aggregate", "max", "--format", "csv"],
    ["--window", "0.2", "--format", "audacity", "--threshold", "0.1"],
    ["--window", "0.2", "--format", "raven", "--threshold", "0.1"],
    ["--events", "--window", "0.2", "--threshold", "0.3", "--format", "csv"],
])  # fmt: skip
def test_windows_tracks_and_events_are_those_of_the_checkpoint(exported, tmp_path, capsys, flags):
    said = []
    for model in ("classifier", "x.onnx"):
        assert main(["classify", str(SOUNDS[0]), "--model", str(exported / model), *flags]) == 0
        said.append(capsys.readouterr().out)
    assert re.sub(r"\d+\.\d+", "N", said[0]) == re.sub(r"\d+\.\d+", "N", said[1]) and said[0].count("\n") > 1
    assert numbers(said[1]) == pytest.approx(numbers(said[0]), abs=0.011 if "audacity" in flags else 2e-4)


def test_standard_input_and_the_microphone_are_heard_without_torch(exported, tmp_path, capsys, monkeypatch):
    sound = load_audio(SOUNDS[0])
    model = ["--model", str(exported / "x.onnx"), "--json", "--top-k", "3"]
    assert main(["classify", str(SOUNDS[0]), *model]) == 0
    expected = json.loads(capsys.readouterr().out)["labels"]
    raw = sound.astype("<f4").tobytes()
    for data, flags in ((SOUNDS[0].read_bytes(), []), (raw, ["--raw-rate", "16000", "--raw-format", "f32"])):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert main(["classify", "-", *flags, *model]) == 0
        found = json.loads(capsys.readouterr().out)["labels"]
        for one, other in zip(found, expected, strict=True):
            assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-4)
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(stop_after=32000))
    assert main(["classify", "--microphone", *model]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["file"] == "microphone" and lines[-1]["windows"] == len(lines) - 1 == 2


@pytest.mark.parametrize("model", ["classifier", "x.onnx"])
def test_timing_says_latency_and_real_time_factor(exported, capsys, model):
    assert main(["classify", str(SOUNDS[0]), "--model", str(exported / model), "--window", "0.5", "--timing"]) == 0
    first, second = capsys.readouterr().err.splitlines()[-2:]
    pattern = r"([\d.]+) ms for a window of ([\d.]+) s, .*within ([\d.]+) ms.*real-time factor ([\d.]+)"
    median, window, high, factor = re.search(pattern, first).groups()
    assert float(window) == 0.5 and 0 < float(median) <= float(high)
    assert float(factor) == pytest.approx(float(median) / 1000 / 0.5, abs=2e-4)
    length, took, whole = re.search(r"([\d.]+) s of sound in ([\d.]+) s, .*factor ([\d.]+)", second).groups()
    assert float(length) == pytest.approx(soundfile.info(SOUNDS[0]).duration, abs=0.06)
    assert float(whole) == pytest.approx(float(took) / float(length), rel=0.1, abs=0.02)


def test_latency_is_the_median_of_the_runs_after_the_warm_up(monkeypatch):
    """A run begins at 0; the clock is not asked for the end of one that only warms up."""
    warm_up = [0.0] * timing.WARM_UP
    clock = iter([*warm_up, 0.0, 0.1, 0.0, 0.2, 0.0, 0.9])
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    lengths = []
    found = timing.measure(lambda window: lengths.append(len(window)), 8000, 16000, runs=3)
    assert found == timing.Latency(0.2, pytest.approx(0.83), 0.5) and lengths == [8000] * (timing.WARM_UP + 3)


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
@pytest.mark.parametrize("pooling", ["rows", "segments"])
def test_rows_are_pooled_in_the_graph(tmp_path, pooling, level, mask):
    """With padding masked and heard; the export itself compares with torch."""
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, pooling=pooling, classifier_layer_norm=False)
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
