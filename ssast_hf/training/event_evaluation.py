# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Judging a classifier by the events that it finds in annotated recordings: `ssast evaluate --events`."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..data.annotations import Recording, find_annotated
from ..data.clips import Clip
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.batches import Window
from ..inference.classify import run_classifier
from ..inference.events import Event, EventJoiner, EventRules
from ..modeling_ssast import SSASTForAudioClassification
from ..utils.files import target_of
from ..utils.logs import get_logger
from ..utils.parsing import normalized
from ..utils.text import aligned, printable, reason_of
from .evaluation import write_csv, write_results
from .event_metrics import MEASURES, Count, count_segments, match_events
from .thresholds import Tried, suggestions, thresholds_to_try, write_suggestions

logger = get_logger(__name__)


@dataclass
class Heard:
    """A recording, start and end of its windows (windows, 2) in seconds, and their scores (windows, labels)."""

    recording: Recording
    spans: np.ndarray
    scores: np.ndarray

    def events(self, names: Sequence[str], rules: EventRules) -> list[Event]:
        """By start."""
        joiner = EventJoiner(names, rules)
        found = []
        for (start, end), scores in zip(self.spans.tolist(), self.scores):
            found += joiner.add(start, end, scores)
        return sorted([*found, *joiner.finish()], key=lambda event: (event.start, event.label))


@dataclass(frozen=True)
class Judging:
    """How events are compared: as [`match_events`] and [`count_segments`] take it."""

    collar: float = 0.2
    offset_share: float | None = 0.5
    segment: float = 1.0


def hear(
    model: SSASTForAudioClassification,
    extractor: SSASTFeatureExtractor,
    recordings: list[Recording],
    batch_size: int = 16,
    window: float | None = None,
    hop: float | None = None,
    **reading,
) -> tuple[list[Heard], int]:
    """The scores of each window of recordings, and how many recordings could not be read, which is logged."""
    clips = [replace(Clip(recording.path), **reading) for recording in recordings]
    heard: list[Heard] = []
    spans: list[tuple[float, float]] = []
    scores: list[np.ndarray] = []
    with tqdm(total=len(clips), unit="file", disable=not sys.stderr.isatty(), leave=False) as bar:
        for event in run_classifier(model.eval(), extractor, clips, batch_size, window, hop):
            if isinstance(event, Window):
                spans.append((event.start, event.end))
                scores.append(event.output.astype(np.float32))
                continue
            bar.update()
            if event.error is None:
                heard.append(Heard(recordings[event.index], np.array(spans), np.stack(scores)))
            else:
                name = clips[event.index].name
                logger.warning("Skipped %s: %s", name, reason_of(event.error, name))
            spans, scores = [], []
    return heard, len(recordings) - len(heard)


def judge(
    heard: list[Heard], names: Sequence[str], rules: EventRules, how: Judging
) -> tuple[dict[str, tuple[Count, Count]], list[list]]:
    """
    Compares events with annotations.

    Returns:
        The counts of events and of segments by label; and a row for each event: file, start, end, label, score,
        outcome (hit, false alarm or missed).
    """
    counts = {name: (Count(), Count()) for name in names}
    rows: list[list] = []
    for one in heard:
        path, events = one.recording.path, one.events(names, rules)
        for name in names:
            wanted = [annotation for annotation in one.recording.annotations if annotation.label == name]
            found = [event for event in events if event.label == name]
            pairs = match_events(wanted, found, how.collar, how.offset_share)
            by_event, by_segment = counts[name]
            counts[name] = (
                by_event + Count(len(wanted), len(found), len(pairs)),
                by_segment + count_segments(wanted, found, one.recording.seconds, how.segment),
            )
            hits, met = {index for _, index in pairs}, {index for index, _ in pairs}
            outcomes = ["hit" if index in hits else "false alarm" for index in range(len(found))]
            rows += [[path, event.start, event.end, name, round(event.score, 6), outcome]
                     for event, outcome in zip(found, outcomes)]  # fmt: skip
            rows += [[path, annotation.start, annotation.end, name, "", "missed"]
                     for index, annotation in enumerate(wanted) if index not in met]  # fmt: skip
    return counts, sorted(rows, key=lambda row: row[:4])


def suggest(
    heard: list[Heard], names: Sequence[str], rules: EventRules, how: Judging, precision: float | None
) -> list[dict]:
    """
    The rows of a file of thresholds: the best by events, as the rules join them, and of equals by segments; see
    [`suggestions`].
    """
    scores = np.concatenate([one.scores for one in heard])
    values = {name: thresholds_to_try(scores[:, column]).tolist() for column, name in enumerate(names)}
    tried: dict[str, list[Tried]] = {name: [] for name in names}
    for step in range(max(map(len, values.values()))):
        thresholds = {name: own[min(step, len(own) - 1)] for name, own in values.items()}
        counts, _ = judge(heard, names, replace(rules, thresholds=thresholds), how)
        for name, own in values.items():
            if step < len(own):
                tried[name].append(Tried(own[step], *counts[name]))
    return suggestions(tried, precision)


def run(
    arguments: Namespace, model: SSASTForAudioClassification, extractor: SSASTFeatureExtractor, rules: EventRules
) -> int:
    """`ssast evaluate --events`. Returns how many recordings could not be read."""
    if model.config.problem_type == "regression":
        raise ValueError("--events needs probabilities, and the model's scores are values (regression).")
    names = [normalized(model.config.id2label[index]) for index in range(model.config.num_labels)]
    rules.of(names)
    found = find_annotated([arguments.data], arguments.label_column)
    for note in found.notes:
        logger.warning("%s", note)
    for path, reason in found.unreadable.items():
        logger.warning("Skipped %s: %s", path, reason)
    if found.without_table:
        logger.warning("%d recording(s) have no table and are left out", len(found.without_table))
    unknown = sorted({one.label for recording in found.recordings for one in recording.annotations} - set(names))
    if unknown:
        raise ValueError(f"{arguments.data} has the label(s) {', '.join(unknown[:10])}, which the model has not.")
    reading = {"channel": arguments.channel, "accept_truncated": arguments.accept_truncated}
    heard, failed = hear(
        model, extractor, found.recordings, arguments.batch_size, arguments.window, arguments.hop, **reading
    )
    if not heard:
        raise ValueError(f"None of the recordings in {arguments.data} can be read: see the warnings above.")
    how = Judging(arguments.collar, None if arguments.onset_only else 0.5, arguments.segment)
    counts, rows = judge(heard, names, rules, how)
    output = Path(arguments.output_dir)
    target_of(output).mkdir(parents=True, exist_ok=True)
    failed += len(found.unreadable)
    results = _results(counts, heard, how, failed, arguments.name)
    write_results(output, arguments.name, results)
    write_csv(output / f"{arguments.name}_events.csv", ["file", "start", "end", "label", "score", "outcome"], rows)
    _write_per_class(output / f"{arguments.name}_per_class.csv", counts)
    _print(counts, results, arguments.name)
    print(printable(f"written to {output}"))
    if arguments.suggest_thresholds:
        suggested = suggest(heard, names, rules, how, arguments.precision)
        write_suggestions(arguments.suggest_thresholds, suggested)
    return failed


def _total(counts: dict[str, tuple[Count, Count]], index: int) -> Count:
    return sum((count[index] for count in counts.values()), Count())


def _results(counts: dict, heard: list[Heard], how: Judging, failed: int, prefix: str) -> dict[str, float]:
    """The metrics, over all labels and as the mean of the labels, named `{prefix}_{metric}`."""
    results: dict[str, float] = {}
    for index, kind in enumerate(("event", "segment")):
        total = _total(counts, index)
        for measure in MEASURES:
            if getattr(total, measure) is not None:
                results[f"{prefix}_{kind}_{measure}"] = getattr(total, measure)
        by_label = [count[index].f1 for count in counts.values() if count[index].f1 is not None]
        if by_label:
            results[f"{prefix}_{kind}_f1_macro"] = float(np.mean(by_label))
    results[f"{prefix}_collar"], results[f"{prefix}_segment"] = how.collar, how.segment
    results[f"{prefix}_recordings"] = len(heard)
    results[f"{prefix}_hours"] = sum(one.recording.seconds for one in heard) / 3600
    if failed:
        results[f"{prefix}_unreadable_recordings"] = failed
    return results


def _write_per_class(path: Path, counts: dict[str, tuple[Count, Count]]) -> None:
    header = [
        "label",
        "annotated",
        "found",
        "hits",
        *(f"event_{m}" for m in MEASURES),
        *(f"segment_{m}" for m in MEASURES),
    ]
    rows = [
        [name, events.annotated, events.found, events.hits]
        + [getattr(count, measure) for count in (events, segments) for measure in MEASURES]
        for name, (events, segments) in counts.items()
    ]
    write_csv(path, header, [["" if cell is None else cell for cell in row] for row in rows])


def _print(counts: dict[str, tuple[Count, Count]], results: dict[str, float], prefix: str) -> None:
    """A line for each label, and one for all."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows: list[tuple[str, ...]] = [("label", "annotated", "found", "event F1", "precision", "recall", "segment F1")]
    for name, (events, segments) in [*counts.items(), ("all", (_total(counts, 0), _total(counts, 1)))]:
        values = map(number, (events.f1, events.precision, events.recall, segments.f1))
        rows.append((name, str(events.annotated), str(events.found), *values))
    print(*aligned(rows), sep="\n")
    recordings, hours = results[f"{prefix}_recordings"], results[f"{prefix}_hours"]
    collar, segment = results[f"{prefix}_collar"], results[f"{prefix}_segment"]
    print(f"{recordings} recording(s), {hours:.3g} h; collar {collar:g} s, segments of {segment:g} s")
