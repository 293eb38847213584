# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a split holds out for pretraining holds sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssast_hf.data.labelled import split
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.data.sources import Source, read_sources
from ssast_hf.training.crops import Crops
from ssast_hf.training.pretrain import hold_out


@pytest.mark.parametrize("content", ["corrupt", "silent"])
def test_one_unusable_clip_that_is_held_out_does_not_stop_pretraining(tmp_path, content):
    for number in range(10):
        noise = np.random.default_rng(number).uniform(-0.1, 0.1, 16000)
        soundfile.write(tmp_path / f"{number}.wav", noise, 16000)
    (source,) = read_sources(str(tmp_path))
    train, held_out = split(source.clips, 0.1, 3)
    assert hold_out([source], 0.1, 3) == ([Source(source.name, train)], [Source(source.name, held_out)])
    (drawn,) = held_out
    if content == "corrupt":
        Path(drawn.path).write_bytes(b"no sound")
    else:
        soundfile.write(drawn.path, np.zeros(16000), 16000)
    (train,), (held_out,) = hold_out([source], 0.1, 3)
    assert len(held_out.clips) == 2 and held_out.clips[0] == drawn
    assert set(train.clips) | set(held_out.clips) == set(source.clips) and len(train.clips) == 8
    assert hold_out([source], 0.1, 3) == ([train], [held_out])
    crops = Crops([held_out], 8000, Reader(16000, Skipped()), 3, 1600)
    crops.check()
    assert len(crops[0]["waveform"]) == 8000  # another of its source takes the place of the corrupt one
