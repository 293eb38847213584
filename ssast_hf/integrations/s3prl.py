# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Any SSAST checkpoint as an upstream of S3PRL (https://github.com/s3prl/s3prl), for SUPERB's downstream tasks."""

import torch
from torch.nn import functional as F

from ..checkpoints import DEFAULT_PRETRAINED
from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, SSASTFeatureExtractor
from ..modeling_ssast import NUM_SPECIAL_TOKENS, SSASTModel
from .hear import window_inputs


class UpstreamExpert(torch.nn.Module):
    """
    What S3PRL calls an upstream: waveforms in, the hidden states of all layers by time step out, with gradients. As in
    S3PRL's own `ssast`, a time step has the patches of all frequencies side by side, and long sound goes in windows.

    Args:
        ckpt (`str`): Whatever `from_pretrained` takes: a directory, a short name, a Hub repository.
        model_config: Not used; S3PRL gives it to every upstream.
        refresh: Likewise.
        kwargs: For [`SSASTModel.from_pretrained`], such as `time_stride=10, frequency_stride=10`, or `max_length`, the
            frames (10 ms) of a window.

    Example:

    ```python
    >>> import s3prl.hub
    >>> from s3prl.nn import S3PRLUpstream
    >>> from ssast_hf.s3prl import UpstreamExpert
    >>> s3prl.hub.ssast_hf = UpstreamExpert
    >>> upstream = S3PRLUpstream("ssast_hf", path_or_url="ssast-tiny-patch-debian")
    ```
    """

    def __init__(self, ckpt: str = DEFAULT_PRETRAINED, model_config=None, refresh: bool = False, **kwargs):
        super().__init__()
        self.model = SSASTModel.from_pretrained(ckpt, **kwargs)
        self.extractor = SSASTFeatureExtractor.from_pretrained(ckpt)

    def get_downsample_rates(self, key: str | None = None) -> int:
        """Samples from one time step to the next."""
        return round(self.model.config.time_stride * SHIFT_SECONDS * self.extractor.sampling_rate)

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, list[torch.Tensor]]:
        """
        Args:
            wavs: Waveforms (samples,) at 16 kHz, of any length.

        Returns:
            `hidden_states`: of the embeddings and of each layer, float32 `(batch, time steps, frequency patches * D)`;
            zeros where a waveform ends before others.

        Raises:
            ValueError: A waveform is empty, has another shape or is not finite.
        """
        config, rate = self.model.config, self.extractor.sampling_rate
        length, shift = (round(rate * seconds) for seconds in (FRAME_SECONDS, SHIFT_SECONDS))
        window, hop = (config.max_length - 1) * shift + length, config.num_time_patches() * self.get_downsample_rates()
        windows = []
        for start in range(0, max(map(len, wavs)), hop):
            parts = [wav[start : start + window] for wav in wavs]
            present = [index for index, part in enumerate(parts) if start == 0 or len(part) >= length]
            if present:
                parts = [F.pad(parts[index], (0, max(0, length - len(parts[index])))) for index in present]
                windows.append(self._window(parts, present, len(wavs)))
        return {"hidden_states": [torch.cat(states, dim=1) for states in zip(*windows)]}

    def _window(self, parts: list[torch.Tensor], present: list[int], batch: int) -> list[torch.Tensor]:
        """The hidden states of some waveforms of the batch, zeros for the others."""
        config = self.model.config
        inputs = window_inputs(self.model, self.extractor, parts)
        outputs = self.model(**inputs, output_hidden_states=True)
        real = self.model.num_real_time_patches(inputs["attention_mask"])
        spread = []
        for states in outputs.hidden_states:
            patches = states[:, NUM_SPECIAL_TOKENS:].unflatten(1, (config.num_frequency_patches, -1))
            by_time = patches.transpose(1, 2).flatten(2).float()
            by_time = by_time * (torch.arange(by_time.shape[1], device=real.device) < real[:, None])[..., None]
            spread.append(
                by_time.new_zeros(batch, *by_time.shape[1:]).index_copy(0, real.new_tensor(present), by_time)
            )
        return spread
