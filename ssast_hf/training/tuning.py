# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Which weights are trained, and the Trainer that does it."""

import os
import warnings
from argparse import SUPPRESS
from collections.abc import Collection
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object, parse_flag_from_env
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from transformers import EarlyStoppingCallback, EvalPrediction
from transformers.trainer_utils import EvalLoopOutput

from ..data.clips import Clip
from ..data.labels import Labels
from ..modeling_ssast import SSASTForAudioClassification
from ..utils.text import print_error
from .arguments import SharedArguments
from .evaluation import logits_of, scores_of
from .optimization import (
    AverageWeights,
    BalancedSampler,
    ClassificationLoss,
    LengthSampler,
    scale_learning_rates,
    step_decay,
    steps_per_epoch,
)
from .resumable_trainer import PreferLaterCheckpoint, ResumableTrainer, SetEpoch

CHECKPOINT_METRICS = ("accuracy", "f1_macro", "mAP", "mAUC", "loss")  # to choose a checkpoint by
# How long to train, where nothing says it. What takes fewer steps has hardly left its random classifier.
EPOCHS, LEAST_STEPS = 10, 300
LENGTHS = {"num_train_epochs", "max_steps", "average_epochs", "lr_decay_start"}  # flags that say it, or count epochs


@dataclass
class FineTuningArguments(SharedArguments):
    """Defaults for a small data set on one GPU or a laptop."""

    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Clips per device and step."})
    per_device_eval_batch_size: int = field(default=16, metadata={"help": "Clips per device in evaluation."})
    num_train_epochs: float = field(
        default=EPOCHS, metadata={"help": f"Passes over the data [{EPOCHS}, or as many as take {LEAST_STEPS} steps]."}
    )
    load_best_model_at_end: bool | None = field(
        default=None, metadata={"help": "End with the checkpoint that is best in validation [if there is validation]."}
    )
    metric_for_best_model: str | None = field(default=None, metadata={"help": "[accuracy; mAP with --multi_label]"})
    loss: str | None = field(
        default=None, metadata={"help": "Cross-entropy or binary cross-entropy [ce; bce with --multi_label].",
                                "choices": ["ce", "bce"]}
    )  # fmt: skip
    class_weights: bool = field(default=False, metadata={"help": "Weigh labels in the loss by their rarity."})
    balanced_sampling: bool = field(default=False, metadata={"help": "Draw clips by the rarity of their labels."})
    head_lr_factor: float = field(default=1.0, metadata={"help": "The classifier's learning rate, over the rest's."})
    layer_lr_decay: float = field(
        default=1.0, metadata={"help": "A layer's learning rate, over that of the layer above it."}
    )
    lr_decay_start: int | None = field(
        default=None, metadata={"help": "Step decay, instead of --lr_scheduler_type, after this many epochs."}
    )
    lr_decay_every: int = field(default=1, metadata={"help": "Epochs from one decay to the next."})
    lr_decay_rate: float = field(default=0.85, metadata={"help": "What each decay multiplies the learning rate by."})
    average_epochs: list[int] | None = field(
        default=None, metadata={"help": "First and last of the epochs (from 1) whose weights are averaged at the end."}
    )
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after so many evaluations without improvement."}
    )
    early_stopping_threshold: float = field(default=0.0, metadata={"help": "What counts as improvement."})
    linear_probe: bool = field(default=False, metadata={"help": "Train the classifier alone."})
    freeze_layers: int | None = field(
        default=None, metadata={"help": "Leave the embeddings and so many of the lowest layers as they are."}
    )
    lora_rank: int | None = field(
        default=None, metadata={"help": "Train the classifier and low-rank updates of this rank, merged at the end."}
    )
    lora_alpha: float = field(default=16.0, metadata={"help": "LoRA's scale, over the rank."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of LoRA's input."})
    lora_targets: list[str] = field(
        default_factory=lambda: ["qkv", "o_proj"], metadata={"help": "Layers to update: qkv, o_proj, fc1, fc2."}
    )

    # The Trainer then restores the state of early stopping.
    restore_callback_states_from_checkpoint: bool = field(default=True, metadata={"help": SUPPRESS})

    def __post_init__(self):
        self.chosen_metric = self.metric_for_best_model
        chosen = self.load_best_model_at_end
        judged = self.eval_strategy == self.save_strategy and self.save_strategy in ("epoch", "steps")
        self.load_best_model_at_end = judged and not self.average_epochs if chosen is None else chosen
        super().__post_init__()
        self._check()

    def judge_by(self, default: str, several: bool) -> None:
        """Sets what checkpoints are compared by. Raises ValueError for a metric that evaluation does not give."""
        metric = (self.chosen_metric or default).removeprefix("eval_")
        known = [name for name in CHECKPOINT_METRICS if not (several and name == "accuracy")]
        if metric not in known:
            raise ValueError(f"--metric_for_best_model is {metric}, expected one of {', '.join(known)}.")
        self.metric_for_best_model = metric
        if self.chosen_metric is None:
            self.greater_is_better = True

    def resolve_length(self, clips: int, given: Collection[str]) -> None:
        """
        Of few clips, and where none of the flags `given` says how long to train: as many passes as take `LEAST_STEPS`
        steps, judged and saved as often as in `EPOCHS` epochs.
        """
        if LENGTHS.intersection(given) or steps_per_epoch(clips, self) * EPOCHS >= LEAST_STEPS:
            return
        self.max_steps = LEAST_STEPS
        if not {"eval_strategy", "save_strategy"}.intersection(given):
            self.eval_steps = self.save_steps = LEAST_STEPS // EPOCHS
            self.save_strategy = "steps"
            if self.eval_strategy != "no":
                self.eval_strategy = "steps"

    def _check(self) -> None:
        for name, expected, fulfilled in (
            ("head_lr_factor", "above 0", self.head_lr_factor > 0),
            ("layer_lr_decay", "above 0 and at most 1", 0 < self.layer_lr_decay <= 1),
            ("lr_decay_start", "1 or more", self.lr_decay_start is None or self.lr_decay_start >= 1),
            ("lr_decay_every", "1 or more", self.lr_decay_every >= 1),
            ("lr_decay_rate", "above 0 and at most 1", 0 < self.lr_decay_rate <= 1),
            ("freeze_layers", "0 or more", self.freeze_layers is None or self.freeze_layers >= 0),
            ("lora_rank", "1 or more", self.lora_rank is None or self.lora_rank >= 1),
            ("early_stopping_patience", "1 or more",
             self.early_stopping_patience is None or self.early_stopping_patience >= 1),
            ("average_epochs", "two numbers, the first and the last epoch", not self.average_epochs or (
                len(self.average_epochs) == 2 and 1 <= self.average_epochs[0] <= self.average_epochs[1])),
        ):  # fmt: skip
            if not fulfilled:
                raise ValueError(f"--{name} is {getattr(self, name)}, expected {expected}.")
        ways = {
            "--linear_probe": self.linear_probe,
            "--freeze_layers": self.freeze_layers is not None,
            "--lora_rank": self.lora_rank is not None,
        }
        given = [name for name, value in ways.items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: choose one.")
        if self.average_epochs and self.load_best_model_at_end:
            raise ValueError("--average_epochs and --load_best_model_at_end exclude each other: choose one.")
        if self.average_epochs and self.lora_rank:
            raise ValueError("--average_epochs and --lora_rank exclude each other: choose one.")
        sharded = self.fsdp or parse_flag_from_env("ACCELERATE_USE_FSDP")  # a flag here, or accelerate's configuration
        if sharded and (self.average_epochs or self.lora_rank):
            raise ValueError("--fsdp excludes --average_epochs and --lora_rank: a process needs all weights for them.")
        if self.average_epochs and self.max_steps <= 0 and self.average_epochs[0] > self.num_train_epochs:
            raise ValueError(
                f"--average_epochs begins with epoch {self.average_epochs[0]} of {self.num_train_epochs:g}."
            )
        if self.early_stopping_patience and not self.load_best_model_at_end:
            raise ValueError(
                "--early_stopping_patience needs --load_best_model_at_end True, and evaluation when a checkpoint is "
                "saved (--eval_strategy, --save_strategy)."
            )
        if self.dataloader_persistent_workers:
            raise ValueError("--dataloader_persistent_workers is True: such workers would augment every epoch alike.")
        if self.balanced_sampling and self.train_sampling_strategy != "random":
            raise ValueError("--balanced_sampling and --train_sampling_strategy exclude each other: choose one.")


def choose_trained(model: SSASTForAudioClassification, training: FineTuningArguments):
    """Freezes the parameters that are not trained, or wraps the model with peft. ValueError: an impossible choice."""
    layers = model.config.num_hidden_layers
    if training.linear_probe:
        model.ssast.requires_grad_(False)
    elif training.freeze_layers is not None:
        if training.freeze_layers > layers:
            raise ValueError(f"--freeze_layers is {training.freeze_layers}, expected at most {layers}.")
        model.ssast.embeddings.requires_grad_(False)
        model.ssast.layers[: training.freeze_layers].requires_grad_(False)
    elif training.lora_rank is not None:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ValueError(f"--lora_rank needs peft ({error}): pip install peft") from error
        linear = {name.split(".")[-1] for name, module in model.ssast.named_modules()
                  if isinstance(module, torch.nn.Linear)}  # fmt: skip
        unknown = set(training.lora_targets) - linear
        if unknown:
            raise ValueError(
                f"--lora_targets has {', '.join(sorted(unknown))}, expected some of {', '.join(sorted(linear))}."
            )
        adapted = get_peft_model(
            model,
            LoraConfig(
                r=training.lora_rank,
                lora_alpha=training.lora_alpha,
                lora_dropout=training.lora_dropout,
                target_modules=training.lora_targets,
                modules_to_save=["classifier"],
            ),
        )
        for config in adapted.peft_config.values():  # which checkpoints hold, and a push of these
            if os.path.isdir(config.base_model_name_or_path or ""):
                config.base_model_name_or_path = os.path.basename(os.path.abspath(config.base_model_name_or_path))
        return adapted
    return model


class FineTuner(ResumableTrainer):
    """
    Trains a classifier on targets (batch, labels).

    Args:
        loss ([`ClassificationLoss`]): In training; evaluation has neither its smoothing nor its weights.
        sampling_weights (`np.ndarray` of shape `(clips,)`, *optional*): For class-balanced sampling.
    """

    loss_is_scaled_for_ga = False
    model: Any
    lr_scheduler: Any

    def __init__(self, *args, loss: ClassificationLoss, sampling_weights=None, **kwargs):
        with warnings.catch_warnings():  # the Trainer's own label smoothing knows no multi-label targets; `loss` does
            warnings.filterwarnings("ignore", message="Label smoothing is not compatible")
            super().__init__(*args, **kwargs)
        self.loss = loss
        self.plain_loss = ClassificationLoss(loss.kind)
        self.warned: set[str] = set()  # unreadable clips for validation
        self.sampler: BalancedSampler | LengthSampler | None = None
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        if sampling_weights is not None:
            self.sampler = BalancedSampler(sampling_weights, seed)
        elif self.args.train_sampling_strategy == "group_by_length":
            step = self.args.train_batch_size * self.args.gradient_accumulation_steps
            self.sampler = LengthSampler(self.train_dataset.seconds(), step, seed)
        self.add_callback(SetEpoch(*(part for part in (self.train_dataset, self.sampler) if part is not None)))
        self.average: AverageWeights | None = None
        if self.args.average_epochs:
            weights = self.accelerator.unwrap_model(self.model).state_dict
            steps = steps_per_epoch(len(self.train_dataset), self.args)
            first, last = self.args.average_epochs
            self.average = AverageWeights(first, last, weights, steps)
            self.add_callback(self.average)
        if self.args.early_stopping_patience:
            self.add_callback(
                EarlyStoppingCallback(self.args.early_stopping_patience, self.args.early_stopping_threshold)
            )
        self.add_callback(PreferLaterCheckpoint())

    def restore(self, checkpoint: str) -> dict:
        """Also restores the averaged weights."""
        progress = super().restore(checkpoint)
        if self.average is not None:
            self.average.restore(checkpoint)
        return progress

    def is_complete(self) -> bool:
        return super().is_complete() or any(
            callback.early_stopping_patience_counter >= callback.early_stopping_patience
            for callback in self.callback_handler.callbacks
            if isinstance(callback, EarlyStoppingCallback)
        )

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = (self.loss if model.training else self.plain_loss)(outputs.logits, inputs["labels"])
        return (loss, outputs) if return_outputs else loss

    def evaluation_loop(self, dataloader, *args, metric_key_prefix: str = "eval", **kwargs) -> EvalLoopOutput:
        """
        Judges whole clips by the scores of their windows, as `ssast evaluate` does. Each process scores a share of the
        clips; with FSDP, whose processes run the model together, each scores all of them.
        """
        dataset, prefix = dataloader.dataset, metric_key_prefix
        clips = dataset.clips
        processes = 1 if self.is_fsdp_enabled else self.args.world_size
        own = range(self.args.process_index if processes > 1 else 0, len(clips), processes)
        model = self.accelerator.unwrap_model(self.model)
        scores, readable = scores_of(
            model, self.processing_class, [clips[index] for index in own], self.args.eval_batch_size,
            self.args.dataloader_num_workers, self.warned,
        )  # fmt: skip
        found = [(own[index], row) for index, row in zip(readable, scores)]
        if processes > 1:
            found = gather_object(found)
        if not found:
            raise ValueError(f"None of the {len(clips)} clips for validation can be read: see the warnings above.")
        indices, ordered = zip(*sorted(found, key=itemgetter(0)))
        logits, targets = logits_of(np.stack(ordered), model.config.problem_type), dataset.targets[list(indices)]
        loss = self.plain_loss(torch.from_numpy(logits), torch.from_numpy(targets)).item()
        metrics = {f"{prefix}_loss": loss, f"{prefix}_samples": len(indices)}
        if len(indices) < len(clips):
            metrics[f"{prefix}_unreadable_samples"] = len(clips) - len(indices)
        if self.compute_metrics is not None:
            computed = self.compute_metrics(EvalPrediction(predictions=logits, label_ids=targets))
            metrics |= {f"{prefix}_{name}": value for name, value in computed.items() if value is not None}
        return EvalLoopOutput(logits, targets, metrics, len(indices))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False):
        super().save_model(output_dir, _internal_call)
        if self.average is not None and output_dir is not None and self.args.should_save:
            self.average.save(output_dir)

    def get_train_dataloader(self) -> DataLoader:
        sampler = self.sampler
        if sampler is None:
            kinds = {"random": RandomSampler, "sequential": SequentialSampler}
            if self.args.train_sampling_strategy not in kinds:
                return super().get_train_dataloader()
            sampler = kinds[self.args.train_sampling_strategy](self.train_dataset)
        return self.make_dataloader(self.train_dataset, self.args.train_batch_size, sampler, training=True)

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """A loader whose dataset names the clips, which `evaluation_loop` reads itself."""
        return DataLoader(self.eval_dataset if eval_dataset is None else eval_dataset, self.args.eval_batch_size)

    def create_optimizer(self, model=None):
        made = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if made and (self.args.head_lr_factor, self.args.layer_lr_decay) != (1, 1):
            scale_learning_rates(
                optimizer, self.model, self.model.config.num_hidden_layers, self.args.head_lr_factor,
                self.args.layer_lr_decay,
            )  # fmt: skip
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        made = self.lr_scheduler is None
        schedule = super().create_scheduler(num_training_steps, optimizer)
        if made and self.args.lr_decay_start is not None:
            self.lr_scheduler = schedule = step_decay(
                self.optimizer if optimizer is None else optimizer,
                self.args.get_warmup_steps(num_training_steps),
                steps_per_epoch(len(self.train_dataset), self.args),
                self.args.lr_decay_start,
                self.args.lr_decay_every,
                self.args.lr_decay_rate,
            )
        return schedule

    def finalize_weights(self) -> None:
        """After training: loads the averaged weights, merges those of LoRA."""
        if self.average is not None:
            if not self.average.count:
                raise ValueError(
                    f"No epoch of --average_epochs {self.average.first} {self.average.last} was completed: the model "
                    "was not saved."
                )
            self.model.load_state_dict(self.average.mean)  # copies into the weights' own type
        if self.args.lora_rank is not None:
            self.model = self.model_wrapped = self.model.merge_and_unload()


def say_what_is_trained(
    model, clips: list[Clip], validation: list[Clip], labels: Labels, frozen: bool, unreadable: int
) -> None:
    """On stderr: numbers of clips, labels, and parameters that are trained."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    what = "frozen encoder" if frozen else f"{trained / 1e6:.2f} M parameters to train"
    skipped = f" ({unreadable} more cannot be read)" if unreadable else ""
    names = ", ".join(labels.names[:20]) + (", ..." if len(labels.names) > 20 else "")
    print_error(
        f"{len(clips)} clips for training{skipped}, {len(validation)} for validation; {len(labels.names)} labels: "
        f"{names}; {what}"
    )
