# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The patch grid of a fine-tuned official file, which records neither strides nor length: every grid that fits its number
of patches, and which of them the official recipes make.
"""

from dataclasses import dataclass

import torch

# Lengths in frames of the official recipes (`src/finetune`, `src/run.py`). Their strides over frequency and time are
# 10 and 10 for patches of 16 x 16, or 1 frame for frames of 2; or the patch size.
OFFICIAL_LENGTHS = (1024, 512, 128, 100)
WHAT_TO_GIVE = (
    "frequency_stride, time_stride and max_length (--frequency-stride, --time-stride, --max-length; in frames)"
)
# By how much more the position embeddings must look like another grid before the recipes' grid is refused. Grids that
# fit equally well differ by less than 0.02; the right one scores at least 0.3 more (tests/checkpoints/test_grids.py).
MARGIN = 0.1


@dataclass(frozen=True)
class Grid:
    """A patch grid: strides in mel bins and frames, patches along frequency and time, and the lengths in frames that
    make it."""

    frequency_stride: int
    time_stride: int
    rows: int
    columns: int
    lengths: range

    def __str__(self) -> str:
        lengths = str(self.lengths[0]) if len(self.lengths) == 1 else f"{self.lengths[0]} to {self.lengths[-1]}"
        return (
            f"strides of {self.frequency_stride} bins x {self.time_stride} frames with {lengths} frames "
            f"({self.rows} x {self.columns} patches)"
        )


def fitting_grids(fields: dict, num_patches: int, overrides: dict) -> list[Grid]:
    """
    Every grid of `num_patches` patches with the strides of `overrides`, or else the patch size and those of the
    official recipes, each with every length that makes it (or the length of `overrides`).

    Args:
        fields (`dict`): `num_mel_bins`, `frequency_patch_size` and `time_patch_size`.
        num_patches (`int`): Number of position embeddings without those of special tokens.
        overrides (`dict`): `frequency_stride`, `time_stride` and `max_length`, as far as they are known.
    """
    height, width = fields["frequency_patch_size"], fields["time_patch_size"]
    whole = height == fields["num_mel_bins"]  # frame-based: one row, whatever the stride over frequency
    vertical = {overrides.get("frequency_stride", height)}
    horizontal = {overrides.get("time_stride", width)}
    if "frequency_stride" not in overrides and not whole:
        vertical.add(min(10, height))
    if "time_stride" not in overrides:
        horizontal.add(1 if whole else min(10, width))
    grids = []
    for frequency_stride in sorted(vertical):
        rows = (fields["num_mel_bins"] - height) // frequency_stride + 1
        for time_stride in sorted(horizontal):
            columns, rest = divmod(num_patches, rows)
            if rest or not columns:
                continue
            shortest = width + (columns - 1) * time_stride
            lengths = range(shortest, shortest + time_stride)
            if "max_length" in overrides:
                lengths = range(overrides["max_length"], overrides["max_length"] + 1)
                if not shortest <= lengths[0] < shortest + time_stride:
                    continue
            grids.append(Grid(frequency_stride, time_stride, rows, columns, lengths))
    return grids


def neighbour_similarity(positions: torch.Tensor, rows: int, columns: int) -> float:
    """
    How much position embeddings (patches, D) look like those of a grid: the correlation of neighbours, which adapting
    to a finer grid makes high, minus that across ends of rows, which are no neighbours. From -1 to 2.
    """
    centred = positions.double() - positions.double().mean(dim=0)
    grid = centred.reshape(rows, columns, -1)
    scale = grid.square().sum(dim=-1).mean().clamp(min=1e-12)

    def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
        return ((one * other).sum(dim=-1).mean() / scale).item() if one.numel() else 0.0

    along_time = correlation(grid[:, 1:], grid[:, :-1])
    along_frequency = correlation(grid[1:], grid[:-1])
    return along_time + along_frequency - correlation(grid[1:, 0], grid[:-1, -1])


def guess_grid(fields: dict, positions: torch.Tensor, overrides: dict) -> tuple[dict, str]:
    """
    The grid of the official recipe that a fine-tuned file's number of patches fits.

    Args:
        fields (`dict`), overrides (`dict`): See [`fitting_grids`].
        positions (`torch.Tensor` of shape `(patches, D)`): Position embeddings of the patches.

    Returns:
        `frequency_stride`, `time_stride` and `max_length`; and a sentence that says that they are guessed, and which
        other grids fit.

    Raises:
        ValueError: No recipe fits, or the position embeddings look like another grid; lists every grid that fits.
    """
    count = len(positions)
    fitting = fitting_grids(fields, count, overrides)
    shape = (fields["frequency_patch_size"], fields["time_patch_size"])
    usual = [shape, (shape[0], 1) if shape[0] == fields["num_mel_bins"] else (10, 10)]
    known = {"frequency_stride", "time_stride"} & overrides.keys()
    usual_lengths = (overrides["max_length"],) if "max_length" in overrides else OFFICIAL_LENGTHS
    official = [
        (grid, length) for grid in fitting for length in usual_lengths
        if length in grid.lengths and (known or (grid.frequency_stride, grid.time_stride) in usual)
    ]  # fmt: skip
    bins = f"{count} patches of {shape[0]} bins x {shape[1]} frames, {fields['num_mel_bins']} mel bins"
    listed = "; ".join(map(str, fitting)) or "no usual strides"
    if len(official) != 1:
        raise ValueError(
            f"A fine-tuned checkpoint records neither strides nor length, and {len(official) or 'none'} of the "
            f"official recipes fit its {bins}: give {WHAT_TO_GIVE} with which it was trained. These fit: {listed}."
        )
    ((guess, length),) = official
    scores = {grid: neighbour_similarity(positions, grid.rows, grid.columns) for grid in fitting}
    best = max(scores.values())
    if best > scores[guess] + MARGIN:
        alike = " or ".join(str(grid) for grid in fitting if scores[grid] == best)
        raise ValueError(
            f"A fine-tuned checkpoint records neither strides nor length. Of the grids that fit its {bins}, the "
            f"official recipes have {guess}, but its position embeddings look like {alike}: give {WHAT_TO_GIVE}."
        )
    others = "; ".join(str(grid) for grid in fitting if grid is not guess)
    note = (
        f"The file records neither strides nor length. Of its {bins}, the grid is guessed: strides of "
        f"{guess.frequency_stride} x {guess.time_stride} with {length} frames, as in an official recipe."
    )
    if others:
        note += f" As many patches have: {others}. If it was trained with these, give {WHAT_TO_GIVE}."
    elif len(guess.lengths) > 1:
        note += f" {guess.lengths[0]} to {guess.lengths[-1]} frames make as many."
    grid = {"frequency_stride": guess.frequency_stride, "time_stride": guess.time_stride}
    return {**grid, "max_length": length}, note
