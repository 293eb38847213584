# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How sure a measured accuracy or mAP is: intervals of 95 %, from the clips judged or from folds."""

import math
from collections.abc import Sequence

import numpy as np

Z = 1.959964  # of the normal distribution, for 95 %
RESAMPLES, FEWER, MANY = 1000, 200, 2000  # resamples of up to MANY clips, of more


def wilson(right: int, count: int) -> tuple[float, float]:
    """
    Wilson's interval of a share (1927): unlike the bootstrap's, it is not empty where all of a few clips are right.
    """
    if not 0 <= right <= count or count < 1:
        raise ValueError(f"Found {right} right of {count}, expected 0 to the number of clips, 1 or more.")
    share, z = right / count, Z**2 / count
    middle = (share + z / 2) / (1 + z)
    half = Z / (1 + z) * math.sqrt(share * (1 - share) / count + z / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_map(scores: np.ndarray, targets: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """
    Percentile bootstrap over clips of the mean average precision.

    Args:
        scores, targets (`np.ndarray` of shape `(clips, labels)`): Any scores; 1 for each of a clip's labels, else 0.
        seed (`int`): Of the resamples.

    Returns:
        Low and high end; NaN where no label has a clip.
    """
    clips = len(scores)
    resamples = RESAMPLES if clips <= MANY else FEWER
    weights = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=resamples)
    found = [average_precisions(scores[:, label], targets[:, label], weights) for label in range(scores.shape[1])]
    values = np.array(found)  # (labels, resamples), NaN where a resample has no clip of a label
    counts = np.isfinite(values).sum(axis=0)
    means = np.nansum(values, axis=0)[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, (0.025, 0.975)) if len(means) else (math.nan, math.nan)
    return float(low), float(high)


def average_precisions(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """
    Average precision of one label for several weightings of the clips, as scikit-learn's `average_precision_score`.

    Args:
        scores, targets (`np.ndarray` of shape `(clips,)`): Of the label.
        weights (`np.ndarray` of shape `(weightings, clips)`): How often each clip counts.

    Returns:
        `(weightings,)`, NaN where no positive clip counts.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = -scores[order]
    last = np.searchsorted(ordered, ordered, side="right") - 1  # clips of equal scores count as one
    weights = weights[:, order].astype(np.float64)
    positive = weights * targets[order]
    total = weights.cumsum(axis=1)[:, last]
    precision = np.divide(positive.cumsum(axis=1)[:, last], total, out=np.zeros_like(total), where=total > 0)
    sums = positive.sum(axis=1)
    return np.divide((positive * precision).sum(axis=1), sums, out=np.full(len(sums), np.nan), where=sums > 0)


def over_folds(values: Sequence[float]) -> tuple[float, float, float]:
    """
    Mean of the folds' values and its interval by Student's t. Folds share training clips, so that the truth is outside
    more often than 5 % of the time (Bengio and Grandvalet 2004).

    Returns:
        Mean, low and high end; the ends are NaN for one fold and for folds that are all equal, of which Student's t
        would be without width.
    """
    from scipy import stats

    found = np.asarray(values, dtype=np.float64)
    mean = float(found.mean())
    if found.min() == found.max():
        return mean, math.nan, math.nan
    half = float(stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found)))
    return mean, mean - half, mean + half


def interval_of(scores: np.ndarray, targets: np.ndarray, several: bool) -> dict[str, float]:
    """
    Interval of the accuracy, or where clips have several labels of the mAP: `{metric}_low` and `{metric}_high`.
    There is none of an mAP that all resamples have, such as 1: the bootstrap does not tell how sure that is.
    """
    if several:
        low, high = bootstrap_map(scores, targets)
        return {"mAP_low": low, "mAP_high": high} if low < high else {}
    right = int((scores.argmax(axis=1) == targets.argmax(axis=1)).sum())
    return dict(zip(("accuracy_low", "accuracy_high"), wilson(right, len(scores))))


def describe_interval(results: dict[str, float], prefix: str) -> str:
    """In one line; empty where there is no interval."""
    for metric, how in (("accuracy", "Wilson's interval"), ("mAP", "bootstrap over clips")):
        low, high = (results.get(f"{prefix}_{metric}_{end}") for end in ("low", "high"))
        if low is not None and high is not None:
            clips = results[f"{prefix}_samples"]
            return f"{metric} on other clips like these {clips}: {low:.3f} to {high:.3f} (95 %, {how})"
    if results.get(f"{prefix}_mAP") is not None:
        clips, value = results[f"{prefix}_samples"], results[f"{prefix}_mAP"]
        return f"mAP on other clips: no interval, because all resamples of these {clips} have {value:.3f}"
    return ""
