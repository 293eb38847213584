# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The guessed grid of fine-tuned official files: said, and checked against every other that fits."""

import pytest
import torch
from torch.nn.functional import interpolate

from ssast_hf import SSASTConfig, SSASTModel
from ssast_hf.checkpoints.grids import MARGIN, fitting_grids, neighbour_similarity
from ssast_hf.checkpoints.layouts import convert_state_dict
from ssast_hf.cli import main

from ..official_states import fine_tuned_state

SHAPE = {"num_mel_bins": 128, "frequency_patch_size": 16, "time_patch_size": 16}


def adapted(rows: int, columns: int, trained: bool) -> torch.Tensor:
    """Position embeddings (1, rows * columns, 192) as official fine-tuning starts with, of random or trained ones."""
    if trained:
        model = SSASTModel.from_pretrained("ssast-tiny-patch-debian")
        old = model.embeddings.position_embeddings[:, 2:].detach()
    else:
        old = torch.randn(1, 512, 192, generator=torch.Generator().manual_seed(0))
    old = old.transpose(1, 2).unflatten(2, (8, -1))
    if columns < old.shape[3]:
        start = old.shape[3] // 2 - columns // 2
        old = old[..., start : start + columns]
    return interpolate(old, size=(rows, columns), mode="bilinear").flatten(2).transpose(1, 2)


def state(rows: int, columns: int, trained: bool) -> dict[str, torch.Tensor]:
    found = fine_tuned_state(rows * columns)
    found["module.v.pos_embed"][:, 2:] = adapted(rows, columns, trained)
    return found


@pytest.mark.parametrize("trained", [False, True])
def test_1200_frames_without_overlap_are_not_taken_for_strides_of_10_at_512(trained, tmp_path, capsys):
    """Both have 600 patches; the embeddings of neighbours are alike in one of them."""
    torch.save(state(8, 75, trained), tmp_path / "best.pth")
    assert main(["convert", str(tmp_path / "best.pth"), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    alike = error.partition("look like")[2]
    assert "strides of 16 bins x 16 frames with 1200 to 1215 frames (8 x 75 patches)" in alike
    assert "12 x 50" not in alike
    given = ["--frequency-stride", "16", "--time-stride", "16", "--max-length", "1200"]
    assert main(["convert", str(tmp_path / "best.pth"), str(tmp_path / "out"), *given]) == 0
    assert "guessed" not in capsys.readouterr().out
    assert SSASTConfig.from_pretrained(tmp_path / "out").patch_grid() == (8, 75)


@pytest.mark.parametrize("trained", [False, True])
def test_the_official_grid_is_guessed_aloud(trained, tmp_path, capsys):
    torch.save(state(12, 50, trained), tmp_path / "best.pth")
    assert main(["convert", str(tmp_path / "best.pth"), str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "guessed: strides of 10 x 10 with 512 frames" in out
    assert "1200 to 1215 frames (8 x 75 patches)" in out  # the other that fits
    assert SSASTConfig.from_pretrained(tmp_path / "out").patch_grid() == (12, 50)


def test_the_margin_lies_between_chance_and_what_adapted_embeddings_show():
    noise = torch.randn(600, 192, generator=torch.Generator().manual_seed(0))
    by_chance = abs(neighbour_similarity(noise, 12, 50) - neighbour_similarity(noise, 8, 75))
    shown = [
        neighbour_similarity(adapted(8, 75, trained)[0], 8, 75)
        - neighbour_similarity(adapted(8, 75, trained)[0], 12, 50)
        for trained in (False, True)
    ]
    assert by_chance < MARGIN / 2 < 2 * MARGIN < min(shown)


def test_every_grid_that_fits_is_listed_and_makes_that_number_of_patches():
    for count in (64, 144, 512, 600, 1212):
        found = fitting_grids(SHAPE, count, {})
        for grid in found:
            for length in (grid.lengths[0], grid.lengths[-1]):
                strides = {"frequency_stride": grid.frequency_stride, "time_stride": grid.time_stride}
                assert SSASTConfig(**SHAPE, **strides, max_length=length, num_mask_patches=1).num_patches == count
    assert [(grid.rows, grid.columns) for grid in fitting_grids(SHAPE, 600, {})] == [(12, 50)] * 2 + [(8, 75)] * 2
    assert [grid.time_stride for grid in fitting_grids(SHAPE, 600, {"max_length": 800})] == [16]


@pytest.mark.parametrize("shape", [(64, 2), (16, 16)])
def test_other_mel_bins_are_given(shape, tmp_path):
    """A frame-based file of 64 mel bins at stride 1, and a patch-based one without overlap."""
    fields = {"frequency_patch_size": shape[0], "time_patch_size": shape[1]}
    patches = 511 if shape[1] == 2 else 4 * 64
    found = fine_tuned_state(patches, fshape=shape[0], tshape=shape[1])
    config = convert_state_dict(found, num_mel_bins=64).model.config
    assert (config.num_mel_bins, config.num_patches) == (64, patches)
    assert (config.max_length, config.time_stride) == ((512, 1) if shape[1] == 2 else (1024, 16))
    assert {name: getattr(config, name) for name in fields} == fields
    torch.save(found, tmp_path / "best.pth")
    assert main(["convert", str(tmp_path / "best.pth"), str(tmp_path / "out"), "--num-mel-bins", "64"]) == 0
    with pytest.raises(ValueError, match="`num_mel_bins` is 8, expected at least"):
        convert_state_dict(found, num_mel_bins=8)
