# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables of the library `datasets`: `.parquet` files, datasets on the Hub and on disk."""

import json
import os
from pathlib import Path
from typing import Any

from .clips import Clip, Row
from .label_text import label_of, labels_in
from .parquet import load_parquet_or_other

LABEL_COLUMNS = ("label", "labels")  # whichever comes first
HUB = "hf:"


def read_parquet(
    paths: list[Path], column: str | None, labelled: bool = False, label: str | None = None, several: bool = False
) -> list[Clip]:
    import datasets

    name = str(paths[0] if len(paths) == 1 else paths[0].parent)
    files = [str(path) for path in paths]
    try:
        table = load_parquet_or_other("parquet", data_files=files, split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"{name} cannot be read as Parquet: {error.__cause__ or error}") from error
    labels = column_labels(table, label, name, several) if labelled else None
    table, column = _undecoded(table, column, name)
    return rows_of(table, column, name, labels)


def load_dataset(place: str, options: dict[str, str], labelled: bool = False) -> tuple:
    """
    A dataset's name for messages, which tells configurations and splits apart, its table, and the name of the audio
    column, which is the table's only one if it is not `labelled`.
    """
    import datasets

    name, split = place.removeprefix(HUB), options.get("split", "train")
    config, column, streaming = options.get("config"), options.get("column"), options.get("streaming", "false")
    if not name.strip("/"):
        raise ValueError(f"{place}: no name, expected {HUB}NAME, a dataset on the Hub or a directory.")
    if streaming.lower() not in ("true", "false"):
        raise ValueError(f"{HUB}{name}: streaming is {streaming!r}, expected true or false.")
    try:
        if os.path.isfile(os.path.join(name, "state.json")):  # written by save_to_disk
            table = datasets.load_from_disk(name)
        elif os.path.isfile(os.path.join(name, "dataset_dict.json")):
            table = datasets.load_from_disk(name)[split]
        else:
            table = load_parquet_or_other(name, config, streaming.lower() == "true", split=split)
    except KeyError:
        raise ValueError(f"{HUB}{name} has no split {split!r}.") from None
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError, IndexError,
            datasets.exceptions.DatasetsError) as error:  # fmt: skip
        raise ValueError(f"{HUB}{name} cannot be loaded: {error.__cause__ or error}") from error
    full = place + "".join(f",{key}={options[key]}" for key in ("config", "split") if key in options)
    return full, *_undecoded(table, column, full, labelled)


def _undecoded(table, column: str | None, name: str, labelled: bool = False) -> tuple:
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


def rows_of(table, column: str, name: str, labels: list[str] | None = None) -> list[Clip]:
    if not len(table):
        raise ValueError(f"{name} holds no rows.")
    table = table.select_columns([column])
    return [Clip(f"{name}[{index}]", labels[index] if labels else None, member=Row(table, index, column))
            for index in range(len(table))]  # fmt: skip


def column_labels(table, column: str | None, name: str, several: bool = False) -> list[str]:
    """The labels of a dataset's rows: names where it has them (`ClassLabel`); several as a JSON list, none as ""."""
    import datasets

    def classes(key: str) -> datasets.ClassLabel | None:
        feature = table.features[key]
        feature = getattr(feature, "feature", feature)  # of a list
        return feature if isinstance(feature, datasets.ClassLabel) else None

    found = table.column_names
    if column is None:
        named = [key for key in found if classes(key)]
        column = next((key for key in LABEL_COLUMNS if key in found), named[0] if len(named) == 1 else None)
        _check_alike(table, [key for key in LABEL_COLUMNS if key in found], name)
    if column is None or column not in found:
        raise ValueError(
            f"{name} has no column {column or 'with labels'}, found {', '.join(found)}: name it with label=."
        )
    kind = classes(column)

    def one(index: int, value: Any) -> str:
        if kind and value == -1:  # a test set whose labels are kept secret
            raise ValueError(f"{name}[{index}]: no label in the column {column}.")
        if isinstance(value, int) and (kind or isinstance(value, bool)):
            value = kind.int2str(value) if kind else str(value)
        whole = isinstance(value, (str, int)) or (isinstance(value, float) and (value.is_integer() or value != value))
        if value is not None and not whole:
            raise ValueError(f"{name}[{index}]: {value!r} in the column {column}, expected a name or a whole number.")
        return label_of(value, f"{name}[{index}]")

    def text_of(index: int, value: Any) -> str:
        if isinstance(value, list):
            named = [each if each is None or each != each else one(index, each) for each in value]
            listed = labels_in(named, f"{name}[{index}]")
            text = json.dumps(listed) if listed else ""
        else:
            text = one(index, value)
        if not text and not several:
            raise ValueError(f"{name}[{index}]: no label in the column {column}.")
        return text

    return [text_of(index, value) for index, value in enumerate(table.select_columns([column])[:][column])]


def _check_alike(table, columns: list[str], name: str) -> None:
    """Raises ValueError where the columns that may hold the labels have different ones in a row."""
    rows = table.select_columns(columns)[:]
    for index, values in enumerate(zip(*(rows[key] for key in columns))):
        filled = {key: value for key, value in zip(columns, values) if value == value and value not in (None, "", [])}
        if len({json.dumps(value, default=repr) for value in filled.values()}) > 1:
            found = " and ".join(f"{key} is {value!r}" for key, value in filled.items())
            raise ValueError(f"{name}[{index}]: {found}; name the column with the labels: label={columns[0]}.")
