# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a training run leaves beside its model, and the Trainer's model card made of it."""

import os
from datetime import date
from pathlib import Path

import torch
import transformers
from huggingface_hub import HfApi
from transformers import Trainer, TrainingArguments

from .. import __version__
from ..checkpoints.cards import FACTS, model_card, write_card, write_facts
from ..checkpoints.push import CODE, explained, make_branch, own_card_on_hub
from ..configuration_ssast import save_code
from ..data.annotated_clips import ANNOTATIONS, parse_annotations
from ..data.sources import HUB, parse_source

ARGUMENTS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "per_device_train_batch_size",
    "gradient_accumulation_steps", "num_train_epochs", "max_steps", "label_smoothing_factor", "bf16", "seed",
)  # fmt: skip


class CardTrainer(Trainer):
    """
    A Trainer whose model card (with `push_to_hub=True`, or by `push_to_hub()`) says what is known, instead of leaving
    a template open, and that says in one sentence why it cannot push.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.push_to_hub and self.is_world_process_zero():
            save_code(self.args.output_dir, *CODE)  # pushed along with what is pushed while training

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        with explained(self._repo_id()):
            super().init_hf_repo(token, private)
            if self.is_world_process_zero():
                make_branch(HfApi(token=token or self.args.hub_token), self.hub_model_id, self.args.hub_revision)

    def push_to_hub(self, *args, **kwargs):
        with explained(self._repo_id()):
            return super().push_to_hub(*args, **kwargs)

    def _repo_id(self) -> str:
        return self.hub_model_id or self.args.hub_model_id or Path(self.args.output_dir).absolute().name

    def create_model_card(self, license: str | None = None, tags=None, dataset=None, **kwargs) -> None:
        if not self.is_world_process_zero():
            return
        directory, revision, card = self.args.output_dir, self.args.hub_revision, None
        if not Path(directory, FACTS).exists():
            write_facts(directory, **self.facts())
        if self.hub_model_id is not None:
            card = own_card_on_hub(HfApi(token=self.args.hub_token), self.hub_model_id, revision)
        if card is None:
            tags, dataset = ([value] if isinstance(value, str) else value for value in (tags, dataset))
            card = model_card(directory, self.hub_model_id or self._repo_id(), license, dataset, tags, revision)
        write_card(directory, card)

    def facts(self) -> dict[str, dict | str]:
        """What the Trainer itself knows for the card."""
        arguments = {name: getattr(self.args, name) for name in ARGUMENTS}
        if arguments["max_steps"] < 1:  # not limited
            del arguments["max_steps"]
        return {
            "arguments": {name: getattr(value, "value", value) for name, value in arguments.items()},
            "versions": {
                "ssast_hf": __version__, "transformers": transformers.__version__, "torch": torch.__version__
            },
            "date": date.today().isoformat(),
        }  # fmt: skip


def write_facts_and_push(
    trainer: CardTrainer, command: str, data: str | list[str], base_model: str | None, clips: dict[str, int], **facts
) -> None:
    """Leaves the facts for the card in the output directory, and pushes it if that was asked for."""
    training: TrainingArguments = trainer.args
    if trainer.is_world_process_zero():
        write_facts(
            training.output_dir,
            command=command,
            data=", ".join(map(_data_name, [data] if isinstance(data, str) else data)),
            base_model=None if base_model is None or Path(base_model).exists() else base_model,
            clips={f"clips for {part}": count for part, count in clips.items()},
            **trainer.facts(),
            **facts,
        )
    if training.push_to_hub:
        commit = trainer.push_to_hub()
        if trainer.is_world_process_zero():
            print(f"Pushed to {commit.commit_url}")


def _data_name(source: str) -> str:
    """A dataset's name on the Hub, a file's or folder's without those it lies in."""
    if source.startswith(ANNOTATIONS):
        return Path(parse_annotations(source)[0]).name
    place = parse_source(source)[0].removeprefix(HUB)
    return Path(place).name if os.path.exists(place) or not source.startswith(HUB) else place
