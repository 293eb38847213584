# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Logistic regression on fixed features of clips, cut into windows whose scores are averaged, and cross-validation."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

MOST_ITERATIONS = 5000
EXACT, ROUGH = 1e-6, 1e-4  # tolerance of the solver for what is kept, and in cross-validation
SMALLEST_SHARE = 1e-12  # of the largest eigenvalue, below which a direction is taken for rounding
FOLDS = 5
CERTAIN = 1e4  # logit of a label that all or none of the clips have
SMALLEST = 1e-15  # probability in a logarithm


@dataclass
class WindowFeatures:
    """
    Features of clips, a row per window.

    Args:
        inputs (`np.ndarray` of shape `(windows, size)`): Features.
        clip (`np.ndarray` of shape `(windows,)`): Index of each window's clip.
        weight (`np.ndarray` of shape `(windows,)`): The window's share of its clip, 1 in all per clip.
    """

    inputs: np.ndarray
    clip: np.ndarray
    weight: np.ndarray

    @classmethod
    def of_clips(cls, inputs: np.ndarray) -> "WindowFeatures":
        """One row per clip."""
        return cls(inputs, np.arange(len(inputs)), np.ones(len(inputs)))

    @classmethod
    def joined(cls, several: Sequence["WindowFeatures"]) -> "WindowFeatures":
        """The windows of several versions of the same clips, each of which counts alike."""
        return cls(
            np.concatenate([version.inputs for version in several]),
            np.concatenate([version.clip for version in several]),
            np.concatenate([version.weight for version in several]) / len(several),
        )

    def followed_by(self, other: "WindowFeatures") -> "WindowFeatures":
        """The windows of these clips, and then those of others."""
        return WindowFeatures(
            np.concatenate([self.inputs, other.inputs]),
            np.concatenate([self.clip, other.clip + self.clip.max() + 1]),
            np.concatenate([self.weight, other.weight]),
        )

    def of(self, clips: np.ndarray) -> "WindowFeatures":
        """The windows of some clips, which are counted anew from 0 in the order given."""
        place = np.full(self.clip.max() + 1, -1)
        place[clips] = np.arange(len(clips))
        chosen = np.flatnonzero(place[self.clip] >= 0)
        return WindowFeatures(self.inputs[chosen], place[self.clip[chosen]], self.weight[chosen])


@dataclass
class Regression:
    """
    Linear layer and activation, as the head of a classifier has them: softmax, or sigmoid where a clip may have
    several labels.

    Args:
        weight (`np.ndarray` of shape `(labels, size)`), bias (`np.ndarray` of shape `(labels,)`): float64.
        several (`bool`): Whether a clip may have several labels.
    """

    weight: np.ndarray
    bias: np.ndarray
    several: bool

    def scores(self, windows: WindowFeatures) -> np.ndarray:
        """Probabilities (clips, labels): the mean of those of the clip's windows by their weights."""
        logits = windows.inputs @ self.weight.T + self.bias
        if self.several:
            probabilities = 0.5 * (1 + np.tanh(0.5 * logits))
        else:
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        joined = np.zeros((windows.clip.max() + 1, len(self.bias)))
        np.add.at(joined, windows.clip, probabilities * windows.weight[:, None])
        return joined


def fit(
    windows: WindowFeatures,
    targets: np.ndarray,
    strengths: Sequence[float],
    several: bool,
    tolerance: float = EXACT,
) -> list[Regression]:
    """
    scikit-learn's `StandardScaler` and `LogisticRegression` (for several labels one per label), the scaling folded
    into weights and bias. A window counts by its weight.

    Args:
        windows ([`WindowFeatures`]): Features of the clips.
        targets (`np.ndarray` of shape `(clips, labels)`): 1 for the labels of a clip, else 0. A label that no clip has
            gets the probability 0.
        strengths (`Sequence[float]`): scikit-learn's `C`, the larger, the weaker the regularization.
        several (`bool`): Whether a clip may have several labels.
        tolerance (`float`): Of the solver.

    Returns:
        A [`Regression`] for each strength.
    """
    targets = targets[windows.clip] > 0.5
    with threadpool_limits(1):  # products of so few rows are slower on several threads
        scaler = StandardScaler().fit(windows.inputs.astype(np.float64), sample_weight=windows.weight)
        inputs, back = scaler.transform(windows.inputs.astype(np.float64)), None
        if len(inputs) < inputs.shape[1] and inputs.any():  # of clips that are all alike, the span is empty
            # With fewer rows than columns the weights lie in the span of the rows: the same regression, faster.
            squares, left = np.linalg.eigh(inputs @ inputs.T)
            kept = squares > SMALLEST_SHARE * squares[-1]
            back = (left[:, kept] / np.sqrt(squares[kept])).T @ inputs
            inputs = left[:, kept] * np.sqrt(squares[kept])
        found = []
        for strength in strengths:
            solver = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS, tol=tolerance)
            weight, bias = (_sigmoids if several else _softmax)(solver, inputs, targets, windows.weight)
            weight = (weight if back is None else weight @ back) / scaler.scale_
            found.append(Regression(weight, bias - weight @ scaler.mean_, several))
    return found


def _softmax(solver: LogisticRegression, inputs, targets, sample_weight) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = np.zeros((targets.shape[1], inputs.shape[1])), np.full(targets.shape[1], -CERTAIN)
    index = targets.argmax(axis=1)
    present = np.unique(index)
    if len(present) == 1:
        bias[present] = 0
        return weight, bias
    fitted = solver.fit(inputs, index, sample_weight=sample_weight)
    if len(present) == 2:  # scikit-learn has one logit for two classes: half of it for one, minus half for the other
        weight[present] = np.concatenate([-fitted.coef_, fitted.coef_]) / 2
        bias[present] = np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2
    else:
        weight[present], bias[present] = fitted.coef_, fitted.intercept_
    return weight, bias


def _sigmoids(solver: LogisticRegression, inputs, targets, sample_weight) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = np.zeros((targets.shape[1], inputs.shape[1])), np.zeros(targets.shape[1])
    for label, has in enumerate(targets.T):
        if has.all() or not has.any():
            bias[label] = CERTAIN if has.all() else -CERTAIN
            continue
        fitted = solver.fit(inputs, has, sample_weight=sample_weight)
        weight[label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
    return weight, bias


def make_folds(
    targets: np.ndarray, several: bool, seed: int, groups: Sequence[str] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """
    Divides clips for cross-validation into at most `FOLDS` parts with about the same share of each label (of a clip
    with several: its rarest), and with `groups`, one per clip, all clips of a group in the same part.

    Returns:
        Indices to fit and indices to judge by, for each part; nothing where two parts cannot be made: each label has
        one clip, or there is one group.
    """
    counts = targets.sum(axis=0)
    kind = np.where(targets > 0.5, counts, np.inf).argmin(axis=1) if several else targets.argmax(axis=1)
    kind = np.where(targets.any(axis=1), kind, -1)
    parts = min(FOLDS, int(np.unique(kind, return_counts=True)[1].max()))
    if groups is not None:
        parts = min(parts, len(set(groups)))
    if parts < 2:
        return []
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a label with fewer clips than there are parts is missing in some of them
        warnings.filterwarnings("ignore", message="The least populated class")
        divided = list(splitter.split(np.zeros(len(targets)), kind, groups))
    return [(train, test) for train, test in divided if len(train) and len(test)]


def cross_validate(
    windows: WindowFeatures,
    targets: np.ndarray,
    strengths: Sequence[float],
    several: bool,
    folds: list[tuple[np.ndarray, np.ndarray]],
    fitted: WindowFeatures | None = None,
) -> list[tuple[float, float]]:
    """
    For each strength, what the clips' scores are worth, each predicted without the clip's own part: accuracy, or for
    several labels mAP; and minus the logarithmic loss. `fitted` are windows of the same clips to fit, where these are
    not the ones that are judged.
    """
    fitted = windows if fitted is None else fitted
    scores = np.zeros((len(strengths), *targets.shape))
    for train, test in folds:
        judged = windows.of(test)
        found = fit(fitted.of(train), targets[train], strengths, several, ROUGH)
        for index, regression in enumerate(found):
            scores[index, test] = regression.scores(judged)
    tested = np.concatenate([test for _, test in folds])
    return [_worth(found[tested], targets[tested], several) for found in scores]


def _worth(scores: np.ndarray, targets: np.ndarray, several: bool) -> tuple[float, float]:
    right = np.log(np.where(targets > 0.5, scores, 1 - scores).clip(SMALLEST)) if several else np.log(
        (scores * targets).sum(axis=1).clip(SMALLEST))  # fmt: skip
    if not several:
        return float((scores.argmax(axis=1) == targets.argmax(axis=1)).mean()), float(right.mean())
    each = [average_precision_score(has, found) for has, found in zip(targets.T, scores.T) if has.any()]
    return float(np.mean(each)), float(right.mean())
