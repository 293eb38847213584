# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the page of `ssast demo` computes: a sound's spectrogram, its labels over time, its masked reconstruction."""

import io
import math
import os
from collections.abc import Iterator

import matplotlib
import numpy as np
import torch
from PIL import Image

from ...audio import load_audio
from ...data.clips import Clip
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...inference.batches import Window, cut_windows, windows_of
from ...inference.classify import named_scores, run_classifier
from ...inference.label_formats import PICTURE_LABELS
from ...inference.plots import TIMELINE_COLUMNS, Picture
from ...inference.windows import ScoreJoiner
from ...masking import sample_masks
from ...modeling_ssast import SSASTForAudioClassification, SSASTForPreTraining
from ...training.picture import draw_reconstructions, reconstruct
from ...utils.text import first_sentence, printable
from ...utils.turns import Turns
from .visit import Sound

BATCH_SIZE = 4  # windows per forward pass: few, so that listening to a long sound can be cut off soon
WINDOWS_PER_YIELD = 16


def load_pretrained(path: str | os.PathLike) -> SSASTForPreTraining:
    """[`SSASTForPreTraining`] in eval mode. Raises ValueError for a checkpoint that cannot reconstruct."""
    model, info = SSASTForPreTraining.from_pretrained(path, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith("discriminative_head."))
    if missing:
        raise ValueError(
            f"{path} cannot reconstruct masked patches: it has no {', '.join(missing)}. Name a pretrained checkpoint; "
            "what is fine-tuned is a classifier."
        )
    return model.eval()


class Demo:
    """
    What the page computes.

    Args:
        model (`SSASTForPreTraining`), extractor (`SSASTFeatureExtractor`): A pretrained checkpoint, in eval mode.
        classifier (`SSASTForAudioClassification`), classifier_extractor (`SSASTFeatureExtractor`), *optional*: A
            fine-tuned one, for the labels.
        max_seconds (`float`, *optional*): Longer sounds are refused. Default: none are.
        max_files (`int`, *optional*): More sounds at a time are refused. Default: none are.
    """

    def __init__(
        self,
        model: SSASTForPreTraining,
        extractor: SSASTFeatureExtractor,
        classifier: SSASTForAudioClassification | None = None,
        classifier_extractor: SSASTFeatureExtractor | None = None,
        max_seconds: float | None = None,
        max_files: int | None = None,
    ):
        self.model, self.extractor, self.max_seconds, self.max_files = model, extractor, max_seconds, max_files
        self.turns = Turns()  # a few windows each: a long sound does not keep those of other visitors waiting
        self.classifier, self.classifier_extractor = classifier, classifier_extractor

    def labels(self) -> list[str]:
        """Names of the classifier's labels in the order of its scores; none without a classifier."""
        return [] if self.classifier is None else self.classifier.config.label_names()

    def has_events(self) -> bool:
        """Whether the classifier's scores are probabilities, which a threshold makes events of."""
        return self.classifier is not None and self.classifier.config.problem_type != "regression"

    def listen(self, sound: Sound) -> Iterator[None]:
        """
        Analyses a sound of any length and writes the results into it. A sound that cannot be analysed gets an `error`:
        it cannot be read, is shorter than a frame, too long or silent.

        Yields:
            Every few windows, so that the caller can show how far it is, or stop.
        """
        try:
            yield from self._listen(sound)
        except (OSError, ValueError) as error:
            sound.error = as_sentence(error, sound.path, sound.name)

    def _listen(self, sound: Sound) -> Iterator[None]:
        sound.length = Clip(sound.path).seconds()
        self._check_length(sound.path, sound.length or 0.0)
        picture, joiner = Picture(self.classifier_extractor or self.extractor), ScoreJoiner()
        windows, silent = 0, True
        for window in self.turns.each(self._windows(sound.path)):
            self._check_length(sound.path, window.end, "at least ")
            picture.add(window)
            windows, sound.seconds = windows + 1, max(sound.seconds, window.end)
            silent = silent and not np.ptp(window.features)
            if window.output is not None:
                joiner.add(window.output, window.weight)
                sound.windows.append((window.start, window.end, window.output))
            if windows % WINDOWS_PER_YIELD == 0:
                yield
        if silent:
            raise ValueError(f"{sound.path} is silent, expected sound")
        sound.scores = {} if self.classifier is None else named_scores(self.classifier, joiner.take())
        self._draw(sound, picture)
        sound.latest = max(0.0, math.floor(10 * (picture.end - self._section_seconds())) / 10)
        sound.patches = int(self._section(sound.path, 0.0)[1].prod())
        sound.complete = True

    def _draw(self, sound: Sound, picture: Picture) -> None:
        """The pictures of a sound that was analysed."""
        labels = self.labels()
        best = picture.loudest(PICTURE_LABELS if labels else 0)
        names, timeline = [labels[index] for index in best], picture.timeline(best)
        spectrogram = decibels, low, high = picture.decibels()
        file = io.BytesIO()
        shown = len(names) if len(sound.windows) > 1 else 0
        picture.draw(file, sound.name, spectrogram, names[:shown], timeline[:shown])
        sound.picture = file.getvalue()
        bins, columns = decibels.shape
        if columns > TIMELINE_COLUMNS:
            decibels = decibels[:, : columns // 2 * 2].reshape(bins, -1, 2).mean(-1)
        sound.spectrogram = _png((decibels[::-1] - low) / (high - low), "magma")
        sound.frequencies = [((place + 0.5) / bins, name) for place, name in picture.frequencies()]
        if names and not self.has_events():
            timeline = (timeline - np.nanmin(timeline)) / max(np.ptp(timeline[~np.isnan(timeline)]), 1e-6)
        sound.timelines = {name: _png(row[None], "Blues") for name, row in zip(names, timeline)}

    def reconstruct(
        self, path: str, start: float, cluster: int, num_masked: int, seed: int
    ) -> tuple[Image.Image, dict[str, float]]:
        """
        Masks patches of a section of a sound and reconstructs them.

        Args:
            path: Sound file.
            start: Second at which the section begins. It has `config.max_length` frames, or fewer at the sound's end.
            cluster: C, the side in patches of the clusters that are masked.
            num_masked: Number of patches to mask; 0: the share of the section's patches that pretraining masks.
            seed: Seed of the mask.

        Returns:
            A picture of the section, original, masked and reconstructed; and the numbers of `patches` and of those
            `masked`, the mean squared `error` of the normalised features in these, and their `variance`, which is the
            error of a constant.

        Raises:
            ValueError or OSError: The section cannot be read or is silent, or has fewer patches than are to be masked.
        """
        batch, grid = self._section(path, start)
        rows, columns = map(int, grid)
        config = self.model.config
        num_masked = num_masked or config.num_masked(rows * columns)
        if not 1 <= num_masked <= rows * columns:
            raise ValueError(
                f"{num_masked} patches are to be masked, expected 1 to {rows * columns}, which the sound has here "
                f"({rows} x {columns})"
            )
        if not np.ptp(batch["input_values"][batch["attention_mask"] == 1].numpy()):
            raise ValueError(f"{path} is silent from {start:g} s, expected sound")
        batch["bool_masked_pos"] = sample_masks(
            1,
            config.patch_grid(batch["input_values"].shape[1]),
            num_masked,
            cluster,
            cluster,
            num_time_patches=grid[1:],
            generator=torch.Generator().manual_seed(seed),
        )
        batch = {name: values.to(self.model.device) for name, values in batch.items()}
        with self.turns:
            masked, filled = reconstruct(self.model, batch)
        original = batch["input_values"][:, : masked.shape[1]]
        hidden = masked.isnan()
        file = io.BytesIO()
        draw_reconstructions(batch, masked, filled, file, [f"from {start:g} s"])
        return Image.open(file), {
            "patches": rows * columns,
            "masked": num_masked,
            "error": (filled - original)[hidden].square().mean().item(),
            "variance": original[hidden].var(correction=0).item(),
        }

    def _check_length(self, path: str, seconds: float, least: str = "") -> None:
        if self.max_seconds is not None and seconds > self.max_seconds:
            raise ValueError(f"{path} has {least}{seconds:.1f} s of sound, expected at most {self.max_seconds:g} s")

    def _windows(self, path: str) -> Iterator[Window]:
        if self.classifier is None or self.classifier_extractor is None:
            yield from cut_windows(self.extractor, path, self.model.config.max_length, BATCH_SIZE)
            return
        for event in run_classifier(self.classifier, self.classifier_extractor, [path], BATCH_SIZE):
            if isinstance(event, Window):
                yield event
            elif event.error is not None:
                raise event.error

    def _section_seconds(self) -> float:
        windows = windows_of(self.extractor, self.model.config.max_length)
        return windows.length / windows.rate

    def _section(self, path: str, start: float) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The model's inputs, a batch of one, without a mask; and how many real patches, (F, T)."""
        config, rate = self.model.config, self.extractor.sampling_rate
        inputs = self.extractor(
            load_audio(path, rate, start, self._section_seconds()),
            sampling_rate=rate,
            padding="longest",
            max_length=config.max_length,
            pad_to_multiple_of=config.time_patch_size,
            return_attention_mask=True,
            return_tensors="pt",
        )
        columns = self.model.ssast.num_real_time_patches(inputs["attention_mask"])
        return dict(inputs), torch.cat([torch.tensor([config.num_frequency_patches]), columns])


def as_sentence(error: Exception, path: str | None, name: str) -> str:
    """What is wrong with a file, by its name and not by the path of the page's own copy."""
    message = first_sentence(error)
    return printable(message if path is None else message.replace(path, name))


def _png(values: np.ndarray, colours: str) -> bytes:
    """A picture of values from 0 to 1 (rows, columns), a pixel each, in the colours of a map of matplotlib."""
    indices = np.round(255 * np.nan_to_num(np.clip(values, 0, 1))).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(matplotlib.colormaps[colours](np.arange(256), bytes=True)[:, :3].tobytes())
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()
