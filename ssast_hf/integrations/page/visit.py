# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The sounds of one visitor of the page, and the events in them as files to download."""

import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...inference.events import Event, EventJoiner, EventRules
from ...inference.label_formats import TRACKS, WRITERS, track_names
from ...utils.text import printable

THRESHOLD = 0.5  # of events, as in `ssast classify`
DOWNLOADS = ("csv", "audacity", "raven")


@dataclass
class Sound:
    """
    What the page knows of one sound.

    Attributes:
        path (`str`): The page's copy of the file.
        name (`str`): What the page calls it. Two sounds of one visit have two names.
        length (`float`, *optional*): Seconds, as the file's headers state.
        seconds (`float`): How much was analysed so far.
        windows: Start and end of each window in seconds, and its scores (labels,).
        scores: Of the whole sound by label, the best first. Empty before the end, and without a classifier.
        frequencies: Places of round frequencies in the spectrogram, from 0 at its bottom to 1, and their names.
        spectrogram (`bytes`), timelines: PNG files without axes: of the spectrogram, and by label of the scores.
        picture (`bytes`): PNG file of both, with axes.
        latest (`float`): Latest start in seconds of a section for [`Demo.reconstruct`].
        patches (`int`): Number of patches of the first section.
        error (`str`): Why it cannot be analysed.
        complete (`bool`): Whether it was analysed to its end.
    """

    path: str
    name: str
    length: float | None = None
    seconds: float = 0.0
    windows: list[tuple[float, float, np.ndarray]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    frequencies: list[tuple[float, str]] = field(default_factory=list)
    spectrogram: bytes = b""
    timelines: dict[str, bytes] = field(default_factory=dict)
    picture: bytes = b""
    latest: float = 0.0
    patches: int = 0
    error: str = ""
    complete: bool = False
    # The threshold and the events of the last call of `events`; the analysis, which one thread at a time goes on with.
    _found: tuple[float, list[Event]] | None = field(default=None, init=False, repr=False)
    _work: Iterator[None] | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def advance(self, analyse: Callable[["Sound"], Iterator[None]]) -> bool:
        """
        Goes on with the analysis up to its next pause, from where an earlier call left it.

        Args:
            analyse: What begins the analysis: [`Demo.listen`].

        Returns:
            Whether there is more to do.
        """
        with self._lock:
            if self._work is None:
                self._work = analyse(self)
            return next(self._work, self) is None

    def events(self, labels: Sequence[str], threshold: float) -> list[Event]:
        """
        The events of a sound that is complete, by their start, as `ssast classify --events` finds them. `labels` are
        those of the scores.
        """
        if self._found is None or self._found[0] != threshold:
            joiner = EventJoiner(labels, EventRules(threshold))
            found = [event for window in self.windows for event in joiner.add(*window)]
            self._found = threshold, sorted(found + joiner.finish(), key=lambda event: (event.start, event.label))
        return self._found[1]


def name_of(path: str) -> str:
    """What the page calls a file: its name, without control characters."""
    return printable(os.fsencode(Path(path).name).decode("utf-8", "replace"))


class Visit:
    """
    The sounds of one visitor, in order.

    Attributes:
        sounds (`dict[str, Sound]`): By path.
        chosen (`str`, *optional*): Path of the sound that is shown.
        threshold (`float`): Of events.
        displayed: The [`Visit.state`] that the page shows.
    """

    def __init__(self) -> None:
        self.sounds: dict[str, Sound] = {}
        self.chosen: str | None = None
        self.threshold = THRESHOLD
        self.displayed: tuple | None = None

    def take(self, paths: Sequence[str]) -> None:
        """Makes these the sounds of the visit. What was analysed of those that it had stays."""
        before, self.sounds = self.sounds, {}
        for path in dict.fromkeys(paths):
            name = self._free_name(name_of(path))
            self.sounds[path] = before.get(path) or Sound(path, name)
            self.sounds[path].name = name
        if self.chosen not in self.sounds:
            self.chosen = next(iter(self.sounds), None)

    def _free_name(self, name: str) -> str:
        taken, free, count = {sound.name for sound in self.sounds.values()}, name, 1
        while free in taken:
            count += 1
            free = f"{Path(name).stem} ({count}){Path(name).suffix}"
        return free

    def shown(self) -> Sound | None:
        """The sound that is shown."""
        return None if self.chosen is None else self.sounds.get(self.chosen)

    def state(self) -> tuple:
        """What the page can show of the sound that is shown."""
        sound = self.shown()
        return (None,) if sound is None else (sound.path, sound.name, sound.complete, sound.error)

    def changed(self) -> bool:
        """Whether the page shows something else."""
        return self.displayed != self.state()

    def complete(self) -> list[Sound]:
        """The sounds that were analysed to their ends."""
        return [sound for sound in self.sounds.values() if sound.complete]


def download(format: str, sounds: Sequence[Sound], labels: Sequence[str], threshold: float) -> tuple[str, bytes]:
    """
    The events of sounds as a file: its name and what is in it. A label track has one sound, so that tracks of several
    sounds come as a ZIP archive.

    Args:
        format (`str`): One of `DOWNLOADS`.
        sounds: At least one, all complete.
        labels, threshold: As for [`Sound.events`].
    """
    if format not in TRACKS:
        return f"events.{format}", _written(format, sounds, labels, threshold)
    names = track_names((sound.name for sound in sounds), TRACKS[format])
    tracks = [_written(format, [sound], labels, threshold) for sound in sounds]
    if len(tracks) == 1:
        return names[0], tracks[0]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, track in zip(names, tracks):
            archive.writestr(zipfile.ZipInfo(name), track, zipfile.ZIP_DEFLATED)
    return f"events-{format}.zip", file.getvalue()


def _written(format: str, sounds: Sequence[Sound], labels: Sequence[str], threshold: float) -> bytes:
    file = io.StringIO()
    writer = WRITERS[format](file, False, "mean")
    for sound in sounds:
        # The name of the file itself, which Raven looks for; a table of several sounds tells them apart.
        name = Path(sound.path).name if format in TRACKS else sound.name
        writer.events(name, sound.events(labels, threshold))
    return file.getvalue().encode("utf-8", "replace")
