# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Ways to pretrain an encoder, in one module whose losses add up: [`Learner`].

- **mspm**: SSAST's own two losses at masked patches. `encoder="whole"` is the paper's: mask tokens go through all
  layers. `encoder="visible"` is MAE-AST's (Baade et al. 2022): the encoder sees the visible patches alone, a decoder
  of two layers the mask tokens.
- **latent**: at masked patches, regression of what a teacher, the running mean of the encoder, makes of the whole clip
  (data2vec 2.0, Baevski et al. 2023; M2D, Niizumi et al. 2023; EAT, Chen et al. 2024).
- **utterance**: regression of the teacher's mean over the clip from the student's mean over what it sees (EAT).
- **clip**: of two crops of a recording, masked and augmented differently, each shall find the other among all crops of
  the batch (SimCLR, Chen et al. 2020; COLA, Saeed et al. 2021).
- **source**: which of the corpus' sources (a package, a speaker) a crop is from.

What is saved is an ordinary `SSASTForPreTraining`; decoder, teacher and projections stay behind.

Letters in shape comments, beside those of `modeling_ssast.py`: C = visible patches, M = masked patches, C + M = P.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..configuration_ssast import SSASTConfig
from ..masking import sample_masks
from ..modeling_ssast import (
    NUM_SPECIAL_TOKENS,
    SSASTForPreTraining,
    SSASTLayer,
    SSASTModel,
    patchify,
    sinusoidal_positions,
)


@dataclass
class Weights:
    """What the losses of [`Learner`] are multiplied with before they are added; 0 is off."""

    mspm: float = 1.0
    latent: float = 0.0
    utterance: float = 0.0
    clip: float = 0.0
    source: float = 0.0


def encode(
    model: SSASTModel, patches: torch.Tensor, visible: torch.Tensor | None = None, mask: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """
    The encoder on some patches of clips alone.

    Args:
        model (`SSASTModel`): Non-overlapping patches, and no fewer time patches by `max_length` than the clips have.
        patches (`torch.Tensor` of shape `(B, P, V)`): All patches of each clip, as `patchify` makes them.
        visible (`torch.Tensor` of shape `(B, C)`, *optional*): Which ones the encoder sees. Default: all.
        mask (`torch.BoolTensor` of shape `(B, P)`, *optional*): Which ones are the mask token instead.

    Returns:
        Outputs (B, 2 + C, D) of the embeddings and each layer, the last after the final layer norm: what
        `SSASTModel` returns as `hidden_states` of the same patches, but for that norm.
    """
    embeddings, projection = model.embeddings, model.embeddings.patch_embeddings.projection
    columns = patches.shape[1] // model.config.num_frequency_patches
    special, positions = embeddings.positions(columns, None)[0].split([NUM_SPECIAL_TOKENS, patches.shape[1]])
    if visible is None:
        positions = positions.expand(len(patches), -1, -1)
    else:
        patches, positions = take(patches, visible), positions[visible]
    tokens = F.linear(patches, projection.weight.flatten(1), projection.bias)
    if mask is not None:
        mask_token: Any = embeddings.mask_token
        tokens = torch.where(mask[..., None], mask_token.to(tokens.dtype), tokens)
    first = torch.cat([embeddings.cls_token, embeddings.distillation_token], dim=1) + special
    hidden = [torch.cat([first.expand(len(tokens), -1, -1), tokens + positions], dim=1)]
    for layer in model.layers:
        hidden.append(layer(hidden[-1]))
    hidden[-1] = model.layernorm(hidden[-1])
    return hidden


def take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """values (B, P, *), index (B, C) -> (B, C, *)"""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))


def match(predictions: torch.Tensor, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    `discriminative_loss` of patches (B, M, V) that are all masked: loss and accuracy, each ().
    """
    similarity = torch.matmul(patches, predictions.transpose(1, 2))  # (B, true patches, predictions)
    log_probability = similarity.log_softmax(dim=-1)
    loss = -log_probability.diagonal(dim1=1, dim2=2).mean()
    with torch.no_grad():
        right = log_probability.argmax(dim=1) == torch.arange(patches.shape[1], device=patches.device)
    return loss, right.float().mean()


def contrast(vectors: torch.Tensor, recordings: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Cross-entropy, and accuracy, of finding the other crop of a pair among those of all other recordings, both ways.

    Args:
        vectors (`torch.Tensor` of shape `(2 * R, E)`): Of crops, the first of all pairs before the second.
        recordings (`torch.Tensor` of shape `(R,)`): Whose crops: the same recording, drawn twice, is no
            counterexample.
    """
    vectors = F.normalize(vectors.float(), dim=-1)
    first, second = vectors.chunk(2)
    similarity = first @ second.T / temperature  # (R, R)
    same = recordings[:, None] == recordings
    same.fill_diagonal_(False)
    similarity = similarity.masked_fill(same, -1e4)
    right = torch.arange(len(first), device=first.device)
    loss = (F.cross_entropy(similarity, right) + F.cross_entropy(similarity.T, right)) / 2
    return loss, (similarity.argmax(dim=1) == right).float().mean()


class Decoder(nn.Module):
    """Visible patches' outputs (B, C, D) -> outputs at the masked ones (B, M, D), by layers that see both."""

    def __init__(self, config: SSASTConfig, num_layers: int = 2):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.hidden_size, config.hidden_size)
        self.mask_token = nn.Parameter(torch.randn(config.hidden_size) * 0.02)
        self.positions = nn.Parameter(sinusoidal_positions(*config.patch_grid(), config.hidden_size))
        self.layers = nn.ModuleList([SSASTLayer(config) for _ in range(num_layers)])
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=config.initializer_range)
                nn.init.zeros_(module.bias)

    def forward(self, outputs: torch.Tensor, visible: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        rows, columns = self.config.patch_grid()
        time = (visible.shape[1] + masked.shape[1]) // rows
        first = columns // 2 - time // 2  # the centre, as the encoder's
        positions = self.positions.unflatten(0, (rows, columns))[:, first : first + time].flatten(0, 1)
        tokens = torch.cat([self.embed(outputs) + positions[visible], self.mask_token + positions[masked]], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.layernorm(tokens[:, visible.shape[1] :])


class Learner(nn.Module):
    """
    An SSAST encoder in pretraining: see the module's beginning.

    Args:
        config ([`SSASTConfig`]): Of the model; `num_mask_patches` and the cluster range say what is masked.
        weights ([`Weights`]): Of the losses.
        encoder (`str`): `"visible"` or `"whole"`.
        decoder_layers (`int`): Layers of the decoder, for `"visible"`.
        teacher_layers (`int`): How many of the teacher's topmost layers the targets average.
        target_norm (`str`): `"instance"`: each channel of a layer's output is standardised over the patches of a clip,
            which leaves what is particular to a patch; `"layer"`: each patch over the channels.
        temperature (`float`): Of the clip-level contrast.
        sources (`int`): How many there are, for their loss.
    """

    def __init__(
        self,
        config: SSASTConfig,
        weights: Weights,
        encoder: str = "visible",
        decoder_layers: int = 2,
        teacher_layers: int = 8,
        target_norm: str = "instance",
        temperature: float = 0.1,
        sources: int = 0,
    ):
        super().__init__()
        if encoder not in ("visible", "whole") or target_norm not in ("instance", "layer"):
            raise ValueError(f"found encoder {encoder!r} and target_norm {target_norm!r}")
        size = config.hidden_size
        self.config, self.weights = config, weights
        self.teacher_layers, self.target_norm, self.temperature = teacher_layers, target_norm, temperature
        self.instance_norm = instance_norm  # may be compiled
        self.model = SSASTForPreTraining(config)
        self.decoder: Any = Decoder(config, decoder_layers) if encoder == "visible" and self.predicts else None
        self.latent_head: Any = nn.Linear(size, size) if weights.latent else None
        self.utterance_head: Any = _mlp(size, size) if weights.utterance else None
        self.projection: Any = _mlp(size, 128) if weights.clip else None
        self.source_head: Any = nn.Linear(size, sources) if weights.source else None
        self.teacher: Any = None
        if weights.latent or weights.utterance:
            self.teacher = copy.deepcopy(self.model.ssast).requires_grad_(False).eval()

    @property
    def predicts(self) -> bool:
        """Whether there is a loss at masked patches."""
        return bool(self.weights.mspm or self.weights.latent)

    def trained(self) -> list[nn.Parameter]:
        """Parameters that get gradients."""
        heads = () if self.weights.mspm else (self.model.discriminative_head, self.model.generative_head)
        idle = {id(p) for head in heads for p in head.parameters()}
        if self.decoder is not None or not self.predicts:
            idle.add(id(self.model.ssast.embeddings.mask_token))
        return [p for p in self.parameters() if p.requires_grad and id(p) not in idle]

    @torch.no_grad()
    def update_teacher(self, momentum: float | torch.Tensor) -> None:
        """Moves the teacher a step of `1 - momentum`, a number or a tensor (), towards the encoder."""
        if self.teacher is not None:
            teacher = list(self.teacher.parameters())
            difference = torch._foreach_sub(list(self.model.ssast.parameters()), teacher)
            torch._foreach_mul_(difference, 1 - momentum)
            torch._foreach_add_(teacher, difference)

    @torch.no_grad()
    def targets(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches (B, P, V) -> the teacher's targets for patches (B, P, D) and, with `utterance`, clips (B, D)."""
        size = self.config.hidden_size
        local = clip = torch.zeros((), device=patches.device)
        for hidden in encode(self.teacher, patches)[-self.teacher_layers :]:
            hidden = hidden[:, NUM_SPECIAL_TOKENS:]
            instance = self.target_norm == "instance"
            by_patch = self.instance_norm(hidden) if instance else F.layer_norm(hidden.float(), (size,))
            local = local + by_patch
            if self.weights.utterance:
                normalised = F.layer_norm(hidden.float(), (size,)) if instance else by_patch
                clip = clip + normalised.mean(dim=1)
        return F.layer_norm(local, (size,)), F.layer_norm(clip, (size,)) if self.weights.utterance else clip

    def forward(
        self,
        clean: torch.Tensor,
        noisy: torch.Tensor,
        recordings: torch.Tensor,
        sources: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            clean, noisy (`torch.Tensor` of shape `(2 * R, frames, mel bins)`): Normalised spectrograms of two crops of
                each recording: what is predicted, and what the encoder sees.
            recordings (`torch.Tensor` of shape `(R,)`): Their numbers.
            sources (`torch.Tensor` of shape `(R,)`, *optional*): Numbers of their sources.

        Returns:
            `loss`, to be minimised, and what it consists of, each of shape `()`.
        """
        weights = self.weights
        masks, visible, masked = self._draw_masks(clean, generator)
        seen, wanted = patchify(noisy, self.config), patchify(clean, self.config)
        predicted, pooled = self._encode_and_predict(seen, masks, visible, masked)
        losses: dict[str, torch.Tensor] = {}
        if weights.mspm:
            losses |= self._match_and_reconstruct(predicted, take(wanted, masked).float())
        if self.teacher is not None:
            losses |= self._regress_on_teacher(predicted, pooled, masked, wanted)
        if weights.clip:
            losses |= self._contrast_crops(pooled, recordings)
        if weights.source and sources is not None:
            losses["source"] = F.cross_entropy(self.source_head(pooled).float(), sources.repeat(2))
        return {"loss": self._weighted_sum(losses), **losses}

    def _draw_masks(
        self, spectrograms: torch.Tensor, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Masks (B, P) for spectrograms (B, frames, mel bins), and the numbers of visible (B, C) and masked (B, M)."""
        config = self.config
        rows, columns = config.patch_grid(spectrograms.shape[1])
        count = config.num_masked(rows * columns)
        masks = sample_masks(
            len(spectrograms),
            (rows, columns),
            count,
            config.mask_cluster_min,
            config.mask_cluster_max,
            generator=generator,
            device=spectrograms.device,
        )
        order = masks.to(torch.uint8).argsort(dim=1, stable=True)
        return masks, order[:, : rows * columns - count], order[:, rows * columns - count :]

    def _encode_and_predict(
        self, patches: torch.Tensor, masks: torch.Tensor, visible: torch.Tensor, masked: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Outputs at masked patches (B, M, D), None without a loss there, and the mean of the visible ones' (B, D)."""
        if self.decoder is None and self.predicts:  # mask tokens go through the encoder
            outputs = encode(self.model.ssast, patches, mask=masks)[-1][:, NUM_SPECIAL_TOKENS:]
            return take(outputs, masked), take(outputs, visible).float().mean(dim=1)
        outputs = encode(self.model.ssast, patches, visible)[-1][:, NUM_SPECIAL_TOKENS:]
        predicted = self.decoder(outputs, visible, masked) if self.predicts else None
        return predicted, outputs.float().mean(dim=1)

    def _match_and_reconstruct(self, predicted: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
        """SSAST's two losses, of outputs (B, M, D) and patches (B, M, V), and the accuracy of the first."""
        predictions = self.model.discriminative_head(predicted).float()
        reconstruction = self.model.generative_head(predicted).float()
        with torch.autocast(truth.device.type, enabled=False):
            discriminative, accuracy = match(predictions, truth)
            generative = F.mse_loss(reconstruction, truth)
        return {"discriminative": discriminative, "accuracy": accuracy, "generative": generative}

    def _regress_on_teacher(
        self, predicted: torch.Tensor | None, pooled: torch.Tensor, masked: torch.Tensor, patches: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """`latent` and `utterance`, those that are on, with the teacher's view of all patches (B, P, V)."""
        local, clip = self.targets(patches)
        losses: dict[str, torch.Tensor] = {}
        if self.weights.latent:
            losses["latent"] = F.mse_loss(self.latent_head(predicted).float(), take(local, masked))
        if self.weights.utterance:
            losses["utterance"] = F.mse_loss(self.utterance_head(pooled).float(), clip)
        return losses

    def _contrast_crops(self, pooled: torch.Tensor, recordings: torch.Tensor) -> dict[str, torch.Tensor]:
        """`clip` and its accuracy, of the means (2 * R, D) of pairs of crops of recordings (R,)."""
        vectors = self.projection(pooled).float()
        with torch.autocast(pooled.device.type, enabled=False):
            loss, accuracy = contrast(vectors, recordings, self.temperature)
        return {"clip": loss, "clip_accuracy": accuracy}

    def _weighted_sum(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        """What is minimised, ()."""
        config, total = self.config, 0.0
        if self.weights.mspm:
            mspm = (
                config.discriminative_loss_weight * losses["discriminative"]
                + config.generative_loss_weight * losses["generative"]
            )
            total = total + self.weights.mspm * mspm
        for name in ("latent", "utterance", "clip", "source"):
            if weight := getattr(self.weights, name):
                total = total + weight * losses[name]
        return total

    def flops(self, columns: int) -> float:
        """Floating-point operations of a training step per crop of so many time patches, two per multiplication."""
        config = self.config
        patches = config.num_frequency_patches * columns
        count = config.num_masked(patches)
        visible = patches - count

        def layers(tokens: int, number: int) -> float:
            size, inner = config.hidden_size, config.intermediate_size
            return number * 2.0 * tokens * (4 * size * size + 2 * size * inner + 2 * tokens * size)

        whole = self.decoder is None and self.predicts
        tokens = NUM_SPECIAL_TOKENS + (patches if whole else visible)
        forward = layers(tokens, config.num_hidden_layers)
        if self.decoder is not None:
            forward += layers(patches, len(self.decoder.layers))
        if self.weights.mspm:
            size, values = config.hidden_size, config.frequency_patch_size * config.time_patch_size
            forward += 2.0 * count * (2 * size * (size + values) + count * values)
        total = 3 * forward
        if self.teacher is not None:
            total += layers(NUM_SPECIAL_TOKENS + patches, config.num_hidden_layers)
        return total


def instance_norm(hidden: torch.Tensor) -> torch.Tensor:
    """`F.instance_norm` over the patches of hidden (B, P, D), in float32; several times as fast for short crops."""
    hidden = hidden.float()
    variance, mean = torch.var_mean(hidden, dim=1, keepdim=True, correction=0)
    return (hidden - mean) * (variance + 1e-5).rsqrt()


def _mlp(size: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 512), nn.GELU(), nn.Linear(512, out))
