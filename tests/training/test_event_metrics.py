# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Event-based and segment-based F1 are those of sed_eval, on its own examples and on random events.

The expected values were computed by sed_eval 0.2.1 with numpy 2.4 (EventBasedMetrics with optimal matching, and
SegmentBasedMetrics), in an environment of its own: it brings librosa, numba and more.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssast_hf.data.annotation_tables import Annotation, read_table
from ssast_hf.training.event_metrics import (
    Count,
    count_segments,
    match_events,
)

EXAMPLES = Path(__file__).parents[1] / "data/sed_eval"
# Settings; event-based and segment-based F1, precision and recall over all labels; F1 of labels.
OFFICE = [
    ({}, 1.0, (0.125, 0.115044, 0.136842), (0.404624, 0.369718, 0.446809),
     {"alert": (0.333333, 0.296296), "clearthroat": (0.25, 0.5), "cough": (0.0, 0.125),
      "doorslam": (0.142857, 0.516129), "drawer": (0.054054, 0.239316), "keys": (0.0, 0.875),
      "printer": (0.555556, 0.96)}),
    ({"collar": 0.5, "offset_share": None}, 0.5, (0.336538, 0.309735, 0.368421), (0.383432, 0.349138, 0.425197),
     {"cough": (0.083333, 0.111111), "keys": (0.923077, 0.833333), "speech": (0.444444, 0.342857)}),
    ({"collar": 1.0, "offset_share": 0.2}, 2.0, (0.278846, 0.256637, 0.305263), (0.418605, 0.391304, 0.45),
     {"cough": (0.083333, 0.171429), "laughter": (0.0, 0.173913), "printer": (0.444444, 0.933333)}),
]  # fmt: skip
RANDOM = [
    ({}, (0.55873, 0.533333, 0.586667), {"a": 0.449438, "b": 0.631579, "c": 0.580153}),
    ({"offset_share": None}, (0.653968, 0.624242, 0.686667), {"a": 0.58427, "b": 0.736842, "c": 0.641221}),
    ({"collar": 0.5, "offset_share": 0.0}, (0.590476, 0.563636, 0.62), {"a": 0.629213, "b": 0.631579, "c": 0.534351}),
]  # fmt: skip


def counts(pairs, label, seconds, how, segment) -> tuple[Count, Count]:
    """Of events and of segments of a label, over pairs of annotated and found events."""
    events, segments = Count(), Count()
    for (annotated, found), length in zip(pairs, seconds):
        wanted, given = ([one for one in events if one.label == label] for events in (annotated, found))
        events += Count(len(wanted), len(given), len(match_events(wanted, given, **how)))
        segments += count_segments(wanted, given, length, segment)
    return events, segments


def measures(count: Count) -> tuple:
    return count.f1, count.precision, count.recall


@pytest.mark.parametrize(("how", "segment", "event", "by_segment", "by_label"), OFFICE)
def test_sed_evals_examples(how, segment, event, by_segment, by_label):
    pairs = [
        tuple(read_table(EXAMPLES / f"office_snr0_{name}_v2{kind}.txt").annotations for kind in ("", "_detected"))
        for name in ("high", "med")
    ]
    labels = sorted({one.label for pair in pairs for events in pair for one in events})
    found = {label: counts(pairs, label, (100.0, 120.0), how, segment) for label in labels}
    assert len(labels) == 15
    for index, expected in enumerate((event, by_segment)):
        total = sum((count[index] for count in found.values()), Count())
        assert measures(total) == pytest.approx(expected, abs=1e-6)
    for label, expected in by_label.items():
        assert tuple(count.f1 for count in found[label]) == pytest.approx(expected, abs=1e-6)


def random_pairs() -> list:
    """Five minutes with 30 annotated events each; most are found, with other starts and ends, and some more."""
    rng = np.random.default_rng(0)

    def events(count: int) -> list:
        found = []
        for _ in range(count):
            start = round(float(rng.uniform(0, 55)), 2)
            found.append((start, round(start + float(rng.uniform(0.1, 5)), 2), "abc"[int(rng.integers(3))]))
        return found

    pairs = []
    for _ in range(5):
        annotated = events(30)
        moved = []
        for start, end, label in annotated:
            start = max(0, round(start + float(rng.normal(0, 0.15)), 2))
            moved.append((start, round(end + float(rng.normal(0, 0.5)), 2), label))
        found = [(start, max(end, start + 0.05), label) for start, end, label in moved][:25] + events(8)
        pairs.append(tuple([Annotation(*one) for one in part] for part in (annotated, found)))
    return pairs


@pytest.mark.parametrize(("how", "event", "by_label"), RANDOM)
def test_random_events(how, event, by_label):
    found = {label: counts(random_pairs(), label, [60.0] * 5, how, 1.0) for label in "abc"}
    totals = [sum((count[index] for count in found.values()), Count()) for index in (0, 1)]
    assert measures(totals[0]) == pytest.approx(event, abs=1e-6)
    assert measures(totals[1]) == pytest.approx((0.823087, 0.798054, 0.849741), abs=1e-6)
    assert {label: count[0].f1 for label, count in found.items()} == pytest.approx(by_label, abs=1e-6)


def test_matching_is_the_best_there_is():
    """Greedy matching from the first would leave the second unmatched."""
    annotated = [Annotation(1.0, 2.0, "x"), Annotation(1.3, 2.0, "x")]
    found = [Annotation(1.15, 2.0, "x"), Annotation(0.85, 2.0, "x")]
    assert sorted(match_events(annotated, found)) == [(0, 1), (1, 0)]
    assert match_events([], found) == match_events(annotated, []) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=6),
       st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=6))  # fmt: skip
def test_matching_is_that_of_all_that_are_possible(annotated, found):
    """Against trying every assignment, times in eighths of a second."""
    wanted, given_ = ([Annotation(s / 8, (s + n) / 8, "x") for s, n in events] for events in (annotated, found))

    def fits(a, b) -> bool:
        return abs(a[0] - b[0]) <= 2 and 2 * abs(a[0] + a[1] - b[0] - b[1]) <= max(4, a[1])

    def most(rest: list, free: frozenset) -> int:
        if not rest:
            return 0
        choices = [1 + most(rest[1:], free - {i}) for i in free if fits(rest[0], found[i])]
        return max([most(rest[1:], free), *choices])

    pairs = match_events(wanted, given_, collar=0.25)
    assert len(pairs) == most(annotated, frozenset(range(len(found))))
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


def test_counts_without_anything_have_no_measures():
    assert measures(Count()) == (None, None, None)
    assert measures(Count(3, 0, 0)) == (0.0, None, 0.0) and measures(Count(0, 2, 0)) == (0.0, 0.0, None)
