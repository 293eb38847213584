# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Clips divided into folds for cross-validation."""

import random
from collections import Counter

import numpy as np

from .clips import Clip
from .labels import Labels


def folds_of(
    clips: list[Clip], labels: Labels, count: int, seed: int, groups: list[str] | None = None
) -> list[list[int]]:
    """
    Divides clips into folds, of each label alike as far as that goes.

    Args:
        clips (`list[Clip]`), labels ([`Labels`]): What to divide.
        count (`int`): Folds, 2 or more.
        seed (`int`): Of the draw.
        groups (`list[str]`, *optional*): Of each clip; all clips of a group land in one fold.

    Returns:
        Indices of the clips of each fold, sorted; each clip is in one fold.

    Raises:
        ValueError: There are fewer groups than folds, or a label of which all clips land in one fold, so that no clip
        of it is left to train on.
    """
    if count < 2:
        raise ValueError(f"--folds is {count}, expected 2 or more.")
    if count > len(clips):
        raise ValueError(f"--folds is {count}, expected at most the number of clips, which is {len(clips)}.")
    sets = [set(labels.of(clip)) for clip in clips]
    if groups is not None:
        folds = _by_group(sets, labels, count, seed, groups)
    else:
        folds = _stratified(sets, labels, count, seed)
    for number, fold in enumerate(folds):
        rest = set().union(*(sets[index] for other in folds if other is not fold for index in other))
        lost = sorted({label for index in fold for label in sets[index]} - rest)
        if lost:
            raise ValueError(
                f"All clips of {', '.join(lost[:5])} are in fold {number + 1} of {count}: without it, none is left to "
                "train on. Give more clips (of more groups), fewer folds, or leave the label out."
            )
    return folds


def _by_group(sets: list[set[str]], labels: Labels, count: int, seed: int, groups: list[str]) -> list[list[int]]:
    from sklearn.model_selection import StratifiedGroupKFold

    distinct = len(set(groups))
    if distinct < count:
        raise ValueError(f"There are {distinct} groups, expected {count} or more for --folds {count}.")
    # Of several labels, the rarest stands for a clip.
    counts = Counter(label for names in sets for label in names)
    main = [min(names, key=lambda name: (counts[name], name)) if names else "" for names in sets]
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [sorted(map(int, held)) for _, held in splitter.split(np.zeros(len(sets)), main, groups)]


def _stratified(sets: list[set[str]], labels: Labels, count: int, seed: int) -> list[list[int]]:
    """
    Iterative stratification (Sechidis et al. 2011): the rarest label first, each of its clips to the fold with the
    fewest of it, of these to the smallest.
    """
    rng = random.Random(seed)
    counts = Counter(label for names in sets for label in names)
    folds: list[list[int]] = [[] for _ in range(count)]
    of_label = [Counter() for _ in range(count)]  # type: list[Counter[str]]
    placed: set[int] = set()
    for label in [*sorted(labels.names, key=lambda name: (counts[name], name)), None]:
        members = [i for i, names in enumerate(sets) if i not in placed and (label is None or label in names)]
        rng.shuffle(members)
        for index in members:
            order = [(of_label[fold][label] if label else 0, len(folds[fold]), fold) for fold in range(count)]
            fold = min(order)[2]
            folds[fold].append(index)
            of_label[fold].update(sets[index])
            placed.add(index)
    return [sorted(fold) for fold in folds]
