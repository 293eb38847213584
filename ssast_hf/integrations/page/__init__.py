# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The page of `ssast demo`: sounds, their labels over time, their events, and their masked reconstruction."""

import os
from collections.abc import Iterable

import gradio
from starlette.middleware import Middleware

from ...checkpoints import DEFAULT_CLASSIFIER, DEFAULT_RECONSTRUCTION
from ...inference.classify import load_classifier
from ...inference.devices import load_on_device
from ...utils.addresses import check_address
from .. import MAX_FILES, MAX_MEGABYTES, MAX_SECONDS
from .demo import Demo, load_pretrained
from .layout import Page
from .limits import UploadLimits
from .visit import Sound, Visit

__all__ = ["Demo", "Page", "Sound", "Visit", "build_page", "launch", "load_page", "load_pretrained", "serve"]


def load_page(
    model: str = DEFAULT_RECONSTRUCTION,
    classifier: str | None = DEFAULT_CLASSIFIER,
    examples: Iterable[str | os.PathLike] = (),
    device: str | None = None,
    max_seconds: float | None = MAX_SECONDS,
    max_files: int | None = MAX_FILES,
) -> Page:
    """
    The page of a pretrained model and perhaps a classifier, by names as `from_pretrained` takes them, with sound files
    to choose from, for at most `max_files` sounds at a time of at most `max_seconds` each.
    """
    extractor, pretrained = load_on_device(model, load_pretrained, device)
    config = pretrained.config
    about = (
        f"Reconstruction by `{model}`: patches of {config.frequency_patch_size} mel bins x {config.time_patch_size} "
        "frames of 10 ms."
    )
    if config.generative_loss_weight == 0:
        about += " It was trained without the generative objective, so that what it fills in means nothing."
    labelling = labels = None
    if classifier is not None:
        labelling, labels = load_on_device(classifier, load_classifier, device)
        about += f" Labels by `{classifier}`."
    return build_page(Demo(pretrained, extractor, labels, labelling, max_seconds, max_files), about, examples)


def build_page(demo: Demo, about: str = "", examples: Iterable[str | os.PathLike] = ()) -> Page:
    """The page of models that are loaded, with a line about them in Markdown."""
    return Page(demo, about, [os.fspath(path) for path in examples])


def serve(page: Page, host: str | None = None, port: int | None = None, max_megabytes: float = MAX_MEGABYTES) -> str:
    """
    Begins to serve the page, by default where Gradio's environment variables say, which Spaces set; returns its URL.
    Larger files than `max_megabytes` are refused, and so are uploads beyond the page's other limits. Raises ValueError
    where the page cannot be served.
    """
    check_address(host, port)
    limits = Middleware(
        UploadLimits, megabytes=max_megabytes, seconds=page.demo.max_seconds, files=page.demo.max_files
    )
    return page.launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, run_history=False, quiet=True,
        prevent_thread_lock=True, max_file_size=round(max_megabytes * 1e6), footer_links=["api", "gradio"],
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        app_kwargs={"middleware": [limits]},
    )[1]  # fmt: skip


def launch(page: Page, host: str | None = None, port: int | None = None, max_megabytes: float = MAX_MEGABYTES) -> None:
    """As [`serve`], until Ctrl-C."""
    print(f"{serve(page, host, port, max_megabytes)} (Ctrl-C ends it)", flush=True)
    page.block_thread()
