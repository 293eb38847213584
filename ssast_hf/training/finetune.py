# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune`: train a classifier on labelled sound."""

import sys
from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from transformers import EvalPrediction, set_seed

from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForAudioClassification
from .arguments import SharedArguments, parse
from .card import CardTrainer, finish
from .data import AudioClips, Clip, Collator, clip_seconds, label_names, read_clips, split


@dataclass
class DataArguments:
    """What to fine-tune, on what."""

    data: str = field(metadata={"help": "Folder with a subfolder per label, or .csv/.tsv/.jsonl manifest."})
    model: str = field(metadata={"help": "Pretrained checkpoint: directory, short name or Hub repository."})
    validation_data: str | None = field(default=None, metadata={"help": "Likewise, for evaluation while training."})
    validation_fraction: float = field(default=0.1, metadata={"help": "Share of --data held out without the above."})
    test_data: str | None = field(default=None, metadata={"help": "Likewise, evaluated once, at the end."})
    from_scratch: bool = field(default=False, metadata={"help": "Take --model's shape but not its weights."})
    max_length: int | None = field(default=None, metadata={"help": "Frames (10 ms) of the longest clip [model's]."})
    frequency_stride: int | None = field(default=None, metadata={"help": "Mel bins between patches [model's]."})
    time_stride: int | None = field(default=None, metadata={"help": "Frames between patches [model's]."})
    pooling: str | None = field(default=None, metadata={"help": "[model's]", "choices": ["mean", "cls"]})
    mean: float | None = field(default=None, metadata={"help": "Mean of the log-mel features [model's]."})
    std: float | None = field(default=None, metadata={"help": "Standard deviation of the log-mel features."})
    cache_audio: bool = field(default=False, metadata={"help": "Keep decoded sound in memory, 64 kB a second."})


@dataclass
class FineTuningArguments(SharedArguments):
    """Defaults for a small data set on one GPU or a laptop."""

    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Clips per device and step."})
    per_device_eval_batch_size: int = field(default=16, metadata={"help": "Clips per device in evaluation."})
    num_train_epochs: float = field(default=10.0, metadata={"help": "Passes over the data."})


def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Accuracy, and F1 averaged over the labels that occur."""
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    found = np.argmax(logits, axis=-1)
    return {
        "accuracy": accuracy_score(prediction.label_ids, found),
        "f1_macro": f1_score(prediction.label_ids, found, average="macro", zero_division=0),
    }


def main(argv: list[str] | None = None) -> int:
    """Fine-tunes as the command line says; see `--help`."""
    data, training = parse((DataArguments, FineTuningArguments), argv, "finetune", __doc__)
    set_seed(training.seed)
    clips = read_clips(data.data, labelled=True)
    labels = label_names(clips)
    if data.validation_data:
        validation = _known(read_clips(data.validation_data, labelled=True), labels, data.validation_data)
    else:
        clips, validation = split(clips, data.validation_fraction, training.seed)
        if not validation:
            raise ValueError(f"{data.data} has one clip per label, too few to hold any out: give --validation_data.")
    test = _known(read_clips(data.test_data, labelled=True), labels, data.test_data) if data.test_data else None

    path = data.model
    label2id = {name: index for index, name in enumerate(labels)}
    names = ("max_length", "frequency_stride", "time_stride", "pooling")
    fields = {name: getattr(data, name) for name in names if getattr(data, name) is not None}
    model = SSASTForAudioClassification.from_pretrained(
        path,
        num_labels=len(labels),
        id2label={index: name for name, index in label2id.items()},
        label2id=label2id,
        problem_type="single_label_classification",
        ignore_mismatched_sizes=True,  # a classifier for other labels is replaced
        **fields,
    )
    if data.from_scratch:
        model = SSASTForAudioClassification(model.config)
    statistics = {name: getattr(data, name) for name in ("mean", "std") if getattr(data, name) is not None}
    extractor = SSASTFeatureExtractor.from_pretrained(path, max_length=model.config.max_length, **statistics)

    def dataset(clips: list[Clip], random_crop: bool = False) -> AudioClips:
        seconds = clip_seconds(model.config.max_length)
        return AudioClips(clips, extractor.sampling_rate, seconds, label2id, random_crop, data.cache_audio)

    trainer = CardTrainer(
        model=model,
        args=training,
        data_collator=Collator(extractor, model.config.time_patch_size),
        train_dataset=dataset(clips, random_crop=True),
        eval_dataset=dataset(validation),
        processing_class=extractor,
        compute_metrics=compute_metrics,
    )
    print(f"{len(clips)} clips for training, {len(validation)} for validation; labels: {', '.join(labels)}",
          file=sys.stderr)  # fmt: skip
    result = trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model(_internal_call=True)  # pushed, if at all, with the results
    trainer.save_metrics("train", result.metrics)
    for name, part in (("eval", validation), ("test", test)):
        if part is not None:
            metrics = trainer.evaluate(dataset(part), metric_key_prefix=name)
            trainer.save_metrics(name, metrics)
            print(f"{'Validation' if name == 'eval' else 'Test'}: accuracy {metrics[f'{name}_accuracy']:.3f} on "
                  f"{len(part)} clips, macro F1 {metrics[f'{name}_f1_macro']:.3f}")  # fmt: skip
    trainer.save_state()
    counts = {"training": clips, "validation": validation, "test": test or []}
    base_model = None if data.from_scratch else data.model
    finish(trainer, "finetune", data.data, base_model, {name: len(part) for name, part in counts.items() if part})
    print(f"Model saved in {training.output_dir}")
    return 0


def _known(clips: list[Clip], labels: list[str], source: str) -> list[Clip]:
    unknown = sorted({clip.label for clip in clips} - set(labels))
    if unknown:
        raise ValueError(f"{source} has the label(s) {', '.join(unknown)}, which the training data has not.")
    return clips


if __name__ == "__main__":
    sys.exit(main())
