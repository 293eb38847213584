# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Any SSAST checkpoint as an upstream of S3PRL (https://github.com/s3prl/s3prl), for SUPERB's downstream tasks."""

import torch
from torch.nn import functional as F

from ..checkpoints import DEFAULT_PRETRAINED
from ..checkpoints.loading import load_complete
from ..feature_extraction_ssast import SHIFT_SECONDS, SSASTFeatureExtractor
from ..inference.batches import frame_samples, step_windows
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
    >>> upstream = S3PRLUpstream("ssast_hf", path_or_url="ssast-tiny-patch-debian-v2")
    ```
    """

    def __init__(self, ckpt: str = DEFAULT_PRETRAINED, model_config=None, refresh: bool = False, **kwargs):
        super().__init__()
        self.model = load_complete(SSASTModel, ckpt, **kwargs)
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
        windows, shortest = step_windows(self.extractor, self.model.config), frame_samples(self.extractor)[0]
        wavs = [F.pad(wav, (0, max(0, shortest - len(wav)))) if len(wav) else wav for wav in wavs]
        spans = [windows.spans(len(wav)) for wav in wavs]
        found = []
        for index in range(max(map(len, spans))):
            present = [number for number, of_wav in enumerate(spans) if index < len(of_wav)]
            parts = [wavs[number][slice(*spans[number][index])] for number in present]
            found.append(self._window(parts, present, len(wavs)))
        return {"hidden_states": [torch.cat(states, dim=1) for states in zip(*found)]}

    def _window(self, parts: list[torch.Tensor], present: list[int], batch: int) -> list[torch.Tensor]:
        """The hidden states of some waveforms of the batch, as many steps as the longest has; zeros for the others."""
        inputs, steps = window_inputs(self.model, self.extractor, parts)
        outputs = self.model(**inputs, output_hidden_states=True, return_dict=True)
        count = int(steps.max())
        real = (torch.arange(count, device=steps.device) < steps[:, None])[..., None]
        spread = []
        for states in outputs.hidden_states:
            patches = states[:, NUM_SPECIAL_TOKENS:].unflatten(1, (self.model.config.num_frequency_patches, -1))
            by_time = patches[:, :, :count].transpose(1, 2).flatten(2).float() * real
            spread.append(
                by_time.new_zeros(batch, *by_time.shape[1:]).index_copy(0, steps.new_tensor(present), by_time)
            )
        return spread
