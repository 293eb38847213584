# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Models as ONNX graphs from waveforms to logits or embeddings, each checked against torch before it is written."""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..feature_extraction_ssast import SSASTFeatureExtractor, num_frames
from ..inference.batches import frame_samples, uses_attention_mask
from ..inference.windows import ScoreJoiner
from ..modeling_ssast import NUM_SPECIAL_TOKENS, SSASTForAudioClassification, SSASTModel
from ..utils.files import check_writable, scratch_directory, target_of
from ..utils.require import require
from .runtime import LOGITS, METADATA, OnnxModel
from .waveform_model import FILTERBANK, WaveformModel

LEVELS = ("clip", "frame", "patch")
OPSET = 18
BY_TIME = ("embeddings", "num_time_patches", "time_patches")
TOLERANCE = 1e-4  # of the largest value, or of 1 where that is below


@dataclass
class Export:
    """
    What was measured of an exported file.

    Args:
        error (`float`): Largest difference from torch's outputs, before 8-bit weights, relative to the largest output
            or to 1.
        bytes (`int`): Size of the file.
        change (`float`, *optional*): With 8-bit weights, for classifiers: the largest change of a score; for
            embeddings: one minus the smallest cosine similarity.
        agreement (`float`, *optional*): With 8-bit weights, the share of clips whose best label is the same.
        clips (`int`): Clips that the two were measured on.
    """

    error: float
    bytes: int
    change: float | None = None
    agreement: float | None = None
    clips: int = 0


def export_onnx(
    model: SSASTModel | SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    path: str | os.PathLike,
    level: str | None = None,
    int8: bool = False,
    overwrite: bool = False,
    sounds: list[np.ndarray] | None = None,
) -> Export:
    """
    Writes one ONNX file from waveforms to logits or embeddings, filterbank included: inputs `waveforms` (batch,
    samples) and `lengths` (batch,), both of any size; outputs `logits` (batch, labels), or `embeddings` and, for
    frames and patches, `num_time_patches` (batch,), the real ones, and `time_patches` (1,), all.
    [`OnnxModel`] runs it.

    Args:
        model: A [`SSASTForAudioClassification`] for logits, a [`SSASTModel`] for embeddings; in float32.
        extractor ([`SSASTFeatureExtractor`]): Its features.
        path: File to write, which ends in `.onnx`.
        level (`str`, *optional*): `"clip"`, `"frame"` or `"patch"`, as for [`embed`]; default: logits.
        int8 (`bool`, defaults to `False`): Whether to store the weights of the linear layers in 8 bits.
        overwrite (`bool`, defaults to `False`): Whether to replace the file.
        sounds (`list[np.ndarray]`, *optional*): Waveforms (samples,) to measure the change by `int8` on; default:
            noise and tones.

    Raises:
        ValueError: Arguments are impossible; the file exists; a package is missing; or onnxruntime's outputs differ
            from torch's by more than 1e-4 (of the largest value where that is above 1). No file is written then.
    """
    _check_arguments(model, extractor, Path(path), level, overwrite)
    path = target_of(path)
    onnx = require("onnx", "onnx", "`ssast export`")
    require("onnxruntime", "onnx", "`ssast export`")

    with scratch_directory(path) as folder:
        written = Path(folder, "model.onnx")
        with _for_export(model):
            _write(WaveformModel(model, extractor, level).eval(), written)
            proto = onnx.load(written)
            for output in proto.graph.output:
                if output.name == BY_TIME[-1]:  # whose size, 1, the tracing exporter does not see
                    output.type.tensor_type.shape.dim[0].dim_value = 1
            onnx.helper.set_model_props(proto, {METADATA: json.dumps(_metadata(model, extractor, level, int8))})
            onnx.save(proto, written)
            report = Export(_check(OnnxModel(written), model, extractor, level), written.stat().st_size)
        if int8:
            quantized = Path(folder, "int8.onnx")
            _quantize(proto, written, quantized)
            clips = sounds or [clip for batch in _batches(extractor, model.config.max_length) for clip in batch]
            report.change, report.agreement = _compare(OnnxModel(written), OnnxModel(quantized), clips)
            report.clips, report.bytes = len(clips), quantized.stat().st_size
            written = quantized
        os.replace(written, path)
    return report


def _check_arguments(model, extractor: SSASTFeatureExtractor, path: Path, level: str | None, overwrite: bool) -> None:
    """Raises ValueError for what [`export_onnx`] cannot do."""
    if level is not None and level not in LEVELS:
        raise ValueError(f"`level` is {level!r}, expected one of {', '.join(map(repr, LEVELS))} or None.")
    expected = SSASTForAudioClassification if level is None else SSASTModel
    if not isinstance(model, expected):
        raise ValueError(f"`model` is a {type(model).__name__}, expected a {expected.__name__} for level={level!r}.")
    if extractor.num_mel_bins != model.config.num_mel_bins:
        raise ValueError(f"The extractor makes {extractor.num_mel_bins} mel bins, expected the model's "
                         f"{model.config.num_mel_bins}.")  # fmt: skip
    if path.suffix != ".onnx":
        raise ValueError(f"the file to write is {path}, expected a name that ends in .onnx")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a directory, a device or a FIFO, expected a file to write")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists: choose another name or overwrite it")
    check_writable(path)


@contextlib.contextmanager
def _for_export(model) -> Iterator[None]:
    """Puts the model on the CPU, in float32, evaluation mode and eager attention, and restores it afterwards."""
    device, dtype, attention, training = model.device, model.dtype, model.config._attn_implementation, model.training
    try:
        model.to("cpu", torch.float32).eval().set_attn_implementation("eager")
        yield
    finally:
        model.to(device, dtype).train(training).set_attn_implementation(attention)


def _metadata(model, extractor: SSASTFeatureExtractor, level: str | None, int8: bool) -> dict:
    from .. import __version__

    config = model.config
    frame, shift = frame_samples(extractor)
    return {
        "ssast_hf": __version__,
        "model": config._name_or_path,
        "level": level or LOGITS,
        "id2label": {} if level else {str(index): label for index, label in config.id2label.items()},
        "problem_type": None if level else config.problem_type,
        "int8": int8,
        "sampling_rate": extractor.sampling_rate,
        "frame_samples": frame,
        "shift_samples": shift,
        "max_length": config.max_length,
        "attention_mask": uses_attention_mask(model, extractor),
        "num_mel_bins": extractor.num_mel_bins,
        "do_normalize": extractor.do_normalize,
        "mean": extractor.mean,
        "std": extractor.std,
        "num_frequency_patches": config.num_frequency_patches,
        **{name: getattr(config, name) for name in (
            "hidden_size", "frequency_patch_size", "time_patch_size", "frequency_stride", "time_stride", "pooling",
        )},
    }  # fmt: skip


def _write(module: WaveformModel, path: Path) -> None:
    """
    By torch's tracing exporter. Its successor gives the same graph, yet takes a hundred times as long to reason about
    every length that there may be: half a minute for a tiny model, minutes for a large one.
    """
    samples = 2 * (module.config.time_patch_size * module.shift + module.length)
    outputs = {None: [LOGITS], "clip": ["embeddings"]}.get(module.level, list(BY_TIME))
    axes = {
        "waveforms": {0: "batch", 1: "samples"},
        "lengths": {0: "batch"},
        **{name: {0: "batch"} for name in outputs},
    }
    if module.level in ("frame", "patch"):
        axes["embeddings"][1] = {"frame": "time_patches", "patch": "patches"}[module.level]
        del axes["time_patches"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(2, samples), torch.tensor([samples, samples - 1])),
            path,
            input_names=["waveforms", "lengths"],
            output_names=outputs,
            dynamic_axes=axes,
            dynamo=False,
            opset_version=OPSET,
        )


def _batches(extractor: SSASTFeatureExtractor, max_length: int) -> list[list[np.ndarray]]:
    """Clips for the comparison: one of one frame, several of different lengths, one longer than `max_length`."""
    generator = np.random.default_rng(0)
    rate = extractor.sampling_rate
    frame, shift = frame_samples(extractor)

    def clip(frames: float, loudness: float) -> np.ndarray:
        time = np.arange(int((frames - 1) * shift) + frame) / rate
        tones = sum(np.sin(2 * np.pi * f * time) for f in generator.uniform(50, 0.4 * rate, 3)) / 3
        sound = tones * np.exp(-3 * time) + 0.3 * generator.standard_normal(len(time)) + 0.1
        return (loudness * sound / np.abs(sound).max()).astype(np.float32)

    return [
        [clip(1, 0.1)],
        [clip(share * max_length, loudness) for share, loudness in ((0.31, 0.9), (1, 0.01), (0.057, 0.3))],
        [clip(1.3 * max_length, 0.5), clip(1.2 * max_length, 0.05)],
    ]


@torch.no_grad()
def _check(exported: OnnxModel, model, extractor: SSASTFeatureExtractor, level: str | None) -> float:
    """Largest difference between the exported model and extractor and model; ValueError above `TOLERANCE`."""
    error = 0.0
    masked, max_length = uses_attention_mask(model, extractor), model.config.max_length
    for batch in _batches(extractor, max_length):
        longest = max(num_frames(len(clip), extractor.sampling_rate) for clip in batch)
        inputs = extractor(
            [torch.from_numpy(clip) for clip in batch],
            sampling_rate=extractor.sampling_rate,
            padding="longest" if masked else "max_length",
            max_length=max(longest, max_length),
            truncation=False,
            pad_to_multiple_of=model.config.time_patch_size if masked else None,
            return_attention_mask=True,
            return_tensors="pt",
        )
        outputs = model(inputs["input_values"], inputs["attention_mask"] if masked else None)
        if level in (None, "clip"):
            expected = list((outputs.pooler_output if level else outputs.logits).numpy())
        else:
            patches = outputs.last_hidden_state[:, NUM_SPECIAL_TOKENS:]
            patches = patches.unflatten(1, (model.config.num_frequency_patches, -1))  # (B, F, T, D)
            patches = patches.mean(dim=1, keepdim=True) if level == "frame" else patches
            lengths = model.num_real_time_patches(inputs["attention_mask"]).tolist()
            expected = [clip[:, :length].flatten(0, 1).numpy() for clip, length in zip(patches, lengths)]
        for wanted, found in zip(expected, exported(batch)):
            if wanted.shape != found.shape:
                raise ValueError(f"onnxruntime gives outputs {found.shape}, expected {wanted.shape}: nothing written")
            error = max(error, float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())))
            if not error <= TOLERANCE:  # NaN, too
                raise ValueError(
                    f"onnxruntime's outputs differ from torch's by {error:.2g}, expected at most {TOLERANCE:g}: "
                    "nothing written"
                )
    return error


def _quantize(proto, source: Path, target: Path) -> None:
    """Stores the weights of the linear layers in 8 bits; the filterbank stays as it is."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    filterbank = [node.name for node in proto.graph.node if node.name.startswith(f"/{FILTERBANK}/")]
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # hides the advice to simplify the graph first
    try:
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8, per_channel=True,
            nodes_to_exclude=filterbank,
        )  # fmt: skip
    finally:
        logger.setLevel(level)


def _compare(exact: OnnxModel, changed: OnnxModel, clips: list[np.ndarray]) -> tuple[float, float | None]:
    """`change` and `agreement` of [`Export`], window by window."""
    change, same, count = 0.0, 0, 0
    for clip in clips:
        windows = [clip[start:end] for start, end in exact.windows.spans(len(clip))]
        if exact.level == LOGITS:
            before, after = (_joined(model, windows) for model in (exact, changed))
            change = max(change, float(np.abs(before - after).max()))
            same, count = same + int(before.argmax() == after.argmax()), count + 1
        else:
            for window in windows:
                before, after = (np.atleast_2d(model([window])[0]) for model in (exact, changed))
                norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
                change = max(change, float(1 - ((before * after).sum(axis=1) / norms).min()))
    return change, same / count if count else None


def _joined(model: OnnxModel, windows: list[np.ndarray]) -> np.ndarray:
    joiner = ScoreJoiner()
    for window in windows:
        joiner.add(model.scores([window])[0], len(window))
    joined = joiner.take()
    if joined is None:
        raise ValueError("Found no windows, expected at least one.")
    return joined
