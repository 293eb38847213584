# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The Trainer that pretrains: both losses, accuracy and amounts of sound, exact over batches and processes."""

import json
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from ..feature_extraction_ssast import SHIFT_SECONDS
from ..utils.processes import end_with_parent
from .crops import EpochSampler
from .resumable_trainer import ResumableTrainer

LOSSES = ("loss_discriminative", "loss_generative", "accuracy")  # of the model's output, as they are logged


class PreTrainer(ResumableTrainer):
    """
    Logs both losses, the accuracy, clips per second and hours of sound seen. Losses are means over all masked patches
    of a step, whatever batches and processes they are spread over.
    """

    def __init__(self, *args, sampler: EpochSampler | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.sampler = sampler  # None: a stream
        # Sums over [masked patches, discriminative loss, generative loss, accuracy, clips, frames] since the last
        # log line, of this process; and of all since the start.
        self.window = torch.zeros(6, device=self.args.device)
        self.evaluated = torch.zeros(6, device=self.args.device)
        self.total = [0.0] * 6
        self.position = 0  # of the last example that this process took from a stream
        self.before = 0.0  # clips since the last log line that were seen before an interruption
        self.clock = time.perf_counter()

    def get_train_dataloader(self) -> DataLoader:
        if self.sampler is not None:
            return self.make_dataloader(self.train_dataset, self.args.train_batch_size, self.sampler, training=True)
        # Each process has a stream of its own, and one worker keeps its order.
        return DataLoader(
            self.train_dataset,
            batch_size=self.args.train_batch_size,
            collate_fn=self.data_collator,
            num_workers=min(1, self.args.dataloader_num_workers),
            pin_memory=self.args.dataloader_pin_memory,
            worker_init_fn=end_with_parent,
        )

    def restore(self, checkpoint: str) -> dict:
        """Restores the running sums and the sampler's position from a checkpoint."""
        progress = super().restore(checkpoint)
        if not progress:
            return progress
        self.total = progress["total"]
        if self.args.process_index == 0:
            self.window = torch.tensor(progress["window"], device=self.args.device)
        self.before = progress["window"][4]
        if self.sampler is None:
            self.position = progress["positions"][self.args.process_index]
            self.train_dataset.start = self.position + 1
            step = json.loads(Path(checkpoint, "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
            batches = step * self.args.gradient_accumulation_steps
            self.train_dataset.blanks = batches * self.args.train_batch_size
        return progress

    def progress(self) -> dict:
        position = torch.tensor([self.position], device=self.args.device)
        return {
            **super().progress(),
            "window": self.accelerator.reduce(self.window, "sum").tolist(),
            "total": self.total,
            "positions": self.accelerator.gather(position).tolist(),
        }

    def get_batch_samples(self, *args, **kwargs) -> tuple[list, torch.Tensor | None]:
        """The batches of a step, and the number of masked patches in them and in those of all other processes."""
        batches, _ = super().get_batch_samples(*args, **kwargs)
        if not batches:
            return batches, None
        count = sum(batch["bool_masked_pos"].sum() for batch in batches).to(self.args.device)
        return batches, self.accelerator.reduce(count, "sum") if self.args.world_size > 1 else count

    def floating_point_ops(self, inputs) -> float:
        """6 per parameter and patch; the Trainer's own count takes each value of a spectrogram for a token."""
        return 6.0 * inputs["bool_masked_pos"].numel() * self.model.num_parameters()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = dict(inputs)
        if "waveforms" in inputs:
            waveforms, samples = inputs.pop("waveforms"), inputs.pop("samples").tolist()
            with torch.autocast(self.args.device.type, enabled=False):
                inputs.update(self.data_collator.features([w[:n] for w, n in zip(waveforms, samples)]))
        frames = inputs.pop("frames")
        if "position" in inputs:
            self.position = int(inputs.pop("position").max())
        outputs = model(**inputs)
        masked = inputs["bool_masked_pos"].sum()
        means = torch.stack([outputs[name].detach().float().mean() for name in LOSSES])
        clips = (frames > 0).sum()
        sums = torch.stack([masked, *(masked * means), clips, frames.sum()]).to(self.window)
        if model.training:
            self.window += sums
        else:
            self.evaluated += sums
        loss = outputs.loss.mean()  # of several, where the Trainer spreads a batch over GPUs by DataParallel
        if model.training and num_items_in_batch is not None:
            loss = loss * masked * self.args.world_size / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def means(self, sums: list[float]) -> dict[str, float]:
        """The joint loss, both losses and the accuracy, of sums as above."""
        config = self.model.config
        discriminative, generative, accuracy = (value / max(1.0, sums[0]) for value in sums[1:4])
        joint = config.discriminative_loss_weight * discriminative + config.generative_loss_weight * generative
        return {"loss": joint, **dict(zip(LOSSES, (discriminative, generative, accuracy)))}

    def complete_logs(self, logs: dict[str, float]) -> None:
        super().complete_logs(logs)
        if "loss" in logs:
            sums = self.accelerator.reduce(self.window, "sum").tolist()
            self.window.zero_()
            self.total = [a + b for a, b in zip(self.total, sums)]
            now = time.perf_counter()
            clips, self.before = sums[4] - self.before, 0.0
            logs |= {
                **self.means(sums),
                "clips_per_second": clips / max(now - self.clock, 1e-9),
                "hours_seen": self.total[5] * SHIFT_SECONDS / 3600,
            }
            self.clock = now

    def train(self, resume_from_checkpoint=None, **kwargs):
        self.clock = time.perf_counter()
        result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        sums = self.accelerator.reduce(self.window, "sum").tolist()
        total = [a + b for a, b in zip(self.total, sums)]
        result.metrics["train_loss"] = self.means(total)["loss"]  # also of what was before an interruption
        result.metrics["train_hours_seen"] = total[5] * SHIFT_SECONDS / 3600
        return result

    def _save_checkpoint(self, *args, **kwargs) -> None:
        started = time.perf_counter()
        super()._save_checkpoint(*args, **kwargs)
        self.clock += time.perf_counter() - started

    def evaluation_loop(self, *args, **kwargs):
        started = time.perf_counter()
        self.evaluated.zero_()
        output = super().evaluation_loop(*args, **kwargs)
        sums = self.accelerator.reduce(self.evaluated, "sum").tolist()
        output.metrics.update({f"eval_{name}": value for name, value in self.means(sums).items()})
        self.clock += time.perf_counter() - started
        return output
