# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Where sound comes from: every kind of source becomes a list of [`Clip`]s, each read when it is needed. Needs no torch.

A source is written `PLACE[,OPTION=VALUE ...]`, such as `my_sounds`, `shards/*.tar,weight=3` or
`hf:openslr/librispeech_asr,config=clean,split=train.360`; see [`SOURCE_HELP`].
"""

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audio import audio_extensions
from ..audio.find import find_matching
from ..utils.logs import get_logger
from ..utils.parsing import number_of
from .annotated_clips import ANNOTATIONS, annotated_parts, column_of
from .clips import Clip, Synthetic, places
from .folders import read_folder, read_labelled_folder, read_tar
from .manifests import MANIFESTS, group_of_row, group_text, manifest_clips, manifest_rows
from .tables import HUB, column_labels, load_dataset, read_parquet, rows_of

logger = get_logger(__name__)

LISTS = (*MANIFESTS, ".json", ".tar", ".parquet")  # files that stand for others
SYNTHETIC = "synth:"  # before a seed: procedural sound
SYNTHETIC_CLIPS, SYNTHETIC_SECONDS = 10_000, 10.0  # unless a source says otherwise
MOST_SYNTHETIC_SECONDS = 60.0
OPTIONS = {"weight", "config", "split", "column", "label", "streaming", "clips", "seconds"}
SOURCE_HELP = (
    "A source is a folder (of sound files at any depth, or of .tar or .parquet shards), a .csv, .tsv or .jsonl "
    "manifest (column file; optional offset and duration in seconds), the original's .json, .tar shards (webdataset), "
    ".parquet files with audio bytes, a sound file, a quoted pattern such as 'shards/*.tar', or hf:NAME, a dataset on "
    "the Hub or a directory that `datasets` loads; or synth:SEED, procedural sound. Options follow it, after commas: "
    "weight=W (its share of the clips, for all sources or none), for hf: config=, split=, column= and streaming=true, "
    "for synth: clips=N (default: 10000) and seconds=S of each (default: 10); for a manifest column=, which names the "
    "column with the files."
)
LABELLED_HELP = (
    "A folder with a subfolder per label (FOLDER,label=first or FOLDER,label=last where folders lie in folders); a "
    ".csv, .tsv or .jsonl manifest with columns file and label; the original's .json; a .parquet file with audio "
    "bytes and a label column; hf:NAME, a dataset on the Hub or a directory that `datasets` loads. Options follow "
    "after commas: column= and label= name the columns of files or audio and of labels, config= and split= parts of "
    "a dataset. Or annotations:FOLDER, "
    "recordings with Raven, Audacity or other tables, with options of `ssast annotations`, such as window=3,hop=1.5."
)


@dataclass
class Source:
    """Clips of one source, or a stream of them, and its weight in a mixture (None: as many as it holds)."""

    name: str
    clips: list[Clip]
    weight: float | None = None
    stream: Any = None  # datasets.IterableDataset
    column: str | None = None


def find_sounds(
    sources: Iterable[str | os.PathLike], onerror: Callable[[OSError], object] | None = None
) -> list[Clip]:
    """
    What `ssast classify` and `ssast embed` work on: sound files as they are given, in place of each folder the sounds
    in it, and in place of each manifest, .tar or .parquet shard, Hub dataset (`hf:...`) and `synth:SEED` what it lists
    or holds. A folder in a folder that cannot be read raises its OSError, or is left out after `onerror(error)`.

    Raises:
        ValueError: A source without any sound, or that streams.
    """
    clips = []
    for source in sources:
        text = os.fsdecode(source)
        if text.startswith((HUB, SYNTHETIC)):
            (found,) = read_sources([text])
            if found.stream is not None:
                raise ValueError(f"{text} is a stream, expected a dataset whose rows are known: leave streaming out.")
            clips.extend(found.clips)
        elif os.path.isdir(text):
            sounds = read_folder(Path(text), onerror=onerror)
            if not sounds:
                raise ValueError(f"{text} holds no audio files.")
            clips.extend(sounds)
        elif Path(place := text.partition(",column=")[0]).suffix.lower() in LISTS:
            clips.extend(read_clips(place, labelled=False, column=text.partition(",column=")[2] or None))
        else:
            clips.append(Clip(text))
    return clips


def read_sources(texts: str | list[str]) -> list[Source]:
    """
    Reads what `--data` names.

    Raises:
        ValueError: A source is empty or of no known kind, an option is unknown, or only some have a weight;
        FileNotFoundError: there is no such source.
    """
    sources = [_read_source(text) for text in ([texts] if isinstance(texts, str) else texts)]
    unweighted = [source.name for source in sources if source.weight is None]
    if unweighted and len(unweighted) < len(sources):
        raise ValueError(f"{unweighted[0]} has no weight and another source has one: give all of them one, or none.")
    if unweighted and len(sources) > 1 and any(source.stream is not None for source in sources):
        raise ValueError("A streaming source beside others needs weights: give every source one, as in NAME,weight=2.")
    return sources


def _read_source(text: str) -> Source:
    place, options = parse_source(text)
    given = options.pop("weight", None)
    weight = None if given is None else number_of(given)
    if weight is not None and not 0 < weight < math.inf:
        raise ValueError(f"{text}: the weight is not a number above 0.")
    if "label" in options:
        raise ValueError(f"{text}: label= is for labelled data; pretraining has no use for it.")
    if place.startswith(SYNTHETIC):
        return Source(place, _synthetic(text, place, options), weight)
    if not place.startswith(HUB):
        _check_options(text, place, options)
        return Source(place, read_clips(place, labelled=False, column=options.get("column")), weight)
    name, table, column = load_dataset(place, options)
    if not hasattr(table, "num_rows"):
        return Source(place, [], weight, table, column)
    return Source(place, rows_of(table, column, name), weight)


def read_labelled(text: str, several: bool = False) -> list[Clip]:
    """
    Reads what `--data` of fine-tuning and evaluation names; see [`LABELLED_HELP`]. Where clips may have `several`
    labels, one without any has the label "".

    Raises:
        ValueError: As [`read_clips`], or an option is unknown or a stream is asked for; FileNotFoundError: there is no
        such source.
    """
    return read_with_column(text, several)[0]


def read_with_column(
    text: str, several: bool = False, column: str | None = None
) -> tuple[list[Clip], list[str] | None]:
    """
    As [`read_labelled`], and the group of each clip, which a column of the manifest or dataset states; see
    [`~ssast_hf.data.manifests.group_of_row`]. Reads the source once.

    Raises:
        ValueError: As there, or the source has no columns or not that one, a row has nothing in it, or a clip is there
            twice, in different groups.
    """
    clips, groups = _read_with_column(text, several, column)
    if groups is not None:
        _check_groups(clips, groups, text)
    return clips, groups


def _read_with_column(text: str, several: bool, column: str | None) -> tuple[list[Clip], list[str] | None]:
    if text.startswith(ANNOTATIONS):
        return _read_annotated(text, several, column)
    place, options = parse_source(text)
    if "weight" in options:
        raise ValueError(f"{text}: weight= is for pretraining; here --balanced_sampling draws by label.")
    if "streaming" in options:
        raise ValueError(f"{text}: a stream has no known labels: leave streaming= out.")
    if place.startswith(SYNTHETIC):
        raise ValueError(f"{text}: procedural sound has no labels, expected labelled sound.")
    if place.startswith(HUB):
        name, table, audio = load_dataset(place, options, labelled=True)
        clips = rows_of(table, audio, name, column_labels(table, options.get("label"), name, several))
        return clips, None if column is None else _dataset_values(table, column, name, text)
    _check_options(text, place, options)
    how = (options.get("column"), options.get("label"), several)
    if column is None:
        return read_clips(place, True, *how), None
    if Path(place).suffix.lower() not in MANIFESTS or not os.path.isfile(place):
        raise ValueError(f"{text} has no columns, expected a .csv, .tsv or .jsonl manifest or {HUB}NAME.")
    path = Path(place)
    rows = manifest_rows(path)
    clips = manifest_clips(path, rows, True, *how)
    if not clips:
        raise ValueError(f"{place} holds no sound files.")
    return clips, [
        group_of_row(row, f"{text}, {where}", clip, path.parent, column, options.get("column"))
        for (where, row), clip in zip(rows, clips)
    ]


def _check_groups(clips: list[Clip], groups: list[str], text: str) -> None:
    """Raises ValueError if a clip, the same part of the same file, is there twice and has different groups."""
    known: dict[tuple, str] = {}
    for place, clip, group in zip(places(clips), clips, groups):
        first = known.setdefault(place, group)
        if first != group:
            raise ValueError(
                f"{text}: {clip.name} is there twice, in the groups {first!r} and {group!r}; expected one group."
            )


def _read_annotated(text: str, several: bool, column: str | None) -> tuple[list[Clip], list[str] | None]:
    found, parts = annotated_parts(text)
    for line in [*found.notes, *(f"skipped {path}: {reason}" for path, reason in found.unreadable.items())]:
        logger.warning("%s", line)
    if found.without_table:
        logger.warning("%s: %d recording(s) without a table are left out", text, len(found.without_table))
    if not several:
        odd = next((part for part in parts.parts if len(part.labels) != 1), None)
        if odd is not None:
            raise ValueError(
                f"{text}: {odd.path} has {len(odd.labels)} labels from {odd.start:g} to {odd.end:g} s, expected one: "
                "give --multi_label True, or margin= instead of window="
            )
    return [part.clip() for part in parts.parts], None if column is None else column_of(parts.parts, column)


def _dataset_values(table, column: str, name: str, text: str) -> list[str]:
    """A column of a dataset, as groups."""
    if column not in table.column_names:
        raise ValueError(f"{name} has no column {column}, found {', '.join(table.column_names)}.")
    values = table.select_columns([column])[:][column]
    return [group_text(value, f"{text}, row {index}", column) for index, value in enumerate(values)]


def _synthetic(text: str, place: str, options: dict[str, str]) -> list[Clip]:
    """The clips of `synth:SEED`, alike on every machine (up to rounding)."""
    if other := options.keys() - {"clips", "seconds"}:
        raise ValueError(f"{text}: {', '.join(sorted(other))} is not for procedural sound, but clips= and seconds=.")
    seed, count = place.removeprefix(SYNTHETIC), options.get("clips", str(SYNTHETIC_CLIPS))
    seconds = number_of(options.get("seconds", SYNTHETIC_SECONDS))
    if not (re.fullmatch(r"[0-9]{1,9}", seed) and re.fullmatch(r"[0-9]{1,8}", count) and int(count)):
        raise ValueError(f"{text}: expected {SYNTHETIC}SEED,clips=N, a whole number and one above 0.")
    if not 0.1 <= seconds <= MOST_SYNTHETIC_SECONDS:
        raise ValueError(f"{text}: expected seconds= from 0.1 to {MOST_SYNTHETIC_SECONDS:g}.")
    return [Clip(f"{place}/{index}", member=Synthetic(int(seed), index, seconds)) for index in range(int(count))]


def _check_options(text: str, place: str, options: dict[str, str]) -> None:
    columns = "parquet" in place or Path(place).suffix.lower() in MANIFESTS
    allowed = {"label"} if os.path.isdir(place) else {"column", "label"} if columns else set()
    if options.keys() - allowed:
        raise ValueError(f"{text}: {', '.join(sorted(options))} is for datasets, written {HUB}NAME.")


def parse_source(text: str) -> tuple[str, dict[str, str]]:
    """`PLACE,OPTION=VALUE,...` -> place, options. A path that exists is never taken apart."""
    if os.path.exists(text):
        return text, {}
    place, *parts = text.split(",")
    options = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if name not in OPTIONS or not equals or not value:
            raise ValueError(
                f"{text}: no such file or folder, and {part!r} is no option; expected one of "
                f"{', '.join(f'{name}=' for name in sorted(OPTIONS))}."
            )
        options[name] = value
    return place, options


def read_clips(
    source: str | os.PathLike,
    labelled: bool,
    column: str | None = None,
    label: str | None = None,
    several: bool = False,
) -> list[Clip]:
    """
    The clips of a data source, sorted by path (folders) or in the file's order.

    Args:
        source (`str`): A folder, with one subfolder per label if `labelled`, else searched to any depth; or a `.csv`,
            `.tsv` or `.jsonl` manifest with a column `file` (or `file_name`, `path` and the like, in any case;
            relative to the manifest's folder), optionally `offset` and `duration` in seconds and, if `labelled`,
            `label`; the original's `.json` (`{"data": [{"wav": ..., "labels": ...}]}`); or a `.parquet` file. Without
            labels also `.tar` shards, a folder of these or of `.parquet` files, a sound file, or a pattern such as
            `shards/*.tar`.
        labelled (`bool`): Whether every clip needs a label.
        column (`str`, *optional*), label (`str`, *optional*): The columns with files or audio, and with labels, of
            manifests and `.parquet` files. Default: the first that looks like it. Of folders in folders, `label` is
            the folder that names the label: `first` or `last`.
        several (`bool`): Whether clips may have several labels, or none.

    Raises:
        ValueError: Nothing is found, a column is missing, or a clip has no label; FileNotFoundError: no such source.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        clips = read_labelled_folder(path, label) if labelled else read_folder(path, column)
    elif not path.exists():
        pattern = not labelled and not path.is_symlink()  # a broken link is no pattern
        matches = find_matching(str(source)) if pattern else []
        if not matches:
            looks_so = re.fullmatch(r"[\w.-]+/[\w.-]+", str(source))
            hint = f" (a dataset on the Hub is written {HUB}{source})" if looks_so else ""
            raise FileNotFoundError(f"No such folder or manifest: {source}{hint}")
        clips = [clip for match in matches for clip in read_clips(match, labelled, column, label, several)]
    elif suffix in MANIFESTS or suffix == ".json":
        clips = manifest_clips(path, manifest_rows(path), labelled, column, label, several)
    elif not labelled and suffix == ".tar":
        clips = read_tar(path)
    elif suffix == ".parquet":
        clips = read_parquet([path], column, labelled, label, several)
    elif not labelled and suffix in audio_extensions():
        clips = [Clip(str(path))]
    else:
        more = ".parquet" if labelled else ".tar, .parquet or sound"
        kinds = f"(.csv, .tsv, .jsonl, .json, {more})"
        table = (
            " A table of annotations is written annotations:FILE,margin=0." if labelled and suffix == ".txt" else ""
        )
        raise ValueError(f"{source} is neither a folder nor a manifest {kinds}.{table}")
    if not clips:
        raise ValueError(f"{source} holds no sound files.")
    return clips
