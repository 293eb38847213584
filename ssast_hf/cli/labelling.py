# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A run of `ssast classify`: sounds in, labels, events and pictures out."""

import functools
import hashlib
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..inference.label_formats import PICTURE_LABELS, TRACKS, WRITERS, LabelChoice
from ..utils.files import check_no_input, is_special, replacing
from ..utils.logs import quieten
from ..utils.progress import Progress
from ..utils.require import require
from ..utils.text import printable
from .flags import event_rules, reading
from .label_output import TEXT, FileOutput, Output, TrackOutput, plan_targets, progress_of
from .terminal import Meter, is_terminal, report_skipped, say

if TYPE_CHECKING:
    import numpy as np

    from ..inference.events import Event
    from ..inference.plots import Picture


class Labelling:
    """
    One run: what to label, what to write, and how far it is.

    Raises:
        ValueError: Flags exclude each other, or something to be written is there already.
    """

    def __init__(self, arguments: Namespace, sounds: list):
        self.arguments, self.sounds = arguments, sounds
        self.names = [sound if isinstance(sound, str) else sound.name for sound in sounds]
        tracks = arguments.format in TRACKS
        self.rules = event_rules(arguments)
        self.by_window = not self.rules and bool(arguments.window or arguments.hop or arguments.microphone or tracks)
        path, overwrite = arguments.output, arguments.overwrite
        self.resuming = path is not None and not overwrite and progress_of(path).is_file()
        again = overwrite or (self.resuming and os.path.isdir(path))
        self.targets = plan_targets(path, self.names, TRACKS.get(arguments.format, ""), tracks, again, "--output")
        self.in_folder = self.targets is not None and self.targets != [Path(path)]
        self.pictures = plan_targets(arguments.plot, self.names, ".png", True, overwrite or self.resuming, "--plot")
        paths = [sound if isinstance(sound, str) else sound.path for sound in sounds]
        check_no_input([*(self.targets or ()), *(self.pictures or ())], [*paths, *arguments.files])
        if arguments.plot:
            require("matplotlib", "plot", "--plot")
        if tracks and path is None and len(self.names) > 1:
            raise ValueError(f"--format {arguments.format} has one sound in a file: give --output DIR for several")
        self.chosen = LabelChoice(
            arguments.format, arguments.top_k, arguments.threshold, arguments.label, arguments.exclude_label
        )
        self.state = Progress(len(self.names))
        self.output: Any = None  # set by `open`
        self.events: list[Event] = []  # of the sound that is read, and not written yet

    def open(self, model: str, labels: list[str], problem_type: str | None) -> "Labelling":
        """
        Opens the output, on which the labels of earlier runs of the same settings stay.

        Args:
            model (`str`): A checksum of the model.
            labels (`list[str]`), problem_type (`str`, *optional*): Of the model.
        """
        arguments, self.labels = self.arguments, labels
        self.chosen.check(problem_type, labels)
        if self.rules is not None:
            from ..inference.events import EventJoiner

            if problem_type == "regression":
                raise ValueError("--events needs probabilities, and the model's scores are values (regression)")
            self.joiner = EventJoiner(labels, self.rules, self.chosen.names(labels))
        make = functools.partial(WRITERS[arguments.format], by_window=self.by_window, aggregate=arguments.aggregate)
        if arguments.spreadsheet:
            make = functools.partial(make, spreadsheet=True)
        if self.targets is None:
            self.output = Output(sys.stdout, make)
        elif self.in_folder:
            self.output = TrackOutput(self.targets, self.names, self._settings(model), arguments.overwrite, make)
        elif is_special(self.targets[0]):
            self.output = Output(open(self.targets[0], "w", **TEXT), make)  # noqa: SIM115 closed by `Output`
        else:
            self.output = FileOutput(self.targets[0], self.names, self._settings(model), arguments.overwrite, make)
        state = self.state
        state.done = state.resumed = self.output.done
        state.failed = self.output.failed
        left = self.sounds[state.done :]
        if state.total == 1 and left and not isinstance(left[0], str):
            state.length = left[0].seconds()
        self.begun = time.monotonic()
        return self

    def _settings(self, model: str) -> dict:
        """Everything that the labels depend on: a run is resumed only if these settings are the same."""
        given = vars(self.arguments)
        names = ("format", "top_k", "threshold", "window", "hop", "aggregate", "spreadsheet", "raw_rate", "raw_format",
                 "raw_channels", "seconds", "channel", "accept_truncated", "label", "exclude_label")  # fmt: skip
        digest = hashlib.sha256(b"\0".join(map(os.fsencode, self.names))).hexdigest()
        return {
            "model": model,
            "sounds": digest,
            "plot": self.pictures is not None,
            "events": None if self.rules is None else vars(self.rules),
            **{name: given[name] for name in names},
        }

    def meter(self) -> Meter:
        """Not shown where the labels themselves go to the terminal."""
        return Meter(shown=self.arguments.output is not None or not is_terminal(sys.stdout))

    def offset(self, index: int) -> float:
        """Second of the recording at which a sound begins: above 0 for a part of a file."""
        return getattr(self.sounds[index], "offset", 0.0)

    def window(self, index: int, start: float, end: float, scores: "np.ndarray") -> None:
        """Writes the labels of a window with scores (labels,), seconds in the sound, or the events it completes."""
        if self.rules is not None:
            self.events += self.joiner.add(start, end, scores)
            if self.arguments.microphone and self.events:  # at once
                self.write_events(index)
        elif self.by_window:
            offset, order = self.offset(index), (-scores).argsort(kind="stable")
            best = self.chosen.of({self.labels[i]: float(scores[i]) for i in order})
            self.output.writer(index).window(self.names[index], offset + start, offset + end, best)

    def write_events(self, index: int) -> None:
        """Writes the events that were found since the last time, by their start."""
        offset = self.offset(index)
        events = sorted(self.events, key=lambda event: (event.start, event.label))
        moved = [replace(event, start=offset + event.start, end=offset + event.end) for event in events]
        self.output.writer(index).events(self.names[index], moved)
        self.events = []

    def end(
        self, index: int, length: float, error: Exception | None, scores: dict[str, float] | None, windows: int = 1
    ) -> None:
        """Writes the labels of a whole sound, `length` seconds in `windows` windows, or its events."""
        name, state = self.names[index], self.state
        if self.rules is not None:
            self.events += self.joiner.finish()
        if error is not None:
            state.failed += 1
            report_skipped(name, error)
            if not self.in_folder:
                self.output.writer(index).error(name, error)
            self.events = []
        elif self.rules is not None:
            self.write_events(index)
        else:
            start = self.offset(index)
            self.output.writer(index).file(name, start, start + length, windows, self.chosen.of(scores or {}))
        self.output.end(index, error)
        state.done = index + 1

    def count(self, length: float) -> None:
        """Takes note of `length` more seconds of sound."""
        self.state.sound += length
        self.state.elapsed = time.monotonic() - self.begun

    def say_interrupted(self) -> None:
        if self.output is not None and self.output.remains:
            again = "; the same command resumes the run" if self.state.done else ""
            say(f"interrupted after {self.state.done} of {self.state.total} sound(s): {self.output.remains}{again}")

    def say_done(self) -> None:
        state = self.state
        if self.targets is None or is_special(self.targets[0]):
            return
        resumed = f", {state.resumed} of them in earlier runs" if state.resumed else ""
        output = printable(self.arguments.output)
        print(f"{output}: labels of {state.done - state.failed} sound(s){resumed}; {state.speed()}")


def run_model(labelling: Labelling) -> int:
    """Labels sounds by a checkpoint; returns how many could not be read."""
    from ..inference.batches import windows_of
    from ..inference.classify import load_classifier, run_classifier
    from ..inference.devices import checksum, load_on_device

    arguments = labelling.arguments
    quieten()
    extractor, model = load_on_device(arguments.model, load_classifier, arguments.device)
    sources = _sources(arguments, labelling.sounds, extractor.sampling_rate)
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    labelling.open(checksum(model), names, model.config.problem_type)
    first = labelling.output.done
    events = run_classifier(
        model, extractor, sources[first:], arguments.batch_size, arguments.window, arguments.hop, arguments.num_workers
    )
    failed = _label(labelling, events, Sound(labelling, extractor), first)
    if arguments.timing:
        windows = windows_of(extractor, model.config.max_length, arguments.window, arguments.hop)
        say_timing(labelling, lambda waveform: list(run_classifier(model, extractor, [iter([waveform])], 1)), windows)
    return failed


def _label(labelling: Labelling, events: Iterable, sound: "Sound", first: int) -> int:
    """Labels sounds by the windows and ends of those from the `first` on; returns how many could not be read."""
    from ..inference.chunks import Window

    complete = False
    try:
        with labelling.meter() as meter:
            try:
                for event in events:
                    event.index += first
                    if isinstance(event, Window):
                        sound.window(event)
                    else:
                        sound.end(event.index, event.seconds, event.error)
                    meter.show(labelling.state)
            except KeyboardInterrupt:
                if not labelling.arguments.microphone:
                    raise
                if sound.windows:  # that is how a recording ends
                    sound.end(0, sound.seconds, None)
        complete = True
    finally:
        labelling.output.close(complete)
    return labelling.state.failed


def say_timing(labelling: Labelling, run: Callable, windows) -> None:
    """Says, for `--timing`, how long a window takes, and how long all sound took, reading and features included."""
    from ..inference.timing import measure

    state = labelling.state
    say(f"{measure(run, windows.length, windows.rate)}")
    if state.sound:
        say(
            f"{state.sound:.1f} s of sound in {state.elapsed:.2f} s, reading included: real-time factor "
            f"{state.elapsed / state.sound:.4f}"
        )


class Sound:
    """Collects the windows of one sound after another."""

    def __init__(self, labelling: Labelling, extractor=None):
        from ..inference.windows import ScoreJoiner

        self.labelling, self.extractor = labelling, extractor
        self.joiner = ScoreJoiner(labelling.arguments.aggregate)
        self.windows, self.seconds = 0, 0.0
        self.picture: Picture | None = None

    def window(self, window) -> None:
        labelling, index = self.labelling, window.index
        self.joiner.add(window.output, window.weight)
        self.windows += 1
        labelling.count(max(0.0, window.end - self.seconds))
        self.seconds = max(self.seconds, window.end)
        labelling.window(index, window.start, window.end, window.output)
        if labelling.pictures:
            from ..inference.plots import Picture

            self.picture = self.picture or Picture(self.extractor)
            self.picture.add(window)

    def end(self, index: int, length: float, error: Exception | None) -> None:
        labelling, joined = self.labelling, self.joiner.take()
        labels, scores = labelling.labels, None
        if error is None and self.picture is not None and labelling.pictures:
            _write_picture(labelling.pictures[index], self.picture, printable(labelling.names[index]), labels)
        if joined is not None:
            scores = {labels[i]: float(joined[i]) for i in (-joined).argsort(kind="stable")}
        labelling.end(index, length, error, scores, self.windows)
        self.windows, self.seconds, self.picture = 0, 0.0, None


def run_exported(labelling: Labelling) -> int:
    """As `run_model`, by a model that `ssast export` wrote, which needs no torch."""
    from ..export.runtime import OnnxModel, run_windows
    from ..inference.windows import Windows

    arguments = labelling.arguments
    model = OnnxModel(arguments.model, arguments.device or "cpu")
    names = [model.id2label[index] for index in range(len(model.id2label))]
    sources = _sources(arguments, labelling.sounds, model.sampling_rate)
    labelling.open(hashlib.sha256(Path(arguments.model).read_bytes()).hexdigest(), names, model.problem_type)
    first = labelling.output.done
    events = run_windows(model, sources[first:], arguments.batch_size, arguments.window, arguments.hop)
    failed = _label(labelling, events, Sound(labelling), first)
    if arguments.timing:
        frames = (model.sampling_rate, model.frame, model.shift, model.max_length)
        windows = Windows.of_frames(*frames, arguments.window, arguments.hop)
        say_timing(labelling, lambda waveform: model.scores([waveform]), windows)
    return failed


def _sources(arguments: Namespace, sounds: list, rate: int) -> list:
    """What is read: clips, or a stream of samples at `rate` Hz."""
    from ..audio import stream_audio, stream_microphone, stream_raw

    if arguments.num_workers and (arguments.microphone or sounds == ["-"]):
        raise ValueError("--num-workers is for files")
    if arguments.microphone:
        return [stream_microphone(rate, arguments.seconds)]
    if sounds != ["-"]:
        return sounds
    if arguments.raw_rate:
        raw = (arguments.raw_rate, arguments.raw_format or "s16", arguments.raw_channels or 1)
        return [stream_raw(sys.stdin.buffer, *raw, rate)]
    return [stream_audio(sys.stdin.buffer, rate, **reading(arguments))]


def _write_picture(path: Path, picture: "Picture", title: str, labels: list[str]) -> None:
    title = os.fsencode(title).decode("utf-8", "replace")
    best = picture.loudest(PICTURE_LABELS)
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        picture.draw(file, title, picture.decibels(), [labels[index] for index in best], picture.timeline(best))
