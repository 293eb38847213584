# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labels of sounds of any length, whole or by window."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ..data.sources import Clip
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForAudioClassification
from ..utils.text import repeated
from .batches import End, Window, run_model, source_name, sources_of, windows_of
from .names import takes_names
from .windows import ScoreJoiner


def load_classifier(path: str | os.PathLike, **kwargs) -> SSASTForAudioClassification:
    """
    [`SSASTForAudioClassification`] in eval mode. Raises ValueError for a checkpoint that has no classifier, or two
    labels of one name, whose scores could not be told apart.
    """
    model, info = SSASTForAudioClassification.from_pretrained(path, output_loading_info=True, **kwargs)
    if missing := sorted(info["missing_keys"]):
        lacks = "classifier" if all(name.startswith("classifier.") for name in missing) else ", ".join(missing)
        raise ValueError(
            f"{path} is not fine-tuned: it has no {lacks}. Train one first (`ssast finetune`), or take its embeddings "
            "(`ssast embed`, `ssast export --level clip`)."
        )
    twice = repeated(list(model.config.id2label.values()))
    if twice is not None:
        raise ValueError(
            f"{path} has two labels {twice!r}, expected one: rename them in `id2label` of its config.json."
        )
    return model.eval()


@takes_names(load_classifier)
def classify(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    files: Iterable[str | os.PathLike | Clip],
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
    aggregate: str = "mean",
    num_workers: int = 0,
) -> Iterator[tuple[str, dict[str, float] | Exception]]:
    """
    Classifies sound files of any length, which are read in pieces. What is longer than a window is cut into windows,
    whose scores are averaged, weighted by how much sound each window holds. `classify(files, model="name")` loads the
    checkpoint of that name, directory or Hub repository.

    Args:
        model ([`SSASTForAudioClassification`]), extractor ([`SSASTFeatureExtractor`]): A fine-tuned checkpoint.
        files: Paths, or [`~ssast_hf.sources.Clip`]s, as [`~ssast_hf.sources.find_sounds`] finds them; or waveforms
            (samples,) at the extractor's rate, or sound as `datasets` gives it (`{"array", "sampling_rate"}`,
            `{"bytes", "path"}`, torchcodec's `AudioDecoder`). One of these, or several.
        batch_size (`int`, defaults to 16): Windows per forward pass.
        window (`float`, *optional*): Seconds in a window; default, and at most, the model's `max_length`.
        hop (`float`, *optional*): Seconds from the start of a window to that of the next; default: no overlap.
        aggregate (`str`, defaults to `"mean"`): `"mean"` or `"max"` of the windows' scores.
        num_workers (`int`, defaults to 0): Processes that decode and compute features; 0 is none but this one.

    Yields:
        For each file, in order, its path (of an array "sound N", counted from 0) and its scores by label, the best
        first: probabilities (softmax, or sigmoid where `config.problem_type` is multi-label) or, for regression,
        values; or the exception, where it cannot be read.
    """
    files = sources_of(files)
    joiner = ScoreJoiner(aggregate)
    for event in run_classifier(model, extractor, files, batch_size, window, hop, num_workers):
        if isinstance(event, Window):
            joiner.add(event.output, event.weight)
            continue
        scores = joiner.take()
        yield source_name(files[event.index], event.index), event.error or named_scores(model, scores)


def classify_windows(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    source,
    window: float | None = None,
    hop: float | None = None,
    batch_size: int = 16,
) -> Iterator[tuple[float, float, dict[str, float]]]:
    """
    Classifies a sound window by window, as it is read.

    Args:
        source: A sound as [`classify`] takes it, or whatever [`stream_audio`] takes; or an iterator of blocks
            (samples,) at the extractor's rate, such as [`stream_microphone`] gives, whose windows are classified one
            by one, without waiting for a batch.
        model, extractor, window, hop, batch_size: As for [`classify`].

    Yields:
        Start and end of each window, in seconds, and its scores by label, the best first.

    Raises:
        ValueError or OSError: Where the sound cannot be read (on).
    """
    for event in run_classifier(model, extractor, [source], batch_size, window, hop):
        if isinstance(event, Window):
            yield event.start, event.end, named_scores(model, event.output)
        elif event.error is not None:
            raise event.error


def named_scores(model: SSASTForAudioClassification, scores: np.ndarray | None) -> dict[str, float]:
    """Scores (labels,) by label, the best first; empty where there are none."""
    if scores is None:
        return {}
    order = np.argsort(-scores, kind="stable")
    names = model.config.label_names()
    return {names[index]: float(scores[index]) for index in order}


def run_classifier(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    sources: Iterable,
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
    num_workers: int = 0,
) -> Iterator[Window | End]:
    """
    [`classify`]'s windows, with their scores (labels,), float64, as `output`, and the end of each source, in order.
    Takes sources as [`~batches.run_model`] does.
    """
    activation = {
        "multi_label_classification": torch.sigmoid,
        "regression": lambda logits: logits,
    }.get(model.config.problem_type, lambda logits: logits.softmax(dim=-1))

    def scores(inputs: dict[str, torch.Tensor], frames: torch.Tensor) -> list[np.ndarray]:
        return list(activation(model(**inputs, return_dict=True).logits.cpu().double()).numpy())

    windows = windows_of(extractor, model.config.max_length, window, hop)
    return run_model(model, extractor, sources, batch_size, scores, windows, num_workers)
