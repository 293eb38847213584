# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast classify`: the labels of sounds as text, JSON lines, CSV or Audacity label tracks, and as pictures."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..data.sources import Clip, find_sounds
from ..inference.label_formats import PICTURE_LABELS, WRITERS, LabelChoice, shown
from ..utils.files import replacing


def run(arguments: argparse.Namespace) -> int:
    """Runs `ssast classify`; returns the exit status."""
    if arguments.json and arguments.format not in (None, "json"):
        raise ValueError(f"--json and --format {arguments.format} exclude each other")
    format = "json" if arguments.json else arguments.format or "text"
    if arguments.model.endswith(".onnx"):
        return run_exported(arguments, format)
    from ..inference.batches import Window
    from ..inference.classify import load_classifier, named_scores, run_classifier
    from ..inference.windows import ScoreJoiner
    from .main import _finish, _load, _progress_bar, _report

    unreadable = []
    sounds = _sounds(arguments, lambda error: (unreadable.append(error), _report(error.filename, error)))
    names = [sound if isinstance(sound, str) else sound.name for sound in sounds]
    by_window = bool(arguments.window or arguments.hop or arguments.microphone or format == "audacity")
    output = _targets(arguments.output, names, ".txt", format == "audacity", arguments.overwrite, "--output")
    pictures = _targets(arguments.plot, names, ".png", True, arguments.overwrite, "--plot")
    if arguments.plot:
        _need_matplotlib()
    if format == "audacity" and output is None and len(names) > 1:
        raise ValueError("a label track has the labels of one sound: give --output DIR for several")
    chosen = LabelChoice(format, arguments.top_k, arguments.threshold)
    joiner = ScoreJoiner(arguments.aggregate)

    extractor, model = _load(arguments, load_classifier)
    chosen.check(model.config.problem_type)
    offsets = [sound.offset if isinstance(sound, Clip) else 0.0 for sound in sounds]
    sources = _sources(arguments, sounds, extractor.sampling_rate)
    events = run_classifier(
        model, extractor, sources, arguments.batch_size, arguments.window, arguments.hop, arguments.num_workers
    )

    def best(scores):
        return chosen.of(named_scores(model, scores))

    failed, windows, picture, end = 0, 0, None, 0.0
    with contextlib.ExitStack() as stack:
        if isinstance(output, list):
            out, writer = None, None
        else:
            out = stack.enter_context(whole_file(output)) if output else _standard_output()
            writer = WRITERS[format](out, by_window, arguments.aggregate)
        bar = stack.enter_context(_progress_bar(len(names)))

        def finish(index: int, seconds: float, error: Exception | None) -> None:
            nonlocal failed, windows, picture, writer
            name, scores = names[index], joiner.take()
            if error is not None:
                failed += 1
                _report(name, error)
                if writer is not None:
                    writer.error(name, error)
            else:
                if writer is not None:
                    writer.file(name, offsets[index], offsets[index] + seconds, windows, best(scores))
                if picture is not None:
                    _write_picture(pictures[index], picture, shown(name), model)
            if isinstance(output, list):
                track.close()
                writer = None
            windows, picture = 0, None
            bar.update()

        track = stack.enter_context(contextlib.ExitStack())
        try:
            for event in events:
                name = names[event.index]
                if isinstance(event, Window):
                    if isinstance(output, list) and writer is None:
                        out = track.enter_context(whole_file(output[event.index]))
                        writer = WRITERS[format](out, by_window, arguments.aggregate)
                    joiner.add(event.output, event.weight)
                    windows, end = windows + 1, event.end
                    if by_window:
                        offset = offsets[event.index]
                        writer.window(name, offset + event.start, offset + event.end, best(event.output))
                    if pictures:
                        from ..inference.plots import Picture

                        picture = picture or Picture(extractor)
                        picture.add(event)
                else:
                    finish(event.index, event.seconds, event.error)
        except KeyboardInterrupt:
            if not arguments.microphone:
                raise
            if windows:  # that is how a recording ends
                finish(0, end, None)
    return _finish(failed + len(unreadable), len(names) + len(unreadable))


def run_exported(arguments: argparse.Namespace, format: str) -> int:
    """Runs `ssast classify` with a model that `ssast export` wrote, which needs no torch: whole files only."""
    from ..export.runtime import OnnxModel, classify
    from .main import _finish, _report

    given = [flag for flag, value in (
        ("--window", arguments.window), ("--hop", arguments.hop), ("--aggregate max", arguments.aggregate == "max"),
        ("--plot", arguments.plot), ("--num-workers", arguments.num_workers), ("--microphone", arguments.microphone),
        ("--seconds", arguments.seconds), ("--raw-rate", arguments.raw_rate), ("--raw-format", arguments.raw_format),
        ("--raw-channels", arguments.raw_channels), ("--format audacity", format == "audacity"),
        ("-", "-" in arguments.files),
    ) if value]  # fmt: skip
    if given:
        raise ValueError(f"{', '.join(given)}: not with an exported model, which labels whole files")
    if not arguments.files:
        raise ValueError("nothing to classify: give files or folders")
    files = find_sounds(arguments.files)
    names = [file.name for file in files]
    output = _targets(arguments.output, names, ".txt", False, arguments.overwrite, "--output")
    model, failed = OnnxModel(arguments.model, arguments.device or "cpu"), 0
    chosen = LabelChoice(format, arguments.top_k, arguments.threshold)
    chosen.check(model.problem_type)
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(whole_file(output)) if output else _standard_output()
        writer = WRITERS[format](out, False, "mean")
        labelled = classify(model, files, arguments.batch_size)
        for offset, (name, scores, seconds) in zip([file.offset for file in files], labelled):
            if isinstance(scores, Exception):
                failed += 1
                _report(name, scores)
                writer.error(name, scores)
                continue
            writer.file(name, offset, offset + seconds, 1, chosen.of(scores))
    return _finish(failed, len(files))


def _sounds(arguments: argparse.Namespace, onerror) -> list[Clip] | list[str]:
    """What to classify, or `-` or `microphone`. Raises ValueError for combinations of flags that make no sense."""
    if arguments.microphone:
        if arguments.files:
            raise ValueError("give either files or --microphone")
        return ["microphone"]
    if not arguments.files:
        raise ValueError("nothing to classify: give files, folders, - for standard input, or --microphone")
    if (arguments.raw_format or arguments.raw_channels) and not arguments.raw_rate:
        raise ValueError("raw sound has no header: give --raw-rate, too")
    if arguments.seconds:
        raise ValueError("--seconds is for --microphone")
    if "-" not in arguments.files:
        if arguments.raw_rate:
            raise ValueError("--raw-rate is for standard input: give - as the file")
        return find_sounds(arguments.files, onerror)
    if len(arguments.files) > 1:
        raise ValueError("- (standard input) cannot be mixed with files")
    return ["-"]


def _sources(arguments: argparse.Namespace, sounds: list[Clip] | list[str], rate: int) -> list:
    from ..audio.decoding import stream_audio, stream_microphone, stream_raw

    if arguments.num_workers and (arguments.microphone or sounds == ["-"]):
        raise ValueError("--num-workers is for files")
    if arguments.microphone:
        return [stream_microphone(rate, arguments.seconds)]
    if sounds != ["-"]:
        return sounds
    if arguments.raw_rate:
        raw = (arguments.raw_rate, arguments.raw_format or "s16", arguments.raw_channels or 1)
        return [stream_raw(sys.stdin.buffer, *raw, rate)]
    return [stream_audio(sys.stdin.buffer, rate)]


def _targets(path: str | None, names: list[str], ending: str, by_file: bool, overwrite: bool, flag: str):
    """
    What to write: `path`; or a list of a path for each of several sounds, in the directory `path`. Raises ValueError
    where something is there already.
    """
    if path is None:
        return None
    path = Path(path)
    if by_file and (len(names) > 1 or path.is_dir()):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{flag} is {path}, a file, expected a directory for {len(names)} sounds")
        taken: set[str] = set()
        targets = []
        for name in names:
            stem = Path(name).stem if name != "-" else "stdin"
            unique, count = stem, 1
            while unique in taken:
                count += 1
                unique = f"{stem}-{count}"
            taken.add(unique)
            targets.append(path / f"{unique}{ending}")
    else:
        if path.is_dir():
            raise ValueError(f"{flag} is {path}, a directory, expected a file")
        targets = [path]
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {path.parent} to write into: make it first")
    for target in targets:
        if os.path.lexists(target) and not overwrite:
            raise ValueError(f"{target} exists: choose another name or give --overwrite")
    return targets if by_file else targets[0]


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that gets its name when it is whole, or with its lines so far on Ctrl-C; never after an error."""
    path.parent.mkdir(exist_ok=True)
    interrupted = None
    text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with replacing(path) as unfinished, open(unfinished, "w", **text) as file:
        try:
            yield file
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
    if interrupted is not None:
        raise interrupted


def _standard_output() -> TextIO:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files that are not UTF-8
    return sys.stdout


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ValueError(f"--plot needs matplotlib ({error}): pip install matplotlib") from error


def _write_picture(path: Path, picture, title: str, model) -> None:
    title = os.fsencode(title).decode("utf-8", "replace")
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        picture.draw(file, title, model.config.id2label, PICTURE_LABELS)
