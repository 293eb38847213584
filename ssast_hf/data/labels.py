# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Labels of clips: one or several each, which of them a classifier is for, and splits that respect them."""

import json
import random
import statistics
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..utils.parsing import normalized, parse_csv
from ..utils.text import listed
from .label_text import labels_of
from .labelled import Clip, label_names, split

READABLE = " that can be read, see the warnings"


@dataclass(frozen=True)
class Labels:
    """
    The labels of a classifier, in the order of its outputs.

    Args:
        names (`tuple[str]`): Unique. They become [`~ssast_hf.utils.parsing.normalized`], as the labels of clips are.
        several (`bool`): Whether a clip may have more than one, written `a;b` or `["a", "b"]`.
    """

    names: tuple[str, ...]
    several: bool = False

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(map(normalized, self.names)))

    def of(self, clip: Clip) -> list[str]:
        return labels_of(clip, self.several)

    def target(self, clip: Clip) -> np.ndarray:
        """(labels,) float32: 1 for each of the clip's labels, else 0."""
        vector = np.zeros(len(self.names), dtype=np.float32)
        vector[[self.names.index(label) for label in self.of(clip)]] = 1
        return vector

    def targets(self, clips: list[Clip]) -> np.ndarray:
        """(clips, labels) float32."""
        known = {clip.label: self.target(clip) for clip in {clip.label: clip for clip in clips}.values()}
        return np.stack([known[clip.label] for clip in clips])


def find_labels(clips: list[Clip], several: bool, order: list[str] | None = None) -> Labels:
    """
    The labels that occur in `clips`, sorted, or as `order` has them.

    Raises:
        ValueError: Fewer than two labels, or not those of `order`.
    """
    singles = [Clip(clip.path, label) for clip in clips for label in labels_of(clip, several)]
    names = label_names(singles)
    if order is not None:
        order = [normalized(name) for name in order]
        check_known(clips, Labels(tuple(order), several), "The training data", "--label_file lacks")
        missing = [name for name in order if name not in set(names)]
        if missing:
            raise ValueError(f"The training data has no clip of {listed(missing)}: a classifier cannot learn it.")
        names = order
    return Labels(tuple(names), several)


def name_official_labels(clips: list[Clip], source: str, label_file: str | None) -> list[Clip]:
    """
    Where `source` is the original's `.json`, whose labels are identifiers joined by commas (`/m/09x0r,/t/dd00088`),
    and `label_file` its class CSV, the clips with the display names instead; else the clips as they are.
    """
    if label_file is None or not (str(source).lower().endswith(".json") and label_file.lower().endswith(".csv")):
        return clips
    with open(label_file, newline="", encoding="utf-8-sig") as file:
        rows = parse_csv(file.read(), str(label_file))
    names = {row["mid"]: row.get("display_name") for _, row in rows if row.get("mid")}
    if not all(names.values()):
        raise ValueError(f"{label_file} has an entry without `display_name`, expected the class CSV of AudioSet.")
    named = []
    for clip in clips:
        if not clip.label:
            named.append(clip)
            continue
        identifiers = [identifier.strip() for identifier in clip.label.split(",")]
        unknown = [identifier for identifier in identifiers if identifier not in names]
        if unknown:
            raise ValueError(
                f"{clip.path} has the label {unknown[0]!r}, which is not in the column mid of {label_file}."
            )
        labels = [names[identifier] for identifier in identifiers]
        named.append(replace(clip, label=labels[0] if len(labels) == 1 else json.dumps(labels)))
    return named


def check_known(clips: list[Clip], labels: Labels, source: str, lack: str) -> None:
    """Raises ValueError if clips have labels that are not among `labels`."""
    known = set(labels.names)
    unknown = sorted({label for clip in clips for label in labels.of(clip)} - known)
    if unknown:
        raise ValueError(f"{source} has the label(s) {listed(unknown)}, which {lack}.")


def check_complete(clips: list[Clip], labels: Labels, source: str, lost: bool = False) -> None:
    """Raises ValueError if labels have no clip; `lost` says that others could not be read."""
    found = {label for clip in clips for label in labels.of(clip)}
    missing = [name for name in labels.names if name not in found]
    if missing:
        raise ValueError(
            f"{source} has no clip of {listed(missing)}{READABLE if lost else ''}. If that is as it should be, give "
            "--allow_missing_labels True: what cannot be measured is left out of the averages."
        )


def default_fraction(clips: list[Clip], labels: Labels) -> float:
    """
    The share to hold out for validation where none is given: a tenth, or with fewer than 50 clips per label (the
    median), what makes five of each, but no more than 0.3.
    """
    counts = Counter(label for clip in clips for label in labels.of(clip))
    median = statistics.median(counts[name] for name in labels.names)
    return min(0.3, max(0.1, 5 / max(median, 1)))


def hold_out(
    clips: list[Clip], labels: Labels, fraction: float | None, seed: int, groups: list[str] | None = None
) -> tuple[list[Clip], list[Clip]]:
    """
    Draws about `fraction` of the clips (`None`: `default_fraction`) for validation, of each label alike as far as
    that goes. With `groups`, one per clip, all clips of a group land on the same side.

    Returns:
        The clips for training and those for validation.
    """
    fraction = default_fraction(clips, labels) if fraction is None else fraction
    if not 0 < fraction < 1:
        raise ValueError(f"The validation fraction is {fraction}, expected a number above 0 and below 1.")
    if groups is not None:
        return _hold_out_groups(clips, labels, fraction, seed, groups)
    if not labels.several:
        return split(clips, fraction, seed)
    # Iterative stratification (Sechidis et al. 2011), two ways: the rarest label first, while there is a choice.
    rng = random.Random(seed)
    sets = [set(labels.of(clip)) for clip in clips]
    side: dict[int, bool] = {}  # index of a clip -> whether it is held out
    counts = Counter(label for names in sets for label in names)
    for label in sorted(labels.names, key=lambda name: (counts[name], name)):
        members = [index for index, names in enumerate(sets) if label in names]
        open_ = [index for index in members if index not in side]
        rng.shuffle(open_)
        wanted = min(len(members) - 1, max(1, round(fraction * len(members))))
        wanted = max(0, wanted - sum(side[index] for index in members if index in side))
        for position, index in enumerate(open_):
            side[index] = position < wanted
    negatives = [index for index in range(len(clips)) if index not in side]  # clips without any label
    rng.shuffle(negatives)
    for position, index in enumerate(negatives):
        side[index] = position < round(fraction * len(negatives))
    return (
        [clip for index, clip in enumerate(clips) if not side[index]],
        [clip for index, clip in enumerate(clips) if side[index]],
    )


def _hold_out_groups(clips, labels: Labels, fraction, seed, groups) -> tuple[list[Clip], list[Clip]]:
    from sklearn.model_selection import StratifiedGroupKFold

    folds = max(2, round(1 / min(fraction, 1 - fraction)))
    distinct = len(set(groups))
    if distinct < folds:
        raise ValueError(
            f"There are {distinct} groups, expected {folds} or more to hold out {fraction:.2g} of all clips: "
            "give another --validation_fraction, 0 to hold none out, or --folds."
        )
    main_label = [labels.names.index(of[0]) if (of := labels.of(clip)) else -1 for clip in clips]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, held_out = next(splitter.split(clips, main_label, groups))
    if fraction > 0.5:
        train, held_out = held_out, train
    return [clips[i] for i in train], [clips[i] for i in held_out]
