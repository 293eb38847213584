# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
SSAST in transformers' conventions: patches -> encoder -> heads, to be read from top to bottom.

Letters in shape comments: B clips, F x T patches along frequency and time, P = F * T patches, D hidden size, N = 2 + P
tokens (two special tokens first), V = values in a patch.

Paper: Gong, Lai, Chung, Glass, "SSAST: Self-Supervised Audio Spectrogram Transformer", AAAI 2022
(https://arxiv.org/abs/2110.09784). Original implementation: `src/models/ast_models.py` of YuanGongND/ssast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Unpack

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.hub import cached_file, get_checkpoint_shard_files
from transformers.utils.output_capturing import capture_outputs

from .configuration_ssast import (
    AUTO_MAP,
    GRID_FIELDS,
    MODEL_CODE,
    SEGMENTS,
    SSASTConfig,
    call_with_hook,
    custom_pipelines,
    save_code,
)
from .masking import sample_masks

NUM_SPECIAL_TOKENS = 2  # [CLS] and DeiT's distillation token
FILE_ARGUMENTS = (  # of `from_pretrained`, which say where files are
    "cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token",
)  # fmt: skip


def is_exporting() -> bool:
    """Whether a graph for inputs of any length is being written, which must not depend on the example's length."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


def flatten_grid(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Flattens the axes `dim` (F) and `dim + 1` (T) to one of P = F * T."""
    if torch.compiler.is_exporting():  # which takes a reshape for a promise that T is not 1
        return torch.cat(values.unbind(dim), dim=dim)
    return values.flatten(dim, dim + 1)


def patchify(input_values: torch.Tensor, config: SSASTConfig) -> torch.Tensor:
    """Spectrograms (B, frames, mel bins) -> non-overlapping patches (B, P, V), frequency-major inside and out."""
    (rows, columns), height, width = (
        config.patch_grid(input_values.shape[1]), config.frequency_patch_size, config.time_patch_size
    )  # fmt: skip
    values = input_values.transpose(1, 2)[:, : rows * height, : columns * width]
    values = values.unflatten(2, (columns, width)).unflatten(1, (rows, height))  # (B, F, height, T, width)
    return values.transpose(2, 3).flatten(3).flatten(1, 2)


def unpatchify(patches: torch.Tensor, config: SSASTConfig) -> torch.Tensor:
    """Non-overlapping patches (B, P, V) -> spectrograms (B, frames, mel bins): undoes `patchify`."""
    rows, height, width = config.num_frequency_patches, config.frequency_patch_size, config.time_patch_size
    values = patches.unflatten(1, (rows, -1)).unflatten(3, (height, width)).transpose(2, 3)  # (B, F, height, T, width)
    return values.flatten(3).flatten(1, 2).transpose(1, 2)


def resize_positions(positions: torch.Tensor, old_size: int, new_size: int, lengths: torch.Tensor) -> torch.Tensor:
    """
    Fits position embeddings to another number of patches along one axis, as the original does for fine-tuning: cut
    from the centre for a shorter length, bilinearly interpolated (`align_corners=False`) for a longer one.

    Args:
        positions (`torch.Tensor` of shape `(old_size, *)`): Embeddings, the axis to resize first.
        old_size (`int`), new_size (`int`): Patches along the axis, before and after.
        lengths (`torch.Tensor` of shape `(B,)`): Real patches of each clip, from 1 to `new_size`: a clip in a padded
            batch gets the embeddings that it would get alone.

    Returns:
        `torch.Tensor` of shape `(B, new_size, *)`
    """
    index = torch.arange(new_size, device=positions.device)
    lengths = lengths.to(positions.device, torch.float32)[:, None]  # LiteRT has no division of 64-bit numbers
    half = (0.5 * lengths).floor().long()  # not `//`, which OpenVINO rounds
    cut = (old_size // 2 - half + index).clamp(max=old_size - 1)  # (B, new_size)
    if not is_exporting() and new_size <= old_size:  # else the formula for longer ones, which holds for all
        return positions[cut]
    source = ((index + 0.5) * (old_size / lengths) - 0.5).clamp(0, old_size - 1)
    source = torch.where(lengths < old_size, cut.to(source.dtype), source)
    left = source.floor().long()
    right = (left + 1).clamp(max=old_size - 1)
    weight = (source - left).to(positions.dtype).reshape(*source.shape, *[1] * (positions.ndim - 1))
    return torch.lerp(positions[left], positions[right], weight)


def adapt_state_dict(state: dict[str, torch.Tensor], old: SSASTConfig, new: SSASTConfig) -> dict[str, torch.Tensor]:
    """
    A state dict whose position embeddings fit another patch grid (official: `ASTModel.__init__`). Every other tensor
    stays as it is.

    Args:
        state (`dict[str, torch.Tensor]`): State dict of a model with the configuration `old`, any prefix.
        old, new ([`SSASTConfig`]): Configurations with the grids before and after.
    """
    (old_rows, old_columns), (rows, columns) = old.patch_grid(), new.patch_grid()
    adapted = dict(state)
    for name, positions in state.items():
        if name.endswith("embeddings.position_embeddings"):
            special, patches = positions.split([NUM_SPECIAL_TOKENS, old_rows * old_columns], dim=1)
            patches = patches[0].unflatten(0, (old_rows, old_columns))  # (F, T, D)
            for old_size, new_size in ((old_columns, columns), (old_rows, rows)):  # time, then frequency
                patches = resize_positions(patches.transpose(0, 1), old_size, new_size, torch.tensor([new_size]))[0]
            adapted[name] = torch.cat([special, patches.flatten(0, 1)[None]], dim=1)
    return adapted


def read_state_dict(
    name, variant: str | None = None, use_safetensors: bool | None = None, **where
) -> dict[str, torch.Tensor]:
    """
    All tensors of a saved checkpoint, from one file or from shards.

    Args:
        name (`str`): Directory or Hub repository.
        variant (`str`, *optional*): As in transformers: `model.fp16.safetensors`.
        use_safetensors (`bool`, *optional*): False reads `pytorch_model.bin`, as tensors only. Default: safetensors.
        where: `FILE_ARGUMENTS` of `from_pretrained`.

    Raises:
        OSError: There is no such file.
    """
    stem, suffix = ("pytorch_model", "bin") if use_safetensors is False else ("model", "safetensors")
    single = ".".join(filter(None, (stem, variant, suffix)))
    index = ".".join(filter(None, (stem, suffix, "index", variant, "json")))
    file = cached_file(name, single, _raise_exceptions_for_missing_entries=False, **where)
    if file is None:
        index_file = cached_file(name, index, _raise_exceptions_for_missing_entries=False, **where)
        if index_file is None:
            raise FileNotFoundError(f"{name} has neither {single} nor {index}.")
        files = get_checkpoint_shard_files(name, index_file, **where)[0]
    else:
        files = [file]
    state: dict[str, torch.Tensor] = {}
    for path in files:
        state.update(
            load_file(path) if suffix == "safetensors" else torch.load(path, map_location="cpu", weights_only=True)
        )
    return state


def sinusoidal_positions(rows: int, columns: int, hidden_size: int) -> torch.Tensor:
    """
    Position embeddings (rows * columns, D) of a grid of patches, row by row: of the patch's row in the first half and
    of its column in the second, sines and cosines of wavelengths from 2 pi to 10000 times that (Vaswani et al. 2017;
    in two dimensions MAE's `util/pos_embed.py`).
    """
    quarter = hidden_size // 4
    frequencies = 10000.0 ** -(torch.arange(quarter) / quarter)
    by_row, by_column = (torch.arange(size)[:, None] * frequencies for size in (rows, columns))
    by_row = torch.cat([by_row.sin(), by_row.cos()], dim=1)[:, None].expand(-1, columns, -1)
    by_column = torch.cat([by_column.sin(), by_column.cos()], dim=1).expand(rows, -1, -1)
    return torch.cat([by_row, by_column], dim=2).flatten(0, 1)


class SSASTPatchEmbeddings(nn.Module):
    """Spectrograms (B, frames, mel bins) -> patch embeddings (B, P, D), patch (f, t) at index f * T + t."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.projection = nn.Conv2d(
            1,
            config.hidden_size,
            kernel_size=(config.frequency_patch_size, config.time_patch_size),
            stride=(config.frequency_stride, config.time_stride),
        )

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        image = input_values.to(self.projection.weight.dtype).transpose(1, 2).unsqueeze(1)  # (B, 1, bins, frames)
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            image = image.contiguous()  # inductor cannot order the strides of a view whose sizes it does not know
        patches = self.projection(image)  # (B, D, F, T)
        return flatten_grid(patches, 2).transpose(1, 2)


class SSASTEmbeddings(nn.Module):
    """Spectrograms (B, frames, mel bins) -> tokens (B, N, D): [CLS], distillation token, patches, with positions."""

    def __init__(self, config: SSASTConfig, use_mask_token: bool = False):
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size)) if use_mask_token else None
        self.patch_embeddings = SSASTPatchEmbeddings(config)
        self.position_embeddings = nn.Parameter(
            torch.zeros(1, NUM_SPECIAL_TOKENS + config.num_patches, config.hidden_size)
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def positions(self, num_time_patches: int, lengths: torch.Tensor | None) -> torch.Tensor:
        """Position embeddings (1 or B, N, D) for T = `num_time_patches`, of which `lengths` (B,) are real."""
        rows, columns = self.config.patch_grid()
        if lengths is None:
            if not is_exporting() and num_time_patches == columns:
                return self.position_embeddings
            lengths = torch.full((1,), num_time_patches, device=self.position_embeddings.device)
        special, patches = self.position_embeddings.split([NUM_SPECIAL_TOKENS, rows * columns], dim=1)
        by_time = patches.reshape(rows, columns, -1).transpose(0, 1)  # (T, F, D)
        patches = resize_positions(by_time, columns, num_time_patches, lengths).transpose(1, 2)  # (B, F, T, D)
        patches = flatten_grid(patches, 1)
        return torch.cat([special.expand(patches.shape[0], -1, -1), patches], dim=1)

    def forward(
        self,
        input_values: torch.Tensor,
        lengths: torch.Tensor | None = None,
        bool_masked_pos: torch.Tensor | None = None,
    ) -> torch.Tensor:
        embeddings = self.patch_embeddings(input_values)
        if bool_masked_pos is not None:
            if self.mask_token is None:
                raise ValueError("`bool_masked_pos` needs a mask token: use SSASTModel(config, use_mask_token=True).")
            mask = bool_masked_pos.to(embeddings.device, torch.bool).unsqueeze(-1)
            embeddings = torch.where(mask, self.mask_token.to(embeddings.dtype), embeddings)
        special = torch.cat([self.cls_token, self.distillation_token], dim=1).expand(embeddings.shape[0], -1, -1)
        num_time_patches = self.config.num_time_patches(input_values.shape[1])
        embeddings = torch.cat([special, embeddings], dim=1) + self.positions(num_time_patches, lengths)
        return self.dropout(embeddings)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """query, key, value (B, heads, N, head size) -> output (B, N, heads, head size), weights (B, heads, N, N)."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class SSASTAttention(nn.Module):
    """Multi-head self-attention, (B, N, D) -> (B, N, D); one fused `qkv` projection as in the original (timm)."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_probs_dropout_prob
        self.is_causal = False
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query, key, value = (
            part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # (B, heads, N, head size)
            for part in self.qkv(hidden_states).chunk(3, dim=-1)
        )
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        output, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(output.flatten(2)), weights


class SSASTMLP(nn.Module):
    """(B, N, D) -> (B, N, D)"""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(hidden_states)))


class SSASTLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer, (B, N, D) -> (B, N, D)."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = SSASTAttention(config)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SSASTMLP(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        attended, _ = self.attention(self.layernorm_before(hidden_states), attention_mask, **kwargs)
        hidden_states = hidden_states + self.dropout(attended)
        return hidden_states + self.dropout(self.mlp(self.layernorm_after(hidden_states)))


class SSASTPreTrainedModel(PreTrainedModel):
    """Weight initialisation, and loading with another `max_length` or stride than a checkpoint was made with."""

    config: SSASTConfig
    config_class = SSASTConfig
    base_model_prefix = "ssast"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["SSASTLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": SSASTLayer, "attentions": SSASTAttention}
    _input_embed_layer = "patch_embeddings"
    # The losses are means over a batch, so the Trainer divides them by its gradient accumulation steps.
    accepts_loss_kwargs = False
    # A pretraining checkpoint holds a whole encoder. Weights that only pretraining needs are skipped silently.
    _keys_to_ignore_on_load_unexpected = [r"mask_token", r"discriminative_head\.", r"generative_head\."]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, SSASTEmbeddings):
            for token in (module.cls_token, module.distillation_token, module.position_embeddings):
                init.trunc_normal_(token, std=std)
            if self.config.position_embedding_init == "sincos":
                tokens = module.position_embeddings[:, :NUM_SPECIAL_TOKENS]
                grid = sinusoidal_positions(*self.config.patch_grid(), self.config.hidden_size).to(tokens)
                init.copy_(module.position_embeddings, torch.cat([tokens, grid[None]], dim=1))
            if module.mask_token is not None:
                init.xavier_normal_(module.mask_token)
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            init.trunc_normal_(module.weight, std=std)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, config=None, **kwargs):
        """
        As [`~transformers.PreTrainedModel.from_pretrained`]. Where `max_length`, `num_mel_bins`, `frequency_stride`
        or `time_stride`, given as keywords or in `config`, differ from the checkpoint's, its position embeddings are
        cut or interpolated as the original does for fine-tuning.

        Raises:
            ValueError: The patch shape differs from the checkpoint's.
        """
        overrides = {name: kwargs.pop(name) for name in GRID_FIELDS if name in kwargs}
        name = pretrained_model_name_or_path
        load = partial(call_with_hook, "model", cls._load, name, *model_args)
        if name is None or (config is None and not overrides):
            return load(config=config, **kwargs)

        where = {key: kwargs[key] for key in FILE_ARGUMENTS if key in kwargs}
        stored = SSASTConfig.from_pretrained(name, **where)
        if not isinstance(config, PreTrainedConfig):
            config, kwargs = SSASTConfig.from_pretrained(
                config or name, return_unused_kwargs=True, **kwargs, **overrides
            )
            kwargs = {**where, **kwargs}
        elif overrides:
            attention = config._attn_implementation
            config = SSASTConfig.from_dict(config.to_dict(), **overrides, attn_implementation=attention)
        for field in ("frequency_patch_size", "time_patch_size"):
            if getattr(stored, field) != getattr(config, field):
                raise ValueError(
                    f"`{field}` is {getattr(config, field)}, expected {getattr(stored, field)}, with which {name} was "
                    "made: strides, max_length and num_mel_bins of a checkpoint can change, its patch shape cannot."
                )
        if config.patch_grid() == stored.patch_grid():
            return load(config=config, **kwargs)
        return load(config=config, adapt=partial(adapt_state_dict, old=stored, new=config), **kwargs)

    @classmethod
    def _load(cls, name, *model_args, config=None, adapt: Callable | None = None, **kwargs):
        """transformers' `from_pretrained`; with `adapt`, of the state dict that it makes of the checkpoint's."""
        if adapt is None:
            return super().from_pretrained(name, *model_args, config=config, **kwargs)
        where = {key: kwargs.pop(key) for key in (*FILE_ARGUMENTS, "variant", "use_safetensors") if key in kwargs}
        state = adapt(read_state_dict(name, **where))
        loaded = super().from_pretrained(None, *model_args, config=config, state_dict=state, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.name_or_path = model.config._name_or_path = str(name)
        return loaded

    def save_pretrained(self, save_directory, is_main_process: bool = True, *args, **kwargs):
        """As [`~transformers.PreTrainedModel.save_pretrained`], with the code that loads the model elsewhere."""
        self.config.auto_map = dict(AUTO_MAP)
        if is_main_process:
            save_code(save_directory, *MODEL_CODE)
        self.config.custom_pipelines = custom_pipelines(type(self).__name__)
        try:
            super().save_pretrained(save_directory, is_main_process, *args, **kwargs)
        finally:
            del self.config.custom_pipelines  # installed, the package's own pipelines run without `trust_remote_code`

    def push_to_hub(self, repo_id: str, **kwargs):
        """As [`~transformers.PreTrainedModel.push_to_hub`], with a model card of what is known."""
        return call_with_hook("push", super().push_to_hub, repo_id, **kwargs)


def segment_weights(real: torch.Tensor) -> torch.Tensor:
    """
    What each step in time counts in the mean of each of `SEGMENTS` parts of a clip, of equal length and with soft
    borders: a step at the centre of a part counts for that part alone, one at a border for both alike.

    Args:
        real (`torch.FloatTensor` of shape `(B, T)`): 1 is sound, 0 padding, which comes last.

    Returns:
        `torch.FloatTensor` of shape `(B, SEGMENTS, T)`, which adds up to 1 over time. A clip of one step is that step
        in every part.
    """
    steps = real.cumsum(dim=1) - 0.5
    place = (steps * SEGMENTS / real.sum(dim=1, keepdim=True) - 0.5).clamp(0, SEGMENTS - 1)  # in parts, 0 a centre
    parts = torch.arange(SEGMENTS, device=real.device, dtype=real.dtype)[:, None]
    weights = (1 - (place[:, None] - parts).abs()).clamp(min=1e-3) * real[:, None]  # a part always has some weight
    return weights / weights.sum(dim=2, keepdim=True)


class SSASTModel(SSASTPreTrainedModel):
    """
    The SSAST encoder without a head.

    Args:
        config ([`SSASTConfig`]): Sizes, patch geometry, pooling.
        use_mask_token (`bool`, defaults to `False`): Whether there is a mask embedding, for `bool_masked_pos`.
    """

    def __init__(self, config: SSASTConfig, use_mask_token: bool = False):
        super().__init__(config)
        self.embeddings = SSASTEmbeddings(config, use_mask_token=use_mask_token)
        self.layers = nn.ModuleList([SSASTLayer(config) for _ in range(config.num_hidden_layers)])
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> SSASTPatchEmbeddings:
        return self.embeddings.patch_embeddings

    def num_real_time_patches(self, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
        """Whole real patches along time of each clip (B,), at least 1; None where there is no `attention_mask`."""
        if attention_mask is None:
            return None
        config, frames = self.config, (attention_mask != 0).sum(dim=1, keepdim=True)
        # Counted, not divided by the stride, because OpenVINO rounds a division of whole numbers.
        starts = torch.arange(config.num_time_patches(attention_mask.shape[1]), device=frames.device)
        return (starts * config.time_stride + config.time_patch_size <= frames).sum(dim=1).clamp(min=1)

    def real_patches(self, input_values: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor | None:
        """Which patches (B, P) are real sound (True) rather than padding; None where all are."""
        if lengths is None:
            return None
        rows, columns = self.config.patch_grid(input_values.shape[1])
        return (torch.arange(columns, device=lengths.device) < lengths[:, None]).repeat(1, rows)

    def check_inputs(self, input_values, attention_mask=None, bool_masked_pos=None) -> None:
        """Raises ValueError for shapes that the model cannot take, saying what was found and what was expected."""
        if input_values is None:
            raise ValueError(
                "`input_values` is missing: expected (batch, frames, mel bins) from the feature extractor."
            )
        config = self.config
        if input_values.ndim != 3 or input_values.shape[2] != config.num_mel_bins:
            raise ValueError(
                f"`input_values` has shape {tuple(input_values.shape)}, expected (batch, frames, "
                f"{config.num_mel_bins} mel bins)."
            )
        if input_values.shape[1] < config.time_patch_size:
            raise ValueError(
                f"`input_values` has {input_values.shape[1]} frames, expected at least one patch of "
                f"{config.time_patch_size} frames: pad the clip, or call the feature extractor with "
                f"pad_to_multiple_of={config.time_patch_size}."
            )
        if attention_mask is not None and attention_mask.shape != input_values.shape[:2]:
            raise ValueError(
                f"`attention_mask` has shape {tuple(attention_mask.shape)}, expected (batch, frames) "
                f"{tuple(input_values.shape[:2])}."
            )
        rows, columns = config.patch_grid(input_values.shape[1])
        if bool_masked_pos is not None and bool_masked_pos.shape != (input_values.shape[0], rows * columns):
            raise ValueError(
                f"`bool_masked_pos` has shape {tuple(bool_masked_pos.shape)}, expected (batch, patches) "
                f"{(len(input_values), rows * columns)}."
            )

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        bool_masked_pos: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        r"""
        Args:
            input_values (`torch.FloatTensor` of shape `(batch, frames, mel bins)`):
                Normalised log-mel spectrograms from [`SSASTFeatureExtractor`], of any number of frames from one patch
                up.
            attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*):
                1 is real sound, 0 is padding, which comes last. A clip's output is the same alone and padded.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch, patches)`, *optional*):
                True where the patch is replaced by the mask token (pretraining).

        Returns:
            [`~transformers.modeling_outputs.BaseModelOutputWithPooling`]: `last_hidden_state` (batch, 2 + patches,
            hidden), the two special tokens first, then patch (f, t) at 2 + f * T + t; `pooler_output` (batch,
            `config.pooled_size`) by `config.pooling`.
        """
        self.check_inputs(input_values, attention_mask, bool_masked_pos)
        lengths = self.num_real_time_patches(attention_mask)
        real = self.real_patches(input_values, lengths)

        hidden_states = self.embeddings(input_values, lengths, bool_masked_pos)
        token_mask = None if real is None else F.pad(real, (NUM_SPECIAL_TOKENS, 0), value=True)
        token_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden_states, attention_mask=token_mask
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, token_mask, **kwargs)
        hidden_states = self.layernorm(hidden_states)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states, pooler_output=self.pool(hidden_states, real)
        )

    def pool(self, hidden_states: torch.Tensor, real: torch.Tensor | None, pooling: str | None = None) -> torch.Tensor:
        """
        Tokens -> one vector per clip (official: `finetuningavgtok` and `finetuningcls`).

        Args:
            hidden_states (`torch.FloatTensor` of shape `(B, N, D)`): Special tokens, then patches.
            real (`torch.BoolTensor` of shape `(B, P)`, *optional*): False is a patch of padding, which is left out.
            pooling (`str`, *optional*): As `config.pooling`, which is the default.

        Returns:
            `torch.FloatTensor` of shape `(B, D)`, or `(B, F * D)` for `"rows"`, the lowest frequencies first, or
            `(B, 3 * F * D)` for `"segments"`: the rows of the first third of the clip, of the middle, of the last.
        """
        pooling = pooling or self.config.pooling
        if pooling == "cls":
            return hidden_states[:, :NUM_SPECIAL_TOKENS].mean(dim=1)
        patches = hidden_states[:, NUM_SPECIAL_TOKENS:]
        if pooling in ("rows", "segments"):
            rows = (self.config.num_frequency_patches, -1)
            patches = patches.unflatten(1, rows)  # (B, F, T, D)
        if pooling == "rows":
            if real is None:
                return patches.mean(dim=2).flatten(1)
            weights = real.to(patches.device, patches.dtype).unflatten(1, rows)  # (B, F, T)
            return torch.einsum("bftd,bft->bfd", patches, weights / weights.sum(dim=2, keepdim=True)).flatten(1)
        if pooling == "segments":
            real = torch.ones_like(patches[:, 0, :, 0]) if real is None else real.unflatten(1, rows)[:, 0]
            weights = segment_weights(real.to(patches.device, torch.float32)).to(patches.dtype)  # (B, segments, T)
            return torch.einsum("bftd,bst->bsfd", patches, weights).flatten(1)
        if real is None:
            return patches.mean(dim=1)
        weights = real.to(patches.device, patches.dtype)
        return torch.einsum("bpd,bp->bd", patches, weights / weights.sum(dim=1, keepdim=True))


class SSASTClassificationHead(nn.Module):
    """Pooled output (B, `config.pooled_size`) -> logits (B, labels): LayerNorm if there is one, then Linear."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.layernorm = nn.Identity()
        if config.classifier_layer_norm:
            self.layernorm = nn.LayerNorm(config.pooled_size, eps=config.classifier_layer_norm_eps)
        self.dense = nn.Linear(config.pooled_size, config.num_labels)

    def forward(self, pooled_output: torch.Tensor) -> torch.Tensor:
        return self.dense(self.layernorm(pooled_output))


class SSASTForAudioClassification(SSASTPreTrainedModel):
    """SSAST with a classification or regression head on the pooled output, for fine-tuning."""

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.ssast = SSASTModel(config)
        self.classifier = SSASTClassificationHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        r"""
        Args:
            input_values (`torch.FloatTensor` of shape `(batch, frames, mel bins)`):
                Normalised log-mel spectrograms from [`SSASTFeatureExtractor`].
            attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*):
                1 is real sound, 0 is padding.
            labels (`torch.Tensor`, *optional*):
                `config.problem_type` says how the loss is computed: `"single_label_classification"` (cross-entropy,
                `(batch,)` integers), `"multi_label_classification"` (binary cross-entropy, `(batch, num_labels)`
                numbers from 0 to 1) or `"regression"` (mean squared error, `(batch,)` or `(batch, num_labels)`
                floats); if unset, it is inferred from `num_labels` and the type of the labels.
        """
        outputs: BaseModelOutputWithPooling = self.ssast(input_values, attention_mask, **kwargs, return_dict=True)
        logits = self.classifier(outputs.pooler_output)
        loss = None
        if labels is not None:
            if not labels.is_floating_point():  # torch's losses need int64
                values = self.config.problem_type in ("multi_label_classification", "regression")
                labels = labels.float() if values else labels.long()
            loss = self.loss_function(labels, logits, self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


@dataclass
class SSASTForPreTrainingOutput(ModelOutput):
    """
    Output of [`SSASTForPreTraining`].

    Args:
        loss (`torch.FloatTensor` of shape `()`): Weighted sum of the two losses.
        loss_discriminative (`torch.FloatTensor` of shape `()`): InfoNCE, mean over all masked patches, in nats.
        loss_generative (`torch.FloatTensor` of shape `()`): Mean squared error over the values of all masked patches.
        accuracy (`torch.FloatTensor` of shape `()`): Share of masked patches matched to their own spectrogram patch.
        reconstruction (`torch.FloatTensor` of shape `(batch, patches, patch values)`): Output of the generative head
            at every patch, trained at the masked ones; `unpatchify` makes a spectrogram of it.
        bool_masked_pos (`torch.BoolTensor` of shape `(batch, patches)`): True where a patch was masked.
        hidden_states, attentions (`tuple[torch.FloatTensor]`): As in every transformers model, on request.
    """

    loss: torch.FloatTensor | None = None
    loss_discriminative: torch.FloatTensor | None = None
    loss_generative: torch.FloatTensor | None = None
    accuracy: torch.FloatTensor | None = None
    reconstruction: torch.FloatTensor | None = None
    bool_masked_pos: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


class SSASTPatchPredictionHead(nn.Module):
    """Patch outputs (B, P, D) -> predictions of the values in each patch (B, P, V)."""

    def __init__(self, config: SSASTConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.decoder = nn.Linear(config.hidden_size, config.frequency_patch_size * config.time_patch_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.decoder(F.relu(self.dense(hidden_states)))


def discriminative_loss(
    predictions: torch.Tensor, patches: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    InfoNCE: within a clip, match each masked patch's prediction to its own spectrogram patch.

    Follows the official `mpc`, which made the checkpoints: the softmax runs over the predictions for each true patch.
    The paper's equation 1 has it over the true patches for each prediction.

    Args:
        predictions, patches (`torch.FloatTensor` of shape `(B, P, V)`): Predicted and true patches.
        mask (`torch.BoolTensor` of shape `(B, P)`): True is masked.

    Returns:
        Loss and accuracy, each of shape `()`, means over all masked patches of the batch.
    """
    similarity = torch.matmul(patches, predictions.transpose(1, 2))  # (B, true patches, predictions)
    excluded = torch.finfo(similarity.dtype).min  # not -inf: a clip without masked patches would give NaN gradients
    log_probability = similarity.masked_fill(~mask[:, None, :], excluded).log_softmax(dim=-1)
    count = mask.sum().clamp(min=1)
    loss = -log_probability.diagonal(dim1=1, dim2=2).masked_fill(~mask, 0).sum() / count
    with torch.no_grad():
        probability = log_probability.exp().masked_fill(~mask[:, :, None], -1)
        right = probability.argmax(dim=1) == torch.arange(mask.shape[1], device=mask.device)
        accuracy = (right & mask).sum() / count
    return loss, accuracy


def generative_loss(predictions: torch.Tensor, patches: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the masked patches' values. Shapes as in `discriminative_loss`; returns `()`."""
    error = (predictions - patches).square().mean(dim=-1)  # (B, P)
    return (error * mask).sum() / mask.sum().clamp(min=1)


class SSASTForPreTraining(SSASTPreTrainedModel):
    """
    SSAST with the two heads of joint discriminative and generative masked spectrogram patch modeling (MSPM). Both
    losses come from one masked forward pass, as in the paper (the official script runs two, with two masks).

    Raises:
        ValueError: The strides differ from the patch sizes: overlapping patches would let the model copy shared edges.
    """

    def __init__(self, config: SSASTConfig):
        super().__init__(config)
        self._check_strides()
        self.ssast = SSASTModel(config, use_mask_token=True)
        self.discriminative_head = SSASTPatchPredictionHead(config)
        self.generative_head = SSASTPatchPredictionHead(config)
        self.post_init()

    def _check_strides(self) -> None:
        """Raises ValueError for overlapping patches."""
        for axis in ("frequency", "time"):
            stride, size = (getattr(self.config, f"{axis}_{name}") for name in ("stride", "patch_size"))
            if stride != size:
                raise ValueError(
                    f"`{axis}_stride` is {stride}, expected {size} (the patch size): patches must not overlap in "
                    "pretraining."
                )

    def sample_masks(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """
        Draws `bool_masked_pos` (batch, patches): `config.num_mask_patches` of a clip of `max_length` frames, the same
        share of the real patches of any other.
        """
        config = self.config
        if (config.num_mask_patches or 0) > config.num_patches:
            raise ValueError(
                f"`num_mask_patches` is {config.num_mask_patches}, expected at most {config.num_patches}, the patches "
                f"of {config.max_length} frames."
            )
        grid = rows, columns = config.patch_grid(input_values.shape[1])
        lengths = self.ssast.num_real_time_patches(attention_mask)
        num_masked = config.num_masked(rows * (columns if lengths is None else lengths))
        return sample_masks(
            len(input_values),
            grid,
            num_masked,
            config.mask_cluster_min,
            config.mask_cluster_max,
            num_time_patches=lengths,
            generator=generator,
            device=input_values.device,
        )

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        bool_masked_pos: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        return_loss: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SSASTForPreTrainingOutput:
        r"""
        Args:
            input_values (`torch.FloatTensor` of shape `(batch, frames, mel bins)`):
                Normalised log-mel spectrograms from [`SSASTFeatureExtractor`].
            attention_mask (`torch.Tensor` of shape `(batch, frames)`, *optional*):
                1 is real sound, 0 is padding, which is neither masked nor scored.
            bool_masked_pos (`torch.BoolTensor` of shape `(batch, patches)`, *optional*):
                True is masked. Drawn by `sample_masks` if absent.
            generator (`torch.Generator`, *optional*):
                Makes the drawn mask reproducible.
            return_loss (`bool`, defaults to `True`):
                Whether to compute the losses and the accuracy, or only the reconstruction.
        """
        self.ssast.check_inputs(input_values, attention_mask, bool_masked_pos)
        if bool_masked_pos is None:
            bool_masked_pos = self.sample_masks(input_values, attention_mask, generator)
        bool_masked_pos = bool_masked_pos.to(input_values.device, torch.bool)
        real = self.ssast.real_patches(input_values, self.ssast.num_real_time_patches(attention_mask))
        if real is not None:
            bool_masked_pos = bool_masked_pos & real.to(bool_masked_pos.device)

        outputs: BaseModelOutputWithPooling = self.ssast(
            input_values, attention_mask, bool_masked_pos, **kwargs, return_dict=True
        )
        patch_outputs = outputs.last_hidden_state[:, NUM_SPECIAL_TOKENS:]
        reconstruction = self.generative_head(patch_outputs)
        losses = {}
        if return_loss:
            predictions = self.discriminative_head(patch_outputs)
            losses = self.losses(predictions, reconstruction, input_values, bool_masked_pos)
        return SSASTForPreTrainingOutput(
            **losses,
            reconstruction=reconstruction,
            bool_masked_pos=bool_masked_pos,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def losses(self, predictions, reconstruction, input_values, mask) -> dict[str, torch.Tensor]:
        """L = w_d L_d + w_g L_g (paper, section 3.3), in float32 whatever the encoder ran in; a weight of 0 is off."""
        mask = mask.to(predictions.device)
        patches = patchify(input_values, self.config).to(predictions.device).float()
        with torch.autocast(predictions.device.type, enabled=False):
            loss_discriminative, accuracy = discriminative_loss(predictions.float(), patches, mask)
            loss_generative = generative_loss(reconstruction.float(), patches, mask)
        weighted = (
            (self.config.discriminative_loss_weight, loss_discriminative),
            (self.config.generative_loss_weight, loss_generative),
        )
        return {
            "loss": sum(weight * loss for weight, loss in weighted if weight > 0),
            "loss_discriminative": loss_discriminative,
            "loss_generative": loss_generative,
            "accuracy": accuracy,
        }


__all__ = [
    "SSASTForAudioClassification", "SSASTForPreTraining", "SSASTForPreTrainingOutput", "SSASTModel",
    "SSASTPreTrainedModel", "patchify", "unpatchify",
]  # fmt: skip
