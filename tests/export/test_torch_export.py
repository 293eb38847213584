# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""torch.export and what builds on it, with any batch and number of frames from two patches up."""

import pytest
import torch
from torch.export import Dim

from ssast_hf import SSASTConfig, SSASTForAudioClassification

from ..conftest import SMALL

OTHERS = [(1, 32), (1, 64), (3, 47), (5, 207), (2, 100)]  # batch and frames, where the example has 2 and 80
DYNAMIC = {0: Dim("batch", min=1, max=64), 1: Dim("frames", min=32, max=4096)}


@pytest.fixture(params=["mean", "cls", "rows", "segments"])
def model(request) -> SSASTForAudioClassification:
    """Of 64 frames: the others are shorter, as long, and longer."""
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=64, num_labels=3, initializer_range=0.2, pooling=request.param)
    return SSASTForAudioClassification(config).eval()


def inputs(batch: int, frames: int, masked: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(frames)
    found = {"input_values": torch.randn(batch, frames, 128, generator=generator)}
    if masked:
        found["attention_mask"] = torch.ones(batch, frames, dtype=torch.long)
        found["attention_mask"][-1, frames // 2 :] = 0
    return found


def compare(model, run, masked: bool) -> None:
    for batch, frames in OTHERS:
        case = inputs(batch, frames, masked)
        with torch.no_grad():
            expected = model(**case).logits
        torch.testing.assert_close(torch.as_tensor(run(case)), expected, rtol=0, atol=1e-5, msg=f"{batch} x {frames}")


@pytest.mark.parametrize("masked", [False, True])
def test_a_program_takes_other_batches_and_lengths_than_the_example(model, masked):
    example = inputs(2, 80, masked)
    program = torch.export.export(model, (), example, dynamic_shapes=dict.fromkeys(example, DYNAMIC)).module()
    compare(model, lambda case: program(**case).logits.detach(), masked)


@pytest.mark.parametrize("model", ["mean"], indirect=True)
def test_transformers_exporter_writes_such_a_program(model):
    from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter

    program = DynamoExporter().export(model, inputs(2, 80, True), config=DynamoConfig(dynamic=True))
    compare(model, lambda case: program(**case).logits.detach(), True)


@pytest.mark.parametrize("model", ["mean"], indirect=True)
def test_onnx_by_dynamo_does(model, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    example = inputs(2, 80, True)
    torch.onnx.export(
        model, kwargs=example, f=tmp_path / "x.onnx", dynamo=True, dynamic_shapes=dict.fromkeys(example, DYNAMIC)
    )
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    compare(model, lambda case: session.run(None, {k: v.numpy() for k, v in case.items()})[0], True)


@pytest.mark.parametrize("model", ["mean"], indirect=True)
@pytest.mark.parametrize("masked", [False, True])
def test_openvino_does(model, masked):
    """It rounds divisions of whole numbers, of which the model has none that depend on lengths."""
    openvino = pytest.importorskip("openvino")
    example = inputs(2, 80, masked)
    program = torch.export.export(model, (), example, dynamic_shapes=dict.fromkeys(example, DYNAMIC))
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(openvino.convert_model(program), "CPU", hint)
    compare(model, lambda case: compiled({k: v.numpy() for k, v in case.items()})[0], masked)


@pytest.mark.parametrize("model", ["mean"], indirect=True)
def test_executorch_does_with_a_fixed_batch(model, tmp_path):
    """Eager attention, because transformers' sdpa cannot have any length beside a fixed batch."""
    exir = pytest.importorskip("executorch.exir")
    runtime = pytest.importorskip("executorch.runtime")
    model.set_attn_implementation("eager")
    example = inputs(1, 80, True)
    program = torch.export.export(model, (), example, dynamic_shapes={name: {1: DYNAMIC[1]} for name in example})
    (tmp_path / "x.pte").write_bytes(exir.to_edge_transform_and_lower(program).to_executorch().buffer)
    method = runtime.Runtime.get().load_program(str(tmp_path / "x.pte")).load_method("forward")
    for frames in (32, 64, 207, 1000):
        case = inputs(1, frames, True)
        with torch.no_grad():
            expected = model(**case).logits
        torch.testing.assert_close(method.execute(list(case.values()))[0], expected, rtol=0, atol=1e-5)
