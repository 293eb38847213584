# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labels and events of sounds as text, JSON lines, CSV, Audacity label tracks or Raven tables. Needs no torch."""

import csv
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..utils.files import beside
from ..utils.parsing import normalized
from ..utils.text import printable

if TYPE_CHECKING:
    from .events import Event

FORMATS = ("text", "json", "csv", "audacity", "raven")
TRACKS = {"audacity": ".txt", "raven": ".Table.1.selections.txt"}  # a file for each sound, with this ending
HIGHEST = 8000  # Hz, of what a model for 16 kHz hears
PICTURE_LABELS = 8
PART = r"#t=[\d.,e+-]+$"  # at the end of the name of a part of a file


class LabelChoice:
    """
    Which of a sound's labels are written: the best `top_k`, and none that scores below `threshold`.

    Args:
        format (`str`): One of `FORMATS`.
        top_k (`int`, *optional*): Default: every label with a `threshold`; without one, 3, or 1 for label tracks.
        threshold (`float`, *optional*): The lowest score.
        only (`Sequence[str]`): The labels to choose from; empty: all.
        without (`Sequence[str]`): Labels that are left out.
    """

    def __init__(
        self,
        format: str,
        top_k: int | None = None,
        threshold: float | None = None,
        only: Sequence[str] = (),
        without: Sequence[str] = (),
    ):
        if top_k is None and threshold is None:
            top_k = 1 if format in TRACKS else 3
        self.top_k, self.threshold = top_k, threshold
        self.only, self.without = (set(map(normalized, names)) for names in (only, without))

    def check(self, problem_type: str | None, names: Iterable[str]) -> None:
        """
        Raises ValueError for a threshold that no probability can have, where the model gives probabilities, and for
        chosen labels that are not among the model's `names`, or none.
        """
        if self.threshold is not None and problem_type != "regression" and not 0 <= self.threshold <= 1:
            raise ValueError(f"--threshold is {self.threshold:g}, expected a probability from 0 to 1")
        known = list(names)
        unknown = sorted((self.only | self.without) - set(map(normalized, known)))
        if unknown:
            more = ", ..." if len(known) > 10 else ""
            raise ValueError(f"the model has no label {unknown[0]}, found {', '.join(known[:10])}{more}")
        if not self.names(known):
            raise ValueError("--label and --exclude-label leave no label of the model")

    def names(self, names: Iterable[str]) -> list[str]:
        """Those of the labels that are chosen from."""
        return [name for name in names if (not self.only or normalized(name) in self.only)
                and normalized(name) not in self.without]  # fmt: skip

    def of(self, scores: dict[str, float]) -> list[tuple[str, float]]:
        """(label, score) pairs of scores by label, the best first."""
        found = [(label, scores[label]) for label in self.names(scores)][: self.top_k]
        return [(label, score) for label, score in found if self.threshold is None or score >= self.threshold]


class Writer:
    """
    Writes labels as text.

    Args:
        out: Open text file.
        by_window (`bool`): Whether windows are written, too.
        aggregate (`str`): How the scores of a whole sound were made of its windows', for the text.

    `start` and `end` are seconds in the recording, also of a part of it that a manifest names; `best` are (label,
    score) pairs, the best first.
    """

    def __init__(self, out: TextIO, by_window: bool, aggregate: str):
        self.out, self.by_window, self.aggregate = out, by_window, aggregate
        self.begin()

    def begin(self) -> None:
        """What stands before the first sound."""
        self.at: str | None = None  # whose windows are being written

    def window(self, name: str, start: float, end: float, best: list[tuple[str, float]]) -> None:
        """The labels of one window."""
        if self.at != name:
            self.line(printable(name))
            self.at = name
        labels = "  ".join(f"{score:.4f} {printable(label)}" for label, score in best)
        self.line(f"{start:10.2f} {end:10.2f}  {labels}".rstrip())

    def file(self, name: str, start: float, end: float, windows: int, best: list[tuple[str, float]]) -> None:
        """The labels of a whole sound."""
        self.line(f"{self.aggregate} of {windows} window(s)" if self.by_window else printable(name))
        for label, score in best:
            self.line(f"{score:8.4f}  {printable(label)}")
        self.at = None

    def events(self, name: str, events: "list[Event]") -> None:
        """Events of a sound, by their start; all of them, or as they are found."""
        if self.at != name:
            self.line(printable(name))
            self.at = name
            if not events:
                self.line(f"{'no events':>21}")
        for event in events:
            self.line(f"{event.start:10.2f} {event.end:10.2f}  {event.score:.4f} {printable(event.label)}")

    def error(self, name: str, error: Exception) -> None:
        """A sound that cannot be read."""
        self.at = None

    def line(self, text: str) -> None:
        print(text, file=self.out, flush=True)


class JsonWriter(Writer):
    def window(self, name, start, end, best):
        self.object(file=name, start=round(start, 6), end=round(end, 6), labels=self.labels(best))

    def file(self, name, start, end, windows, best):
        more = {}
        if self.by_window:
            more = {"start": round(start, 6), "seconds": round(end - start, 6), "windows": windows}
            more["aggregate"] = self.aggregate
        self.object(file=name, **more, labels=self.labels(best))

    def events(self, name, events):
        for event in events:
            times = {"start": round(event.start, 6), "end": round(event.end, 6)}
            self.object(file=name, **times, label=event.label, score=round(event.score, 6))

    def error(self, name, error):
        self.object(file=name, error=str(error))

    def labels(self, best):
        return [{"label": label, "score": round(score, 6)} for label, score in best]

    def object(self, **fields):
        self.line(json.dumps(fields))


class CsvWriter(Writer):
    """
    A row for each label: of windows (`level` is window), of each file as a whole (file), or of events (event).

    Args:
        spreadsheet (`bool`): Whether to put a `'` before names and labels that a spreadsheet would take for formulas.
    """

    FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what they begin with

    def __init__(self, out: TextIO, by_window: bool, aggregate: str, spreadsheet: bool = False):
        self.spreadsheet = spreadsheet
        super().__init__(out, by_window, aggregate)

    def begin(self):
        self.rows = csv.writer(self.out, lineterminator="\n")
        self.rows.writerow(["file", "level", "start", "end", "label", "score"])

    def window(self, name, start, end, best):
        self.write(name, "window", start, end, best)

    def file(self, name, start, end, windows, best):
        self.write(name, "file", start, end, best)

    def events(self, name, events):
        for event in events:
            self.write(name, "event", event.start, event.end, [(event.label, event.score)])

    def error(self, name, error):
        pass

    def write(self, name, level, start, end, best):
        for label, score in best:
            self.rows.writerow(
                [self.cell(name), level, f"{start:.6f}", f"{end:.6f}", self.cell(label), f"{score:.6f}"]
            )
        self.out.flush()

    def cell(self, text: str) -> str:
        return f"'{text}" if self.spreadsheet and text.startswith(self.FORMULAS) else text


class AudacityWriter(Writer):
    """A label track: start, end and text of each label, with tabs."""

    def begin(self):
        pass

    def window(self, name, start, end, best):
        for label, score in best:
            self.line(f"{start:.6f}\t{end:.6f}\t{printable(label)} {score:.2f}")

    def file(self, name, start, end, windows, best):
        pass

    def events(self, name, events):
        for event in events:  # without scores: corrected in Audacity, they are annotations
            self.line(f"{event.start:.6f}\t{event.end:.6f}\t{printable(event.label)}")

    def error(self, name, error):
        pass


class RavenWriter(Writer):
    """A selection table of Raven: a row for each label, with tabs and a header."""

    def begin(self):
        self.count = 0
        self.line("Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
                  "Begin File\tAnnotation\tScore")  # fmt: skip

    def window(self, name, start, end, best):
        file = printable(os.path.basename(re.sub(PART, "", name)))
        for label, score in best:
            self.count += 1
            self.line(f"{self.count}\tSpectrogram 1\t1\t{start:.6f}\t{end:.6f}\t0\t{HIGHEST}\t{file}\t"
                      f"{printable(label)}\t{score:.4f}")  # fmt: skip

    def file(self, name, start, end, windows, best):
        pass

    def events(self, name, events):
        for event in events:
            self.window(name, event.start, event.end, [(event.label, event.score)])

    def error(self, name, error):
        pass


WRITERS = dict(zip(FORMATS, (Writer, JsonWriter, CsvWriter, AudacityWriter, RavenWriter)))


def track_names(names: Iterable[str], ending: str) -> list[str]:
    """A name for the label track of each sound, numbered where the sounds' names are alike."""
    taken: set[str] = set()
    tracks = []
    for name in names:
        stem = Path(re.sub(PART, "", name)).stem if name != "-" else "stdin"  # without a part's times
        unique, count = stem, 1
        while unique in taken:
            count += 1
            unique = f"{stem}-{count}"
        taken.add(unique)
        tracks.append(beside(Path(unique), ending).name)
    return tracks
