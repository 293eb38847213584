# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Labelled clips for fine-tuning and their augmentation, which is the original's (official: `src/dataloader.py`):
waveform mixup, SpecAugment, noise with time roll. What is drawn depends on seed, epoch and clip alone, not on the
number of workers or on where a run was resumed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset

from ..data.clips import Clip
from ..data.reader import Reader
from ..feature_extraction_ssast import FRAME_SECONDS, SSASTFeatureExtractor

MIXUP_BETA = 10.0  # both parameters of the Beta distribution of the mixing weight
NOISE = 0.1  # the largest amplitude, in units of normalised features
ROLL = 10  # frames: from -10 to 9


@dataclass(frozen=True)
class Augmentation:
    """
    What is done to training clips.

    Args:
        mixup (`float`): Share of the clips that another one is mixed into.
        frequency_mask (`int`): Mel bins of the widest mask along frequency; 0 is off.
        time_mask (`int`): Frames of the widest mask in time, in a clip of `max_length` frames; shorter clips lose the
            same share at most; 0 is off.
        noise (`bool`): Whether to add noise and roll in time.
    """

    mixup: float = 0.0
    frequency_mask: int = 0
    time_mask: int = 0
    noise: bool = False

    def __post_init__(self):
        if not 0 <= self.mixup <= 1:
            raise ValueError(f"--mixup is {self.mixup}, expected a share from 0 to 1.")
        for name in ("frequency_mask", "time_mask"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} is {getattr(self, name)}, expected 0 or more.")


def mix(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """`weight` of the first waveform and the rest of the second, each without its mean; as long as the first."""
    first, second = first - first.mean(), second - second.mean()
    second = np.pad(second[: len(first)], (0, max(0, len(first) - len(second))))
    return (weight * first + (1 - weight) * second).astype(np.float32)


def mask_axis(spectrogram: torch.Tensor, axis: int, widest: float, fill: float, rng: np.random.Generator) -> None:
    """
    Fills one stretch of an axis, in place: its width is drawn from [0, widest), its start from where it fits, both
    rounded down, as torchaudio's `FrequencyMasking` and `TimeMasking` do.
    """
    size = spectrogram.shape[axis]
    width = rng.random() * min(widest, size)
    start = math.floor(rng.random() * (size - width))
    spectrogram.narrow(axis, start, math.floor(width)).fill_(fill)


def add_noise_and_roll(spectrogram: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Uniform noise of a random amplitude below 0.1, then a roll in time by -10 to 9 frames. Of (frames, mel bins)."""
    amplitude = rng.random() * NOISE
    noise = torch.from_numpy(rng.random(tuple(spectrogram.shape), dtype=np.float32))
    return torch.roll(spectrogram + amplitude * noise, int(rng.integers(-ROLL, ROLL)), 0)


class LabelledClips(Dataset):
    """
    Waveforms with targets: `{"waveform": (samples,), "target": (labels,) float32}`, and with an augmentation the
    random `"generator"` that the collator continues with; None for a clip that cannot be read or is shorter than a
    frame, which the reader reports.

    Args:
        clips (`list[Clip]`): The sound.
        reader ([`~ssast_hf.data.reader.Reader`]): Reads it: of a longer clip only the crop.
        targets (`np.ndarray` of shape `(clips, labels)`): From 0 to 1.
        max_seconds (`float`): Longer clips are cropped: at random with an augmentation, else from their beginning.
        augmentation ([`Augmentation`], *optional*): For training.
        seed (`int`): Seeds what is drawn, with the epoch, the clip and the number of times it was drawn before.

    An index of `i + k * len(clips)` is clip `i` drawn for the k-th time in an epoch, augmented in yet another way.
    """

    def __init__(
        self,
        clips: list[Clip],
        reader: Reader,
        targets: np.ndarray,
        max_seconds: float,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ):
        self.clips, self.reader, self.targets = clips, reader, targets
        self.augmentation, self.seed = augmentation, seed
        self.max_samples = round(max_seconds * reader.sampling_rate)
        self.min_samples = int(FRAME_SECONDS * reader.sampling_rate)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def seconds(self) -> list[float]:
        """Length of each clip by its header, at most `max_seconds`."""
        lengths = (self.reader.length(clip) or self.max_samples for clip in self.clips)
        return [min(length, self.max_samples) / self.reader.sampling_rate for length in lengths]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict | None:
        times, clip = divmod(index, len(self.clips))
        if self.augmentation is None:
            waveform = self._crop(clip, lambda surplus: 0)
            return None if waveform is None else {"waveform": waveform, "target": self.targets[clip]}
        rng = np.random.default_rng((self.seed, self.epoch, clip, times))

        def place(surplus: int) -> int:
            return int(rng.integers(surplus + 1))

        # The order of the draws: crop, whether to mix, partner, weight, the partner's crop.
        waveform, target = self._crop(clip, place), self.targets[clip]
        if waveform is None:
            return None
        if rng.random() < self.augmentation.mixup:
            other = int(rng.integers(len(self.clips)))
            weight = rng.beta(MIXUP_BETA, MIXUP_BETA)
            state = rng.bit_generator.state
            second = self._crop(other, place)
            if second is None:
                rng.bit_generator.state = state
            else:
                waveform = mix(waveform, second, weight)
                target = (weight * target + (1 - weight) * self.targets[other]).astype(np.float32)
        return {"waveform": waveform, "target": target, "generator": rng}

    def _crop(self, index: int, place: Callable[[int], int]) -> np.ndarray | None:
        waveform = self.reader.crop(self.clips[index], self.max_samples, place)
        if waveform is not None and len(waveform) < self.min_samples:
            rate = self.reader.sampling_rate
            reason = f"{len(waveform)} samples at {rate} Hz, expected {self.min_samples} or more"
            self.reader.skipped.add(self.clips[index].name, reason)
            return None
        return waveform


@dataclass
class LabelledCollator:
    """
    Items of [`LabelledClips`] -> a padded batch: `input_values` (batch, frames, bins), `attention_mask` (batch,
    frames), 1 is sound, and `labels` (batch, labels), augmented if asked for. Clips that cannot be read are left out;
    raises ValueError if none can be read.
    """

    extractor: SSASTFeatureExtractor
    time_patch_size: int
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __call__(self, items: list[dict | None]) -> dict[str, torch.Tensor]:
        readable = [item for item in items if item is not None]
        if not readable:
            raise ValueError(f"None of the {len(items)} sound files of a batch can be read: see the warnings above.")
        batch = self.extractor(
            [item["waveform"] for item in readable],
            sampling_rate=self.extractor.sampling_rate,
            padding="longest",
            pad_to_multiple_of=self.time_patch_size,
            return_attention_mask=True,
            return_tensors="pt",
        )
        batch["labels"] = torch.from_numpy(np.stack([item["target"] for item in readable]))
        for spectrogram, mask, item in zip(batch["input_values"], batch["attention_mask"], readable):
            if "generator" in item:
                self._augment(spectrogram[: int(mask.sum())], item["generator"])
        return dict(batch)

    def _augment(self, spectrogram: torch.Tensor, rng: np.random.Generator) -> None:
        """In place, on the real frames (frames, mel bins) of a normalised spectrogram."""
        chosen, extractor = self.augmentation, self.extractor
        # The original masks with 0 before it normalises.
        fill = -extractor.mean / (2 * extractor.std) if extractor.do_normalize else 0.0
        if chosen.frequency_mask:
            mask_axis(spectrogram, 1, chosen.frequency_mask, fill, rng)
        if chosen.time_mask:
            mask_axis(spectrogram, 0, chosen.time_mask * len(spectrogram) / extractor.max_length, fill, rng)
        if chosen.noise:
            spectrogram.copy_(add_noise_and_roll(spectrogram, rng))
