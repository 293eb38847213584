# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Regression and cross-validation on features, against scikit-learn's own pipelines."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssast_hf.training.regression import CERTAIN, WindowFeatures, cross_validate, fit, make_folds


def clips(count: int, size: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, size) of very different scales, one of them constant, and targets (count, labels)."""
    rng = np.random.default_rng(seed)
    index = np.arange(count) % labels
    inputs = rng.normal(size=(count, size)) + 0.7 * rng.normal(size=(labels, size))[index]
    inputs = inputs * 10.0 ** rng.integers(-2, 3, size) + 5
    inputs[:, 0] = 3
    return inputs.astype(np.float32), np.eye(labels)[index]


@pytest.mark.parametrize("size", [7, 90])  # fewer features than clips, and more
@pytest.mark.parametrize("labels", [2, 5])
def test_probabilities_are_those_of_scikit_learn(size, labels):
    inputs, targets = clips(40, size, labels)
    for strength, found in zip((0.05, 1.0), fit(WindowFeatures.of_clips(inputs), targets, (0.05, 1.0), False)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-8, max_iter=5000))
        expected = model.fit(inputs.astype(float), targets.argmax(1)).predict_proba(inputs.astype(float))
        np.testing.assert_allclose(found.scores(WindowFeatures.of_clips(inputs)), expected, atol=1e-4)


@pytest.mark.parametrize("size", [7, 90])
def test_several_labels_are_one_against_the_rest(size):
    """Clips without a label are negatives of all."""
    inputs, targets = clips(40, size, 4)
    targets[:8] = 0
    targets[8:16, 2] = 1
    (found,) = fit(WindowFeatures.of_clips(inputs), targets, [0.1], True)
    model = OneVsRestClassifier(LogisticRegression(C=0.1, tol=1e-8, max_iter=5000))
    expected = make_pipeline(StandardScaler(), model).fit(inputs.astype(float), targets)
    expected = expected.predict_proba(inputs.astype(float))
    np.testing.assert_allclose(found.scores(WindowFeatures.of_clips(inputs)), expected, atol=1e-4)


@pytest.mark.parametrize("several", [False, True])
def test_labels_of_no_clip_are_never_found(several):
    inputs, targets = clips(30, 6, 3)
    targets = np.insert(targets, 1, 0, axis=1)
    windows = WindowFeatures.of_clips(inputs)
    (found,) = fit(windows, targets, [0.1], several)
    scores = found.scores(windows)
    assert (found.bias[1], scores[:, 1].max()) == (-CERTAIN, 0)
    (without,) = fit(windows, np.delete(targets, 1, axis=1), [0.1], several)
    np.testing.assert_allclose(np.delete(scores, 1, axis=1), without.scores(windows), atol=1e-5)


def test_windows_count_by_their_weight_and_their_scores_are_averaged():
    """A clip cut in two halves alike is the clip; weights are scikit-learn's sample weights."""
    inputs, targets = clips(20, 5, 3)
    (whole,) = fit(WindowFeatures.of_clips(inputs), targets, [0.3], False)
    halves = WindowFeatures(np.repeat(inputs, 2, axis=0), np.arange(20).repeat(2), np.full(40, 0.5))
    (cut,) = fit(halves, targets, [0.3], False)
    np.testing.assert_allclose(cut.weight, whole.weight, atol=1e-4)
    two = WindowFeatures(inputs[:2], np.array([0, 0]), np.array([0.25, 0.75]))
    each = whole.scores(WindowFeatures.of_clips(inputs[:2]))
    np.testing.assert_allclose(whole.scores(two), 0.25 * each[:1] + 0.75 * each[1:])
    assert halves.of(np.array([3, 1])).clip.tolist() == [1, 1, 0, 0]


def test_parts_keep_groups_together_and_labels_apart():
    _, targets = clips(60, 2, 3)
    groups = [f"speaker {index // 6}" for index in range(60)]
    parts = make_folds(targets, False, 0, groups)
    assert len(parts) == 5
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(60))
    for train, test in parts:
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        assert (targets[test].sum(axis=0) >= 3).all()
    assert [len(test) for _, test in make_folds(targets[:9], False, 0)] == [3, 3, 3]  # three clips per label
    assert make_folds(np.eye(4), False, 0) == []  # one clip per label
    assert make_folds(targets, False, 0, ["one"] * 60) == []
    lonely = np.concatenate([targets, np.zeros((60, 1))], axis=1)
    lonely[0] = [0, 0, 0, 1]
    assert len(make_folds(lonely, False, 0)) == 5


def test_cross_validation_judges_each_clip_without_its_own_part():
    inputs, targets = clips(45, 6, 3)
    folds = make_folds(targets, False, 1)
    found = cross_validate(WindowFeatures.of_clips(inputs), targets, [0.03, 1.0], False, folds)
    for strength, (accuracy, likelihood) in zip((0.03, 1.0), found):
        expected = np.zeros(targets.shape)
        for train, test in folds:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
            model.fit(inputs[train].astype(float), targets[train].argmax(1))
            expected[test] = model.predict_proba(inputs[test].astype(float))
        assert accuracy == (expected.argmax(1) == targets.argmax(1)).mean()
        assert likelihood == pytest.approx(np.log(expected[targets > 0]).mean(), abs=1e-2)


def test_versions_of_clips_count_alike_and_do_not_judge():
    """Two versions, of which the other is fitted only: scikit-learn's, with half the weight of each."""
    inputs, targets = clips(30, 6, 3)
    other = inputs + np.random.default_rng(1).normal(size=inputs.shape).astype(np.float32)
    windows = WindowFeatures.of_clips(inputs)
    joined = WindowFeatures.joined([windows, WindowFeatures.of_clips(other)])
    folds = make_folds(targets, False, 0)
    ((accuracy, likelihood),) = cross_validate(windows, targets, [0.3], False, folds, joined)
    scores = np.zeros_like(targets)
    for train, test in folds:
        both = np.concatenate([inputs[train], other[train]]).astype(float)
        scaler, index = StandardScaler().fit(both), np.tile(targets[train].argmax(1), 2)
        solver = LogisticRegression(C=0.3, tol=1e-8, max_iter=5000)
        solver.fit(scaler.transform(both), index, sample_weight=np.full(len(both), 0.5))
        scores[test] = solver.predict_proba(scaler.transform(inputs[test].astype(float)))
    assert accuracy == (scores.argmax(1) == targets.argmax(1)).mean()
    assert likelihood == pytest.approx(np.log((scores * targets).sum(1)).mean(), abs=1e-3)
