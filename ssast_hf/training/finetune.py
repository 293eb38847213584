# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune`: train a classifier on labelled sound."""

import sys
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import set_seed

from ..checkpoints.convert import read_label_names
from ..checkpoints.loading import load_to_train
from ..data.clips import Clip
from ..data.decoded import decode, fingerprint
from ..data.folds import folds_of
from ..data.labelled import clip_seconds
from ..data.labelled_checks import (
    check_found,
    check_readable,
    readable,
    warn_of_heard,
    warn_of_labels,
    warn_of_shared,
)
from ..data.labels import Labels, check_complete, check_known, find_labels, hold_out, name_official_labels
from ..data.reader import Reader
from ..data.skipped import Skipped
from ..data.sources import read_with_column
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.classify import load_classifier
from ..modeling_ssast import SSASTForAudioClassification
from ..utils.logs import new_parts
from ..utils.text import print_error, printable
from .arguments import parse, reading
from .augment import Augmentation, LabelledClips, LabelledCollator
from .card import write_facts_and_push
from .classifier_labels import labels_of_model, order_of_model
from .cross_validation import PART, cross_validate, is_finished, suggest_folds
from .curves import CURVES, draw_curves
from .finetuning_arguments import FineTuningDataArguments
from .frozen import FrozenTrainer, check_flags, check_meant, frozen_by_default
from .judging import judge_all, judge_parts, metrics_of, unreadable_of
from .optimization import ClassificationLoss, class_weights, sampling_weights
from .run_directory import RESUMES, RunDirectory
from .tuning import FineTuner, FineTuningArguments, choose_trained, say_what_is_trained

EPILOG = (
    f"{RESUMES} On several GPUs: torchrun --nproc_per_node 8 -m ssast_hf.training.finetune, with the same arguments."
)


def main(argv: list[str] | None = None) -> int:
    """Fine-tunes as the command line says; see `--help`. Returns 1 for unreadable clips or a lost best model."""
    argv = sys.argv[1:] if argv is None else argv
    data, training, flags = parse((FineTuningDataArguments, FineTuningArguments), argv, "finetune", __doc__, EPILOG)
    set_seed(training.seed)
    if data.frozen:
        check_flags(flags)
    if data.eval_only:
        return _evaluate_only(data, training)
    clips, labels, parts, groups, unreadable = _read(data, training, flags)
    if data.folds:
        folds = folds_of(
            clips, labels, data.folds, training.seed, [groups[clip] for clip in clips] if groups else None
        )
        run = _start(training, flags, clips, parts)
        _train_folds(data, training, argv, clips, labels, groups, folds)
        set_seed(training.seed)
    else:
        run = None
        if parts.get("eval") and not data.validation_data and training.process_index == 0:
            suggest_folds([*clips, *parts["eval"]], labels)
    return _train(data, training, flags, argv, clips, labels, parts, groups, unreadable, run)


def _start(
    training: FineTuningArguments, flags: dict, clips: list[Clip], parts: dict[str, list[Clip]]
) -> RunDirectory:
    """The directory of a run, with its record. It touches the directory: everything else was checked before."""
    run = RunDirectory(training, "finetune", flags)
    run.start(fingerprint([*clips, *(clip for part in parts.values() for clip in part)], stated=False))
    return run


def _train(
    data, training, flags: dict, argv, clips, labels: Labels, parts, groups, unreadable: int, run: RunDirectory | None
) -> int:
    """Trains one model and judges it by its parts. Returns the exit status."""
    training.resolve_length(len(clips), flags)
    model, extractor = _load(data, training, labels)
    chosen = choose_trained(model, training)
    augmentation = Augmentation(data.mixup, data.frequency_mask, data.time_mask, data.noise)
    loss = _loss(training, labels.targets(clips))
    run = run or _start(training, flags, clips, parts)
    trainer = _trainer(
        data, training, labels, clips, groups, parts.get("eval", []), chosen, model, extractor, augmentation, loss
    )
    if run.main:
        say_what_is_trained(trainer.model, clips, parts.get("eval", []), labels, data.frozen, unreadable)
    result = trainer.train(resume_from_checkpoint=run.checkpoint)
    trainer.finalize_weights()
    trainer.save_model(_internal_call=True)  # pushed, if at all, with the results
    counts = {"train_samples": len(clips), **({"train_unreadable_samples": unreadable} if unreadable else {})}
    trainer.save_metrics("train", {**result.metrics, **counts})
    trainer.save_state()
    if run.main:
        draw_curves(trainer.state.log_history, run.output / CURVES)
        judged = trainer.whole_model(SSASTForAudioClassification)
        unreadable += judge_all(judged, extractor, clips, parts, labels, data, training, trainer)
    _write_facts(trainer, data, labels, {"training": clips, "validation": parts.get("eval"), **parts}, argv)
    return _close(run, trainer, unreadable + len(trainer.train_dataset.reader.skipped.seen))


def _train_folds(data, training, argv, clips: list[Clip], labels: Labels, groups, folds: list[list[int]]) -> None:
    """Cross-validation: each fold is a run of its own, below the directory of the whole."""

    def given(folder: Path):
        command = [*argv, "--output_dir", str(folder), "--push_to_hub", "False"]
        return parse((FineTuningDataArguments, FineTuningArguments), command, "finetune", __doc__, EPILOG)

    def train(folder: Path, others: list[Clip], held: list[Clip]) -> None:
        fold_data, fold_training, flags = given(folder)
        set_seed(fold_training.seed)
        fold_data.frozen = data.frozen
        _without_validation(fold_data, fold_training, labels)
        _train(fold_data, fold_training, flags, argv, others, labels, {PART: held}, groups, 0, None)

    def done(folder: Path, others: list[Clip], held: list[Clip]) -> bool:
        stated = fingerprint([*others, *held], stated=False)
        return not training.overwrite and is_finished(folder, given(folder)[-1], stated)

    cross_validate(Path(training.output_dir), clips, folds, train, done)


def _without_validation(data: FineTuningDataArguments, training: FineTuningArguments, labels: Labels) -> None:
    """Sets how checkpoints are judged and kept where no clips are held out for that."""
    training.loss = training.loss or ("bce" if data.multi_label else "ce")
    if training.early_stopping_patience:
        reason = f"--folds {data.folds}" if data.folds else "--validation_fraction 0"
        raise ValueError(f"--early_stopping_patience needs validation data, found {reason}.")
    training.eval_strategy, training.load_best_model_at_end = "no", False
    training.judge_by("mAP" if labels.several else "accuracy", labels.several)


def _loss(training: FineTuningArguments, targets: np.ndarray) -> ClassificationLoss:
    weights = torch.from_numpy(class_weights(targets)) if training.class_weights else None
    return ClassificationLoss(training.loss or "ce", training.label_smoothing_factor, weights)


def _trainer(
    data, training, labels: Labels, clips, groups, validation, chosen, model, extractor, augmentation, loss
) -> FineTuner:
    """The Trainer of `chosen`: the model, or what peft wraps it in."""
    seconds, rate = clip_seconds(model.config.max_length), extractor.sampling_rate
    targets = labels.targets(clips)

    reader = _reader(data, training, clips, rate)
    training.label_names = ["labels"]
    own = {"groups": groups, "pooling": data.pooling, "warped_copies": data.warped_copies,
           "allow_missing_labels": data.allow_missing_labels}  # fmt: skip
    trainer_class = partial(FrozenTrainer, **own) if data.frozen else FineTuner
    return trainer_class(
        model=chosen,
        args=training,
        data_collator=LabelledCollator(extractor, model.config.time_patch_size, augmentation),
        train_dataset=LabelledClips(clips, reader, targets, seconds, augmentation, training.seed),
        eval_dataset=LabelledClips(validation, reader, labels.targets(validation), seconds) if validation else None,
        processing_class=extractor,
        compute_metrics=metrics_of(labels, model),
        loss=loss,
        sampling_weights=sampling_weights(targets) if training.balanced_sampling else None,
    )


def _write_facts(trainer, data, labels: Labels, parts: dict[str, list[Clip] | None], argv: list[str]) -> None:
    """Leaves what the model card says, and pushes if asked."""
    recipe = Path(argv[0]) if argv and argv[0].endswith((".yaml", ".yml")) else None
    counts = {name: len(parts[name] or ()) for name in ("training", "validation", "test") if parts.get(name)}
    write_facts_and_push(
        trainer, "finetune", data.data, None if data.from_scratch else data.model, counts,
        task=f"{'multi' if labels.several else 'single'}-label classification, {len(labels.names)} labels",
        recipe=None if recipe is None else "/".join(recipe.parts[-2:]),
    )  # fmt: skip


def _close(run: RunDirectory, trainer: FineTuner, unreadable: int) -> int:
    """
    Marks the run finished, unless its best checkpoint could not be written: then the model is not the best one, and
    the same command repeats training from before that step. Returns the exit status.
    """
    lost = trainer.best_checkpoint_lost()
    if lost:
        run.mark_unsaved(list(trainer.lost_metrics))
    else:
        run.mark_finished()
    if not run.main:
        return 0
    trainer.report_unsaved()
    if lost:
        print_error(f"The model in {run.output} is not the best one: a better checkpoint could not be saved. Make "
                    "room and give the same command again, which repeats training from before it.")  # fmt: skip
    if unreadable:
        print_error(f"{unreadable} clip(s) could not be read")
    print(printable(f"Model saved in {run.output}"))
    return 1 if lost or unreadable else 0


def _read(
    data: FineTuningDataArguments, training: FineTuningArguments, flags: Collection[str]
) -> tuple[list[Clip], Labels, dict[str, list[Clip]], dict[Clip, str] | None, int]:
    """
    The clips for training, the labels, the clips of `eval` and `test`, each clip's group by `--group_column`, and how
    many clips could not be read. Sets `data.frozen` where --frozen is not given.
    """
    training.loss = training.loss or ("bce" if data.multi_label else "ce")
    if data.multi_label and training.loss == "ce":
        raise ValueError("--loss is ce, expected bce with --multi_label: cross-entropy is for one label per clip.")
    if data.folds and data.validation_data:
        raise ValueError("--folds and --validation_data exclude each other: folds are held out of --data.")
    clips, groups = _clips(data.data, data, data.group_column)
    order = read_label_names(data.label_file) if data.label_file else None
    labels = find_labels(clips, data.multi_label, order)
    if order is None and not data.from_scratch and not data.new_classifier:
        labels = order_of_model(data.model, labels)
    warn_of_labels(clips, labels, data.data)
    if "frozen" not in flags:
        data.frozen = frozen_by_default(data, training, len(clips), len(labels.names), flags)
    check_meant(data, flags)
    parts = {}
    for name, source in (("eval", data.validation_data), ("test", data.test_data)):
        if source:
            parts[name], _ = _clips(source, data)
            check_known(parts[name], labels, source, "the training data has not")
            warn_of_heard(clips, parts[name], source, data.data)
    if not data.validation_data and data.validation_fraction != 0 and not data.folds:
        each = None if groups is None else [groups[clip] for clip in clips]
        clips, parts["eval"] = hold_out(clips, labels, data.validation_fraction, training.seed, each)
        if not parts["eval"]:
            raise ValueError(f"{data.data} has one clip per label, too few to hold any out: give --validation_data.")
        if not data.allow_missing_labels:
            check_complete(clips, labels, "After holding out clips for validation, the training data")
        warn_of_shared(clips, parts["eval"], data.data)
    elif data.group_column and not data.frozen and not data.folds:
        raise ValueError("--group_column is for holding out validation data, which --validation_data replaces.")
    found = readable(clips)
    if not found:
        raise ValueError(f"None of the {len(clips)} clips for training in {data.data} can be read.")
    if not data.allow_missing_labels:
        lost = len(found) < len(clips)
        check_readable(found, labels, data.data, lost, complete=lost)
        for name, part in parts.items():
            source = "The validation data" if name == "eval" else str(data.test_data)
            check_readable(heard := readable(part), labels, source, len(heard) < len(part))
    clips, unreadable = found, len(clips) - len(found)
    if data.baseline and not parts and not data.folds:
        raise ValueError("--baseline needs clips to judge by, found --validation_fraction 0 and no --test_data.")
    if "eval" not in parts:
        _without_validation(data, training, labels)
    training.judge_by("mAP" if labels.several else "accuracy", labels.several)
    return clips, labels, dict(sorted(parts.items())), groups, unreadable


def _clips(
    source: str, data: FineTuningDataArguments, column: str | None = None
) -> tuple[list[Clip], dict[Clip, str] | None]:
    """The clips of a source, and the group of each where a column states it."""
    found, groups = read_with_column(source, data.multi_label, column)
    clips = name_official_labels(found, source, data.label_file)
    check_found(clips, source)
    clips = [replace(clip, **reading(data)) for clip in clips]
    return clips, None if groups is None else dict(zip(clips, map(str, groups)))


def _reader(
    data: FineTuningDataArguments, training: FineTuningArguments, clips: list[Clip], sampling_rate: int
) -> Reader:
    """Reads the clips for training, from decoded sound if --cache_audio asks for it."""
    reader = Reader(sampling_rate, Skipped())
    if data.cache_audio:
        with training.main_process_first(desc="decoding"):
            folder = data.cache_dir or Path(training.output_dir, "_decoded")
            workers = training.dataloader_num_workers
            reader.decoded = decode(clips, sampling_rate, folder, reader.skipped, workers, skip_silent=False)
    return reader


def _overrides(data: FineTuningDataArguments) -> tuple[dict, dict]:
    """What the command line gives of the model's configuration, and of the features' statistics."""

    def given(*names: str) -> dict:
        return {name: getattr(data, name) for name in names if getattr(data, name) is not None}

    return given("max_length", "frequency_stride", "time_stride", "pooling"), given("mean", "std")


def _load(
    data: FineTuningDataArguments, training: FineTuningArguments, labels: Labels
) -> tuple[SSASTForAudioClassification, SSASTFeatureExtractor]:
    fields, statistics = _overrides(data)
    problem = "single_label_classification" if training.loss == "ce" else "multi_label_classification"
    model, info = load_to_train(
        SSASTForAudioClassification,
        data.model,
        num_labels=len(labels.names),
        id2label=dict(enumerate(labels.names)),
        label2id={name: index for index, name in enumerate(labels.names)},
        problem_type=problem,
        ignore_mismatched_sizes=True,  # a classifier for other labels is replaced
        **fields,
    )
    if data.from_scratch:
        model = SSASTForAudioClassification(model.config)
    elif training.process_index == 0 and (new := new_parts(info)):
        print_error(f"{', '.join(new)}: new, {len(labels.names)} labels")
    extractor = SSASTFeatureExtractor.from_pretrained(
        data.model,
        max_length=model.config.max_length,
        return_attention_mask=True,  # padding was masked in training, so pipelines mask it too
        **statistics,
    )
    return model, extractor


def _evaluate_only(data: FineTuningDataArguments, training: FineTuningArguments) -> int:
    if data.baseline:
        raise ValueError("--baseline needs clips to train on, not --eval_only: see ssast evaluate --baseline.")
    output = Path(training.output_dir)
    if output.is_dir() and any(output.iterdir()) and not training.overwrite:
        raise ValueError(f"--output_dir is {output}, which is not empty: choose another, or give --overwrite")
    fields, statistics = _overrides(data)
    model = load_classifier(data.model, **fields).to(training.device)
    extractor = SSASTFeatureExtractor.from_pretrained(data.model, max_length=model.config.max_length, **statistics)
    labels = Labels(tuple(labels_of_model(data.model) or ()), data.multi_label)
    sources = {"eval": data.validation_data, "test": data.test_data}
    sources = sources if any(sources.values()) else {"test": data.data}
    parts = {name: _clips(source, data)[0] for name, source in sources.items() if source}
    for name, part in parts.items():
        check_known(part, labels, str(sources[name]), "the model has not")
    judged = judge_parts(model, extractor, parts, labels, data, training)
    print(printable(f"Results in {training.output_dir}"))
    return 1 if unreadable_of(judged) else 0


if __name__ == "__main__":
    sys.exit(main())
