# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Which patches to mask in pretraining: random clusters (SSAST paper, section 3.2), one sampler for a whole batch.

Every possible start of a C x C cluster gets a random arrival time; a patch is covered when the first cluster that
reaches it arrives; the N patches covered first are masked. Unlike the official sampler (`gen_maskid_patch` in
`src/models/ast_models.py`), clusters end at the border of the grid instead of wrapping into the next row, patch 0 can
be masked, and the last cluster is trimmed at random instead of from the highest index.
"""

import torch

# Arrival times are whole ticks, so that a fraction of a tick can break ties and both are exact in float32.
TICKS = 8192


def sample_masks(
    batch_size: int,
    grid: tuple[int, int],
    num_masked: int | torch.Tensor,
    cluster_min: int = 3,
    cluster_max: int = 5,
    num_time_patches: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """
    Draws one mask per clip.

    Args:
        batch_size (`int`): Number of clips, B.
        grid (`tuple[int, int]`): Patches along frequency and time, (F, T).
        num_masked (`int` or `torch.Tensor` of shape `(B,)`): Patches to mask in each clip.
        cluster_min (`int`), cluster_max (`int`): C is drawn per clip from this range. 1 and 1: single patches, each
            with the same probability (the frame-based way, where clusters hurt).
        num_time_patches (`torch.Tensor` of shape `(B,)`, *optional*): Real patches along time of each clip, the rest
            being padding, which is never masked. Default: all T.
        generator (`torch.Generator`, *optional*): Makes the draw reproducible, on any device.
        device (`torch.device`, *optional*): Where the masks are wanted. Default: the generator's, else the CPU.

    Returns:
        `torch.BoolTensor` of shape `(B, F * T)`: True is masked; patch (f, t) is at f * T + t.

    Raises:
        ValueError: The cluster range is empty, or more patches are to be masked than there are. (On another device
            than the CPU, whose values would have to be waited for, tensors are taken as they are.)
    """
    frequency, time = grid
    if not 1 <= cluster_min <= cluster_max:
        raise ValueError(f"Expected 1 <= cluster_min <= cluster_max, found {cluster_min} and {cluster_max}.")
    _check_num_masked(num_masked, frequency, time, num_time_patches)
    # A compiler of varying lengths can take no generator, not even None.
    source = {"device": device} if generator is None else {"device": generator.device, "generator": generator}

    covered = _arrival_times(batch_size, grid, cluster_min, cluster_max, source)
    covered = covered.to(device if device is not None else source["device"])
    real = None
    if num_time_patches is not None:
        time_index = torch.arange(time, device=covered.device)
        real = (time_index < num_time_patches.to(covered.device)[:, None, None]).expand(-1, frequency, -1)  # (B, F, T)
        covered = covered.masked_fill(~real, float("inf"))
    if isinstance(num_masked, torch.Tensor):
        order = covered.flatten(1).argsort(dim=1)
        chosen = torch.arange(frequency * time, device=covered.device) < num_masked.to(covered.device)[:, None]
    else:
        order = covered.flatten(1).topk(num_masked, largest=False, sorted=False).indices
        chosen = torch.ones_like(order, dtype=torch.bool)
    masks = torch.zeros_like(covered, dtype=torch.bool).flatten(1).scatter(1, order, chosen)
    return masks if real is None else masks & real.flatten(1)


def _arrival_times(batch_size: int, grid: tuple[int, int], cluster_min: int, cluster_max: int, source: dict):
    """When each patch (B, F, T) is first covered by a cluster, ties broken at random."""
    frequency, time = grid
    # A patch is reached by C * C starts. Starts above and left of the grid make that true at its border as well.
    reach = cluster_max - 1
    arrival = torch.randint(TICKS, (batch_size, frequency + reach, time + reach), **source)
    arrival = arrival.float()  # (B, F + C - 1, T + C - 1)
    cluster = torch.randint(cluster_min, cluster_max + 1, (batch_size, 1, 1), **source)
    covered = arrival  # of no cluster yet
    for size in range(cluster_min, cluster_max + 1):
        starts = arrival[:, cluster_max - size :, cluster_max - size :]
        earliest = starts.unfold(1, size, 1).amin(-1).unfold(2, size, 1).amin(-1)  # (B, F, T)
        covered = earliest if size == cluster_min else torch.where(cluster == size, earliest, covered)
    return covered + torch.rand(covered.shape, **source)  # ties at random


def _check_num_masked(num_masked, frequency: int, time: int, num_time_patches: torch.Tensor | None) -> None:
    tensors = [value for value in (num_masked, num_time_patches) if isinstance(value, torch.Tensor)]
    if torch.compiler.is_compiling() or any(tensor.device.type != "cpu" for tensor in tensors):
        return
    lengths = [time] if num_time_patches is None else num_time_patches.tolist()
    numbers = num_masked.tolist() if torch.is_tensor(num_masked) else [num_masked]
    clips = max(len(lengths), len(numbers))
    for number, length in zip(*(values * clips if len(values) == 1 else values for values in (numbers, lengths))):
        if not 0 <= number <= frequency * length:
            raise ValueError(
                f"`num_masked` is {number}, expected 0 to {frequency * length} (a {frequency} x {length} grid)."
            )
