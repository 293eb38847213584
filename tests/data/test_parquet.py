# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Parquet files are decoded a few rows at a time, into the same tables as by the library `datasets`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssast_hf.data.parquet import MOST_ROWS, batches, load_parquet_or_other
from ssast_hf.data.parquet_pages import page_sizes
from ssast_hf.data.sources import read_clips, read_labelled, read_sources

PEAK = """
import sys, threading, time
import datasets
from ssast_hf.data.sources import read_clips

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

before, peak = anonymous(), [0]
def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
clips = read_clips(sys.argv[1], labelled=True, label="label")
print(len(clips), peak[0] - before)
"""


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, rows: int, size: int, **how) -> list[bytes]:
    rng = np.random.default_rng(0)
    sounds = [rng.bytes(size + index % 7) for index in range(rows)]
    audio = pa.array([{"bytes": sound, "path": None} for sound in sounds],
                     pa.struct({"bytes": pa.binary(), "path": pa.string()}))  # fmt: skip
    pq.write_table(pa.table({"audio": audio, "label": [str(index % 3) for index in range(rows)]}), path, **how)
    return sounds


def test_rows_of_a_row_group_are_decoded_a_few_at_a_time(tmp_path):
    """Sixteen, or fewer of large ones; at least two, because `datasets` collects tables of one row."""
    for size, most in ((1000, MOST_ROWS), (2**22, 3), (2**25, 2)):
        sounds = write(tmp_path / "x.parquet", 5 if size > 1000 else 100, size, row_group_size=10**6)
        tables = [table for _, table in batches([str(tmp_path / "x.parquet")], [None])]
        assert max(map(len, tables)) == most
        assert [row["bytes"] for table in tables for row in table["audio"].to_pylist()] == sounds


@pytest.mark.parametrize("how", [{"row_group_size": 10**6}, {"row_group_size": 3}, {"use_dictionary": False}])
def test_the_table_is_that_of_the_library(tmp_path, own_cache, how):
    """Rows, order, fingerprint and the file in the cache; a cache of either is used by the other."""
    write(tmp_path / "a.parquet", 50, 300, **how)
    write(tmp_path / "b.parquet", 7, 100, **how)
    files = [str(tmp_path / "b.parquet"), str(tmp_path / "a.parquet")]
    ours = load_parquet_or_other("parquet", data_files=files, split="train")
    rows, known = ours[:], (ours.features, ours._fingerprint, ours.cache_files)
    own_cache.rename(tmp_path / "ours")
    theirs = datasets.load_dataset("parquet", data_files=files, split="train")
    assert (theirs.features, theirs._fingerprint, theirs.cache_files) == known
    assert theirs[:] == rows
    assert load_parquet_or_other("parquet", data_files=files, split="train").cache_files == theirs.cache_files


def test_a_folder_that_the_library_loads_and_a_stream_go_the_same_way(tmp_path, own_cache, monkeypatch):
    (tmp_path / "set").mkdir()
    sounds = write(tmp_path / "set/train-00000-of-00001.parquet", 40, 500, row_group_size=10**6)
    asked = []
    original = pq.ParquetFile.iter_batches

    def counted(self, rows, *args, **kwargs):
        asked.append(rows)
        return original(self, rows, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    clips = read_labelled(f"hf:{tmp_path}/set,label=label")
    assert [clip.open() for clip in clips] == sounds and [clip.label for clip in clips[:4]] == ["0", "1", "2", "0"]
    (source,) = read_sources([f"hf:{tmp_path}/set,streaming=true"])
    assert [row["audio"]["bytes"] for row in source.stream] == sounds
    theirs = datasets.load_dataset(str(tmp_path / "set"), split="train", streaming=True).shuffle(3, buffer_size=10)
    theirs = [row["audio"]["bytes"] for row in theirs]
    assert [row["audio"]["bytes"] for row in source.stream.shuffle(3, buffer_size=10)] == theirs != sounds
    assert asked == [MOST_ROWS] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_row_group_takes_little_memory(tmp_path):
    """115 MB in one group; 345 MB and more, where groups are decoded whole. Pages of this file have up to 51 MB."""
    write(tmp_path / "x.parquet", 2300, 50_000, row_group_size=10**6, use_dictionary=False, compression="none")
    command = [sys.executable, "-c", PEAK, str(tmp_path / "x.parquet")]
    environment = {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    count, megabytes = done.stdout.split()
    assert int(count) == 2300
    assert float(megabytes) < 230


@pytest.mark.parametrize("kind", ["a row", "a dictionary"])
def test_a_small_file_of_absurd_rows_is_refused_before_it_fills_the_disk(tmp_path, own_cache, monkeypatch, kind):
    """Zeros, which compress to nothing, and one value of a dictionary that is repeated in each row."""
    monkeypatch.setattr("ssast_hf.data.parquet.MOST_ROW_BYTES", 2**25)
    monkeypatch.setattr("ssast_hf.data.parquet.ALWAYS_ALLOWED", 2**26)
    if kind == "a row":
        column, expected = pa.array([bytes(2**26)], pa.binary()), r"x.parquet has rows of 6.71e\+07 bytes, expected"
    else:
        values = pa.array([bytes(2**24)], pa.binary())
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 10000, pa.int32()), values)
        expected = r"x.parquet of \d+ bytes holds [\d.e+]+ or more bytes of rows, expected at most 1000 times"
    how = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": 2**30}
    pq.write_table(pa.table({"audio": column}), tmp_path / "x.parquet", **how)
    with pytest.raises(ValueError, match=expected):
        read_clips(tmp_path / "x.parquet", labelled=False)


def stating(size: int, footer: bytes, instead: int) -> bytes:
    """A footer in which a size is another one, in as many bytes."""
    number, new = b"", b""
    while size * 2 >> 7 * len(number):
        number += bytes([size * 2 >> 7 * len(number) & 127 | 128])
        new += bytes([instead * 2 >> 7 * len(new) & 127 | 128])
    number, new = (text[:-1] + bytes([text[-1] & 127]) for text in (number, new))
    assert number in footer
    return footer.replace(number, new)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB")
@pytest.mark.parametrize(("use_dictionary", "lying"), [(True, True), (False, False)])
def test_pages_that_expand_to_gigabytes_are_refused_before_they_are_decompressed(tmp_path, use_dictionary, lying):
    """Five times their size in memory otherwise; also where the footer says that they are small."""
    path = tmp_path / "x.parquet"
    column = pa.array([bytes(2**28 + 2**27)], pa.binary())
    pq.write_table(pa.table({"audio": column}), path, compression="zstd", use_dictionary=use_dictionary)
    if lying:
        content, size = path.read_bytes(), pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        path.write_bytes(content[:start] + stating(size, content[start:-8], 1) + content[-8:])
        assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 1
    code = f"""
import resource, datasets, pyarrow.parquet
from ssast_hf.data.parquet import batches
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(batches([{str(path)!r}], [None]))
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, grown = done.stdout.splitlines()
    assert re.fullmatch(r"x.parquet of \d+ bytes holds 4.03e\+08 or more bytes of pages, expected at most .*", said)
    assert int(grown) < 50_000


V2 = {"compression": "snappy", "data_page_version": "2.0", "write_page_index": True, "write_page_checksum": True}


@pytest.mark.parametrize("how", [{"compression": "none"}, V2, {"use_dictionary": False, "row_group_size": 30}])
def test_the_sizes_of_pages_are_those_that_the_footer_adds_up(tmp_path, how):
    """With their headers, of up to 6 kB for the least and the largest sound, they are a column's uncompressed size."""
    write(tmp_path / "x.parquet", 200, 3000, data_page_size=10_000, write_batch_size=2, **how)
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    stated = sum(group.column(index).total_uncompressed_size for group in groups for index in range(3))
    pages = page_sizes(tmp_path / "x.parquet", metadata)
    assert 3 * len(groups) <= len(pages) and sum(pages) < stated < sum(pages) + 6500 * len(pages)
    assert sum(pages) > 200 * 3000


def test_columns_that_overlap_are_refused(tmp_path):
    """A footer may list the same bytes any number of times."""
    write(tmp_path / "x.parquet", 20, 3000, compression="none", use_dictionary=False)
    content = (tmp_path / "x.parquet").read_bytes()
    size = pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0).total_compressed_size
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    (tmp_path / "x.parquet").write_bytes(
        content[:start] + stating(size, content[start:-8], size + 9999) + content[-8:]
    )
    with pytest.raises(ValueError, match=rf"x.parquet has {len(content)} bytes, expected the \d+ of the columns"):
        list(batches([str(tmp_path / "x.parquet")], [None]))


def test_a_damaged_header_of_a_page_is_one_sentence(tmp_path):
    write(tmp_path / "x.parquet", 20, 3000, compression="none", use_dictionary=False)
    content = (tmp_path / "x.parquet").read_bytes()
    for header in (b"\xff" * 30, b"\x2b" * 30, b"\x1c" * 30, bytes(30)):
        (tmp_path / "x.parquet").write_bytes(content[:4] + header + content[4 + len(header) :])
        with pytest.raises(ValueError, match="x.parquet is damaged: the header of a page cannot be read"):
            list(batches([str(tmp_path / "x.parquet")], [None]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"PAR1" + b"\xff" * 12 + b"PAR1"])
def test_a_damaged_file_is_named(tmp_path, own_cache, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(ValueError, match="x.parquet cannot be read as Parquet"):
        read_clips(tmp_path / "x.parquet", labelled=False)
