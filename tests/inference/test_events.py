# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Windows above a threshold become events, as a plain loop over the definition finds them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssast_hf.inference.events import Event, EventJoiner, EventRules, find_events, read_thresholds, write_thresholds
from ssast_hf.inference.windows import Windows


def events_of(scores, hop=1.0, length=1.0, **rules) -> list[tuple[float, float, float]]:
    """Start, end and score of the events of one label."""
    windows = [(index * hop, index * hop + length, {"x": score}) for index, score in enumerate(scores)]
    return [(event.start, event.end, event.score) for event in find_events(windows, EventRules(**rules))]


def test_neighbours_above_the_threshold_are_one_event():
    assert events_of([0.1, 0.6, 0.8, 0.2, 0.5]) == [(1.0, 3.0, 0.8), (4.0, 5.0, 0.5)]


def test_a_gap_is_bridged_up_to_its_length():
    scores = [0.9, 0, 0, 0.9]
    assert events_of(scores, gap=1.9) == [(0, 1, 0.9), (3, 4, 0.9)]
    assert events_of(scores, gap=2) == [(0, 4, 0.9)]


def test_short_events_are_left_out_after_joining():
    assert events_of([0.9, 0, 0.9, 0, 0, 0.9], shortest=2) == []
    assert events_of([0.9, 0, 0.9, 0, 0, 0.9], shortest=2, gap=1) == [(0, 3, 0.9)]


def test_hysteresis_extends_in_both_directions_and_starts_nothing():
    scores = [0.3, 0.4, 0.6, 0.4, 0.2, 0.4, 0.4]
    assert events_of(scores) == [(2, 3, 0.6)]
    assert events_of(scores, hysteresis=0.8) == [(1, 4, 0.6)]
    assert events_of(scores, hysteresis=0.6) == [(0, 4, 0.6)]
    assert events_of(scores, hysteresis=0.4) == [(0, 7, 0.6)]


def test_overlapping_windows_do_not_lengthen_events():
    """Windows of 3 s every 0.5 s, labelled by at least half their length: an event of 10 to 20 s has these ends."""
    starts = np.arange(0, 30, 0.5)
    overlap = np.minimum(starts + 3, 20) - np.maximum(starts, 10)
    ((start, end, _),) = events_of((overlap >= 1.5).astype(float), hop=0.5, length=3.0)
    assert (start, end) == (9.75, 20.25)  # windows that begin at 8.5 to 18.5 s, from middle to middle of overlaps
    assert events_of([0, 0, 0, 0, 1.0], hop=0.5, length=3) == [(3.25, 5.0, 1.0)]  # the last, to its end
    assert events_of([1.0, 0, 0], hop=0.5, length=3) == [(0.0, 1.75, 1.0)]  # the first, from its start


def test_sound_between_windows_that_none_heard_is_a_gap():
    assert events_of([1.0, 1.0], hop=2.0) == [(0, 1, 1), (2, 3, 1)]
    assert events_of([1.0, 1.0], hop=2.0, gap=1) == [(0, 3, 1)]


def test_labels_have_thresholds_of_their_own_and_some_are_chosen():
    rules = EventRules(0.5, {"b": 0.9})
    joiner = EventJoiner(["a", "b", "c"], rules, chosen=["c", "b"])
    joiner.add(0, 1, np.array([0.8, 0.8, 0.8]))
    joiner.add(1, 2, np.array([0.8, 0.95, 0.1]))
    assert sorted(joiner.finish(), key=lambda event: event.start) == [Event(0, 1, "c", 0.8), Event(1, 2, "b", 0.95)]
    joiner.add(5, 6, np.array([1, 0, 1.0]))
    assert joiner.finish() == [Event(5, 6, "c", 1.0)]  # the next sound
    with pytest.raises(ValueError, match="threshold for crow, which is no label"):
        EventJoiner(["a"], EventRules(0.5, {"crow": 0.3}))


def plain_events(spans, scores, threshold, low, gap, shortest) -> list[tuple[float, float, float]]:
    """Cuts the sound where windows meet, collects runs, joins them and leaves out short ones, one step at a time."""
    parts = []
    for index, (start, end) in enumerate(spans):
        if index:
            before = spans[index - 1][1]
            start = (before + start) / 2 if start < before else start
        if index + 1 < len(spans) and spans[index + 1][0] < end:
            end = (end + spans[index + 1][0]) / 2
        parts.append((start, end))
    runs = []
    for (start, end), score in zip(parts, scores):
        if score < low:
            runs.append(None)
        elif runs and runs[-1] and start - runs[-1][1] < 1e-6:
            runs[-1] = (runs[-1][0], end, max(runs[-1][2], score))
        else:
            runs.append((start, end, score))
    joined = []
    for run in (run for run in runs if run and run[2] >= threshold):
        if joined and run[0] - joined[-1][1] <= gap + 1e-6:
            joined[-1] = (joined[-1][0], run[1], max(joined[-1][2], run[2]))
        else:
            joined.append(run)
    return [event for event in joined if event[1] - event[0] >= shortest - 1e-6]


@settings(deadline=None)
@given(
    scores=st.lists(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.7, 1.0]), min_size=2, max_size=2), min_size=1,
                    max_size=40),
    length=st.integers(2, 8), hop=st.integers(1, 10), last=st.integers(1, 8), gap=st.integers(0, 6),
    shortest=st.integers(0, 6), threshold=st.sampled_from([0.4, 0.5, 0.7]), share=st.sampled_from([0.4, 0.6, 1.0]),
)  # fmt: skip
def test_events_are_those_of_a_plain_loop(scores, length, hop, last, gap, shortest, threshold, share):
    """Times in quarters of a second; the last window may be shorter."""
    spans = Windows(4, length, hop, 1).spans(hop * (len(scores) - 1) + min(last, length))
    spans = [(start / 4, end / 4) for start, end in spans]
    rules = EventRules(threshold, {}, share, gap / 4, shortest / 4)
    joiner = EventJoiner(["a", "b"], rules)
    found = []
    for (start, end), row in zip(spans, scores):
        found += joiner.add(start, end, np.array(row))
    found += joiner.finish()
    for column, label in enumerate("ab"):
        expected = plain_events(spans, [row[column] for row in scores[: len(spans)]], threshold, share * threshold,
                                gap / 4, shortest / 4)  # fmt: skip
        assert [(e.start, e.end, e.score) for e in found if e.label == label] == expected  # in order, too


def test_an_event_is_given_as_soon_as_nothing_can_be_joined_to_it():
    joiner = EventJoiner(["x"], EventRules(gap=2.0))
    given_after = [len(joiner.add(second, second + 1, np.array([score]))) for second, score in
                   enumerate([0, 0.9, 0, 0, 0, 0.9, 0.9])]  # fmt: skip
    assert given_after == [0, 0, 0, 0, 0, 1, 0]  # a window is judged when the next one says where its part ends
    assert len(joiner.finish()) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"threshold": 1.5}, "threshold is 1.5"), ({"thresholds": {"a": -1}}, "threshold of a is -1"),
     ({"hysteresis": 0}, "hysteresis is 0"), ({"hysteresis": 1.1}, "hysteresis is 1.1"), ({"gap": -1}, "gap is -1"),
     ({"shortest": float("nan")}, "shortest event is nan")],
)  # fmt: skip
def test_rules_out_of_range_are_errors(fields, message):
    with pytest.raises(ValueError, match=message):
        EventRules(**fields)


def test_thresholds_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "thresholds.csv"
    write_thresholds(
        path, [{"label": "a, b", "threshold": 0.25, "f1": 0.5}, {"label": "c", "threshold": "", "f1": ""}]
    )
    assert read_thresholds(path) == {"a, b": 0.25}


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has no columns label and threshold, found nothing"), ("name,value\na,1\n", "found name, value"),
     ("label,threshold\na,high\n", "line 2: the threshold of a is 'high'"),
     ("label,threshold\na,1.2\n", "line 2: the threshold of a is '1.2'"),
     ("label,threshold\na,0.2\na,0.3\n", "line 3: a second threshold for a")],
)  # fmt: skip
def test_other_files_of_thresholds_are_errors(tmp_path, text, message):
    path = tmp_path / "thresholds.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_thresholds(path)
