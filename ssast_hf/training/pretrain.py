# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretrains SSAST by masked spectrogram patch modeling on unlabeled sound (`ssast pretrain`)."""

import os
import random
import sys
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from ..checkpoints.loading import load_to_train
from ..configuration_ssast import SSASTConfig
from ..data.decoded import decode, fingerprint
from ..data.labelled import clip_seconds, split
from ..data.reader import Reader
from ..data.skipped import Skipped, holds_sound
from ..data.sources import SOURCE_HELP, Clip, Source, read_sources
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForPreTraining
from ..utils.logs import new_parts
from ..utils.parsing import parse_json
from ..utils.text import print_error, printable
from . import picture
from .arguments import CHANNEL_HELP, TRUNCATED_HELP, SharedArguments, parse, reading
from .card import write_facts_and_push
from .crops import PROBES, Crops, EpochSampler, Padded
from .curves import CURVES, draw_curves
from .log_lines import PrintLines, written
from .masked_batches import MaskingCollator
from .pretrainer import LOSSES, PreTrainer
from .resumable_trainer import PlateauWarmUp, SetEpoch
from .run_directory import RESUMES, SKIPPED, RunDirectory
from .streams import Stream

PICTURE, PICTURED = "reconstruction.png", 4  # clips
FEW = 100  # clips, which are decoded sooner than workers start
EPILOG = (
    f"{SOURCE_HELP} {RESUMES} Clips that cannot be read, are silent or too short are listed in {SKIPPED} in "
    "--output_dir. On several GPUs: torchrun --nproc_per_node 8 -m ssast_hf.training.pretrain, with the same "
    "arguments."
)


@dataclass
class PreTrainingDataArguments:
    """What to pretrain, on what"""

    data: list[str] = field(metadata={"help": "Sound to train on; see below.", "metavar": "SOURCE"})
    validation_data: list[str] | None = field(
        default=None, metadata={"help": "Likewise, for evaluation.", "metavar": "SOURCE"}
    )
    validation_fraction: float = field(default=0.05, metadata={"help": "Share of --data held out without the above."})
    model: str | None = field(
        default=None, metadata={"help": "Checkpoint to train on from (directory, short name, Hub repository)."}
    )
    size: str = field(default="base", metadata={"help": "Size of a new model.", "choices": ["tiny", "small", "base"]})
    patches: str = field(
        default="patch", metadata={"help": "Patches of a new model: 16x16 or 128x2.", "choices": ["patch", "frame"]}
    )
    max_length: int | None = field(default=None, metadata={"help": "Frames (10 ms) of a training crop [1024]."})
    num_mask_patches: int | None = field(default=None, metadata={"help": "Patches masked in a full crop [78 %%]."})
    mask_cluster_min: int | None = field(default=None, metadata={"help": "Smallest side of masked clusters [3; 1]."})
    mask_cluster_max: int | None = field(default=None, metadata={"help": "Largest side of masked clusters [5; 1]."})
    discriminative_loss_weight: float | None = field(default=None, metadata={"help": "0 switches it off [1]."})
    generative_loss_weight: float | None = field(default=None, metadata={"help": "0 switches it off [10]."})
    config: str = field(default="{}", metadata={"help": "JSON object of other SSASTConfig fields, for new models."})
    mean: float | None = field(
        default=None, metadata={"help": "Mean of the log-mel features: `ssast stats` [AudioSet's]."}
    )
    std: float | None = field(default=None, metadata={"help": "Standard deviation of the log-mel features."})
    min_seconds: float = field(default=0.1, metadata={"help": "Shorter clips are skipped."})
    pack: bool = field(
        default=False,
        metadata={"help": "Join neighbouring clips and cut the result into full crops: an epoch is then every second "
                  "of sound once, not one crop per clip, and nothing is padded."},
    )  # fmt: skip
    cache_audio: bool = field(
        default=False,
        metadata={"help": "Decode all sound once, to 16 bits at the model's rate, 115 MB an hour on disk."},
    )
    cache_dir: str | None = field(
        default=None,
        metadata={"help": "Directory for that, which runs can share [in --output_dir].", "metavar": "DIR"},
    )
    channel: int | None = field(default=None, metadata={"help": CHANNEL_HELP})
    accept_truncated: bool = field(default=False, metadata={"help": TRUNCATED_HELP})
    features_on_device: bool = field(
        default=False, metadata={"help": "Compute features on the model's device instead of in the data workers."}
    )


@dataclass
class PreTrainingArguments(SharedArguments):
    """How to train: the official optimiser (`src/run_mask_patch.sh`), batch size and schedule for one GPU"""

    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate."})
    adam_beta1: float = field(default=0.95, metadata={"help": "Adam's beta 1."})
    adam_beta2: float = field(default=0.999, metadata={"help": "Adam's beta 2."})
    weight_decay: float = field(default=5e-7, metadata={"help": "Weight decay."})
    per_device_train_batch_size: int = field(default=24, metadata={"help": "Clips per device and step."})
    num_train_epochs: float = field(default=10.0, metadata={"help": "Passes over the data."})
    lr_scheduler_type: str = field(
        default="cosine",
        metadata={"help": "Schedule; reduce_lr_on_plateau halves the rate when validation accuracy stalls."},
    )


def main(argv: list[str] | None = None) -> int:
    """Pretrains as the command line says; see `--help`."""
    argv = sys.argv[1:] if argv is None else argv
    data, training, flags = parse(
        (PreTrainingDataArguments, PreTrainingArguments), argv, "pretrain", __doc__, EPILOG
    )  # fmt: skip
    set_seed(training.seed)
    parts = _read_parts(data, training)
    config, extractor, model = _build(data)
    run = RunDirectory(training, "pretrain", flags)  # it touches the directory: everything else was checked before
    skipped = Skipped(run.output / SKIPPED)
    train, held_out = _crops(data, training, run, parts, config, extractor, skipped)
    trainer = _trainer(data, training, config, extractor, model, train, held_out)
    if run.main:
        amount = "streams" if parts.streams else f"{len(train)} {'crops' if data.pack else 'clips'}"
        size = f"{model.num_parameters() / 1e6:.1f} M parameters"
        print_error(f"{amount} for training, {len(held_out)} for validation; {size}")
    result = trainer.train(resume_from_checkpoint=run.checkpoint)
    trainer.save_model(_internal_call=True)  # pushed, if at all, with the results
    trainer.save_metrics("train", result.metrics)
    trainer.remove_callback(PrintLines)  # the last lines say what this evaluation finds
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", metrics)
    trainer.save_state()
    if run.main:
        _draw(trainer, held_out, run.output / PICTURE)
        draw_curves(trainer.state.log_history, run.output / CURVES)
    write_facts_and_push(trainer, "pretrain", data.data, data.model, parts.counts() if run.main else {})
    if run.main:
        unusable = skipped.finish()
        run.mark_finished()
        trainer.report_unsaved()
        if unusable:
            print_error(f"{len(unusable)} clip(s) were skipped; reasons in {skipped.path}")
        print(f"Validation: {written({name: metrics[f'eval_{name}'] for name in LOSSES})}")
        print(f"Model saved in {printable(training.output_dir)}")
    return 0


@dataclass
class Parts:
    """The sources that are trained on, streams apart, and the sources held out for validation."""

    sources: list[Source]
    streams: list[Source]
    validation: list[Source]

    def clips(self) -> list[Clip]:
        """All clips, for a run's fingerprint."""
        return [clip for source in [*self.sources, *self.validation] for clip in source.clips]

    def counts(self) -> dict[str, int]:
        """Numbers of clips, for the model card."""
        counts = {} if self.streams else {"training": sum(len(source.clips) for source in self.sources)}
        return counts | {"validation": sum(len(source.clips) for source in self.validation)}


def _read_parts(data: PreTrainingDataArguments, training: PreTrainingArguments) -> Parts:
    """Reads the sources. Raises ValueError where they do not suit the other flags."""
    sources = _sources(data.data, data)
    streams = [source for source in sources if source.stream is not None]
    sources = [source for source in sources if source.stream is None]
    if data.validation_data:
        validation = _sources(data.validation_data, data)
        if any(source.stream is not None for source in validation):
            raise ValueError("--validation_data is a stream, expected sound that can be read again and again.")
    elif streams:
        raise ValueError("--data has a streaming source, from which nothing can be held out: give --validation_data.")
    else:
        sources, validation = hold_out(sources, data.validation_fraction, training.seed)
    if streams and (training.max_steps <= 0 or data.pack or data.cache_audio):
        raise ValueError("A streaming source has no end: give --max_steps, and neither --pack nor --cache_audio.")
    return Parts(sources, streams, validation)


def _sources(texts: list[str], data: PreTrainingDataArguments) -> list[Source]:
    sources, how = read_sources(texts), reading(data)
    for source in sources:
        source.clips = [replace(clip, **how) for clip in source.clips]
    return sources


def _crops(
    data, training, run: RunDirectory, parts: Parts, config, extractor, skipped
) -> tuple[Crops | Stream, Crops]:
    """The crops for training and those for validation, each checked to hold sound; starts the run's record."""
    clips, rate = parts.clips(), extractor.sampling_rate
    run.start(fingerprint(clips, stated=False))
    reader = Reader(rate, skipped)
    if data.cache_audio:
        with training.main_process_first(desc="decoding"):
            folder = data.cache_dir or run.output / "_decoded"
            workers = max(training.dataloader_num_workers, os.cpu_count() or 1) if len(clips) > FEW else 0
            reader.decoded = decode(clips, rate, folder, skipped, workers)
    samples, shortest = round(clip_seconds(config.max_length) * rate), round(data.min_seconds * rate)
    train: Any = None  # where all sources are streams
    if parts.sources:
        train = Crops(parts.sources, samples, reader, training.seed, shortest, data.pack)
    held_out = Crops(parts.validation, samples, reader, training.seed, shortest, data.pack)
    if parts.streams:
        train = Stream(parts.streams, train, samples, reader, training.seed, shortest,
                       training.process_index, training.world_size, how=reading(data))  # fmt: skip
    for part in (train, held_out):
        part.check()
    return train, held_out


def _trainer(data, training, config, extractor, model, train: Crops | Stream, held_out: Crops) -> PreTrainer:
    batch = training.train_batch_size * training.world_size
    sampler = None if isinstance(train, Stream) else EpochSampler(train, batch, training.seed)
    plateau = str(getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)) == "reduce_lr_on_plateau"
    if plateau:
        _set_plateau(training)
    if training.ddp_find_unused_parameters is None:  # a head without a loss gets no gradients
        training.ddp_find_unused_parameters = not (config.discriminative_loss_weight and config.generative_loss_weight)
    training.label_names = []
    training.prediction_loss_only = True
    return PreTrainer(
        model=model,
        args=training,
        data_collator=MaskingCollator(
            extractor, config, training.seed, data.features_on_device, full=training.torch_compile
        ),
        train_dataset=train,
        eval_dataset=Padded(held_out, training.eval_batch_size * training.world_size),
        processing_class=extractor,
        sampler=sampler,
        callbacks=[*([] if sampler is None else [SetEpoch(sampler)]), *([PlateauWarmUp()] if plateau else [])],
    )


def hold_out(sources: list[Source], fraction: float, seed: int) -> tuple[list[Source], list[Source]]:
    """
    Draws `fraction` of each source's clips for validation; of a source with one clip, none. Where none of those drawn
    holds sound, one more is drawn that does.
    """
    train, validation = [], []
    for source in sources:
        kept, held_out = split(source.clips, fraction, seed)
        if held_out and not any(map(holds_sound, held_out)):
            candidates = random.Random(seed).sample(kept, min(len(kept), PROBES))
            usable = list(islice(filter(holds_sound, candidates), 2))  # one of them remains to train on
            if len(usable) == 2:
                kept.remove(usable[0])
                held_out.append(usable[0])
        train.append(Source(source.name, kept, source.weight))
        if held_out:
            validation.append(Source(source.name, held_out))
    if not validation:
        names = ", ".join(source.name for source in sources)
        raise ValueError(f"{names} holds 1 clip, expected one for training and one for validation at least.")
    return train, validation


def _set_plateau(training: PreTrainingArguments) -> None:
    """The official schedule: halved when validation accuracy has not risen for more than two evaluations."""
    if str(getattr(training.eval_strategy, "value", training.eval_strategy)) == "no":
        raise ValueError("--lr_scheduler_type reduce_lr_on_plateau needs evaluations: --eval_strategy epoch or steps.")
    if training.metric_for_best_model in (None, "loss"):
        training.metric_for_best_model = "accuracy"
        training.greater_is_better = True
    chosen = training.lr_scheduler_kwargs or {}
    mode = "max" if training.greater_is_better else "min"
    training.lr_scheduler_kwargs = {"mode": mode, "factor": 0.5, "patience": 2, **chosen}


def _draw(trainer: PreTrainer, held_out: Crops, path: Path) -> None:
    collate = trainer.data_collator
    items = [held_out[index] for index in range(min(PICTURED, len(held_out)))]
    batch = collate(items)
    if "waveforms" in batch:
        batch.update(collate.features([torch.from_numpy(item["waveform"]) for item in items]))
    names = ("input_values", "attention_mask", "bool_masked_pos")
    model = trainer.whole_model(SSASTForPreTraining).eval()
    inputs = {name: batch[name].to(model.device) for name in names if name in batch}
    picture.draw(model, inputs, path, [f"validation {index + 1}" for index in range(len(items))])


def _build(data: PreTrainingDataArguments) -> tuple[SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining]:
    fields = parse_json(data.config, "--config")
    if not isinstance(fields, dict):
        raise ValueError(f"--config is {data.config}, expected a JSON object of SSASTConfig fields")
    unknown = fields.keys() - SSASTConfig.__annotations__.keys()
    if unknown:
        raise ValueError(f"--config has {', '.join(sorted(unknown))}, which SSASTConfig has not")
    for name in ("max_length", "num_mask_patches", "mask_cluster_min", "mask_cluster_max",
                 "discriminative_loss_weight", "generative_loss_weight"):  # fmt: skip
        if getattr(data, name) is not None:
            fields[name] = getattr(data, name)
    statistics = {name: getattr(data, name) for name in ("mean", "std") if getattr(data, name) is not None}
    statistics["return_attention_mask"] = True  # padding is masked in training, so pipelines mask it too
    if data.model is not None:
        path = data.model
        model, info = load_to_train(SSASTForPreTraining, path, **fields)
        if new := new_parts(info):
            print_error(f"{', '.join(new)}: new; {path} has none")
        extractor = SSASTFeatureExtractor.from_pretrained(path, max_length=model.config.max_length, **statistics)
    else:
        model = SSASTForPreTraining(getattr(SSASTConfig, data.size)(patches=data.patches, **fields))
        extractor = SSASTFeatureExtractor(
            num_mel_bins=model.config.num_mel_bins, max_length=model.config.max_length, **statistics
        )
    return model.config, extractor, model


if __name__ == "__main__":
    sys.exit(main())
