# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is optimised in fine-tuning, and how: loss, sampling, learning rates by layer, step decay, averaging."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from .resumable_trainer import ends_epoch

AVERAGE = "average.safetensors"  # in a checkpoint: the mean of the weights so far


def class_weights(targets: np.ndarray) -> np.ndarray:
    """
    Weights of the labels, (clips, labels) -> (labels,) float32: inversely proportional to how many clips have each,
    with mean 1 over all labels given (scikit-learn's "balanced").
    """
    counts = targets.sum(axis=0)
    return (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def sampling_weights(targets: np.ndarray) -> np.ndarray:
    """
    Weights of the clips for class-balanced sampling, (clips, labels) -> (clips,): the sum over a clip's labels of one
    over the number of clips that have the label, as in AST's and PSLA's `gen_weight_file.py`. Clips without any label
    are balanced like those of one more label.
    """
    targets = np.column_stack([targets, ~targets.any(axis=1)])
    return (targets / np.maximum(targets.sum(axis=0), 1)).sum(axis=1)


class ClassificationLoss(nn.Module):
    """
    Mean over clips of the cross-entropy (`"ce"`), or mean over clips and labels of the binary cross-entropy (`"bce"`).

    Args:
        kind (`str`): `"ce"` or `"bce"`.
        label_smoothing (`float`): Share of the target that is spread over all labels (CE) or set to one half (BCE).
        weights (`torch.Tensor` of shape `(labels,)`, *optional*): Of the labels; with BCE, of the positive term.
    """

    def __init__(self, kind: str, label_smoothing: float = 0.0, weights: torch.Tensor | None = None):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"--label_smoothing_factor is {label_smoothing}, expected 0 or more and below 1.")
        self.kind = kind
        self.label_smoothing = label_smoothing
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits and targets (B, labels) -> (); in float32 whatever the model ran in."""
        logits, targets = logits.float(), targets.float()
        rest = 1 / targets.shape[1] if self.kind == "ce" else 0.5
        targets = targets * (1 - self.label_smoothing) + rest * self.label_smoothing
        weights = None if self.weights is None else self.weights.to(logits.device)
        if self.kind == "bce":
            return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
        weighted = targets if weights is None else targets * weights
        return -(weighted * logits.log_softmax(dim=1)).sum(dim=1).mean()


class BalancedSampler(Sampler):
    """
    Draws as many clips as there are, with replacement, by their weights; the k-th draw of clip i in an epoch is
    `i + k * n`, for [`~augment.LabelledClips`] to augment it anew. Depends on seed and epoch alone.
    """

    def __init__(self, weights: np.ndarray, seed: int):
        self.weights = weights / weights.sum()
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[int]:
        size = len(self.weights)
        times = np.zeros(size, dtype=int)
        for index in np.random.default_rng((self.seed, self.epoch)).choice(size, size, p=self.weights):
            yield int(index + times[index] * size)
            times[index] += 1


class LengthSampler(Sampler):
    """
    Every clip once, in random order but batches of about one length, by transformers' `LengthGroupedSampler`: little
    is padding then. Depends on seed and epoch alone.
    """

    def __init__(self, lengths: list[float], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        drawn = np.random.default_rng((self.seed, self.epoch)).integers(2**62)
        generator = torch.Generator().manual_seed(int(drawn))
        yield from LengthGroupedSampler(self.batch_size, lengths=self.lengths, generator=generator)


def layer_of(name: str, num_layers: int) -> int:
    """Where a parameter stands: 0 for the embeddings, 1 to `num_layers` for the layers, one more for what follows."""
    if "classifier" in name:
        return num_layers + 1
    if ".embeddings." in f".{name}":
        return 0
    match = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    return int(match[1]) + 1 if match else num_layers + 1


def scale_learning_rates(
    optimizer: torch.optim.Optimizer, model: nn.Module, num_layers: int, head_factor: float, layer_decay: float
) -> None:
    """
    Splits an optimizer's parameter groups by learning rate: the classifier's is `head_factor` times the rest's, and
    each layer's `layer_decay` times that of the layer above it (Clark et al. 2020, as in BEiT and MAE). Before the
    first step.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}

    def scale(parameter: nn.Parameter) -> float:
        name = names[parameter]
        factor = layer_decay ** (num_layers + 1 - layer_of(name, num_layers))
        return factor * head_factor if "classifier" in name else factor

    groups = []
    for group in optimizer.param_groups:
        scales = [scale(parameter) for parameter in group["params"]]
        for value in sorted(set(scales)):
            chosen = [parameter for parameter, own in zip(group["params"], scales) if own == value]
            groups.append((value, {**group, "params": chosen, "lr": value * group["lr"]}))
    optimizer.param_groups.clear()
    for _, group in sorted(groups, key=lambda entry: abs(math.log(entry[0]))):  # the Trainer logs the first one's
        optimizer.add_param_group(group)


def steps_per_epoch(clips: int, args: TrainingArguments) -> int:
    """Steps of the optimizer in an epoch: batches of all processes, by how many of them a step accumulates."""
    batch = args.train_batch_size * args.world_size
    batches = max(1, clips // batch if args.dataloader_drop_last else math.ceil(clips / batch))
    return math.ceil(batches / args.gradient_accumulation_steps)


def step_decay(
    optimizer: torch.optim.Optimizer, warmup_steps: int, steps_per_epoch: int, start: int, every: int, rate: float
) -> LambdaLR:
    """
    Linear warm-up, times a decay by `rate` after epoch `start` and every `every` epochs from then on (official:
    `MultiStepLR` in `src/traintest.py`).
    """

    def factor(step: int) -> float:
        epochs = step // steps_per_epoch  # completed
        decays = 0 if epochs < start else (epochs - start) // every + 1
        return min(1.0, step / max(1, warmup_steps) if warmup_steps else 1.0) * rate**decays

    return LambdaLR(optimizer, factor)


class AverageWeights(TrainerCallback):
    """
    Keeps the mean of the weights at the ends of a range of epochs (official: `validate_wa` in `src/traintest.py`).
    Checkpoints hold it, so that a resumed run continues it.

    Args:
        first, last (`int`): Epochs, counted from 1, both included.
        get_weights: Gives the weights to average.
        steps (`int`): Of an epoch.
    """

    def __init__(self, first: int, last: int, get_weights: Callable[[], dict[str, torch.Tensor]], steps: int):
        self.first, self.last, self.get_weights, self.steps = first, last, get_weights, steps
        self.mean: dict[str, torch.Tensor] = {}
        self.count = 0

    def on_train_begin(self, args, state, control, **kwargs):
        """Raises ValueError where training ends before the first of the epochs."""
        epochs = state.max_steps / self.steps
        if epochs < self.first:
            raise ValueError(f"--average_epochs begins with epoch {self.first} of {epochs:g}.")

    def on_step_end(self, args, state, control, **kwargs):
        if ends_epoch(state) and self.first <= state.epoch <= self.last:
            self.count += 1
            for name, value in self.get_weights().items():
                value = value.detach().to("cpu", torch.float64 if value.is_floating_point() else value.dtype)
                if name not in self.mean or not value.is_floating_point():
                    self.mean[name] = value.clone()
                else:
                    self.mean[name] += (value - self.mean[name]) / self.count

    def save(self, checkpoint: str) -> None:
        """Into a checkpoint that is being written."""
        if self.mean:
            save_file(self.mean, Path(checkpoint, AVERAGE), metadata={"count": json.dumps(self.count)})

    def restore(self, checkpoint: str) -> None:
        """Goes on from what a checkpoint holds, if anything."""
        path = Path(checkpoint, AVERAGE)
        if path.is_file():
            from safetensors import safe_open

            self.mean = load_file(path)
            with safe_open(path, "pt") as file:
                self.count = json.loads(file.metadata()["count"])
