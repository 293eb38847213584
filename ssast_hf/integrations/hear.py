# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The common API of HEAR 2021, the Holistic Evaluation of Audio Representations (https://hearbenchmark.com, section
"Common API"; Turian et al., 2022), for any SSAST checkpoint. `ssast_hf.hear` is the module's name for its tools.
"""

import os

import torch
from torch.nn import functional as F
from transformers import BatchFeature

from ..checkpoints.loading import load_complete
from ..feature_extraction_ssast import FRAME_SECONDS, SHIFT_SECONDS, SSASTFeatureExtractor
from ..inference.batches import frame_samples, step_windows, uses_attention_mask
from ..modeling_ssast import NUM_SPECIAL_TOKENS, SSASTModel

DEFAULT_MODEL = "ssast-base-patch"
WINDOWS_PER_PASS = 16


def window_inputs(model: SSASTModel, extractor: SSASTFeatureExtractor, waveforms) -> tuple[BatchFeature, torch.Tensor]:
    """
    The model's inputs of waveforms of at most `max_length` frames, on its device, and their real time steps (batch,).
    Padded to whole patches with an `attention_mask`, or to `max_length` without; see
    [`~ssast_hf.inference.batches.uses_attention_mask`].
    """
    masked = uses_attention_mask(model, extractor)
    inputs = extractor(
        waveforms,
        sampling_rate=extractor.sampling_rate,
        padding="longest" if masked else "max_length",
        max_length=model.config.max_length,
        pad_to_multiple_of=model.config.time_patch_size if masked else None,
        return_attention_mask=True,
        return_tensors="pt",
    ).to(model.device)
    steps = model.num_real_time_patches(inputs["attention_mask"])
    if not masked:
        del inputs["attention_mask"]
    return inputs, steps


class HearModel(torch.nn.Module):
    """
    A checkpoint as HEAR's tools expect it.

    Attributes:
        sample_rate (`int`): Hz of the audio.
        scene_embedding_size (`int`): Size of the model's pooled output.
        timestamp_embedding_size (`int`): The model's hidden size.
    """

    def __init__(self, model: SSASTModel, extractor: SSASTFeatureExtractor):
        super().__init__()
        self.model, self.extractor = model.eval(), extractor
        self.sample_rate: int = extractor.sampling_rate
        self.scene_embedding_size: int = model.config.pooled_size
        self.timestamp_embedding_size: int = model.config.hidden_size

    @torch.no_grad()
    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Audio (sounds, samples) -> embeddings of time steps (sounds, T, D) and of sounds (sounds, D), on the model's
        device. What is longer than `max_length` is embedded in windows of that length, one after the other, such that
        the steps are equally far apart throughout.
        """
        config, device = self.model.config, self.model.device
        if audio.ndim != 2 or 0 in audio.shape or not audio.is_floating_point():
            raise ValueError(
                f"`audio` is {audio.dtype} of shape {tuple(audio.shape)}, expected floats (sounds, samples)."
            )
        windows = step_windows(self.extractor, config)
        audio = F.pad(audio.to(device, torch.float32), (0, max(0, frame_samples(self.extractor)[0] - audio.shape[1])))
        embeddings, pooled = [], []
        for start, end in windows.spans(audio.shape[1]):
            parts = [self._window(part) for part in audio[:, start:end].split(WINDOWS_PER_PASS)]
            embeddings.append(torch.cat([part[0] for part in parts]))
            pooled.append(torch.cat([part[1] for part in parts]))
        steps = torch.tensor([part.shape[1] for part in embeddings], device=device, dtype=torch.float32)
        scenes = torch.einsum("wbd,w->bd", torch.stack(pooled), steps / steps.sum())
        return torch.cat(embeddings, dim=1), scenes

    def _window(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sounds, samples) of at most `max_length` frames -> (sounds, T, D) and (sounds, D), float32."""
        config = self.model.config
        inputs, steps = window_inputs(self.model, self.extractor, audio)
        outputs = self.model(**inputs, return_dict=True)
        patches = outputs.last_hidden_state[:, NUM_SPECIAL_TOKENS:].unflatten(1, (config.num_frequency_patches, -1))
        return patches[:, :, : int(steps[0])].mean(dim=1).float(), outputs.pooler_output.float()


def load_model(model_file_path: str | os.PathLike = "", **kwargs) -> HearModel:
    """
    Loads a checkpoint.

    Args:
        model_file_path: Whatever `from_pretrained` takes: a directory, a short name, a Hub repository. Default:
            `ssast-base-patch`.
        kwargs: For [`SSASTModel.from_pretrained`]. HEAR suggests a time step of at most 50 ms, which frame-based
            checkpoints have (20 ms) and patch-based ones (160 ms) with `time_stride=5`, at 3 times the patches.
            `pooling="rows"` keeps the rows of patches apart in embeddings of sounds, `"segments"` the thirds in time,
            too.

    Returns:
        [`HearModel`], a `torch.nn.Module` in eval mode, on the CPU.
    """
    path = model_file_path or DEFAULT_MODEL
    return HearModel(load_complete(SSASTModel, path, **kwargs), SSASTFeatureExtractor.from_pretrained(path))


def get_timestamp_embeddings(audio: torch.Tensor, model: HearModel) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        audio (`torch.FloatTensor` of shape `(sounds, samples)`): In [-1, 1], at `model.sample_rate`. Less than 25 ms
            is padded with zeros.
        model ([`HearModel`]): From [`load_model`].

    Returns:
        Embeddings (sounds, T, D), the mean over frequency of each time step's patches, and timestamps (sounds, T),
        the centre of each step in milliseconds; float32.

    Raises:
        ValueError: `audio` has another shape or type, or is not finite.
    """
    embeddings, _ = model(audio)
    config = model.model.config
    shift, length = 1000 * SHIFT_SECONDS, 1000 * FRAME_SECONDS
    centre = ((config.time_patch_size - 1) * shift + length) / 2
    step = torch.arange(embeddings.shape[1], dtype=torch.float64, device="cpu") * config.time_stride * shift
    timestamps = (centre + step).float().to(embeddings.device)
    return embeddings, timestamps.expand(len(embeddings), -1).clone()


def get_scene_embeddings(audio: torch.Tensor, model: HearModel) -> torch.Tensor:
    """
    Args:
        audio, model: As for [`get_timestamp_embeddings`].

    Returns:
        Embeddings (sounds, D), float32: `pooler_output`, averaged over windows by their length.

    Raises:
        ValueError: As for [`get_timestamp_embeddings`].
    """
    return model(audio)[1]
