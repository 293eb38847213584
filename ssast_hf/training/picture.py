# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A picture of what pretraining learned: spectrograms as they are, masked, and reconstructed."""

from pathlib import Path
from typing import BinaryIO

import torch

from ..feature_extraction_ssast import SHIFT_SECONDS
from ..modeling_ssast import SSASTForPreTraining, patchify, unpatchify
from ..utils.logs import get_logger

logger = get_logger(__name__)


def reconstruct(model: SSASTForPreTraining, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Fills in the masked patches of a batch.

    Args:
        model (`SSASTForPreTraining`): In evaluation mode.
        batch (`dict`): `input_values` (batch, frames, bins), `bool_masked_pos` (batch, patches), True is masked, and
            perhaps `attention_mask`.

    Returns:
        Masked spectrograms, NaN where they are masked, and reconstructed ones, whose other patches are the originals;
        both (batch, frames, bins).
    """
    with torch.no_grad():
        outputs = model(**batch, return_loss=False)
    patches = patchify(batch["input_values"], model.config)
    mask = outputs.bool_masked_pos.to(patches.device)[:, :, None]
    masked = patches.masked_fill(mask, float("nan"))
    filled = torch.where(mask, outputs.reconstruction.to(patches.dtype), patches)
    return unpatchify(masked, model.config), unpatchify(filled, model.config)


def draw(model: SSASTForPreTraining, batch: dict[str, torch.Tensor], path: Path, names: list[str]) -> bool:
    """
    Writes a picture (.png) with a row per clip. Returns False, with a warning, where matplotlib is not installed.

    Args:
        model, batch: As [`reconstruct`] takes them.
        path (`Path`): The file to write.
        names (`list[str]`): A title per clip.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        logger.warning("No picture of reconstructions was drawn: pip install matplotlib")
        return False
    draw_reconstructions(batch, *reconstruct(model, batch), path, names)
    return True


def draw_reconstructions(
    batch: dict[str, torch.Tensor], masked: torch.Tensor, filled: torch.Tensor, file: Path | BinaryIO, names: list[str]
) -> None:
    """As [`draw`], of what [`reconstruct`] returned for a batch, to a file's path or an open file."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    masked, filled = (values.float().cpu() for values in (masked, filled))
    original = batch["input_values"].float().cpu()[:, : masked.shape[1]]
    lengths = [original.shape[1]] * len(original)
    if "attention_mask" in batch:
        lengths = batch["attention_mask"].sum(dim=1).tolist()
    figure = Figure(figsize=(12, 2.4 * len(original) + 0.4))
    axes = figure.subplots(len(original), 3, squeeze=False)
    colours = colormaps["magma"].with_extremes(bad="0.75")
    for row, length in enumerate(lengths):
        low, high = original[row, :length].quantile(torch.tensor([0.01, 0.995])).tolist()
        for column, (title, values) in enumerate(
            (("original", original), ("masked", masked), ("reconstructed", filled))
        ):
            axis = axes[row][column]
            axis.imshow(
                values[row, :length].T.numpy(), origin="lower", aspect="auto", interpolation="nearest", cmap=colours,
                vmin=low, vmax=max(high, low + 1e-3), extent=(0, length * SHIFT_SECONDS, 0, values.shape[2]),
            )  # fmt: skip
            if row == 0:
                axis.set_title(title)
            if column == 0:
                axis.set_ylabel(f"{names[row][:28]}\nmel bin", fontsize=8)
            if row == len(lengths) - 1:
                axis.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(file, format="png", dpi=110)
