# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a sound for `ssast classify --plot` and `ssast demo`: spectrogram and, under it, scores over time."""

import math
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from ..feature_extraction_ssast import LOWEST_FREQUENCY, SHIFT_SECONDS, SSASTFeatureExtractor, mel
from ..utils.require import require
from ..utils.text import drawn
from .batches import Window

COLUMNS = 4096  # at most, of a picture; longer sounds are averaged
TIMELINE_COLUMNS = 2048
TICKS = (200, 500, 1000, 2000, 5000, 10000, 20000)  # Hz


class Picture:
    """Collects windows of one sound, of any length in bounded memory, and draws them."""

    def __init__(self, extractor: SSASTFeatureExtractor):
        self.extractor = extractor
        self.frames_per_column = 1
        self.sums = np.zeros((COLUMNS, extractor.num_mel_bins))
        self.counts = np.zeros(COLUMNS)
        self.next_frame = 0
        self.end = 0.0
        self.scores: list[tuple[float, float, np.ndarray]] = []

    def add(self, window: Window) -> None:
        """Adds the frames that no earlier window had, and the scores if there is a classifier."""
        self.end = max(self.end, window.end)
        first = round(window.start / SHIFT_SECONDS)
        frames = window.features[max(0, self.next_frame - first) :]
        index = np.arange(len(frames)) + max(first, self.next_frame)
        self.next_frame = max(self.next_frame, first + len(window.features))
        while self.next_frame > COLUMNS * self.frames_per_column:
            self.frames_per_column *= 2
            for array in (self.sums, self.counts):
                array[: COLUMNS // 2] = array[::2] + array[1::2]
                array[COLUMNS // 2 :] = 0
        np.add.at(self.sums, index // self.frames_per_column, frames)
        np.add.at(self.counts, index // self.frames_per_column, 1)
        if window.output is not None:
            self.scores.append((window.start, window.end, window.output))
        if len(self.scores) > 2 * COLUMNS:
            pairs = zip(self.scores[::2], self.scores[1::2])
            rest = self.scores[len(self.scores) // 2 * 2 :]
            self.scores = [(a[0], b[1], np.maximum(a[2], b[2])) for a, b in pairs] + rest

    def loudest(self, num_labels: int) -> np.ndarray:
        """The `num_labels` labels with the highest peaks, as indices."""
        if not num_labels:
            return np.zeros(0, int)
        peaks = np.max([scores for _, _, scores in self.scores], axis=0)
        return np.argsort(-peaks, kind="stable")[:num_labels]

    def timeline(self, labels: np.ndarray) -> np.ndarray:
        """The scores of labels over time, (labels, columns); NaN where there was no window."""
        timeline = np.full((len(labels), TIMELINE_COLUMNS), np.nan, np.float32)
        scale = timeline.shape[1] / self.end
        for start, end, scores in self.scores:
            columns = slice(int(start * scale), max(int(start * scale) + 1, math.ceil(end * scale)))
            timeline[:, columns] = np.fmax(timeline[:, columns], scores[labels, None])
        return timeline

    def decibels(self) -> tuple[np.ndarray, float, float]:
        """The log-mel energies (bins, columns), NaN where there was no window; and the range that is shown."""
        used = math.ceil(self.next_frame / self.frames_per_column)
        with np.errstate(invalid="ignore"):
            mean = self.sums[:used] / self.counts[:used, None]
        if self.extractor.do_normalize:
            mean = mean * (2 * self.extractor.std) + self.extractor.mean
        decibels = 10 / math.log(10) * mean.T
        low, high = map(float, np.nanpercentile(decibels, (5, 99.8)))
        return decibels, low, max(high, low + 1)

    def frequencies(self) -> list[tuple[float, str]]:
        """Where round frequencies are, in mel bins from the lowest, and their names."""
        rate, bins = self.extractor.sampling_rate, self.sums.shape[1]
        lowest, highest = mel(LOWEST_FREQUENCY), mel(rate / 2)
        return [
            ((mel(f) - lowest) / (highest - lowest) * (bins + 1) - 1, f"{f / 1000:g} kHz" if f >= 1000 else f"{f} Hz")
            for f in TICKS
            if f <= rate / 2
        ]

    def draw(
        self,
        file: BinaryIO,
        title: str,
        spectrogram: tuple[np.ndarray, float, float],
        names: Sequence[str] = (),
        timeline: np.ndarray | None = None,
    ) -> None:
        """
        Writes a PNG of the spectrogram and, under it, of the scores of labels.

        Args:
            file: Where to write.
            title: Above the spectrogram.
            spectrogram: What [`decibels`] returns.
            names: Of the labels.
            timeline: Their scores, as [`timeline`] returns them.
        """
        FigureCanvasAgg = require("matplotlib.backends.backend_agg", "plot", "--plot").FigureCanvasAgg
        Figure = require("matplotlib.figure", "plot", "--plot").Figure
        figure = Figure(figsize=(12, 4.2 + 0.3 * len(names)), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = (3, 0.4 + 0.3 * len(names)) if names else (1,)
        axes = figure.subplots(len(ratios), sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
        self._draw_spectrogram(axes[0], figure, *spectrogram)
        axes[0].set_title(drawn(title), fontsize=10)
        if names:
            self._draw_scores(axes[1], figure, names, timeline)
        axes[-1].set_xlabel("seconds" if self.end < 600 else "h:min:s")
        if self.end >= 600:
            axes[-1].xaxis.set_major_formatter(
                lambda x, _: f"{int(x) // 3600}:{int(x) // 60 % 60:02}:{int(x) % 60:02}"
            )
        figure.savefig(file, format="png", dpi=120)

    def _draw_scores(self, axes, figure, names: Sequence[str], timeline: np.ndarray | None) -> None:
        every = np.stack([scores for _, _, scores in self.scores])
        probabilities = every.min() >= 0 and every.max() <= 1
        limits = {"vmin": 0, "vmax": 1} if probabilities else {}
        extent = (0, self.end, len(names) - 0.5, -0.5)
        image = axes.imshow(timeline, aspect="auto", extent=extent, cmap="Blues", interpolation="none", **limits)
        axes.set_yticks(range(len(names)), list(map(drawn, names)))
        figure.colorbar(image, ax=axes, label="score", pad=0.01)

    def _draw_spectrogram(self, axes, figure, decibels: np.ndarray, low: float, high: float) -> None:
        bins, columns = decibels.shape
        extent = (0, columns * self.frames_per_column * SHIFT_SECONDS, -0.5, bins - 0.5)
        image = axes.imshow(decibels, aspect="auto", origin="lower", extent=extent, cmap="magma", vmin=low, vmax=high)
        axes.set_yticks(*zip(*self.frequencies()))
        axes.set_ylim(-0.5, bins - 0.5)
        axes.set_xlim(0, self.end)
        axes.set_facecolor("0.8")
        figure.colorbar(image, ax=axes, label="log-mel energy [dB]", pad=0.01)
