# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a training run leaves beside its model, and the Trainer's model card made of it."""

from datetime import date
from pathlib import Path

import torch
import transformers
from transformers import Trainer, TrainingArguments

from .. import __version__
from ..hub import write_card, write_facts

ARGUMENTS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "per_device_train_batch_size",
    "gradient_accumulation_steps", "num_train_epochs", "max_steps", "label_smoothing_factor", "bf16", "seed",
)  # fmt: skip


class CardTrainer(Trainer):
    """A Trainer whose model card (with `--push_to_hub`) says what is known, instead of leaving a template open."""

    def create_model_card(self, license: str | None = None, tags=None, dataset=None, **kwargs) -> None:
        if self.is_world_process_zero():
            repo_id = self.hub_model_id or Path(self.args.output_dir).name
            as_list = [[value] if isinstance(value, str) else value for value in (tags, dataset)]
            write_card(self.args.output_dir, repo_id, licence=license, tags=as_list[0], datasets=as_list[1])


def finish(
    trainer: CardTrainer, command: str, data: str, base_model: str | None, clips: dict[str, int], **facts
) -> None:
    """Leaves the facts for the card in the output directory, and pushes it if that was asked for."""
    training: TrainingArguments = trainer.args
    if trainer.is_world_process_zero():
        arguments = {name: getattr(training, name) for name in ARGUMENTS}
        write_facts(
            training.output_dir,
            command=command,
            data=Path(data).name,
            base_model=None if base_model is None or Path(base_model).exists() else base_model,
            clips={f"clips for {part}": count for part, count in clips.items()},
            arguments={name: getattr(value, "value", value) for name, value in arguments.items()},
            versions={
                "ssast_hf": __version__, "transformers": transformers.__version__, "torch": torch.__version__
            },
            date=date.today().isoformat(),
            **facts,
        )  # fmt: skip
    if training.push_to_hub:
        trainer.push_to_hub()
