# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Where sound comes from: every kind of source becomes a list of [`Clip`]s, each read when it is needed. Needs no torch.

A source is written `PLACE[,OPTION=VALUE ...]`, such as `my_sounds`, `shards/*.tar,weight=3` or
`hf:openslr/librispeech_asr,config=clean,split=train.360`; see [`SOURCE_HELP`].
"""

import csv
import glob
import io
import json
import math
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import AUDIO_EXTENSIONS, find_audio_files, load_audio, stream_audio

FILE_COLUMNS = ("file", "file_name", "filename", "path", "audio", "wav")  # of a manifest, whichever comes first
MANIFESTS = (".csv", ".tsv", ".jsonl")
LISTS = (*MANIFESTS, ".json", ".tar", ".parquet")  # files that stand for others
OPTIONS = {"weight", "config", "split", "column", "label", "streaming"}
LABEL_COLUMNS = ("label", "labels")  # whichever comes first
HUB = "hf:"
SOURCE_HELP = (
    "A source is a folder (of sound files at any depth, or of .tar or .parquet shards), a .csv, .tsv or .jsonl "
    "manifest (column file; optional offset and duration in seconds), the original's .json, .tar shards (webdataset), "
    ".parquet files with audio bytes, a sound file, a quoted pattern such as 'shards/*.tar', or hf:NAME, a dataset on "
    "the Hub or a directory that `datasets` loads. Options follow it, after commas: weight=W (its share of the clips, "
    "for all sources or none), and for hf: config=, split=, column= and streaming=true."
)
LABELLED_HELP = (
    "A folder with a subfolder per label; a .csv, .tsv or .jsonl manifest with columns file and label; the original's "
    ".json; a .parquet file with audio bytes and a label column; or hf:NAME, a dataset on the Hub or a directory that "
    "`datasets` loads, with options after commas: config=, split=, column= (the audio's) and label= (the label's)."
)


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in an uncompressed tar archive, read by seeking."""

    archive: str
    start: int  # bytes
    size: int

    def open(self) -> bytes:
        with open(self.archive, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a `datasets.Dataset` whose audio is not decoded by it."""

    table: Any = field(compare=False, repr=False)
    index: int
    column: str

    def open(self) -> bytes | str:
        return encoded(self.table[self.index][self.column])


@dataclass(frozen=True, slots=True)
class Clip:
    """
    A sound and its label, if it has one.

    Args:
        path (`str`): The sound file, or a name for messages where it is a `member`.
        label (`str`, *optional*): What it shows.
        offset (`float`), duration (`float`, *optional*): Seconds: the part of the file that is the clip.
        member (`TarMember` or `Row`, *optional*): What it is read from instead of `path`.
    """

    path: str
    label: str | None = None
    offset: float = 0.0
    duration: float | None = None
    member: TarMember | Row | None = None

    @property
    def name(self) -> str:
        """For results: the path and, of a part of a file, its seconds, as in W3C media fragments."""
        if not self.offset and self.duration is None:
            return self.path
        return f"{self.path}#t={self.offset:g}" + (
            "" if self.duration is None else f",{self.offset + self.duration:g}"
        )

    def open(self) -> str | bytes:
        """What `load_audio` takes."""
        return self.path if self.member is None else self.member.open()

    def stream(self, sampling_rate: int) -> Iterator[np.ndarray]:
        """Its blocks of samples, as [`stream_audio`] gives them."""
        return stream_audio(self.open(), sampling_rate, self.offset, self.duration)

    def load(self, sampling_rate: int, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        """Reads (samples,), from `start` seconds into the clip on, at most `seconds` long. Raises as `load_audio`."""
        left = math.inf if self.duration is None else self.duration - start
        seconds = min(left, math.inf if seconds is None else seconds)
        if seconds <= 0:
            raise ValueError(f"the clip is {self.duration} s long, expected more than {start} s")
        return load_audio(self.open(), sampling_rate, self.offset + start, None if math.isinf(seconds) else seconds)

    def seconds(self) -> float | None:
        """Its length as the header states it, without decoding; None if that does not tell."""
        import io

        import soundfile

        try:
            source = self.open()
            info = soundfile.info(io.BytesIO(source) if isinstance(source, bytes) else source)
        except (OSError, ValueError, RuntimeError):  # soundfile's errors are RuntimeErrors
            return None
        if not 0 < info.frames < 2**62:
            return None
        return min(math.inf if self.duration is None else self.duration, info.frames / info.samplerate - self.offset)


@dataclass
class Source:
    """Clips of one source, or a stream of them, and its weight in a mixture (None: as many as it holds)."""

    name: str
    clips: list[Clip]
    weight: float | None = None
    stream: Any = None  # datasets.IterableDataset
    column: str | None = None


def encoded(value) -> bytes | str:
    """The bytes, or else the path, in a value of an audio column."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, (bytes, str)):
        raise ValueError(f"found {type(value).__name__} in the audio column, expected the bytes or path of a sound")
    return value


def find_sounds(
    sources: Iterable[str | os.PathLike], onerror: Callable[[OSError], object] | None = None
) -> list[Clip]:
    """
    What `ssast classify` and `ssast embed` work on: sound files as they are given, in place of each folder the sounds
    in it, and in place of each manifest, .tar or .parquet shard and Hub dataset (`hf:...`) what it lists or holds. A
    folder in a folder that cannot be read raises its OSError, or is left out after `onerror(error)`.

    Raises:
        ValueError: A source without any sound, or that streams.
    """
    clips = []
    for source in sources:
        text = os.fsdecode(source)
        if text.startswith(HUB):
            (found,) = read_sources([text])
            if found.stream is not None:
                raise ValueError(f"{text} is a stream, expected a dataset whose rows are known: leave streaming out.")
            clips.extend(found.clips)
        elif os.path.isdir(text):
            found = _read_folder(Path(text), labelled=False, onerror=onerror)
            if not found:
                raise ValueError(f"{text} holds no audio files.")
            clips.extend(found)
        elif Path(text).suffix.lower() in LISTS:
            clips.extend(read_clips(text, labelled=False))
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
    try:
        weight = None if given is None else float(given)
    except ValueError:
        weight = math.nan
    if weight is not None and not 0 < weight < math.inf:
        raise ValueError(f"{text}: the weight is not a number above 0.")
    if "label" in options:
        raise ValueError(f"{text}: label= is for labelled data; pretraining has no use for it.")
    if not place.startswith(HUB):
        _check_options(text, place, options)
        return Source(place, read_clips(place, labelled=False, column=options.get("column")), weight)
    name, table, column = _load_dataset(place, options)
    if not hasattr(table, "num_rows"):
        return Source(place, [], weight, table, column)
    return Source(place, _rows(table, column, name), weight)


def read_labelled(text: str) -> list[Clip]:
    """
    Reads what `--data` of fine-tuning and evaluation names; see [`LABELLED_HELP`].

    Raises:
        ValueError: As [`read_clips`], or an option is unknown or a stream is asked for; FileNotFoundError: there is no
        such source.
    """
    place, options = parse_source(text)
    if "weight" in options:
        raise ValueError(f"{text}: weight= is for pretraining; here --balanced_sampling draws by label.")
    if "streaming" in options:
        raise ValueError(f"{text}: a stream has no known labels: leave streaming= out.")
    if not place.startswith(HUB):
        _check_options(text, place, options)
        return read_clips(place, labelled=True, column=options.get("column"), label=options.get("label"))
    name, table, column = _load_dataset(place, options, labelled=True)
    return _rows(table, column, name, _labels(table, options.get("label"), name))


def read_column(text: str, column: str) -> list:
    """
    What stands in a column of a manifest or dataset, for each of the clips that [`read_labelled`] gives.

    Raises:
        ValueError: The source has no columns, or a row has nothing in that one.
    """
    place, options = parse_source(text)
    if place.startswith(HUB):
        name, table, _ = _load_dataset(place, options, labelled=True)
        if column not in table.column_names:
            raise ValueError(f"{name} has no column {column}, found {', '.join(table.column_names)}.")
        values = table.select_columns([column])[:][column]
        rows = [(f"row {index}", {column: value}) for index, value in enumerate(values)]
    elif Path(place).suffix.lower() in MANIFESTS and os.path.isfile(place):
        rows = manifest_rows(Path(place))
    else:
        raise ValueError(f"{text} has no columns, expected a .csv, .tsv or .jsonl manifest or {HUB}NAME.")
    for where, row in rows:
        if row.get(column) in (None, ""):
            raise ValueError(f"{text}, {where}: nothing in the column {column}.")
    return [row[column] for _, row in rows]


def _check_options(text: str, place: str, options: dict[str, str]) -> None:
    if options.keys() - ({"column", "label"} if "parquet" in place else set()):
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
    source: str | os.PathLike, labelled: bool, column: str | None = None, label: str | None = None
) -> list[Clip]:
    """
    The clips of a data source, sorted by path (folders) or in the file's order.

    Args:
        source (`str`): A folder, with one subfolder per label if `labelled`, else searched to any depth; or a `.csv`,
            `.tsv` or `.jsonl` manifest with a column `file` (or `file_name`, `filename`, `path`, `audio`, `wav`;
            relative to the manifest's folder), optionally `offset` and `duration` in seconds and, if `labelled`,
            `label`; the original's `.json` (`{"data": [{"wav": ..., "labels": ...}]}`); or a `.parquet` file. Without
            labels also `.tar` shards, a folder of these or of `.parquet` files, a sound file, or a pattern such as
            `shards/*.tar`.
        labelled (`bool`): Whether every clip needs a label.
        column (`str`, *optional*), label (`str`, *optional*): The columns with audio and labels of `.parquet` files.
            Default: the first that looks like it.

    Raises:
        ValueError: Nothing is found, a column is missing, or a clip has no label; FileNotFoundError: no such source.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        clips = _read_folder(path, labelled, column)
    elif not path.exists():
        matches = [] if labelled else sorted(glob.glob(str(source), recursive=True))
        if not matches:
            looks_so = re.fullmatch(r"[\w.-]+/[\w.-]+", str(source))
            hint = f" (a dataset on the Hub is written {HUB}{source})" if looks_so else ""
            raise FileNotFoundError(f"No such folder or manifest: {source}{hint}")
        clips = [clip for match in matches for clip in read_clips(match, labelled, column, label)]
    elif suffix in MANIFESTS or suffix == ".json":
        clips = _read_manifest(path, labelled)
    elif not labelled and suffix == ".tar":
        clips = _read_tar(path)
    elif suffix == ".parquet":
        clips = _read_parquet([path], column, labelled, label)
    elif not labelled and suffix in AUDIO_EXTENSIONS:
        clips = [Clip(str(path))]
    else:
        more = ".parquet" if labelled else ".tar, .parquet or sound"
        kinds = f"(.csv, .tsv, .jsonl, .json, {more})"
        raise ValueError(f"{source} is neither a folder nor a manifest {kinds}.")
    if not clips:
        raise ValueError(f"{source} holds no sound files.")
    return clips


def _read_folder(
    folder: Path, labelled: bool, column: str | None = None, onerror: Callable[[OSError], object] | None = None
) -> list[Clip]:
    paths = find_audio_files(folder, onerror)
    if not labelled:
        if not paths:
            parquet = sorted(folder.rglob("*.parquet"))
            return _read_parquet(parquet, column) if parquet else [
                clip for path in sorted(folder.rglob("*.tar")) for clip in _read_tar(path)
            ]  # fmt: skip
        return [Clip(str(path)) for path in paths]
    loose = [path for path in paths if path.parent == folder]
    if loose:
        raise ValueError(f"{loose[0]} lies in no label's folder: expected {folder}/LABEL/{loose[0].name}.")
    return [Clip(str(path), path.relative_to(folder).parts[0]) for path in paths]


def manifest_rows(path: Path) -> list[tuple[str, Any]]:
    """The rows of a manifest (.csv, .tsv, .jsonl or the official .json), each with its place in it, for messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from None
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        entries = entries.get("data") if isinstance(entries, dict) else entries
        if not isinstance(entries, list):
            raise ValueError(f'{path} holds no list, expected {{"data": [{{"wav": PATH, "labels": LABELS}}, ...]}}.')
        return [(f"entry {number}", row) for number, row in enumerate(entries, start=1)]
    if suffix == ".jsonl":
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                rows.append((f"line {number}", json.loads(line))) if line.strip() else None
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not a JSON object ({error}).") from None
        return rows
    head = text.partition("\n")[0]  # spreadsheets write semicolons where the comma is the decimal sign
    delimiter = "\t" if suffix == ".tsv" else ";" if ";" in head and "," not in head else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [(f"line {reader.line_num}", row) for row in reader]


def _read_manifest(path: Path, labelled: bool) -> list[Clip]:
    clips = []
    for place, row in manifest_rows(path):
        column = next((name for name in FILE_COLUMNS if isinstance(row, dict) and row.get(name)), None)
        if column is None:
            found = ", ".join(map(str, row)) if isinstance(row, dict) else json.dumps(row)
            raise ValueError(
                f"{path}, {place}: no file name in {found}, expected a column named {' or '.join(FILE_COLUMNS)}."
            )
        label = row.get("label", row.get("labels"))
        if labelled and (label is None or str(label).strip() == ""):
            raise ValueError(f"{path}, {place}: no label, expected a column named label.")
        offset = _seconds(row, "offset", f"{path}, {place}")
        duration = _seconds(row, "duration", f"{path}, {place}")
        if duration == 0:
            raise ValueError(f"{path}, {place}: duration is 0, expected a number of seconds above 0.")
        if isinstance(label, list):  # of a clip with several
            label = json.dumps(label)
        file = str(path.parent / str(row[column]))
        clips.append(Clip(file, str(label).strip() if labelled else None, offset or 0.0, duration))
    return clips


def _seconds(row: dict, name: str, place: str) -> float | None:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{place}: {name} is {value!r}, expected a number of seconds of at least 0.")
    return seconds


def _read_tar(path: Path) -> list[Clip]:
    clips = []
    try:
        with tarfile.open(path, "r:") as archive:  # uncompressed: members are read by seeking
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in AUDIO_EXTENSIONS:
                    place = TarMember(str(path), member.offset_data, member.size)
                    clips.append(Clip(f"{path}/{member.name}", member=place))
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not an uncompressed tar archive, or is truncated: {error}") from None
    return clips


def _read_parquet(
    paths: list[Path], column: str | None, labelled: bool = False, label: str | None = None
) -> list[Clip]:
    import datasets

    name = str(paths[0] if len(paths) == 1 else paths[0].parent)
    files = [str(path) for path in paths]
    try:
        table = datasets.load_dataset("parquet", data_files=files, split="train")
    except (datasets.exceptions.DatasetGenerationError, datasets.exceptions.DataFilesNotFoundError) as error:
        raise ValueError(f"{name} cannot be read as Parquet: {error.__cause__ or error}") from error
    labels = _labels(table, label, name) if labelled else None
    return _rows(*_undecoded(table, column, name), name, labels)


def _load_dataset(place: str, options: dict[str, str], labelled: bool = False) -> tuple:
    """
    A dataset's name for messages, which tells configurations and splits apart, its table, and the name of the audio
    column, which is the table's only one if it is not `labelled`.
    """
    import datasets

    name, split = place.removeprefix(HUB), options.get("split", "train")
    config, column, streaming = options.get("config"), options.get("column"), options.get("streaming", "false")
    if streaming.lower() not in ("true", "false"):
        raise ValueError(f"{HUB}{name}: streaming is {streaming!r}, expected true or false.")
    try:
        if os.path.isfile(os.path.join(name, "state.json")):  # written by save_to_disk
            table = datasets.load_from_disk(name)
        elif os.path.isfile(os.path.join(name, "dataset_dict.json")):
            table = datasets.load_from_disk(name)[split]
        else:
            table = datasets.load_dataset(name, config, split=split, streaming=streaming.lower() == "true")
    except KeyError:
        raise ValueError(f"{HUB}{name} has no split {split!r}.") from None
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"{HUB}{name} cannot be loaded: {error}") from error
    full = place + "".join(f",{key}={options[key]}" for key in ("config", "split") if key in options)
    return full, *_undecoded(table, column, full, labelled)


def _undecoded(table, column: str | None, name: str, labelled: bool = False) -> tuple[Any, str]:
    """The table with audio as bytes or paths and, if it is not `labelled`, nothing else; and that column's name."""
    import datasets

    features = table.features or dict.fromkeys(next(iter(table), {}))

    def is_audio(key: str) -> bool:
        feature = features[key]
        nested = isinstance(feature, dict) and "bytes" in feature
        return nested or isinstance(feature, datasets.Audio) or getattr(feature, "dtype", "") in ("binary",)

    found = [key for key in features if is_audio(key)]
    if column is None:
        column = next((key for key in ("audio", *found) if key in found), None)
    if column is None or column not in features:
        raise ValueError(
            f"{name} has no column {column or 'with audio'}, found {', '.join(features)}: name it with column=."
        )
    table = table if labelled else table.select_columns([column])
    return table.cast_column(column, datasets.Audio(decode=False)), column


def _rows(table, column: str, name: str, labels: list[str] | None = None) -> list[Clip]:
    if not len(table):
        raise ValueError(f"{name} holds no rows.")
    table = table.select_columns([column])
    return [Clip(f"{name}[{index}]", labels[index] if labels else None, member=Row(table, index, column))
            for index in range(len(table))]  # fmt: skip


def _labels(table, column: str | None, name: str) -> list[str]:
    """The labels of a dataset's rows: names where it has them (`ClassLabel`); several as a JSON list."""
    import datasets

    def classes(key: str) -> datasets.ClassLabel | None:
        feature = table.features[key]
        feature = getattr(feature, "feature", feature)  # of a list
        return feature if isinstance(feature, datasets.ClassLabel) else None

    found = table.column_names
    if column is None:
        possible = [key for key in found if classes(key)]
        column = next((key for key in LABEL_COLUMNS if key in found), possible[0] if len(possible) == 1 else None)
    if column not in found:
        raise ValueError(
            f"{name} has no column {column or 'with labels'}, found {', '.join(found)}: name it with label=."
        )
    kind = classes(column)

    def named(index: int, value: Any) -> str:
        if value in (None, "", []) or (kind and value == -1):  # -1: a test set whose labels are kept secret
            raise ValueError(f"{name}[{index}]: no label in the column {column}.")
        if isinstance(value, list):
            return json.dumps([named(index, one) for one in value])
        if not isinstance(value, (str, int)):
            raise ValueError(f"{name}[{index}]: {value!r} in the column {column}, expected a name or a whole number.")
        return kind.int2str(value) if kind and isinstance(value, int) else str(value).strip()

    return [named(index, value) for index, value in enumerate(table.select_columns([column])[:][column])]
