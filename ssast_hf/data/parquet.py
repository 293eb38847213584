# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Parquet files a few rows at a time. The library `datasets` converts them to tables that it maps into memory, for
which it decodes whole row groups; that takes three times the bytes of a group.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..utils.logs import get_logger
from .parquet_pages import page_sizes

MOST_ROWS, BATCH_BYTES = 16, 2**24  # decoded at once: that many rows, fewer of large ones
REPEATED_BYTES = 2**28  # at once, if each row had all bytes of a page: a dictionary can repeat one value in each row
MOST_ROW_BYTES = 2**30  # 9 hours of 16-bit sound at 16 kHz
# Sound that is compressed, as it is in most shards, is compressed no further. Zeros and dictionaries can make any size
# of any file.
MOST_COMPRESSION, ALWAYS_ALLOWED = 1000, 2**28
BUFFER_BYTES = 2**16  # of each column, read from the file at once


def load_parquet_or_other(place: str, config: str | None = None, streaming: bool = False, **options: Any):
    """
    What `datasets.load_dataset(place, config, streaming=streaming, **options)` gives, with Parquet files on this
    machine decoded a few rows at a time. Rows, their order and the library's cache are the same.

    Args:
        place (`str`): A dataset's name or directory, or "parquet" with `data_files`.
        config (`str`, *optional*): The name of a configuration.
        streaming (`bool`): Whether to give an `IterableDataset`.
        options: `split`, and `data_files` where `place` is "parquet".
    """
    import datasets
    from datasets.packaged_modules.parquet.parquet import Parquet

    split = options.pop("split")
    builder = datasets.load_dataset_builder(place, config, **options)
    get_logger(Parquet.__module__)  # names files
    if isinstance(builder, Parquet):
        builder._generate_tables = _Tables(builder)
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare()
    return builder.as_dataset(split=split)


@dataclass(frozen=True)
class _Tables:
    """Stands in for a builder's method of this task; processes that load data can be sent it."""

    builder: Any

    def __call__(self, files: list[str], row_groups_list: list) -> Iterator[tuple]:
        # Remote files are streamed by the library: here, each read of a few bytes would be a request.
        if any("://" in str(file) for file in files):
            yield from type(self.builder)._generate_tables(self.builder, files, row_groups_list)
            return
        for key, table in batches(files, row_groups_list):
            yield key, self.builder._cast_table(table)


def batches(files: list[str], row_groups_list: list) -> Iterator[tuple]:
    """
    The rows of Parquet files, in order, as small tables with a key for each.

    Args:
        files (`list[str]`): Paths.
        row_groups_list (`list`): For each file the numbers of its row groups to read, or None for all.

    Raises:
        ValueError: A row has more than `MOST_ROW_BYTES`; the rows, or the pages before one is decompressed, are
            `MOST_COMPRESSION` times larger than the file; `pyarrow.ArrowInvalid`, which is one: a damaged file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets.builder import Key

    for number, (path, groups) in enumerate(zip(files, row_groups_list)):
        size, decoded = os.path.getsize(path), 0
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            rows = _rows_at_once(path, file.metadata, size)
            parts = file.iter_batches(rows, None if groups is None else list(groups), use_threads=False)
            for index, part in enumerate(parts):
                decoded += part.nbytes
                if part.nbytes > MOST_ROW_BYTES * len(part):
                    raise ValueError(
                        f"{os.path.basename(path)} has rows of {part.nbytes / len(part):.3g} bytes, expected at most "
                        f"{MOST_ROW_BYTES:.3g}"
                    )
                _check_compression(path, size, decoded, "rows")
                yield Key(number, index), pa.Table.from_batches([part])


def _rows_at_once(path: str, metadata, size: int) -> int:
    """
    How many rows of a Parquet file of `size` bytes to decode at once. At least two: `datasets` collects tables of one
    row, up to a thousand, before it writes them. Raises ValueError for a file that is damaged or expands too much.
    """
    stated = sum(
        metadata.row_group(group).column(column).total_compressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    if stated > size:
        raise ValueError(
            f"{os.path.basename(path)} has {size} bytes, expected the {stated} of the columns that its footer lists"
        )
    try:
        pages = page_sizes(path, metadata)
    except (ValueError, LookupError) as error:
        raise ValueError(f"{os.path.basename(path)} is damaged: the header of a page cannot be read") from error
    decoded, largest = sum(pages), max(pages, default=0)
    _check_compression(path, size, decoded, "pages")
    rows = BATCH_BYTES * metadata.num_rows // max(1, decoded)
    return max(2, min(MOST_ROWS, rows, REPEATED_BYTES // max(1, largest)))


def _check_compression(path: str, size: int, decoded: int, what: str) -> None:
    if decoded > ALWAYS_ALLOWED + MOST_COMPRESSION * size:
        raise ValueError(
            f"{os.path.basename(path)} of {size} bytes holds {decoded:.3g} or more bytes of {what}, expected at most "
            f"{MOST_COMPRESSION} times its size and {ALWAYS_ALLOWED:.3g}"
        )
