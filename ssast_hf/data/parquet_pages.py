# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
How large the pages of a Parquet file are once they are decompressed, by the headers of the pages. The footer says so,
too, but pyarrow allocates what the headers say. They are in Thrift's compact protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import os
from typing import BinaryIO

MOST_HEADER = 2**20  # bytes; statistics in it hold a column's least and largest value
DEEPEST = 8  # structures within structures; a page's header has three
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
UNCOMPRESSED, COMPRESSED = 2, 3  # fields of a PageHeader


def page_sizes(path: str | os.PathLike, metadata) -> list[int]:
    """
    The uncompressed bytes of each page of a file whose columns do not overlap.

    Args:
        path: The file.
        metadata (`pyarrow.parquet.FileMetaData`): Its footer.

    Raises:
        ValueError, LookupError: A header is damaged, or is not where the footer says.
    """
    found: list[int] = []
    with open(path, "rb") as file:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for column in range(row_group.num_columns):
                found += _pages(file, row_group.column(column))
    return found


def _pages(file: BinaryIO, column) -> list[int]:
    place = column.data_page_offset
    if column.dictionary_page_offset:  # 0 where old writers had none
        place = min(place, column.dictionary_page_offset)
    end, sizes = place + column.total_compressed_size, []
    while 0 <= place < end:
        file.seek(place)
        head = file.read(2**12)
        try:
            header, length = _Thrift(head).struct()
        except IndexError:
            header, length = _Thrift(head + file.read(MOST_HEADER)).struct()
        sizes.append(header[UNCOMPRESSED])
        if sizes[-1] < 0 or header[COMPRESSED] < 0:
            raise ValueError("a page of a negative size")
        place += length + header[COMPRESSED]
    return sizes


class _Thrift:
    """A reader of one structure: its integers by the number of their field, and how many bytes it has."""

    def __init__(self, data: bytes):
        self.data, self.place = data, 0

    def struct(self, depth: int = 0) -> tuple[dict[int, int], int]:
        if depth > DEEPEST:
            raise ValueError("structures within structures")
        fields: dict[int, int] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._integer()
            value = self._value(head & 15, depth)
            if value is not None:
                fields[number] = value
        return fields, self.place

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a number of more than ten bytes")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _value(self, kind: int, depth: int) -> int | None:
        """Of an integer, its value; what else there is is skipped."""
        if kind in (I16, I32, I64):
            return self._integer()
        if kind in (BYTE, DOUBLE):
            self.place += {BYTE: 1, DOUBLE: 8}[kind]
        elif kind == BINARY:
            length = self._unsigned()
            self.place += length
        elif kind in (LIST, SET):
            head = self._byte()
            for _ in range(self._unsigned() if head >> 4 == 15 else head >> 4):
                self._element(head & 15, depth)
        elif kind == STRUCT:
            self.struct(depth + 1)
        elif kind == MAP:
            raise ValueError("a map")  # no header of a page has one
        elif kind not in (TRUE, FALSE):
            raise ValueError(f"a field of type {kind}")
        return None

    def _element(self, kind: int, depth: int) -> None:
        """Skips an element of a list, where a truth value takes a byte."""
        if kind in (TRUE, FALSE):
            self._byte()
        else:
            self._value(kind, depth)
        if self.place > len(self.data):  # elements that take no bytes would never end
            raise IndexError
