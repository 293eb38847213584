# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast demo`: a page that shows what models make of a sound: its spectrogram, labels and masked reconstruction."""

import argparse
import functools
import html
import inspect
import io
import math
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import gradio
import matplotlib  # noqa: F401  else missed only when something is to be drawn
import numpy as np
import torch
from PIL import Image

from ..audio.decoding import load_audio
from ..checkpoints import BUNDLED, DEFAULT_CLASSIFIER, DEFAULT_PRETRAINED, table
from ..cli.classify import PICTURE_LABELS, shown
from ..cli.main import _first_sentence, _load
from ..data.sources import find_sounds
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.core import Cut, Total, Window, cut_windows, load_classifier, named_scores, run_classifier
from ..inference.plots import Picture
from ..masking import sample_masks
from ..modeling_ssast import SSASTForAudioClassification, SSASTForPreTraining
from ..training.picture import draw_reconstructions, reconstruct

EXAMPLES = (
    "sounds/loop/loop_amen.flac", "sounds/guitar/guit_harmonics.flac", "sounds/ambience/ambi_choir.flac",
    "sounds/effect/misc_crow.flac",
)  # fmt: skip
LARGEST_CLUSTER = 16  # patches on a side: more is nearly the whole clip
LONGEST = 24 * 3600  # seconds from which the slider can start, until it knows the sound
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
    """

    def __init__(
        self,
        model: SSASTForPreTraining,
        extractor: SSASTFeatureExtractor,
        classifier: SSASTForAudioClassification | None = None,
        classifier_extractor: SSASTFeatureExtractor | None = None,
    ):
        self.model, self.extractor = model, extractor
        self.classifier, self.classifier_extractor = classifier, classifier_extractor

    def listen(self, path: str) -> Iterator[tuple[dict[str, float], Image.Image, float, int] | None]:
        """
        Reads a sound of any length.

        Yields:
            None, now and then; at last scores by label, the best first (empty without a classifier), the spectrogram,
            over a timeline of labels where the classifier's windows are several, the latest start in seconds of a
            section that [`Demo.reconstruct`] takes, and how many patches the first section has.

        Raises:
            ValueError or OSError: It cannot be read, is shorter than a frame or silent.
        """
        picture, total, windows, silent = Picture(self.classifier_extractor or self.extractor), Total(), 0, True
        for window in self._windows(path):
            picture.add(window)
            windows += 1
            silent = silent and not np.ptp(window.features)
            if window.output is not None:
                total.add(window.output)
            if windows % WINDOWS_PER_YIELD == 0:
                yield None
        if silent:
            raise ValueError(f"{path} is silent, expected sound")
        scores = {} if self.classifier is None else named_scores(self.classifier, total.take())
        id2label = {} if self.classifier is None else self.classifier.config.id2label
        file = io.BytesIO()
        picture.draw(file, shown(Path(path).name), id2label, PICTURE_LABELS if scores and windows > 1 else 0)
        latest = max(0.0, math.floor(10 * (picture.end - self._section_seconds())) / 10)
        yield scores, Image.open(file), latest, int(self._section(path, 0.0)[1].prod())

    def reconstruct(
        self, path: str, start: float, cluster: int, num_masked: int, seed: int
    ) -> tuple[Image.Image, dict[str, float]]:
        """
        Masks a section of a sound and has the model fill it in.

        Args:
            path: Sound file.
            start: Second at which the section begins, which has `config.max_length` frames or, at the end, less.
            cluster: C, the side in patches of the clusters that are masked.
            num_masked: Patches to mask.
            seed: Of the mask.

        Returns:
            The picture, original, masked and reconstructed; and `patches`, `masked`, and of the normalised features of
            the masked patches the mean squared `error` and their `variance`, the error of a constant.

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

    def _windows(self, path: str) -> Iterator[Window]:
        if self.classifier is None:
            yield from cut_windows(self.extractor, path, self.model.config.max_length, BATCH_SIZE)
            return
        for event in run_classifier(self.classifier, self.classifier_extractor, [path], BATCH_SIZE):
            if isinstance(event, Window):
                yield event
            elif event.error is not None:
                raise event.error

    def _section_seconds(self) -> float:
        cut = Cut.of(self.extractor, self.model.config.max_length)
        return cut.length / cut.rate

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
    model: str = DEFAULT_PRETRAINED,
    classifier: str | None = DEFAULT_CLASSIFIER,
    examples: Iterable[str | os.PathLike] = (),
    device: str | None = None,
) -> gradio.Blocks:
    """
    The page of a pretrained model and perhaps a classifier, by names as `from_pretrained` takes them, with sound files
    to choose from.
    """
    extractor, pretrained = _load(argparse.Namespace(model=model, device=device), load_pretrained)
    config = pretrained.config
    about = (
        f"Reconstruction by `{model}`: patches of {config.frequency_patch_size} mel bins x {config.time_patch_size} "
        "frames of 10 ms."
    )
    if config.generative_loss_weight == 0:
        about += " It was trained without the generative objective, so that what it fills in means nothing."
    if classifier is None:
        return build_page(Demo(pretrained, extractor), about, examples)
    labelling, labels = _load(argparse.Namespace(model=classifier, device=device), load_classifier)
    about += f" Labels by `{classifier}`."
    return build_page(Demo(pretrained, extractor, labels, labelling), about, examples)


def build_page(demo: Demo, about: str = "", examples: Iterable[str | os.PathLike] = ()) -> gradio.Blocks:
    """The page of models that are loaded, with a line about them in Markdown."""
    config = demo.model.config
    values = demo.classifier is not None and demo.classifier.config.problem_type == "regression"
    largest = min(LARGEST_CLUSTER, max(config.patch_grid()))
    cluster_value = min(largest, round((config.mask_cluster_min + config.mask_cluster_max) / 2))
    size = f"{config.frequency_patch_size} mel bins x {config.time_patch_size} frames"
    clusters = "clusters of C x C patches" if config.num_frequency_patches > 1 else "runs of C patches"
    image = {"format": "png", "interactive": False, "show_label": False, "buttons": ["download", "fullscreen"]}
    with gradio.Blocks(title="SSAST", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        gradio.Markdown(f"# SSAST\n{about}")
        with gradio.Row():
            with gradio.Column(scale=1):
                audio = gradio.Audio(
                    label="Sound", sources=["upload", "microphone"], type="filepath", buttons=["download"]
                )
                labels = None
                if values:
                    labels = gradio.Dataframe(label="Outputs", headers=["output", "value"], interactive=False)
                elif demo.classifier is not None:
                    labels = gradio.Label(label="Labels", num_top_classes=PICTURE_LABELS)
                if examples := [[os.fspath(path)] for path in examples]:
                    gradio.Examples(examples, audio, api_name=False)
            with gradio.Column(scale=2):
                spectrogram = gradio.Image(label="Spectrogram", **image)
        with gradio.Row():
            start = gradio.Slider(
                0, LONGEST, 0, step=0.1, label="Start", info="of the section, in seconds", visible=False
            )
            num_masked = gradio.Slider(
                1, config.num_patches, config.num_mask_patches, step=1, label="Masked patches", info=f"of {size}"
            )
            cluster = gradio.Slider(1, largest, cluster_value, step=1, label="C", info=clusters)
            seed = gradio.Number(0, precision=0, minimum=0, maximum=2**31 - 1, label="Seed", info="of the mask")
        picture = gradio.Image(label="Masked reconstruction", **image)
        note = gradio.Markdown()

        heard = [component for component in (labels, spectrogram) if component is not None]

        def listen(path, wanted):
            skip = [gradio.skip()] * (len(heard) + 1)
            if path is None or (wanted and wanted[0] != path):  # the page has gone on; a client by HTTP wants nothing
                yield skip
                return
            for result in demo.listen(path):
                if result is None:
                    yield skip
                    continue
                scores, image, *found = result
                scores = [[label, round(score, 4)] for label, score in scores.items()] if values else scores
                yield [*([] if labels is None else [scores]), image, found]

        def fit(found):
            latest, patches = found or (0, config.num_patches)
            return (
                gradio.Slider(maximum=max(latest, 0.1), value=0, visible=latest > 0),
                gradio.Slider(maximum=patches, value=config.num_masked(patches)),
            )

        def fill(path, start, cluster, num_masked, seed):
            if path is None:
                return None, ""
            image, found = demo.reconstruct(path, start, int(cluster), int(num_masked), int(seed or 0))
            return image, (
                f"{found['masked']} of {found['patches']} patches masked. Mean squared error of the normalised "
                f"features there: {found['error']:.3f}; their variance, the error of a constant: "
                f"{found['variance']:.3f}."
            )

        at_once = {"concurrency_id": "model", "concurrency_limit": 1}
        inputs = [audio, start, cluster, num_masked, seed]

        def forget(path):
            # The time tells a sound from the same sound before.
            return [
                gradio.skip() if path is None else (path, time.monotonic_ns()),
                None,
                *[None] * len(heard),
                None,
                "",
            ]

        wanted, measured = gradio.State(), gradio.State()
        listening = wanted.change(
            _reporting(listen), [audio, wanted], [*heard, measured], api_name="listen", **at_once
        )
        fitting = listening.success(fit, measured, [start, num_masked], api_name=False)
        output = {"outputs": [picture, note], "show_progress": "minimal", **at_once}
        filling = fitting.success(_reporting(fill), inputs, api_name="reconstruct", **output)
        controls = gradio.on(
            [control.input for control in inputs[1:]], _reporting(fill), inputs, trigger_mode="always_last",
            api_name=False, **output,
        )  # fmt: skip
        audio.change(
            forget, audio, [wanted, measured, *heard, picture, note], api_name=False,
            cancels=[listening, fitting, filling, controls],
        )  # fmt: skip
    return page


def serve(page: gradio.Blocks, host: str | None = None, port: int | None = None) -> str:
    """
    Begins to serve the page, by default where Gradio's environment variables say, which Spaces set; returns its URL.
    Raises ValueError where that is not possible.
    """
    if host or port:  # Gradio would try a wrong address a hundred times
        address = host or "127.0.0.1"
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            socket.create_server((address.strip("[]"), port or 0), family=family).close()
        except OSError as error:
            place = f"{address} port {port}" if port else address
            raise ValueError(f"cannot serve on {place}: {error.strerror or error}") from error
    return page.launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, run_history=False, quiet=True,
        prevent_thread_lock=True, footer_links=["api", "gradio"],
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )[1]  # fmt: skip


def launch(page: gradio.Blocks, host: str | None = None, port: int | None = None) -> None:
    """As [`serve`], until it is interrupted."""
    print(f"{serve(page, host, port)} (Ctrl-C ends it)", flush=True)
    page.block_thread()


def run(arguments: argparse.Namespace) -> int:
    """Runs `ssast demo`; returns the exit status."""
    examples = [clip.path for clip in find_sounds(arguments.examples or [BUNDLED / name for name in EXAMPLES])]
    for path in examples:
        if not os.path.isfile(path):
            raise ValueError(f"--examples has {path}, expected a sound file")
    classifier = arguments.classifier
    if classifier is None and arguments.model is None and DEFAULT_CLASSIFIER in table():
        classifier = DEFAULT_CLASSIFIER
    page = load_page(arguments.model or DEFAULT_PRETRAINED, classifier, examples, arguments.device)
    launch(page, arguments.host, arguments.port)
    return 0


def _reporting(function: Callable) -> Callable:
    """A listener of the page whose errors are shown there in a sentence."""

    def explained(error: Exception, path: str | None) -> gradio.Error:
        message = _first_sentence(error)
        if path is not None:  # the page's own copy of the file
            message = message.replace(path, Path(path).name)
        return gradio.Error(html.escape(shown(message), quote=False), print_exception=False)

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
