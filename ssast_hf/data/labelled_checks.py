# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of labelled clips before training: missing and unreadable files, and labels that may not be meant."""

import math
import os
import unicodedata
from bisect import bisect_left
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

from ..feature_extraction_ssast import FRAME_SECONDS
from ..utils.logs import get_logger
from ..utils.parsing import INVISIBLE
from ..utils.text import listed, printable, reason_of
from .clips import Clip, places
from .labels import READABLE, Labels, check_complete
from .manifests import relative_hint

logger = get_logger(__name__)

FEW = 5  # clips of a label
SHORTEST = FRAME_SECONDS - 0.5 / 16000  # seconds: half a sample less, because resampling rounds
NOISE = "_background_noise_"  # folder of the Speech Commands data sets
TOUCHING = 1e-3  # seconds of overlap that rounding makes
MOST_NAMED = 3  # files in a message
SEPARATORS = {",": "comma", "|": "vertical bar"}  # of several labels elsewhere
THREADS = 16  # reading headers waits for the disk


def check_found(clips: list[Clip], source: str) -> None:
    """Raises ValueError if files do not exist; says so where they would, relative to the working directory."""
    missing = sorted({clip.path for clip in clips if clip.member is None and not os.path.exists(clip.path)})
    if missing:
        some = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
        hint = relative_hint(missing, os.path.dirname(source))
        raise ValueError(f"{source}: {len(missing)} of its files do not exist: {some}.{hint}")


def readable(clips: list[Clip]) -> list[Clip]:
    """
    The clips that can be read, by their headers; where a header does not tell, by their first 0.1 s. Logs the others.
    """

    def reason(clip: Clip) -> str | None:
        try:
            seconds = clip.seconds()
            if seconds is None:
                clip.load(16000, 0.0, 0.1)
            elif seconds <= 0:
                return f"the clip begins at {clip.offset:g} s, after the end of its file"
            elif seconds < SHORTEST:
                return f"it is {seconds:.3g} s long, expected {FRAME_SECONDS} s or more"
        except (OSError, ValueError) as error:
            return reason_of(error, clip.name)
        return None

    with ThreadPoolExecutor(THREADS) as threads:
        reasons = list(threads.map(reason, clips))
    for name, why in {clip.name: why for clip, why in zip(clips, reasons) if why is not None}.items():
        logger.warning("Skipped %s: %s", name, why)
    return [clip for clip, why in zip(clips, reasons) if why is None]


def check_readable(clips: list[Clip], labels: Labels, source: str, lost: bool = False, complete: bool = True) -> None:
    """
    Raises ValueError if labels have no clip, unless not `complete`, or only clips that cannot be decoded: headers do
    not tell of samples that are not numbers. Of each label clips are decoded until one can be, 10 s of each. `lost`
    says that other clips could not be read.
    """
    if complete:
        check_complete(clips, labels, source, lost)
    own: dict[str, list[Clip]] = {}
    for clip in clips:
        for label in labels.of(clip):
            own.setdefault(label, []).append(clip)
    silent = [label for label, found in own.items() if not any(map(_decodes, found))]
    if silent:
        raise ValueError(
            f"{source} has no clip of {listed(silent)}{READABLE}. If that is as it should be, give "
            "--allow_missing_labels True."
        )


def _decodes(clip: Clip) -> bool:
    try:
        samples = len(clip.load(16000, 0.0, 10.0))
        if samples < SHORTEST * 16000:
            raise ValueError(f"{samples} samples at 16000 Hz, expected {FRAME_SECONDS * 16000:g} or more")
    except (OSError, ValueError) as error:
        logger.warning("Skipped %s: %s", clip.name, reason_of(error, clip.name))
        return False
    return True


def warn_of_labels(clips: list[Clip], labels: Labels, source: str) -> None:
    """Logs, once each, what in labels may not be meant: noise, case, few clips, one sound with two labels."""
    counts = Counter(label for clip in clips for label in labels.of(clip))
    if NOISE in counts:
        logger.warning(
            "%s has the label %s, a folder of noise in Speech Commands: remove it unless it is meant as a label.",
            source, NOISE,
        )  # fmt: skip
    folded: dict[str, list[str]] = {}
    for label in sorted(counts):
        folded.setdefault(_folded(label), []).append(label)
    alike = [" and ".join(names) for names in folded.values() if len(names) > 1]
    if alike:
        logger.warning(
            "%s has labels that differ only in case, spaces or characters without width: %s. Rename one if they are "
            "one.", source, listed(list(map(printable, alike))),
        )  # fmt: skip
    few = [f"{label} ({counts[label]})" for label in labels.names if 0 < counts[label] < FEW]
    if few:
        logger.warning(
            "%s has labels of fewer than %d clips: %s. Add clips, or leave these out.", source, FEW, listed(few)
        )
    _warn_of_joined(clips, counts, labels.several, source)
    _warn_of_repeats(clips, labels, source)


def _warn_of_repeats(clips: list[Clip], labels: Labels, source: str) -> None:
    """Logs sounds that are listed several times: with one label each and different ones, or with the same."""
    of: dict[tuple, list[tuple[str, ...]]] = {}
    for place, clip in zip(places(clips), clips):
        of.setdefault(place, []).append(tuple(sorted(labels.of(clip))))
    several = {place: found for place, found in of.items() if len(found) > 1}
    twice = [f"{place[0]} ({', '.join(sorted(set().union(*found)))})" for place, found in several.items()
             if len(set(found)) > 1]  # fmt: skip
    if twice and not labels.several:
        logger.warning(
            "%s gives %d sound(s) two labels, such as %s: correct it, or list them with --multi_label.",
            source, len(twice), twice[0],
        )  # fmt: skip
    again = [place[0] for place, found in several.items() if len(set(found)) < len(found)]
    if again:
        logger.warning(
            "%s has %d sound(s) several times, such as %s: each counts as often.", source, len(again), again[0]
        )


def _folded(label: str) -> str:
    """A label without case, spaces, characters without width, and what else Unicode's NFKC makes alike."""
    text = unicodedata.normalize("NFKC", label).casefold()
    return "".join(char for char in text if not char.isspace() and char not in INVISIBLE)


def _warn_of_joined(clips: list[Clip], counts: Counter[str], several: bool, source: str) -> None:
    """
    Logs a label that may be several: with a comma or bar in it and a part that is a label by itself; with `several`,
    any with one of these, unless clips separate theirs by semicolons or list them.
    """
    joined = [(label, mark) for label in counts for mark in SEPARATORS if mark in label]
    meant = not several or any(";" in (clip.label or "") or (clip.label or "").startswith("[") for clip in clips)
    apart = [(label, mark) for label, mark in joined if any(part.strip() in counts for part in label.split(mark))]
    for label, mark in (apart or ([] if meant else joined))[:1]:
        logger.warning(
            "%s has the label %r, which is one label with a %s in it: several are separated by semicolons, with "
            "--multi_label.", source, label, SEPARATORS[mark],
        )  # fmt: skip


def warn_of_shared(train: list[Clip], held_out: list[Clip], source: str) -> bool:
    """
    Logs recordings of which clips are on both sides of a split, which makes results look better than they are. Other
    names of a file are seen through. Returns whether there are any.
    """
    heard = {os.path.realpath(clip.path) for clip in train if clip.member is None}
    shared = {real: clip.path for clip in held_out if (real := os.path.realpath(clip.path)) in heard}
    if shared:
        logger.warning(
            "%s: clips of %d recording(s), such as %s, are in training and held out: --group_column file keeps each "
            "recording on one side.", source, len(shared), min(shared.values()),
        )  # fmt: skip
    return bool(shared)


def clips_heard(train: list[Clip], judged: list[Clip]) -> int:
    """How many of the clips that judge a model share sound with one that trained it: the same part, or overlapping."""
    spans: dict[tuple, list[tuple[float, float]]] = {}
    for clip in train:
        spans.setdefault((os.path.realpath(clip.path), clip.member), []).append(_span(clip))
    for found in spans.values():
        found.sort()
    last = {key: list(accumulate((stop for _, stop in found), max)) for key, found in spans.items()}

    def heard(clip: Clip) -> bool:
        start, end = _span(clip)
        key = os.path.realpath(clip.path), clip.member
        before = bisect_left(spans.get(key, ()), (end - TOUCHING, -math.inf))  # those that begin before its end
        return before > 0 and last[key][before - 1] > start + TOUCHING

    return sum(map(heard, judged))


def warn_of_heard(train: list[Clip], judged: list[Clip], source: str, data: str) -> None:
    """Logs that clips of a source which is to judge are in the training data."""
    if both := clips_heard(train, judged):
        logger.warning(
            "%s: %d of %d clips are in the training data %s, too: results look better than they are.",
            source, both, len(judged), data,
        )  # fmt: skip


def _span(clip: Clip) -> tuple[float, float]:
    """Seconds from when to when."""
    return clip.offset, math.inf if clip.duration is None else clip.offset + clip.duration
