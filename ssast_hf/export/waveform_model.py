# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Feature extractor and model as one torch module from waveforms to outputs, which `to_onnx` writes as a graph."""

import math
from typing import Any

import torch
from torch.nn import functional as F

from ..feature_extraction_ssast import PREEMPHASIS, SSASTFeatureExtractor, mel_filters
from ..inference.batches import frame_samples, uses_attention_mask
from ..modeling_ssast import NUM_SPECIAL_TOKENS, SSASTForAudioClassification, SSASTModel

FILTERBANK = "filterbank"  # its nodes in a graph are named "/filterbank/...", after the attribute of WaveformModel


class Filterbank(torch.nn.Module):
    """The extractor without branches on shapes or values; to be kept in float32."""

    def __init__(self, model: SSASTModel | SSASTForAudioClassification, extractor: SSASTFeatureExtractor):
        super().__init__()
        self.extractor, self.masked = extractor, uses_attention_mask(model, extractor)
        self.time_patch_size, self.max_length = model.config.time_patch_size, model.config.max_length
        rate = extractor.sampling_rate
        self.length, self.shift = frame_samples(extractor)
        fft_length = 2 ** math.ceil(math.log2(self.length))
        sample, bin_ = torch.arange(self.length)[:, None], torch.arange(fft_length // 2 + 1)[None]
        angle = 2 * math.pi * (sample * bin_ % fft_length).double() / fft_length
        for name, value in (
            ("cosine", angle.cos()),
            ("sine", angle.sin()),
            ("filters", mel_filters(extractor.num_mel_bins, rate, fft_length)),
            ("window", torch.hann_window(self.length, periodic=False)),
        ):
            self.register_buffer(name, value.float())

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Normalised spectrograms (B, frames, mel bins), padded to whole patches or, unmasked, to `max_length`; and the
        real frames (B,).
        """
        batch_samples = torch.arange(waveforms.shape[1])[None]
        real = batch_samples < lengths[:, None]
        waveforms = torch.where(real, waveforms, 0.0)
        mean = waveforms.sum(dim=1, keepdim=True) / lengths[:, None]
        waveforms = torch.where(real, waveforms - mean, 0.0)
        if self.masked:
            waveforms = F.pad(waveforms, (0, (self.time_patch_size - 1) * self.shift))
        frames = (waveforms.shape[1] - self.length) // self.shift + 1
        index = torch.arange(frames)[:, None] * self.shift + torch.arange(self.length)
        chunk = waveforms[:, index]  # (B, frames, length)
        # As in `log_mel_filterbank`, with a discrete Fourier transform in place of the fast one.
        chunk = chunk - chunk.mean(dim=2, keepdim=True)
        previous = torch.cat([chunk[..., :1], chunk[..., :-1]], dim=2)
        windowed = (previous * -PREEMPHASIS + chunk) * self.window
        power = (windowed @ self.cosine).square() + (windowed @ self.sine).square()
        features = (power @ self.filters).clamp(min=torch.finfo(torch.float32).eps).log()
        real_frames = (lengths - self.length).clamp(min=0) // self.shift + 1
        is_real = torch.arange(frames)[None] < real_frames[:, None]
        features = torch.where(is_real[..., None], features, self.extractor.padding_value)
        if not self.masked:
            target = (torch.arange(frames)[-1:] + 1).clamp(min=self.max_length)[0]
            features = F.pad(features, (0, 0, 0, self.max_length), value=self.extractor.padding_value)
            features = features[:, torch.arange(target)]
        if self.extractor.do_normalize:
            features = (features - self.extractor.mean) / (2 * self.extractor.std)
        return features, real_frames


class WaveformModel(torch.nn.Module):
    """
    Extractor and model as one graph without branches on shapes or values: waveforms (B, samples) in [-1, 1], padded at
    the end with anything, and their lengths (B,) in samples -> logits (B, labels), or embeddings: (B, D) of clips,
    (B, T, D) of frames or (B, F * T, D) of patches, for the latter two with the real time patches (B,) and T (1,).

    Padding is masked, or else reaches to `max_length` frames and is heard, as [`uses_attention_mask`] says.
    """

    def __init__(
        self, model: SSASTModel | SSASTForAudioClassification, extractor: SSASTFeatureExtractor, level: str | None
    ):
        super().__init__()
        self.encoder = model if level else model.ssast
        self.classifier: Any = None if level else model.classifier
        self.config, self.level = model.config, level
        self.filterbank = Filterbank(model, extractor)
        self.masked, self.shift, self.length = self.filterbank.masked, self.filterbank.shift, self.filterbank.length

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor):
        features, real_frames = self.filterbank(waveforms, lengths)
        embeddings = self.encoder.embeddings
        patches = embeddings.patch_embeddings(features)
        rows = self.config.num_frequency_patches
        num_time_patches = patches.shape[1] // rows
        real_lengths = self.config.num_time_patches(real_frames).clamp(min=1)
        steps = torch.arange(num_time_patches)[-1:] + 1
        heard = real_lengths if self.masked else steps.expand(patches.shape[0])
        real = (torch.arange(num_time_patches)[None] < heard[:, None]).repeat(1, rows)
        special = torch.cat([embeddings.cls_token, embeddings.distillation_token], dim=1)
        hidden_states = torch.cat([special.expand(patches.shape[0], -1, -1), patches], dim=1)
        hidden_states = hidden_states + embeddings.positions(num_time_patches, heard)
        mask = torch.where(F.pad(real, (NUM_SPECIAL_TOKENS, 0), value=True), 0.0, torch.finfo(torch.float32).min)
        for layer in self.encoder.layers:
            hidden_states = layer(hidden_states, mask[:, None, None])
        hidden_states = self.encoder.layernorm(hidden_states)
        if self.level in (None, "clip"):
            pooled = self.encoder.pool(hidden_states, real)
            return pooled if self.level else self.classifier(pooled)
        patches = hidden_states[:, NUM_SPECIAL_TOKENS:]
        if self.level == "frame":
            patches = patches.unflatten(1, (rows, num_time_patches)).mean(dim=1)
        return patches, real_lengths, steps
