# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Exported models (`ssast export`) on sound, by onnxruntime: needs neither torch nor transformers."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..data.clips import Clip
from ..inference.chunks import End, Window, batched, is_live
from ..inference.windows import ScoreJoiner, Windows
from ..utils.require import require

METADATA = "ssast"  # key of the model's metadata, JSON
LOGITS = "logits"


class OnnxModel:
    """
    A file that `ssast export` wrote.

    Args:
        path: The `.onnx` file.
        device (`str`, defaults to `"cpu"`): `"cpu"`, or `"cuda"` with onnxruntime-gpu.

    Attributes:
        level (`str`): What it computes: `"logits"`, or embeddings of a `"clip"`, a `"frame"` or a `"patch"`.
        sampling_rate (`int`): Hz of the waveforms.
        max_length (`int`): Frames of 10 ms that it was made for; more are computed, though not what it was trained on.
        attention_mask (`bool`): Whether padding is masked. If not, the graph pads clips to `max_length` frames, which
            the model hears, as the original does.
        windows ([`Windows`]): How it takes sounds that are longer.
        id2label (`dict[int, str]`), problem_type (`str` or `None`): Of a classifier.
        metadata (`dict`): All that the file says about itself.

    Raises:
        ValueError: The file is no such model, or onnxruntime is missing or lacks the device.
    """

    def __init__(self, path: str | os.PathLike, device: str = "cpu"):
        onnxruntime = require("onnxruntime", "onnx", os.fspath(path))
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is not a file, expected one that `ssast export` wrote")
        provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device)
        if provider not in onnxruntime.get_available_providers():
            raise ValueError(f"device is {device!r}, expected one that this onnxruntime has: 'cpu', or 'cuda' by "
                             "onnxruntime-gpu")  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors, which are raised as well
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see benchmarks/spinning.py
        if os.environ.get("OMP_NUM_THREADS", "").isdecimal():  # as torch does
            options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        try:
            self.session = onnxruntime.InferenceSession(os.fspath(path), options, providers=[provider])
        except Exception as error:  # onnxruntime's own classes, which derive from Exception
            raise ValueError(f"{path} is no ONNX model that onnxruntime reads: {error}") from error
        stored = self.session.get_modelmeta().custom_metadata_map.get(METADATA)
        if stored is None:
            raise ValueError(f"{path} does not say what it was exported from, expected a file from `ssast export`")
        self.metadata = json.loads(stored)
        self.level: str = self.metadata["level"]
        self.sampling_rate: int = self.metadata["sampling_rate"]
        self.max_length: int = self.metadata["max_length"]
        self.problem_type: str | None = self.metadata["problem_type"]
        self.id2label = {int(index): label for index, label in self.metadata["id2label"].items()}
        # Samples of a frame, and from one frame to the next.
        self.frame, self.shift = self.metadata["frame_samples"], self.metadata["shift_samples"]
        self.attention_mask: bool = self.metadata.get("attention_mask", True)  # files of version 0.1 say nothing
        self.windows = Windows.of_frames(self.sampling_rate, self.frame, self.shift, self.max_length)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        """
        Args:
            waveforms: Clips (samples,), floats in [-1, 1] at `sampling_rate`, of any length from one frame (25 ms).

        Returns:
            Logits (clips, labels) or clips' embeddings (clips, hidden); or, for frames and patches, a list of arrays
            (T, hidden) or (F * T, hidden), patch (f, t) at f * T + t.

        Raises:
            ValueError: A clip is not mono, too short, or not finite.
        """
        clips = [np.asarray(waveform, dtype=np.float32) for waveform in waveforms]
        if not clips:
            raise ValueError("Found no waveforms, expected at least one.")
        for index, clip in enumerate(clips):
            if clip.ndim != 1 or len(clip) < self.frame:
                raise ValueError(f"Waveform {index} has shape {clip.shape}, expected ({self.frame} samples or more,).")
            if not np.isfinite(clip).all():
                raise ValueError(f"Waveform {index} has NaN or infinite samples, expected finite ones.")
        lengths = np.array([len(clip) for clip in clips])
        batch = np.zeros((len(clips), lengths.max()), dtype=np.float32)
        for row, clip in zip(batch, clips):
            row[: len(clip)] = clip
        values, *times = self.session.run(None, {"waveforms": batch, "lengths": lengths})
        if self.level in (LOGITS, "clip"):
            return values
        by_frequency = values.reshape(len(values), -1, times[1][0], values.shape[-1])  # (B, F or 1, T, hidden)
        return [clip[:, :real].reshape(-1, clip.shape[-1]) for clip, real in zip(by_frequency, times[0])]

    def scores(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """A classifier's scores (clips, labels): softmax or sigmoid of the logits, or themselves in regression."""
        if self.level != LOGITS:
            raise ValueError(f"The model computes embeddings of a {self.level}, expected a classifier: export it "
                             "without --level.")  # fmt: skip
        logits = np.asarray(self(waveforms), dtype=np.float64)
        if self.problem_type == "regression":
            return logits
        if self.problem_type == "multi_label_classification":
            return 0.5 * (1 + np.tanh(0.5 * logits))
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def run_windows(
    model: OnnxModel,
    sources: Iterable,
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
) -> Iterator[Window | End]:
    """
    Runs an exported classifier on sounds of any length, which are read in pieces.

    Args:
        model ([`OnnxModel`]): A classifier.
        sources: Paths, [`Clip`]s, or iterators of blocks (samples,) at `model.sampling_rate`, such as
            [`stream_microphone`] gives, whose windows are run one by one, without waiting for a batch.
        batch_size (`int`): Windows at a time.
        window (`float`, *optional*), hop (`float`, *optional*): As for [`classify`].

    Yields:
        Each source's [`Window`]s with their scores (labels,), float64, as `output`, then its [`End`], in order.
    """
    rate, empty = model.sampling_rate, np.zeros((0, 0), np.float32)
    windows = Windows.of_frames(rate, model.frame, model.shift, model.max_length, window, hop)
    for index, source in enumerate(sources):
        source = Clip(os.fsdecode(source)) if isinstance(source, (str, os.PathLike)) else source
        blocks = source.stream(rate) if isinstance(source, Clip) else source
        end, error = 0, None
        try:
            for batch in batched(windows.cut(blocks), 1 if is_live(source) else batch_size):
                if len(batch[-1][1]) < model.frame:
                    raise ValueError(
                        f"{getattr(source, 'name', 'sound')} has {len(batch[-1][1])} samples at {rate} Hz; expected "
                        f"{model.frame} or more"
                    )
                for (start, waveform), scores in zip(batch, model.scores([waveform for _, waveform in batch])):
                    end = max(end, start + len(waveform))
                    yield Window(index, start / rate, (start + len(waveform)) / rate, empty, len(waveform), scores)
        except (OSError, ValueError) as failure:
            error = failure
        yield End(index, end / rate, error)


def classify(
    model: OnnxModel,
    files: Iterable[str | os.PathLike | Clip],
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
    aggregate: str = "mean",
) -> Iterator[tuple[str, dict[str, float] | Exception, float]]:
    """
    As [`ssast_hf.classify`], with an exported classifier. Sounds are read in pieces.

    Args:
        window (`float`, *optional*): Seconds in a window; default, and at most, the model's `max_length`.
        hop (`float`, *optional*): Seconds from the start of a window to that of the next; default: no overlap.
        aggregate (`str`): `"mean"` or `"max"` of the windows' scores.

    Yields:
        Each file's path, its scores by label, the best first, or the exception where it cannot be read, and how many
        seconds of sound were read.
    """
    clips = [file if isinstance(file, Clip) else Clip(os.fsdecode(file)) for file in files]
    joiner = ScoreJoiner(aggregate)
    for event in run_windows(model, clips, batch_size, window, hop):
        if isinstance(event, Window):
            joiner.add(event.output, event.weight)
            continue
        joined, name = joiner.take(), clips[event.index].name
        if event.error is not None or joined is None:
            yield name, event.error or ValueError(f"{name} has no sound"), 0.0
            continue
        best = {model.id2label[int(i)]: float(joined[i]) for i in np.argsort(-joined, kind="stable")}
        yield name, best, event.seconds
