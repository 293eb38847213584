# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The page of `ssast demo`: a sound's spectrogram, its labels by a classifier, and its masked reconstruction."""

import functools
import html
import inspect
import io
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import gradio
import matplotlib  # noqa: F401  else missed only when something is to be drawn
import numpy as np
import torch
from PIL import Image

from ..audio import load_audio
from ..checkpoints import DEFAULT_CLASSIFIER, DEFAULT_RECONSTRUCTION
from ..data.clips import Clip
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.batches import Window, cut_windows, windows_of
from ..inference.classify import load_classifier, named_scores, run_classifier
from ..inference.devices import load_on_device
from ..inference.label_formats import PICTURE_LABELS
from ..inference.plots import Picture
from ..inference.windows import ScoreJoiner
from ..masking import sample_masks
from ..modeling_ssast import SSASTForAudioClassification, SSASTForPreTraining
from ..training.picture import draw_reconstructions, reconstruct
from ..utils.addresses import check_address
from ..utils.text import first_sentence, printable
from ..utils.turns import Turns
from . import MAX_MEGABYTES, MAX_SECONDS

LARGEST_CLUSTER = 16  # patches on a side: more is nearly the whole clip
LONGEST = 24 * 3600  # seconds from which the slider can start, until it knows the sound
BATCH_SIZE = 4  # windows per forward pass: few, so that listening to a long sound can be cut off soon
WINDOWS_PER_YIELD = 16
VISITORS = 8  # whose sounds are analysed at the same time, a few windows of each in turn


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
    """

    def __init__(
        self,
        model: SSASTForPreTraining,
        extractor: SSASTFeatureExtractor,
        classifier: SSASTForAudioClassification | None = None,
        classifier_extractor: SSASTFeatureExtractor | None = None,
        max_seconds: float | None = None,
    ):
        self.model, self.extractor, self.max_seconds = model, extractor, max_seconds
        self.turns = Turns()  # a few windows each: a long sound does not keep those of other visitors waiting
        self.classifier, self.classifier_extractor = classifier, classifier_extractor

    def listen(self, path: str) -> Iterator[tuple[dict[str, float], Image.Image, float, int] | None]:
        """
        Reads a sound of any length.

        Yields:
            None, so that the caller can stop, every few windows. At last a tuple: scores by label, the best first
            (empty without a classifier); the spectrogram, above a timeline of labels if the classifier had several
            windows; the latest start in seconds of a section for [`Demo.reconstruct`]; the number of patches of the
            first section.

        Raises:
            ValueError or OSError: It cannot be read, is shorter than a frame, too long or silent.
        """
        self._check_length(path, Clip(path).seconds() or 0.0)
        picture, joiner = Picture(self.classifier_extractor or self.extractor), ScoreJoiner()
        windows, silent = 0, True
        for window in self.turns.each(self._windows(path)):
            self._check_length(path, window.end)
            picture.add(window)
            windows += 1
            silent = silent and not np.ptp(window.features)
            if window.output is not None:
                joiner.add(window.output, window.weight)
            if windows % WINDOWS_PER_YIELD == 0:
                yield None
        if silent:
            raise ValueError(f"{path} is silent, expected sound")
        scores = {} if self.classifier is None else named_scores(self.classifier, joiner.take())
        id2label = {} if self.classifier is None else dict(enumerate(self.classifier.config.label_names()))
        file = io.BytesIO()
        picture.draw(file, printable(Path(path).name), id2label, PICTURE_LABELS if scores and windows > 1 else 0)
        latest = max(0.0, math.floor(10 * (picture.end - self._section_seconds())) / 10)
        yield scores, Image.open(file), latest, int(self._section(path, 0.0)[1].prod())

    def reconstruct(
        self, path: str, start: float, cluster: int, num_masked: int, seed: int
    ) -> tuple[Image.Image, dict[str, float]]:
        """
        Masks patches of a section of a sound and reconstructs them.

        Args:
            path: Sound file.
            start: Second at which the section begins. It has `config.max_length` frames, or fewer at the sound's end.
            cluster: C, the side in patches of the clusters that are masked.
            num_masked: Number of patches to mask.
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
        if not 1 <= num_masked <= rows * columns:
            raise ValueError(
                f"{num_masked} patches are to be masked, expected 1 to {rows * columns}, which the sound has here "
                f"({rows} x {columns})"
            )
        if not np.ptp(batch["input_values"][batch["attention_mask"] == 1].numpy()):
            raise ValueError(f"{path} is silent from {start:g} s, expected sound")
        config = self.model.config
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

    def _check_length(self, path: str, seconds: float) -> None:
        if self.max_seconds is not None and seconds > self.max_seconds:
            raise ValueError(f"{path} has more than {self.max_seconds:g} s of sound, which is the most on this page")

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


def load_page(
    model: str = DEFAULT_RECONSTRUCTION,
    classifier: str | None = DEFAULT_CLASSIFIER,
    examples: Iterable[str | os.PathLike] = (),
    device: str | None = None,
    max_seconds: float | None = MAX_SECONDS,
) -> gradio.Blocks:
    """
    The page of a pretrained model and perhaps a classifier, by names as `from_pretrained` takes them, with sound files
    to choose from, for sounds of at most `max_seconds`.
    """
    extractor, pretrained = load_on_device(model, load_pretrained, device)
    config = pretrained.config
    about = (
        f"Reconstruction by `{model}`: patches of {config.frequency_patch_size} mel bins x {config.time_patch_size} "
        "frames of 10 ms."
    )
    if config.generative_loss_weight == 0:
        about += " It was trained without the generative objective, so that what it fills in means nothing."
    if classifier is None:
        return build_page(Demo(pretrained, extractor, max_seconds=max_seconds), about, examples)
    labelling, labels = load_on_device(classifier, load_classifier, device)
    about += f" Labels by `{classifier}`."
    return build_page(Demo(pretrained, extractor, labels, labelling, max_seconds), about, examples)


def build_page(demo: Demo, about: str = "", examples: Iterable[str | os.PathLike] = ()) -> gradio.Blocks:
    """The page of models that are loaded, with a line about them in Markdown."""
    return _Page(demo, about, [[os.fspath(path)] for path in examples]).blocks


class _Page:
    """
    The components of the page and what happens between them: a new sound is analysed, the sliders are fitted to it,
    and a section of it is reconstructed; moving a slider reconstructs again.
    """

    IMAGE = {"format": "png", "interactive": False, "show_label": False, "buttons": ["download", "fullscreen"]}

    def __init__(self, demo: Demo, about: str, examples: list[list[str]]):
        self.demo, self.config = demo, demo.model.config
        self.regression = demo.classifier is not None and demo.classifier.config.problem_type == "regression"
        with gradio.Blocks(title="SSAST", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as self.blocks:
            gradio.Markdown(f"# SSAST\n{about}")
            with gradio.Row():
                self._add_sound(examples)
            with gradio.Row():
                self._add_controls()
            self.picture = gradio.Image(label="Masked reconstruction", **self.IMAGE)
            self.note = gradio.Markdown()
            self._connect()

    def _add_sound(self, examples: list[list[str]]) -> None:
        self.labels = None
        with gradio.Column(scale=1):
            self.audio = gradio.Audio(
                label="Sound", sources=["upload", "microphone"], type="filepath", buttons=["download"]
            )
            if self.regression:
                self.labels = gradio.Dataframe(label="Outputs", headers=["output", "value"], interactive=False)
            elif self.demo.classifier is not None:
                self.labels = gradio.Label(label="Labels", num_top_classes=PICTURE_LABELS)
            if examples:
                gradio.Examples(examples, self.audio, api_name=False)
        with gradio.Column(scale=2):
            self.spectrogram = gradio.Image(label="Spectrogram", **self.IMAGE)
        self.results = [self.spectrogram] if self.labels is None else [self.labels, self.spectrogram]

    def _add_controls(self) -> None:
        config = self.config
        largest = min(LARGEST_CLUSTER, max(config.patch_grid()))
        cluster = min(largest, round((config.mask_cluster_min + config.mask_cluster_max) / 2))
        size = f"{config.frequency_patch_size} mel bins x {config.time_patch_size} frames"
        clusters = "clusters of C x C patches" if config.num_frequency_patches > 1 else "runs of C patches"
        self.start = gradio.Slider(
            0, LONGEST, 0, step=0.1, label="Start", info="of the section, in seconds", visible=False
        )
        self.num_masked = gradio.Slider(
            1, config.num_patches, config.num_mask_patches, step=1, label="Masked patches", info=f"of {size}"
        )
        self.cluster = gradio.Slider(1, largest, cluster, step=1, label="C", info=clusters)
        self.seed = gradio.Number(0, precision=0, minimum=0, maximum=2**31 - 1, label="Seed", info="of the mask")

    def _connect(self) -> None:
        wanted, measured = gradio.State(), gradio.State()  # the sound to analyse; what its analysis says of its length
        inputs = [self.audio, self.start, self.cluster, self.num_masked, self.seed]
        listening = wanted.change(
            _reporting(self.listen), [self.audio, wanted], [*self.results, measured], api_name="listen",
            concurrency_limit=VISITORS,
        )  # fmt: skip
        fitting = listening.success(self.fit, measured, [self.start, self.num_masked], api_name=False)
        output = {"outputs": [self.picture, self.note], "show_progress": "minimal", "concurrency_limit": VISITORS}
        filling = fitting.success(_reporting(self.reconstruct), inputs, api_name="reconstruct", **output)
        controls = gradio.on(
            [control.input for control in inputs[1:]], _reporting(self.reconstruct), inputs,
            trigger_mode="always_last", api_name=False, **output,
        )  # fmt: skip
        self.audio.change(
            self.clear, self.audio, [wanted, measured, *self.results, self.picture, self.note], api_name=False,
            cancels=[listening, fitting, filling, controls],
        )  # fmt: skip

    def clear(self, path):
        """A new sound: asks for its analysis and empties what belongs to the one before."""
        # The time tells a sound from the same sound before.
        sound = gradio.skip() if path is None else (path, time.monotonic_ns())
        return [sound, None, *[None] * len(self.results), None, ""]

    def listen(self, path, wanted):
        skip = [gradio.skip()] * (len(self.results) + 1)
        if path is None or (wanted and wanted[0] != path):  # another sound by now; a client by HTTP gives no `wanted`
            yield skip
            return
        for result in self.demo.listen(path):
            if result is None:
                yield skip
                continue
            scores, image, *found = result
            if self.regression:
                scores = [[label, round(score, 4)] for label, score in scores.items()]
            yield [*([] if self.labels is None else [scores]), image, found]

    def fit(self, found):
        """The ranges of the sliders for the sound."""
        latest, patches = found or (0, self.config.num_patches)
        return (
            gradio.Slider(maximum=max(latest, 0.1), value=0, visible=latest > 0),
            gradio.Slider(maximum=patches, value=self.config.num_masked(patches)),
        )

    def reconstruct(self, path, start, cluster, num_masked, seed):
        if path is None:
            return None, ""
        image, found = self.demo.reconstruct(path, start, int(cluster), int(num_masked), int(seed or 0))
        return image, (
            f"{found['masked']} of {found['patches']} patches masked. Mean squared error of the normalised "
            f"features there: {found['error']:.3f}; their variance, the error of a constant: "
            f"{found['variance']:.3f}."
        )


def serve(
    page: gradio.Blocks, host: str | None = None, port: int | None = None, max_megabytes: float = MAX_MEGABYTES
) -> str:
    """
    Begins to serve the page, by default where Gradio's environment variables say, which Spaces set; returns its URL.
    Larger files than `max_megabytes` are refused. Raises ValueError where the page cannot be served.
    """
    check_address(host, port)
    return page.launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, run_history=False, quiet=True,
        prevent_thread_lock=True, max_file_size=round(max_megabytes * 1e6), footer_links=["api", "gradio"],
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )[1]  # fmt: skip


def launch(
    page: gradio.Blocks, host: str | None = None, port: int | None = None, max_megabytes: float = MAX_MEGABYTES
) -> None:
    """As [`serve`], until Ctrl-C."""
    print(f"{serve(page, host, port, max_megabytes)} (Ctrl-C ends it)", flush=True)
    page.block_thread()


def _reporting(function: Callable) -> Callable:
    """A listener of the page whose errors are shown there in a sentence."""

    def explained(error: Exception, path: str | None) -> gradio.Error:
        message = first_sentence(error)
        if path is not None:  # the page's own copy of the file
            message = message.replace(path, Path(path).name)
        return gradio.Error(html.escape(printable(message), quote=False), print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def listener(path, *values):
            try:
                yield from function(path, *values)
            except (OSError, ValueError) as error:
                raise explained(error, path) from None
    else:

        @functools.wraps(function)
        def listener(path, *values):
            try:
                return function(path, *values)
            except (OSError, ValueError) as error:
                raise explained(error, path) from None

    return listener
