# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The components of the page of `ssast demo`, and what happens between them."""

import functools
import html
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gradio
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from ...inference.label_formats import PICTURE_LABELS
from ...utils.text import first_sentence, printable
from . import assets, markup
from .demo import Demo, as_sentence
from .visit import DOWNLOADS, THRESHOLD, Visit, download

LARGEST_CLUSTER = 16  # patches on a side: more is nearly the whole clip
LONGEST = 48 * 3600  # seconds from which the slider can start, until it knows the sound
VISITORS = 8  # whose sounds are analysed at the same time, a few windows of each in turn
FORMATS = {"csv": "CSV", "audacity": "Audacity", "raven": "Raven"}


class Page(gradio.Blocks):
    """
    The page. Sounds that are dropped or recorded are analysed one after another. One of them is shown: its timeline,
    its labels, its events, and a section of it that is masked and reconstructed.

    Args:
        demo ([`Demo`]): What the page computes.
        about (`str`): A line about the models, in Markdown.
        examples (`Sequence[str]`): Sound files to choose from.
    """

    def __init__(self, demo: Demo, about: str, examples: Sequence[str]):
        super().__init__(title="SSAST", analytics_enabled=False, delete_cache=(3600, 24 * 3600))
        self.demo = demo
        with self:
            gradio.Markdown(f"# SSAST\n{about}")
            _Parts(demo, examples)


class _Parts:
    """The components, and their listeners."""

    def __init__(self, demo: Demo, examples: Sequence[str]):
        self.demo, self.model = demo, demo.model.config
        self.visit = gradio.State(Visit())
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                self._add_inputs(examples)
            with gradio.Column(scale=2, min_width=300):
                self.table = gradio.HTML(
                    markup.sounds_table([], None, None), label="Table", css_template=assets.STYLE,
                    js_on_load=assets.CHOOSE, apply_default_css=False,
                )  # fmt: skip
                self._add_labels()
        self.viewer = gradio.HTML(
            label="Timeline", css_template=assets.STYLE, js_on_load=assets.PLAYER, apply_default_css=False
        )
        with gradio.Row():
            self.picture = gradio.DownloadButton("Picture (PNG)", size="sm", scale=0, min_width=160, interactive=False)
        self._add_events()
        gradio.Markdown("## Masked reconstruction")
        with gradio.Row():
            self._add_controls()
        self.reconstruction = gradio.Image(
            label="Masked reconstruction", format="png", interactive=False, show_label=False,
            buttons=["download", "fullscreen"],
        )  # fmt: skip
        self.note = gradio.Markdown(label="Note")
        self._connect()

    def _add_inputs(self, examples: Sequence[str]) -> None:
        self.files = gradio.File(label="Sounds: one or several files", file_count="multiple", type="filepath")
        with gradio.Accordion("Record", open=False):
            self.recording = gradio.Audio(
                label="Recording", sources=["microphone"], type="filepath", show_label=False, format="wav"
            )
        if examples:
            gradio.Examples([[[path]] for path in examples], self.files, api_name=False)

    def _add_labels(self) -> None:
        self.labels = None
        if self.demo.classifier is None:
            return
        if self.demo.has_events():
            self.labels = gradio.Label(label="Labels of the whole sound", num_top_classes=PICTURE_LABELS)
        else:
            self.labels = gradio.Dataframe(label="Outputs", headers=["output", "value"], interactive=False)

    def _add_events(self) -> None:
        self.threshold = self.events = None
        self.downloads: list[gradio.DownloadButton] = []
        if not self.demo.has_events():
            return
        gradio.Markdown("## Events")
        with gradio.Row(equal_height=True):
            self.threshold = gradio.Slider(
                0, 1, THRESHOLD, step=0.01, label="Threshold", scale=2, min_width=300,
                info="An event is where a label scores at least this.",
            )  # fmt: skip
            with gradio.Column(scale=1, min_width=300):
                gradio.Markdown("Download the events of all sounds")
                with gradio.Row():
                    self.downloads = [
                        gradio.DownloadButton(FORMATS[name], size="sm", min_width=80, interactive=False)
                        for name in DOWNLOADS
                    ]
        self.events = gradio.HTML(
            label="Events", css_template=assets.STYLE, js_on_load=assets.HEAR, apply_default_css=False
        )

    def _add_controls(self) -> None:
        config = self.model
        largest = min(LARGEST_CLUSTER, max(config.patch_grid()))
        cluster = min(largest, round((config.mask_cluster_min + config.mask_cluster_max) / 2))
        size = f"{config.frequency_patch_size} mel bins x {config.time_patch_size} frames"
        clusters = "clusters of C x C patches" if config.num_frequency_patches > 1 else "runs of C patches"
        self.start = gradio.Slider(
            0, LONGEST, 0, step=0.1, label="Start", info="of the section, in seconds", visible=False
        )
        # 0 is what clients by HTTP get by default, who do not know how many patches a sound has.
        self.num_masked = gradio.Slider(
            0, config.num_patches, 0, step=1, label="Masked patches", info=f"of {size}; 0: as many as in pretraining"
        )
        self.cluster = gradio.Slider(1, largest, cluster, step=1, label="C", info=clusters)
        self.seed = gradio.Number(0, precision=0, minimum=0, maximum=2**31 - 1, label="Seed", info="of the mask")

    def _connect(self) -> None:
        # The files to analyse; what the analysis says of the sound that is shown.
        wanted, measured = gradio.State(), gradio.State()
        quiet = {"show_progress": "hidden", "concurrency_limit": VISITORS}
        threshold = [] if self.threshold is None else [self.threshold]
        everything = [self.table, *self._shown(), *self._found(), *self.downloads, measured]
        listening = wanted.change(
            _reporting(self.listen), [self.files, wanted, self.visit, *threshold], everything, api_name="listen",
            trigger_mode="multiple", **quiet,  # the page may not know yet that the one before was cut off
        )  # fmt: skip
        fitting = measured.change(self.fit, measured, [self.start, self.num_masked], api_name=False, **quiet)
        inputs = [self.files, self.visit, self.start, self.cluster, self.num_masked, self.seed]
        output = {"outputs": [self.reconstruction, self.note], "concurrency_limit": VISITORS,
                  "show_progress": "minimal"}  # fmt: skip
        filling = fitting.success(_reporting(self.reconstruct), inputs, api_name="reconstruct", **output)
        controls = gradio.on(
            [control.input for control in inputs[2:]], _reporting(self.reconstruct), inputs,
            trigger_mode="always_last", api_name=False, **output,
        )  # fmt: skip
        self.files.change(
            _reporting(self.take), [self.files, self.visit], [wanted, *everything], api_name=False,
            cancels=[listening, fitting, filling, controls], **quiet,
        )  # fmt: skip
        self.table.select(
            self.choose, [self.visit], [self.table, *self._shown(), *self._found(), measured],
            api_name=False, **quiet,
        )  # fmt: skip
        self.recording.stop_recording(
            self.add, [self.files, self.recording], [self.files, self.recording], api_name=False, **quiet
        )
        if self.threshold is not None:
            self.threshold.change(
                self.find, [self.visit, self.threshold], [self.table, *self._found(), *self.downloads],
                api_name="events", trigger_mode="always_last", **quiet,
            )  # fmt: skip

    def add(self, files, recording):
        """A recording joins the files."""
        return [*(files or []), recording] if recording else gradio.skip(), None

    def take(self, files, visit):
        """Other files: asks for their analysis. What is shown stays if its file does."""
        self._take(visit, files)
        # The time tells files from the same files before.
        wanted = (list(visit.sounds), time.monotonic_ns()) if visit.sounds else gradio.skip()
        return [wanted, *self._listened(visit, visit.changed(), True)]

    def listen(self, files, wanted, visit, threshold=THRESHOLD):
        """Analyses the files that are not analysed yet. Clients by HTTP give no `wanted`."""
        if wanted and wanted[0] != list(dict.fromkeys(files or [])):  # other files by now
            yield self._listened(visit, False, False)
            return
        self._take(visit, files)
        visit.threshold = visit.threshold if wanted else threshold
        for sound in list(visit.sounds.values()):
            if sound.complete or sound.error:
                continue
            while sound.advance(self.demo.listen):
                yield self._listened(visit, False, False)
            yield self._listened(visit, sound is visit.shown(), True)
        yield self._listened(visit, not wanted or visit.changed(), True)  # a player that plays is left alone

    def _listened(self, visit: Visit, show: bool, download: bool) -> list:
        """The table and, if they are to change, what is shown and the downloads."""
        skip = gradio.skip()
        shown = [skip] * (len(self._shown()) + len(self._found()))
        if show:
            shown = [*self._show(visit), *self._find(visit)]
        downloads = self._download(visit) if download else [skip] * len(self.downloads)
        measured = self._measure(visit) if show else skip
        return [self._table(visit), *shown, *downloads, measured]

    def choose(self, event: gradio.SelectData, visit):
        """Shows another sound."""
        paths = list(visit.sounds)
        if event.index in range(len(paths)):
            visit.chosen = paths[event.index]
        return [self._table(visit), *self._show(visit), *self._find(visit), self._measure(visit)]

    def find(self, visit, threshold):
        """The events at another threshold."""
        visit.threshold = threshold
        return [self._table(visit), *self._find(visit), *self._download(visit)]

    def fit(self, measured):
        """The ranges of the sliders for the sound that is shown."""
        _, latest, patches = measured or (None, 0, self.model.num_patches)
        return (
            gradio.Slider(maximum=max(latest, 0.1), value=0, visible=latest > 0),
            gradio.Slider(maximum=patches, value=self.model.num_masked(patches)),
        )

    def reconstruct(self, files, visit, start, cluster, num_masked, seed):
        """A section of the sound that is shown; of the first file for clients by HTTP that analysed none of them."""
        sound = visit.shown()
        if not files or (sound is not None and sound.path in files and not sound.complete):
            return None, ""
        path = sound.path if sound is not None and sound.path in files else files[0]
        try:
            image, found = self.demo.reconstruct(path, start, int(cluster), int(num_masked), int(seed or 0))
        except (OSError, ValueError) as error:
            raise ValueError(as_sentence(error, path, Path(path).name)) from error
        return image, (
            f"{found['masked']} of {found['patches']} patches masked. Mean squared error of the normalised "
            f"features there: {found['error']:.3f}; their variance, the error of a constant: "
            f"{found['variance']:.3f}."
        )

    def _take(self, visit: Visit, files) -> None:
        files, most = files or [], self.demo.max_files
        if most is not None and len(files) > most:
            raise ValueError(f"{len(files)} sounds are given, expected at most {most} at a time")
        visit.take([str(path) for path in files])

    def _shown(self) -> list:
        """The components of the sound that is shown."""
        return [self.viewer, self.picture, *([] if self.labels is None else [self.labels])]

    def _show(self, visit: Visit) -> list:
        """Their values."""
        visit.displayed = visit.state()
        sound = visit.shown()
        picture = gradio.DownloadButton(value=None, interactive=False)
        scores: dict | list | None = None
        if sound is not None and sound.complete:
            path = _cached(f"{Path(sound.name).stem}.png", sound.picture)
            picture = gradio.DownloadButton(value=path, interactive=True)
            scores = sound.scores
            if not self.demo.has_events():
                scores = [[label, round(score, 4)] for label, score in scores.items()]
        return [markup.viewer(sound), picture, *([] if self.labels is None else [scores])]

    def _found(self) -> list:
        """The component of the events."""
        return [] if self.events is None else [self.events]

    def _find(self, visit: Visit) -> list:
        """Its value."""
        if self.events is None:
            return []
        sound, rules = visit.shown(), (self.demo.labels(), visit.threshold)
        return [markup.events_view(sound, [] if sound is None else sound.events(*rules), *rules)]

    def _table(self, visit: Visit) -> str:
        sounds, counts = list(visit.sounds.values()), None
        if self.demo.has_events():
            rules = self.demo.labels(), visit.threshold
            counts = [len(sound.events(*rules)) if sound.complete else 0 for sound in sounds]
        return markup.sounds_table(sounds, visit.chosen, counts)

    def _download(self, visit: Visit) -> list:
        """The files of the buttons."""
        sounds = visit.complete()
        if not sounds:
            return [gradio.DownloadButton(value=None, interactive=False) for _ in self.downloads]
        rules = self.demo.labels(), visit.threshold
        files = [download(name, sounds, *rules) for name in DOWNLOADS[: len(self.downloads)]]
        return [gradio.DownloadButton(value=_cached(*file), interactive=True) for file in files]

    def _measure(self, visit: Visit) -> tuple | None:
        """What the sliders need to know of the sound that is shown."""
        sound = visit.shown()
        return None if sound is None or not sound.complete else (sound.path, sound.latest, sound.patches)


def _cached(name: str, data: bytes) -> str:
    """A file of Gradio's cache, which Gradio serves and deletes after a day."""
    return save_bytes_to_cache(data, name, get_upload_folder())


def _reporting(function: Callable) -> Callable:
    """A listener of the page whose errors are shown there in a sentence."""

    def explained(error: Exception) -> gradio.Error:
        return gradio.Error(html.escape(printable(first_sentence(error)), quote=False), print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def listener(*values):
            try:
                yield from function(*values)
            except (OSError, ValueError) as error:
                raise explained(error) from None
    else:

        @functools.wraps(function)
        def listener(*values):
            try:
                return function(*values)
            except (OSError, ValueError) as error:
                raise explained(error) from None

    return listener
