# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' Trainer without a collator of ours, as the audio-classification tutorial has it."""

import datasets
import evaluate
import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoProcessor,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

import ssast_hf
from ssast_hf.feature_extraction_ssast import num_frames
from ssast_hf.training.metrics import AUDIO_CLASSIFICATION


@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
def test_the_tutorial_trains_with_dynamic_padding(saved, clips, tmp_path, sampling):
    """Features on disk by `map`, padded by the Trainer's default collator; the saved classifier is the trained one."""
    extractor = AutoFeatureExtractor.from_pretrained(saved)
    arrays = [clip["audio"]["array"] for clip in clips]

    def preprocess(examples):
        return extractor(examples["audio"], sampling_rate=extractor.sampling_rate, padding=False)

    table = datasets.Dataset.from_dict({"audio": arrays, "label": [clip["label"] for clip in clips]})
    table = table.map(preprocess, remove_columns="audio", batched=True)
    metric = evaluate.load(AUDIO_CLASSIFICATION)

    def compute_metrics(prediction):
        results = metric.compute(predictions=prediction.predictions, references=prediction.label_ids)
        return {name: results[name] for name in ("accuracy", "mAP")}

    model = AutoModelForAudioClassification.from_pretrained(saved)
    shapes = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append((kwargs["input_values"].shape, kwargs["attention_mask"].sum(1))),
        with_kwargs=True,
    )
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=4, per_device_eval_batch_size=4,
        learning_rate=3e-3, eval_strategy="steps", eval_steps=6, save_strategy="steps", save_steps=6,
        train_sampling_strategy=sampling, report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=table, eval_dataset=table, processing_class=extractor,
                      compute_metrics=compute_metrics)  # fmt: skip
    trainer.train()
    results = trainer.evaluate()
    assert 0 <= results["eval_accuracy"] <= 1 and np.isfinite(results["eval_loss"])
    for shape, lengths in shapes:  # each batch as long as its longest clip, whose frames are real
        assert shape[1] == lengths.max() <= 64
    assert len({shape[1] for shape, _ in shapes}) > 1
    sampler = LengthGroupedSampler(
        4, table, model_input_name=extractor.model_input_names[0]
    )  # as the Trainer makes it
    assert sampler.lengths == [num_frames(len(array)) for array in arrays]

    restored = AutoModelForAudioClassification.from_pretrained(tmp_path / "checkpoint-6").eval()
    again = AutoProcessor.from_pretrained(tmp_path / "checkpoint-6")
    assert type(again) is ssast_hf.SSASTFeatureExtractor
    inputs = again(arrays, sampling_rate=16000, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = trainer.model.eval()(**inputs).logits
        torch.testing.assert_close(restored(**inputs).logits, logits)
    if sampling == "random":  # else the Trainer evaluates in another order
        np.testing.assert_allclose(trainer.predict(table).predictions, logits, atol=1e-5)
