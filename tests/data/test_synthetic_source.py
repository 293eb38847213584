# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`synth:SEED`: procedural sound as a source like any other."""

import json

import numpy as np
import pytest

from ssast_hf.cli import main
from ssast_hf.data.sources import find_sounds, read_labelled, read_sources


def test_the_same_seed_gives_the_same_sounds_another_one_others():
    (first,), (again,), (other,) = (read_sources([f"synth:{seed},clips=3,seconds=0.5"]) for seed in (7, 7, 8))
    sounds = [clip.load(16000) for clip in first.clips]
    assert [sound.shape for sound in sounds] == [(8000,)] * 3
    assert all(np.abs(sound).max() > 0.01 for sound in sounds)
    for one, two in zip(sounds, again.clips):
        np.testing.assert_array_equal(one, two.load(16000))
    assert len({sound.tobytes() for sound in [*sounds, *(clip.load(16000) for clip in other.clips)]}) == 6


def test_a_piece_is_that_of_the_whole_and_the_length_is_known_without_making_it():
    (clip,) = find_sounds(["synth:1,clips=1,seconds=2"])
    assert clip.seconds() == 2
    np.testing.assert_array_equal(clip.load(16000, 0.5, 0.25), clip.load(16000)[8000:12000])


def test_without_options_it_is_28_hours():
    (source,) = read_sources("synth:0")
    assert len(source.clips) == 10_000 and sum(clip.seconds() for clip in source.clips) == 100_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("synth:", "SEED"), ("synth:-1", "SEED"), ("synth:x", "SEED"), ("synth:1,clips=0", "clips"),
        ("synth:1,seconds=nan", "seconds"), ("synth:1,seconds=1e9", "seconds"), ("synth:1,split=train", "split"),
    ],
)  # fmt: skip
def test_what_is_no_seed_or_no_number_is_an_error(text, found):
    with pytest.raises(ValueError, match=found):
        read_sources([text])


def test_options_of_procedural_sound_are_refused_elsewhere(tmp_path):
    with pytest.raises(ValueError, match="clips"):
        read_sources([f"{tmp_path},clips=3"])


def test_it_has_no_labels():
    with pytest.raises(ValueError, match="no labels"):
        read_labelled("synth:1")


def test_pretraining_and_embedding_take_it(tmp_path, capsys):
    flags = ["--size", "tiny", "--max_length", "64", "--num_mask_patches", "8", "--per_device_train_batch_size", "2"]
    shape = json.dumps({"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32})
    model = tmp_path / "model"
    more = ["--max_steps", "2", "--disable_tqdm", "True", "--output_dir", str(model), "--config", shape]
    assert main(["pretrain", "--data", "synth:3,clips=12,seconds=0.7", *flags, *more]) == 0
    assert "11 clips for training, 1 for validation" in capsys.readouterr().err
    output = tmp_path / "found.npz"
    assert main(["embed", "synth:3,clips=2,seconds=0.7", "--model", str(model), "--output", str(output)]) == 0
    assert np.load(output)["embeddings"].shape == (2, 32)
