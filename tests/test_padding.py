# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`SSASTFeatureExtractor.pad`: batches made of single clips equal the batches that the extractor makes itself."""

import numpy as np
import pytest
import torch
from transformers import DataCollatorWithPadding

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification

RATE = {"sampling_rate": 16000}
SAMPLES = (1680, 3600, 9000)  # 9, 21 and 54 frames


@pytest.fixture
def extractor() -> SSASTFeatureExtractor:
    return SSASTFeatureExtractor(num_mel_bins=24, max_length=60)


def clips() -> list[np.ndarray]:
    return [(0.1 * np.random.default_rng(n).standard_normal(n)).astype(np.float32) for n in SAMPLES]


def single(extractor, **options) -> list[dict]:
    """The extractor's output for each clip alone, without padding."""
    outputs = extractor(clips(), **RATE, padding=False, **options)
    return [{name: values[index] for name, values in outputs.items()} for index in range(len(SAMPLES))]


@pytest.mark.parametrize("multiple", [None, 16])
@pytest.mark.parametrize("padding", ["longest", "max_length"])
@pytest.mark.parametrize("form", ["arrays", "lists", "tensors", "columns"])
def test_it_equals_padding_by_the_extractor(extractor, padding, multiple, form):
    how = {"padding": padding, "pad_to_multiple_of": multiple, "return_tensors": "np"}
    expected = extractor(clips(), **RATE, **how, return_attention_mask=True)
    features = single(extractor)
    if form == "lists":  # as a dataset on disk gives them
        features = [{name: value.tolist() for name, value in item.items()} for item in features]
    elif form == "tensors":
        features = [{name: torch.from_numpy(value) for name, value in item.items()} for item in features]
    elif form == "columns":
        features = {name: [item[name] for item in features] for name in features[0]}
    found = extractor.pad(features, **how)
    assert found.keys() == expected.keys() == {"input_values", "attention_mask"}
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_padding_has_its_value_after_normalisation(extractor):
    found = extractor.pad(single(extractor), return_tensors="pt")["input_values"]
    torch.testing.assert_close(found[0, 9:], torch.full((45, 24), 4.2677393 / (2 * 4.5689974)))
    plain = SSASTFeatureExtractor(num_mel_bins=24, do_normalize=False, padding_value=-3.0)
    assert (plain.pad(single(plain))["input_values"][0, 9:] == -3).all()


def test_when_the_mask_is_returned(extractor):
    """The extractor's setting decides; where there is none, a mask comes with clips that have one or are padded."""
    masked, bare = single(extractor), single(extractor, return_attention_mask=False)
    assert extractor.pad(masked)["attention_mask"].sum(axis=1).tolist() == [9, 21, 54]
    assert extractor.pad(bare)["attention_mask"].sum(axis=1).tolist() == [9, 21, 54]
    assert "attention_mask" not in extractor.pad(bare[:1])
    assert "attention_mask" not in extractor.pad(masked, return_attention_mask=False)
    never = SSASTFeatureExtractor(num_mel_bins=24, return_attention_mask=False)
    assert "attention_mask" not in never.pad(masked) and "attention_mask" not in never.pad(bare)


def test_padding_that_features_have_already_stays_masked(extractor):
    one, two = (extractor(clips()[:n], **RATE, padding="max_length", max_length=size, return_attention_mask=True)
                for n, size in ((1, 30), (2, 50)))  # fmt: skip
    features = [{name: values[-1] for name, values in outputs.items()} for outputs in (one, two)]
    found = extractor.pad(features)
    assert found["input_values"].shape == (2, 50, 24)
    assert found["attention_mask"].sum(axis=1).tolist() == [9, 21]


def test_cutting_and_no_padding(extractor):
    features = single(extractor)
    cut = extractor.pad(features, padding="max_length", max_length=20, truncation=True, return_tensors="pt")
    assert cut["input_values"].shape == (3, 20, 24) and cut["attention_mask"].sum(dim=1).tolist() == [9, 20, 20]
    assert [len(item) for item in extractor.pad(features, padding=False)["input_values"]] == [9, 21, 54]
    with pytest.raises(ValueError, match="54 frames, more than max_length=20"):
        extractor.pad(features, padding="max_length", max_length=20)
    with pytest.raises(ValueError, match="9 to 54 frames do not fit one tensor"):
        extractor.pad(features, padding=False, return_tensors="pt")


def test_what_is_no_batch_of_spectrograms_is_named(extractor):
    features = single(extractor)
    with pytest.raises(ValueError, match=r"one spectrogram \(9 frames, 24 mel bins\), expected a list"):
        extractor.pad(features[0])
    features[1]["input_values"] = features[1]["input_values"].T
    with pytest.raises(ValueError, match=r"clip 1 has shape \(24, 21\), expected \(frames, 24 mel bins\)"):
        extractor.pad(features)
    with pytest.raises(ValueError, match="`path` does not fit one tensor"):
        extractor.pad([{**item, "path": "a.wav"} for item in single(extractor)], return_tensors="pt")


@pytest.mark.parametrize("label", [2, [0.0, 1.0, 1.0], np.float64(0.5)])
def test_the_collator_of_transformers_stacks_labels(extractor, label):
    features = [{**item, "label": label} for item in single(extractor)]
    batch = DataCollatorWithPadding(extractor, pad_to_multiple_of=16)(features)
    assert batch["input_values"].shape == (3, 64, 24) and batch["attention_mask"].shape == (3, 64)
    expected = torch.as_tensor([label] * 3)
    assert batch["labels"].dtype is (torch.long if label == 2 else torch.float32)
    torch.testing.assert_close(batch["labels"], expected.to(batch["labels"].dtype))


def test_a_clip_has_the_same_logits_in_a_padded_batch(config, extractor):
    model = SSASTForAudioClassification(config).eval()
    batch = extractor.pad(single(extractor), return_tensors="pt")
    with torch.no_grad():
        together = model(**batch).logits
        alone = [model(torch.from_numpy(item["input_values"])[None]).logits for item in single(extractor)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_a_max_length_in_samples_is_warned_of(extractor, caplog, monkeypatch):
    """As in transformers' audio-classification tutorial, which passes max_length=16000 for one second."""
    import transformers

    monkeypatch.setattr("ssast_hf.feature_extraction_ssast.logger.warning_once",
                        transformers.logging.get_logger("ssast_hf.feature_extraction_ssast").warning)  # fmt: skip
    monkeypatch.setattr(transformers.logging.get_logger("transformers"), "propagate", True)
    for max_length in (60, 100, 400):  # up to 8 times 60, the extractor's, nothing is said
        extractor(np.zeros(8400, np.float32), **RATE, max_length=max_length)
    assert not caplog.records
    extractor(np.zeros(8400, np.float32), **RATE, max_length=16000, truncation=True)
    (record,) = caplog.records
    for part in ("max_length=16000 is in frames, 160 s", "is 60", "longest clip has 51", "are meant: max_length=98."):
        assert part in record.getMessage()
    extractor.pad(single(extractor), max_length=16000, padding="max_length")
    assert len(caplog.records) == 2


def test_clips_with_and_without_a_mask_or_labels(extractor):
    """Whichever comes first: a clip's own mask stays, one without is sound throughout; other gaps are named."""
    features = single(extractor)
    features[1]["attention_mask"][15:] = 0
    for bare in (0, 2):
        given = [dict(item) for item in features]
        del given[bare]["attention_mask"]
        assert extractor.pad(given, return_tensors="pt")["attention_mask"].sum(dim=1).tolist() == [9, 15, 54]
    for labelled in (0, 1):
        given = [{**item, "labels": 1} if index == labelled else item for index, item in enumerate(single(extractor))]
        with pytest.raises(ValueError, match=f"Clip {1 - labelled} has no `labels`, which other clips have"):
            extractor.pad(given)
    with pytest.raises(ValueError, match="Found an empty list, expected the features of at least one clip"):
        extractor.pad([])
