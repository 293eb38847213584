# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Accuracy, macro F1, mAP, mAUC and d-prime of classified clips, and the same per label; on scikit-learn. Imports neither
`evaluate` nor `datasets`, which would take seconds and memory; metrics/audio_classification is a module of `evaluate`
on top of it.
"""

from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support, roc_auc_score


def compute_metrics(scores: np.ndarray, targets: np.ndarray, several: bool) -> dict:
    """
    Args:
        scores: Probabilities (clips, labels).
        targets: 0 and 1, (clips, labels); or the number of each clip's only label, (clips,).
        several (`bool`): Whether clips may have several labels, or none. If not, the best score is what is predicted,
            else all of 0.5 and more.

    Returns:
        `accuracy` (unless `several`), `f1_macro`, `mAP`, `mAUC`, `d_prime` (these three where they are defined; None
        for an infinite d-prime) and `per_class`, a dict for each label.

    Raises:
        ValueError: Shapes differ, or a clip does not have one label although not `several`.
    """
    scores, targets = np.asarray(scores, dtype=np.float32), np.asarray(targets)
    targets = _one_hot(targets, scores) if targets.ndim == 1 else targets > 0.5
    if scores.ndim != 2 or scores.shape != targets.shape:
        raise ValueError(f"Found scores {scores.shape} and references {targets.shape}, expected (clips, labels).")
    if not several and (targets.sum(axis=1) != 1).any():
        raise ValueError("A clip has no label or more than one, which `several=True` would allow.")
    found = scores >= 0.5 if several else np.eye(scores.shape[1], dtype=bool)[scores.argmax(axis=1)]
    precision, recall, f1, support = precision_recall_fscore_support(targets, found, zero_division=0)
    occurs = support > 0
    mixed = occurs & (support < len(targets))
    each = range(scores.shape[1])
    ap = [_average_precision(targets[:, i], scores[:, i]) if occurs[i] else None for i in each]
    auc = [float(roc_auc_score(targets[:, i], scores[:, i])) if mixed[i] else None for i in each]

    results: dict[str, Any] = {}
    if not several:
        results["accuracy"] = float((targets & found).any(axis=1).mean())
    counted = np.flatnonzero(occurs | found.any(axis=0))
    results["f1_macro"] = float(f1_score(targets, found, labels=counted, average="macro", zero_division=0))
    for name, values in (("mAP", ap), ("mAUC", auc)):
        defined = [value for value in values if value is not None]
        if defined:
            results[name] = float(np.mean(defined))
    if "mAUC" in results:
        finite = 0 < results["mAUC"] < 1
        results["d_prime"] = float(np.sqrt(2) * norm.ppf(results["mAUC"])) if finite else None
    results["per_class"] = [
        {
            "clips": int(support[i]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "AP": ap[i],
            "AUC": auc[i],
        }
        for i in each
    ]
    return results


def _average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """At most 1, which scikit-learn's sum may exceed by rounding."""
    return min(1.0, float(average_precision_score(targets, scores)))


def _one_hot(numbers: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Which label each clip has, (clips, labels), from its number."""
    labels = scores.shape[-1]
    wrong = numbers[(numbers < 0) | (numbers >= labels)]
    if len(wrong):
        raise ValueError(f"Found the label {wrong[0]}, expected numbers from 0 to {labels - 1}.")
    return np.eye(labels, dtype=bool)[numbers]
