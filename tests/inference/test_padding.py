# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Whether padding is masked: what the saved extractor says holds in classify, pipelines, embed and HEAR alike."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import pipeline

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTModel,
    classify,
    embed,
    load_audio,
)
from ssast_hf.checkpoints.convert import convert_checkpoint
from ssast_hf.feature_extraction_ssast import log_mel_filterbank
from ssast_hf.inference import load_classifier
from ssast_hf.integrations.hear import HearModel

from ..conftest import SMALL
from ..official_states import fine_tuned_state


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Files of 25 ms to a whole window of 128 frames."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    paths = []
    for samples in (400, 1000, 3000, 9000, 16000, 127 * 160 + 400):
        paths.append(folder / f"{samples}.wav")
        soundfile.write(paths[-1], 0.1 * rng.standard_normal(samples), 16000)
    return paths


def original_input(path, extractor) -> torch.Tensor:
    """As the official `_wav2fbank` and `__getitem__` make it: zeros to max_length, then normalised; no mask."""
    features = log_mel_filterbank(torch.from_numpy(load_audio(path))[None])
    padded = torch.nn.functional.pad(features, (0, 0, 0, extractor.max_length - features.shape[1]))
    return (padded - extractor.mean) / (2 * extractor.std)


def test_a_converted_official_classifier_gives_one_answer_everywhere(clips, tmp_path):
    """classify, transformers' pipeline and the model on the official input, whose logits test_golden.py checks."""
    torch.manual_seed(0)
    state = fine_tuned_state(64, labels=3)
    state["module.mlp_head.1.weight"] = torch.randn(3, 192)  # far from ties
    torch.save(state, tmp_path / "best.pth")
    fields = {"frequency_stride": 16, "time_stride": 16, "max_length": 128}
    convert_checkpoint(tmp_path / "best.pth", tmp_path / "ours", **fields)
    model, extractor = load_classifier(tmp_path / "ours"), SSASTFeatureExtractor.from_pretrained(tmp_path / "ours")
    assert extractor.return_attention_mask is False
    answers = pipeline("audio-classification", model=str(tmp_path / "ours"))([load_audio(p) for p in clips], top_k=3)
    together = dict(classify(model, extractor, clips))
    for path, answer in zip(clips, answers, strict=True):
        with torch.no_grad():
            logits = model(original_input(path, extractor)).logits[0]
        expected = dict(zip(model.config.id2label.values(), logits.softmax(-1).tolist()))
        assert {label["label"]: label["score"] for label in answer} == pytest.approx(expected, abs=1e-5)
        assert together[str(path)] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mask", [True, False, None])
def test_the_extractor_decides(clips, mask):
    """None: a classifier hears padding, as in the pipeline; an encoder's embeddings do not depend on it."""
    torch.manual_seed(0)
    config = SSASTConfig(**SMALL, max_length=128, num_labels=3, initializer_range=0.2)
    classifier, encoder = SSASTForAudioClassification(config).eval(), SSASTModel(config).eval()
    extractor = SSASTFeatureExtractor(max_length=128, return_attention_mask=mask)
    path = clips[3]
    masked = extractor(load_audio(path), sampling_rate=16000, padding="longest", pad_to_multiple_of=16,
                       return_attention_mask=True, return_tensors="pt")  # fmt: skip
    bare = {"input_values": original_input(path, extractor)}
    with torch.no_grad():
        expected = classifier(**(masked if mask else bare)).logits.softmax(-1)[0].tolist()
        outputs = encoder(**(bare if mask is False else masked))
    ((_, found),) = classify(classifier, extractor, [path])
    assert found == pytest.approx(dict(zip(config.id2label.values(), expected)), abs=1e-5)
    ((_, clip),) = embed(encoder, extractor, [path])
    np.testing.assert_allclose(clip["embeddings"], outputs.pooler_output[0], atol=1e-5)
    ((_, frames),) = embed(encoder, extractor, [path], "frame")
    by_time = outputs.last_hidden_state[0, 2:].unflatten(0, (8, -1)).mean(0)
    steps = ((9000 - 400) // 160 + 1 - 16) // 16 + 1
    np.testing.assert_allclose(frames["embeddings"], by_time[:steps], atol=1e-5)
    steps_of_hear, scene = HearModel(encoder, extractor)(torch.from_numpy(load_audio(path))[None])
    np.testing.assert_allclose(steps_of_hear[0], by_time[:steps], atol=1e-5)
    np.testing.assert_allclose(scene[0], outputs.pooler_output[0], atol=1e-5)


@pytest.mark.parametrize("patches", ["patch", "frame"])
def test_rows_are_means_over_time_side_by_side(clips, patches):
    """Of a clip of two windows, against the mean over all its patches, row by row."""
    torch.manual_seed(0)
    config = SSASTConfig.tiny(patches, **SMALL, max_length=64)
    encoder = SSASTModel(config).eval()
    extractor = SSASTFeatureExtractor(max_length=64)
    for layers in (None, [1]):
        ((_, found),) = embed(encoder, extractor, [clips[4]], layers=layers, pooling="rows")
        ((_, patch),) = embed(encoder, extractor, [clips[4]], "patch", layers=layers)
        bins = sorted(set(patch["mel_bin"].tolist()))
        expected = np.concatenate([patch["embeddings"][patch["mel_bin"] == lowest].mean(axis=0) for lowest in bins])
        assert found["embeddings"].shape == (config.num_frequency_patches * config.hidden_size,)
        np.testing.assert_allclose(found["embeddings"], expected, atol=1e-5)
        encoder.config.pooling = "rows"  # the same by the model's own pooling
        ((_, own),) = embed(encoder, extractor, [clips[4]], layers=layers)
        np.testing.assert_allclose(own["embeddings"], found["embeddings"], atol=1e-6)
        encoder.config.pooling = "mean"
    with pytest.raises(ValueError, match="'rows', 'segments' for level='clip', or None"):
        next(embed(encoder, extractor, clips, "frame", pooling="rows"))
