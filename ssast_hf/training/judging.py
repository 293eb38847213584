# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How `ssast finetune` judges what it trained: by validation and test data, or by the clips of a fold."""

import numpy as np
import torch
from transformers import EvalPrediction

from ..data.clips import Clip
from ..data.labels import Labels
from ..modeling_ssast import SSASTForAudioClassification
from ..utils.text import print_error
from .certainty import describe_interval
from .cross_validation import PART
from .evaluation import compute_metrics, describe, describe_baseline, evaluate_clips, judge_baseline
from .finetuning_arguments import FineTuningDataArguments
from .frozen import FrozenTrainer
from .tuning import FineTuner, FineTuningArguments

TITLES = {"eval": "Validation", "test": "Test", PART: "Held out"}  # of the parts that a model is judged by


def metrics_of(labels: Labels, model: SSASTForAudioClassification):
    """What the Trainer computes of predictions."""
    sigmoid = model.config.problem_type == "multi_label_classification"

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits = torch.from_numpy(np.asarray(prediction.predictions)).float()
        scores = (logits.sigmoid() if sigmoid else logits.softmax(dim=-1)).numpy()
        metrics = compute_metrics(scores, prediction.label_ids, labels.several)
        del metrics["per_class"]
        return metrics

    return compute


def judge_parts(
    model, extractor, parts, labels: Labels, data: FineTuningDataArguments, training: FineTuningArguments
) -> dict:
    """The metrics of each part, which are written and printed."""
    judged = {}
    for name, part in parts.items():
        judged[name], _ = evaluate_clips(
            model, extractor, part, labels, training.output_dir, name, training.per_device_eval_batch_size,
            data.save_predictions or name == PART,
        )  # fmt: skip
        for line in filter(None, (describe(judged[name], name), describe_interval(judged[name], name))):
            print(f"{TITLES[name]}: {line}")
    return judged


def judge_all(
    model, extractor, clips: list[Clip], parts: dict[str, list[Clip]], labels: Labels, data: FineTuningDataArguments,
    training: FineTuningArguments, trainer: FineTuner,
) -> int:  # fmt: skip
    """
    Evaluates the trained model, and the baseline if asked, by validation and test data, and saves both results. What
    is fitted to a frozen encoder is fitted again, once validation data drawn from --data has judged it, to that too.
    Returns how many clips could not be read.
    """
    drawn = {name: part for name, part in parts.items() if name == "eval" and not data.validation_data}
    if not drawn or data.refit is False or not isinstance(trainer, FrozenTrainer):
        return _judge_and_save(model, extractor, clips, parts, labels, data, training, trainer)
    unreadable = _judge_and_save(model, extractor, clips, drawn, labels, data, training, trainer)
    count = trainer.refit(trainer.eval_dataset)
    trainer.save_model(_internal_call=True)
    print_error(f"The saved model is fitted to all {count} clips; --refit False leaves validation's out")
    others = {name: part for name, part in parts.items() if name not in drawn}
    fitted = [*clips, *drawn["eval"]]
    return unreadable + _judge_and_save(model, extractor, fitted, others, labels, data, training, trainer)


def _judge_and_save(model, extractor, clips, parts, labels: Labels, data, training, trainer: FineTuner) -> int:
    """Arguments and result as of [`judge_all`], for the model as it is."""
    judged = judge_parts(model, extractor, parts, labels, data, training)
    baseline = judge_baseline(clips, parts, labels, extractor.sampling_rate) if data.baseline and parts else {}
    for name, results in judged.items():
        if found := baseline.get(name):
            print(f"{TITLES[name]}: {describe_baseline(found, labels.several)}")
        trainer.save_metrics(name, {**results, **baseline.get(name, {})})  # into all_results.json, too
    return unreadable_of(judged)


def unreadable_of(judged: dict[str, dict]) -> int:
    """How many clips of all parts could not be read."""
    return sum(results.get(f"{name}_unreadable_samples", 0) for name, results in judged.items())
