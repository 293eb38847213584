# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What cross-validation chooses for a frozen encoder: layer, pooling, regularization, and whether to copy clips."""

import math
from collections.abc import Sequence

import numpy as np

from .regression import WindowFeatures, cross_validate, make_folds

STRENGTHS = (0.01, 0.03, 0.1, 0.3)  # scikit-learn's C
UNTRIED = 0.05  # C where cross-validation is impossible
MOST_TO_CHOOSE_BY = 1000  # clips in cross-validation
DEPTH = 2 / 3  # of the encoder, whose layers are taken where others are not certainly better

Choice = tuple[int, str, float]  # layer from 1, pooling, C


def choose(
    features: dict[tuple[int, str], WindowFeatures],
    targets: np.ndarray,
    several: bool,
    seed: int,
    groups: Sequence[str] | None = None,
) -> tuple[Choice, list[str]]:
    """
    Pooling, layer and `C` by the accuracy in cross-validation, or for several labels mAP; of equals, by the
    logarithmic loss. With few clips the best of many combinations is best by chance. So the pooling is chosen by its
    mean over all layers and C, the layer by the mean over C and its neighbours, and C by its mean over layers. Of the
    layers within one standard error of the best, the one nearest `DEPTH` of the encoder is taken: clips of the same
    speaker or place on both sides of cross-validation favour layers that recognise these.

    Args:
        features: [`WindowFeatures`] by layer and pooling.
        targets (`np.ndarray` of shape `(clips, labels)`): 1 for the labels of a clip, else 0.
        several (`bool`): Whether a clip may have several labels.
        seed (`int`): Of the division into parts.
        groups (`Sequence[str]`, *optional*): One per clip; a group is never fitted on and judged by.

    Returns:
        The choice, and lines about it.
    """
    drawn, folds = divide(targets, several, seed, groups)
    if not folds:
        layers, poolings = sorted({layer for layer, _ in features}), sorted({pooling for _, pooling in features})
        choice = (layers[len(layers) // 2], "rows" if "rows" in poolings else poolings[0], UNTRIED)
        why = "no label has two clips" if groups is None else "the clips are of one group"
        return choice, [f"Layer {choice[0]}, pooling {choice[1]} and C {choice[2]:g}: not chosen by the clips, {why}"]
    worth: dict[Choice, tuple[float, float]] = {}
    for (layer, pooling), windows in features.items():
        found = cross_validate(windows.of(drawn), targets[drawn], STRENGTHS, several, folds)
        worth.update({(layer, pooling, strength): value for strength, value in zip(STRENGTHS, found)})
    error = _standard_error(worth, len(drawn))
    choice, tables = _best(worth, error)
    layer, pooling, strength = choice
    by_layer, by_pooling, by_strength = (
        ", ".join(f"{option} {value[0]:.3f}" for option, value in table.items()) for table in tables
    )
    lines = [
        f"Chosen by {'mAP' if several else 'accuracy'} {_how(drawn, folds, groups)}:",
        f"- pooling {pooling}, the best mean over all layers and C: {by_pooling}",
        f"- layer {layer}, means over all C: {by_layer}",
        f"- C {strength:g}, the best mean over all layers: {by_strength}",
    ]
    if len(tables[0]) > 1:
        lines[2] += f"; of those within one standard error, {error:.3f}, of the best the nearest to 2/3 of the depth"
    return choice, lines


def divide(
    targets: np.ndarray, several: bool, seed: int, groups: Sequence[str] | None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Indices of the clips to choose by, and their division into parts."""
    drawn = np.arange(len(targets))
    if len(drawn) > MOST_TO_CHOOSE_BY:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, MOST_TO_CHOOSE_BY, replace=False))
    own_groups = None if groups is None else [groups[int(index)] for index in drawn]
    return drawn, make_folds(targets[drawn], several, seed, own_groups)


def _how(drawn: np.ndarray, folds: list, groups: Sequence[str] | None) -> str:
    by = "" if groups is None else " by group"
    return f"in cross-validation of {len(drawn)} clips in {len(folds)} parts{by}"


def worth_copies(
    windows: WindowFeatures,
    copies: list[WindowFeatures],
    targets: np.ndarray,
    several: bool,
    seed: int,
    groups: Sequence[str] | None = None,
) -> tuple[bool, str]:
    """
    Whether to fit warped copies of the clips, too, by the logarithmic loss in cross-validation, mean over all C. The
    clips that judge are as they were. Arguments as of [`choose`].

    Returns:
        The answer and a line about it, which follows those of [`choose`].
    """
    drawn, folds = divide(targets, several, seed, groups)
    losses = {}
    for count, fitted in ((0, windows), (len(copies), WindowFeatures.joined([windows, *copies]))):
        found = cross_validate(windows.of(drawn), targets[drawn], STRENGTHS, several, folds, fitted=fitted.of(drawn))
        losses[count] = -float(np.mean([likelihood for _, likelihood in found]))
    better = losses[len(copies)] < losses[0]
    listed = ", ".join(f"{count} {loss:.3f}" for count, loss in losses.items())
    chosen = f"with {len(copies)} warped copies of each clip" if better else "without warped copies"
    return better, f"- {chosen}, by the lower logarithmic loss, mean over all C: {listed}"


def _standard_error(worth: dict[Choice, tuple[float, float]], clips: int) -> float:
    """Of the best accuracy of so many clips, or of a mAP, by the binomial distribution."""
    best = min(max(value for value, _ in worth.values()), 1 - 1 / (2 * clips))
    return math.sqrt(best * (1 - best) / clips)


def _best(worth: dict[Choice, tuple[float, float]], error: float) -> tuple[Choice, tuple[dict, dict, dict]]:
    """The choice of [`choose`], and what it compared: layers, poolings and strengths."""

    def means(part: int, entries: dict) -> dict:
        options = sorted({key[part] for key in entries})
        return {option: tuple(np.mean([value for key, value in entries.items() if key[part] == option], axis=0))
                for option in options}  # fmt: skip

    poolings = means(1, worth)
    pooling = max(poolings, key=poolings.__getitem__)
    own = {key: value for key, value in worth.items() if key[1] == pooling}
    alone, strengths = means(0, own), means(2, own)
    values = list(alone.values())
    layers = {layer: tuple(np.mean(values[max(0, i - 1) : i + 2], axis=0)) for i, layer in enumerate(alone)}
    strength = max(strengths, key=strengths.__getitem__)
    least = max(value for value, _ in layers.values()) - error
    close = [layer for layer, (value, _) in layers.items() if value >= least]
    layer = min(close, key=lambda layer: (abs(layer - DEPTH * max(layers)), -layers[layer][0]))
    return (layer, pooling, strength), (layers, poolings, strengths)
