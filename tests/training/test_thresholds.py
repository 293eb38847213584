# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Thresholds that held-out data suggests."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from ssast_hf.inference.events import read_thresholds
from ssast_hf.training.event_metrics import Count
from ssast_hf.training.thresholds import Tried, best_threshold, suggest_by_clips, thresholds_to_try, write_suggestions


def test_the_best_threshold_is_the_middle_one_of_equals():
    counts = [Count(10, 40, 10), Count(10, 10, 8), Count(10, 10, 8), Count(10, 10, 8), Count(10, 2, 2)]
    found = [Tried(threshold, count, count) for threshold, count in zip((0.1, 0.5, 0.6, 0.9, 0.95), counts)]
    assert best_threshold(found).threshold == 0.6
    assert best_threshold(found, precision=0.9).threshold == 0.95
    assert best_threshold(found, precision=0.2).threshold == 0.1
    by_second = [Tried(0.5, counts[1], Count(9, 9, 3)), Tried(0.6, counts[2], Count(9, 9, 4))]
    assert best_threshold(by_second).threshold == 0.6
    assert best_threshold([Tried(0.5, Count(10, 3, 0), Count())]) is None


def test_thresholds_part_the_scores():
    scores = np.random.default_rng(0).random(2000) ** 4
    tried = thresholds_to_try(scores)
    assert 30 < len(tried) <= 50 and (np.diff(tried) > 0).all() and tried.min() >= 0 and tried.max() <= 1
    reached = sorted({int((scores >= threshold).sum()) for threshold in tried})
    assert reached[:5] == [1, 2, 3, 4, 5] and reached[-1] == 2000
    assert thresholds_to_try(np.array([0.3, 0.3])).tolist() == [0.3]


def test_suggestions_by_clips_are_those_of_scikit_learn(tmp_path, capsys):
    """The best F1, and the highest recall at a precision, over every threshold that parts the scores."""
    rng = np.random.default_rng(0)
    targets = rng.random((40, 3)) < (0.4, 0.2, 0.0)
    scores = np.clip(0.3 * targets + 0.7 * rng.random((40, 3)), 0, 1)
    rows = suggest_by_clips(scores, targets.astype(np.float32), ["a", "b", "c"], None)
    for column, row in enumerate(rows[:2]):
        precision, recall, _ = precision_recall_curve(targets[:, column], scores[:, column])
        best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9))
        assert row["f1"] == pytest.approx(best, abs=1e-4)
        assert row["f1"] == pytest.approx(
            f1_score(targets[:, column], scores[:, column] >= row["threshold"]), abs=1e-4
        )
        assert row["annotated"] == targets[:, column].sum()
        precise = suggest_by_clips(scores, targets, ["a", "b", "c"], 0.8)[column]
        assert precise["precision"] >= 0.8 and precise["recall"] == pytest.approx(
            recall[precision >= 0.8].max(), abs=1e-4
        )
    assert rows[2] == {"label": "c", "threshold": "", "f1": "", "precision": "", "recall": "", "annotated": 0}
    write_suggestions(str(tmp_path / "t.csv"), rows)
    assert read_thresholds(tmp_path / "t.csv") == {row["label"]: row["threshold"] for row in rows[:2]}
    assert "thresholds of 2 label(s)" in (said := capsys.readouterr().out) and "none for c" in said
