# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`classify` and `embed` by the name of a checkpoint."""

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from ssast_hf import SSASTFeatureExtractor, SSASTModel, classify, embed, load_audio
from ssast_hf.checkpoints import DEFAULT_CLASSIFIER, DEFAULT_PRETRAINED
from ssast_hf.inference import load_classifier

SOUND = Path(__file__).parents[1] / "data" / "sounds" / "perc_snap.flac"


def test_a_name_stands_for_model_and_extractor():
    extractor = SSASTFeatureExtractor.from_pretrained(DEFAULT_CLASSIFIER)
    expected = list(classify(load_classifier(DEFAULT_CLASSIFIER), extractor, [SOUND]))
    assert list(classify([SOUND], model=DEFAULT_CLASSIFIER, device="cpu")) == expected
    assert list(classify(str(SOUND), model=DEFAULT_CLASSIFIER, device="cpu")) == expected
    model = SSASTModel.from_pretrained(DEFAULT_PRETRAINED).eval()
    extractor = SSASTFeatureExtractor.from_pretrained(DEFAULT_PRETRAINED)
    (_, expected), (_, found) = (
        next(embed(model, extractor, [SOUND], layers=[6])),
        next(embed([SOUND], model=DEFAULT_PRETRAINED, layers=[6], device="cpu")),
    )
    np.testing.assert_array_equal(expected["embeddings"], found["embeddings"])


def test_loading_by_name_reports_nothing(capfd, caplog, monkeypatch):
    """The classifier's head is no part of an encoder, which transformers would report as a table."""
    library = logging.getLogger("transformers")  # whose settings other tests of this process may have changed
    monkeypatch.setattr(library, "propagate", True)
    caplog.set_level(logging.WARNING, logger="transformers")
    before = library.getEffectiveLevel(), library.filters[:], library.disabled
    for _ in range(2):
        ((_, found),) = embed(SOUND, model=DEFAULT_CLASSIFIER, device="cpu")
        assert isinstance(found, dict)
    assert capfd.readouterr() == ("", "") and not caplog.records
    # `from_pretrained` reports as it did, the first time in a process.
    assert (library.getEffectiveLevel(), library.filters, library.disabled) == before
    _, found = SSASTModel.from_pretrained(DEFAULT_CLASSIFIER, output_loading_info=True)
    assert any("classifier" in name for name in found["unexpected_keys"])


def test_a_loaded_model_stays_where_it_is():
    model = load_classifier(DEFAULT_CLASSIFIER)
    extractor = SSASTFeatureExtractor.from_pretrained(DEFAULT_CLASSIFIER)
    with pytest.raises(ValueError, match="`device` is 'cpu', expected none"):
        classify(model, extractor, [SOUND], device="cpu")
    assert list(classify(model=model, extractor=extractor, files=[SOUND]))


def test_arrays_and_rows_of_datasets_are_sounds_too(checkpoints, tmp_path):
    """A waveform, a dict of `datasets` or a decoder has the labels and embeddings of the file that it came from."""
    channels, rate = soundfile.read(SOUND, dtype="float32")  # two
    decoder = SimpleNamespace(
        get_all_samples=lambda: SimpleNamespace(data=torch.from_numpy(channels.T.copy()), sample_rate=rate)
    )
    samples, waveform = channels.mean(axis=1), load_audio(SOUND)
    sounds = [
        waveform, torch.from_numpy(waveform), {"array": samples, "sampling_rate": rate, "path": None}, decoder,
        {"bytes": SOUND.read_bytes(), "path": "snap.flac"}, {"bytes": None, "path": str(SOUND)}, waveform.tolist(),
    ]  # fmt: skip
    names = ["sound 0", "sound 1", "sound 2", "sound 3", "snap.flac", str(SOUND), "sound 6"]
    for function, name, value in (
        (classify, "classifier", lambda found: [found[label] for label in sorted(found)]),
        (embed, "pretrained", lambda found: found["embeddings"]),
    ):
        how = {"model": str(checkpoints / name), "device": "cpu"}
        ((_, expected),) = function(SOUND, **how)
        for num_workers in (0, 2):
            found = list(function(sounds, **how, num_workers=num_workers))
            assert [name for name, _ in found] == names
            for _, one in found:
                np.testing.assert_allclose(value(one), value(expected), atol=1e-5)
        for sound in (*sounds, waveform[None]):
            ((_, one),) = function(sound, **how)
            np.testing.assert_allclose(value(one), value(expected), atol=1e-5)


def test_an_array_that_cannot_be_heard_is_an_error_of_its_own(checkpoints):
    sounds = [np.zeros(100), np.full(5000, np.nan), {"array": np.zeros((2, 900)), "sampling_rate": 16000},
              {"path": "nowhere.wav"}, np.zeros(5000)]  # fmt: skip
    found = list(classify(sounds, model=str(checkpoints / "classifier"), device="cpu"))
    assert [str(error).split(";")[0].split(",")[0] for _, error in found[:4]] == [
        "sound has 100 samples at 16000 Hz", "sound has NaN or infinite samples", "sound has shape (2",
        "nowhere.wav does not exist",
    ]  # fmt: skip
    assert set(found[4][1]) == {"drum", "voice", "rest"}


def test_labels_may_have_string_keys(checkpoints):
    """As example scripts of transformers write them, and JSON."""
    model = load_classifier(checkpoints / "classifier")
    extractor = SSASTFeatureExtractor.from_pretrained(checkpoints / "classifier")
    ((_, expected),) = classify(model, extractor, SOUND)
    model.config.id2label = {str(index): name for index, name in model.config.id2label.items()}
    ((_, found),) = classify(model, extractor, SOUND)
    assert found == expected and list(found) == list(expected)
    assert model.config.label_names() == ["drum", "voice", "rest"]
