# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Log-mel features of large batches, and their augmentation, on the device that trains.

Letters in shape comments: B crops.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from ..feature_extraction_ssast import FRAME_SECONDS, PREEMPHASIS, SHIFT_SECONDS, mel_filters

FLOOR = math.log(torch.finfo(torch.float32).eps)  # of log-mel energies
FRAMES_AT_ONCE = 2**17  # about 1 GB of memory


class LogMel(nn.Module):
    """
    `log_mel_filterbank` for large batches: the same numbers, but with its constants kept on the device, so that
    nothing waits for a copy to it.
    """

    def __init__(self, num_mel_bins: int = 128, sampling_rate: int = 16000):
        super().__init__()
        self.length, self.shift = int(sampling_rate * FRAME_SECONDS), int(sampling_rate * SHIFT_SECONDS)
        self.fft_length = 2 ** math.ceil(math.log2(self.length))
        self.register_buffer("filters", mel_filters(num_mel_bins, sampling_rate, self.fft_length), persistent=False)
        self.register_buffer("window", torch.hann_window(self.length, periodic=False), persistent=False)

    def samples(self, frames: int) -> int:
        """Samples that make so many frames."""
        return (frames - 1) * self.shift + self.length

    @torch.no_grad()
    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(B, samples) -> (B, frames, mel bins)"""
        frames = (waveform.shape[1] - self.length) // self.shift + 1
        clips = max(1, FRAMES_AT_ONCE // frames)
        return torch.cat([self._features(part) for part in waveform.split(clips)])

    def _features(self, waveform: torch.Tensor) -> torch.Tensor:
        waveform = waveform - waveform.mean(dim=1, keepdim=True)
        chunk = waveform.unfold(1, self.length, self.shift)
        chunk = chunk - chunk.mean(dim=2, keepdim=True)  # (B, frames, length)
        previous = torch.cat([chunk[..., :1], chunk[..., :-1]], dim=2)
        emphasized = previous.mul_(-PREEMPHASIS).add_(chunk).mul_(self.window)
        spectrum = torch.fft.rfft(emphasized, n=self.fft_length)
        power = spectrum.real.square() + spectrum.imag.square()
        with torch.autocast(waveform.device.type, enabled=False):
            return (power @ self.filters).clamp(min=torch.finfo(torch.float32).eps).log()


@dataclass
class Augmentation:
    """
    Changes of log-mel spectrograms, each crop's own. Off: 0.

    Args:
        gain (`float`): Deviation of the loudness, in nats of energy (1 is 4.3 dB).
        tilt (`float`): Deviation of a smooth equaliser's components, in nats: a slope and three cosines over the mel
            bins.
        mix (`float`): Share of the crops that another crop of the batch is added to, `mix_snr` (low, high) dB below
            it.
        noise (`float`): Share of the crops that steady coloured noise is added to, 5 to 40 dB below the mean.
    """

    gain: float = 1.0
    tilt: float = 0.7
    mix: float = 0.0
    mix_snr: tuple[float, float] = (0.0, 15.0)
    noise: float = 0.0

    def __call__(
        self, mel: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, frames, bins) -> the same, louder or quieter and equalised, and with other sound added besides."""
        batch, _, bins = mel.shape

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(batch, *shape, generator=generator, device=mel.device)

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(batch, *shape, generator=generator, device=mel.device)

        place = torch.linspace(-1, 1, bins, device=mel.device)
        shapes = torch.stack([place, *(torch.cos(math.pi * (place + 1) / 2 * n) for n in (2, 3, 4))])  # (4, bins)
        clean = mel
        if self.gain or self.tilt:
            clean = (mel + self.gain * normal(1, 1) + self.tilt * (normal(4) @ shapes)[:, None]).clamp(min=FLOOR)
        noisy = clean
        if self.mix or self.noise:
            level = clean.logsumexp(dim=(1, 2), keepdim=True)
        if self.mix:
            other = torch.roll(clean, 1 + batch // 4, 0)
            low, high = self.mix_snr
            below = (low + (high - low) * uniform(1, 1)) * (math.log(10) / 10)
            shift = level - torch.roll(level, 1 + batch // 4, 0) - below
            mixed = torch.logaddexp(noisy, other + shift)
            noisy = torch.where(uniform(1, 1) < self.mix, mixed, noisy)
        if self.noise:
            color = 2.0 * (normal(4) @ shapes)[:, None]
            below = (5 + 35 * uniform(1, 1)) * (math.log(10) / 10)
            steady = level - math.log(mel.shape[1] * bins) - below + color - 0.6 * uniform(*mel.shape[1:])
            noisy = torch.where(uniform(1, 1) < self.noise, torch.logaddexp(noisy, steady), noisy)
        return clean, noisy.clamp(min=FLOOR)
