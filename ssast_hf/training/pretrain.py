# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast pretrain`: masked spectrogram patch modeling on unlabeled sound."""

import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from transformers import set_seed

from ..configuration_ssast import SSASTConfig
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..modeling_ssast import SSASTForPreTraining
from .arguments import SharedArguments, parse
from .card import CardTrainer, finish
from .data import AudioClips, Collator, clip_seconds, read_clips, split

METRICS = ("loss_discriminative", "loss_generative", "accuracy")


@dataclass
class DataArguments:
    """What to pretrain, on what."""

    data: str = field(metadata={"help": "Folder of sound files (any depth), or .csv/.tsv/.jsonl manifest."})
    validation_data: str | None = field(default=None, metadata={"help": "Likewise, for evaluation."})
    validation_fraction: float = field(default=0.05, metadata={"help": "Share of --data held out without the above."})
    model: str | None = field(
        default=None, metadata={"help": "Checkpoint to continue from (directory, short name, Hub repository)."}
    )
    size: str = field(default="base", metadata={"help": "New model.", "choices": ["tiny", "small", "base"]})
    patches: str = field(default="patch", metadata={"help": "16x16 or 128x2.", "choices": ["patch", "frame"]})
    config: str = field(default="{}", metadata={"help": "JSON object of SSASTConfig fields that override the size's."})
    max_length: int | None = field(default=None, metadata={"help": "Frames (10 ms) of a training crop [1024]."})
    mean: float | None = field(default=None, metadata={"help": "Mean of the log-mel features [AudioSet's]."})
    std: float | None = field(default=None, metadata={"help": "Standard deviation of the log-mel features."})
    cache_audio: bool = field(default=False, metadata={"help": "Keep decoded sound in memory, 64 kB a second."})


@dataclass
class PreTrainingArguments(SharedArguments):
    """The official recipe's optimiser (`src/run_mask_patch.sh`); batch size and schedule suit one GPU."""

    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate."})
    adam_beta1: float = field(default=0.95, metadata={"help": "Adam's beta 1."})
    adam_beta2: float = field(default=0.999, metadata={"help": "Adam's beta 2."})
    weight_decay: float = field(default=5e-7, metadata={"help": "Weight decay."})
    per_device_train_batch_size: int = field(default=24, metadata={"help": "Clips per device and step."})
    num_train_epochs: float = field(default=10.0, metadata={"help": "Passes over the data."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})


class PreTrainer(CardTrainer):
    """Logs both losses and the accuracy beside the loss, and evaluates with the same masks every time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sums: dict[str, list[torch.Tensor]] = defaultdict(list)
        self.mask_generator: torch.Generator | None = None

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        if not model.training:
            inputs = {**inputs, "generator": self.mask_generator}
        outputs = model(**inputs)
        for name in METRICS:
            self.sums[name if model.training else f"eval_{name}"].append(outputs[name].detach().float())
        loss = outputs.loss
        return (loss, outputs) if return_outputs else loss

    def _means(self, prefix: str) -> dict[str, float]:
        names = [prefix + name for name in METRICS if self.sums[prefix + name]]
        return {name: torch.stack(self.sums.pop(name)).mean().item() for name in names}

    def log(self, logs, *args, **kwargs):
        if "loss" in logs:
            logs = {**logs, **self._means("")}
        super().log(logs, *args, **kwargs)

    def evaluation_loop(self, *args, **kwargs):
        self.mask_generator = torch.Generator().manual_seed(0)
        output = super().evaluation_loop(*args, **kwargs)
        output.metrics.update(self._means("eval_"))
        return output


def main(argv: list[str] | None = None) -> int:
    """Pretrains as the command line says; see `--help`."""
    data, training = parse((DataArguments, PreTrainingArguments), argv, "pretrain", __doc__)
    set_seed(training.seed)
    clips = read_clips(data.data, labelled=False)
    if data.validation_data:
        validation = read_clips(data.validation_data, labelled=False)
    else:
        clips, validation = split(clips, data.validation_fraction, training.seed)
    if not validation:
        raise ValueError(f"{data.data} holds 1 clip, expected one for training and one for validation at least.")

    config, extractor, model = _build(data)
    # Masked patches need company: to be told apart, and to be guessed from.
    seconds = clip_seconds(config.max_length)
    rate = extractor.sampling_rate
    training.label_names = []
    training.prediction_loss_only = True
    trainer = PreTrainer(
        model=model,
        args=training,
        data_collator=Collator(extractor, config.time_patch_size),
        train_dataset=AudioClips(clips, rate, seconds, random_crop=True, cache=data.cache_audio),
        eval_dataset=AudioClips(validation, rate, seconds, cache=data.cache_audio),
        processing_class=extractor,
    )
    print(f"{len(clips)} clips for training, {len(validation)} for validation; {model.num_parameters() / 1e6:.1f} M "
          f"parameters", file=sys.stderr)  # fmt: skip
    result = trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model(_internal_call=True)  # pushed, if at all, with the results
    trainer.save_metrics("train", result.metrics)
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", metrics)
    trainer.save_state()
    finish(trainer, "pretrain", data.data, data.model, {"training": len(clips), "validation": len(validation)})
    print(f"Validation: discriminative loss {metrics['eval_loss_discriminative']:.3f}, generative loss "
          f"{metrics['eval_loss_generative']:.4f}, accuracy {metrics['eval_accuracy']:.3f}\n"
          f"Model saved in {training.output_dir}")  # fmt: skip
    return 0


def _build(data: DataArguments) -> tuple[SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining]:
    try:
        fields = json.loads(data.config)
    except json.JSONDecodeError as error:
        raise ValueError(f"--config is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"--config is {data.config}, expected a JSON object of SSASTConfig fields")
    unknown = fields.keys() - SSASTConfig.__annotations__.keys()
    if unknown:
        raise ValueError(f"--config has {', '.join(sorted(unknown))}, which SSASTConfig has not")
    if data.max_length is not None:
        fields["max_length"] = data.max_length
    statistics = {name: getattr(data, name) for name in ("mean", "std") if getattr(data, name) is not None}
    if data.model is not None:
        path = data.model
        model = SSASTForPreTraining.from_pretrained(path, **fields)
        extractor = SSASTFeatureExtractor.from_pretrained(path, max_length=model.config.max_length, **statistics)
    else:
        model = SSASTForPreTraining(getattr(SSASTConfig, data.size)(patches=data.patches, **fields))
        extractor = SSASTFeatureExtractor(
            num_mel_bins=model.config.num_mel_bins, max_length=model.config.max_length, **statistics
        )
    return model.config, extractor, model


if __name__ == "__main__":
    sys.exit(main())
