# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Archives that the prepare modules take: each has a folder of its own, and a damaged one leaves nothing behind."""

import os
import shutil
import struct
import tarfile
from pathlib import Path

import pytest

from recipes.archives import unpacked

from .helpers import SOUNDS, Sounds, failed, made, rows_of

KINDS = {"zip": "zip", "tar": "tar", "gztar": "tar.gz", "bztar": "tar.bz2", "xztar": "tar.xz"}


def digits(root: Path, takes: int = 1) -> Path:
    sounds = Sounds()
    for digit in (0, 7):
        for speaker in ("george", "theo"):
            for take in range(takes):
                sounds.write(root / f"recordings/{digit}_{speaker}_{take}.wav")
    return root


def archive_of(folder: Path, kind: str = "zip", name: Path | None = None) -> Path:
    return Path(shutil.make_archive(str(name or folder), kind, folder.parent, folder.name))


@pytest.mark.parametrize("kind", KINDS)
def test_archives_of_all_kinds_are_unpacked_whole(kind, tmp_path):
    root = digits(tmp_path / "digits")
    folder = unpacked(archive_of(root, kind), tmp_path / "o")
    for path in root.rglob("*.wav"):
        assert (folder / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()
    assert os.listdir(tmp_path / "o/unpacked") == [folder.name]


def test_another_archive_of_the_same_name_is_unpacked_anew(tmp_path):
    """fsdd.v2.zip after fsdd.v1.zip, and a third one under the name of the second; the first is named as unused."""
    for number in (1, 2, 3):
        digits(tmp_path / f"digits{number}", takes=number)
    output = ("--output", tmp_path / "o", "--overwrite")
    made("fsdd", archive_of(tmp_path / "digits1", name=tmp_path / "fsdd.v1"), *output)
    second = archive_of(tmp_path / "digits2", name=tmp_path / "fsdd.v2")
    said = made("fsdd", second, *output)
    assert len(rows_of(tmp_path / "o/fsdd.csv")) == 8 and said.count("is not used by these manifests") == 1
    before = rows_of(tmp_path / "o/fsdd.csv")
    made("fsdd", second, *output)
    assert rows_of(tmp_path / "o/fsdd.csv") == before
    assert len(list((tmp_path / "o/unpacked").iterdir())) == 2  # the same archive is not unpacked twice
    archive_of(tmp_path / "digits3", name=tmp_path / "fsdd.v2")
    assert made("fsdd", second, *output).count("is not used by these manifests") == 2
    rows = rows_of(tmp_path / "o/fsdd.csv")
    assert len(rows) == 12 and all("/digits3/" in row["file"] for row in rows)


def test_two_archives_of_one_name_do_not_mix(tmp_path):
    sounds = Sounds()
    for speaker in ("george", "theo"):
        for digit in (0, 7):
            sounds.write(tmp_path / speaker / f"digits/{digit}_{speaker}_0.wav")
    archives = [archive_of(tmp_path / speaker / "digits") for speaker in ("george", "theo")]
    made("fsdd", *archives, "--output", tmp_path / "o")
    assert {row["speaker"] for row in rows_of(tmp_path / "o/fsdd.csv")} == {"george", "theo"}


def wrong_checksum(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-8] ^= 255  # gzip ends with the CRC and the length
    path.write_bytes(data)


def wrong_sound(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_off_between_members(path: Path) -> None:
    with tarfile.open(path) as archive:
        end = archive.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:end])


def wrong_header(path: Path) -> None:
    """tarfile takes a header with a wrong checksum, other than the first, for the end."""
    with tarfile.open(path) as archive:
        offset = archive.getmembers()[-1].offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 255
    path.write_bytes(data)


def at_members(path: Path, local: int, central: int, change) -> None:
    """Calls change(data, place) for each local header of a zip and each entry of its directory, at these offsets."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        start = data.find(mark)
        while start >= 0:
            change(data, start + offset)
            start = data.find(mark, start + 4)
    path.write_bytes(data)


def encrypted(path: Path) -> None:
    """The flag of encryption."""

    def change(data: bytearray, place: int) -> None:
        data[place] |= 1

    at_members(path, 6, 8, change)


def unknown_compression(path: Path) -> None:
    at_members(path, 8, 10, lambda data, place: struct.pack_into("<H", data, place, 97))


@pytest.mark.parametrize(
    "kind, damage",
    [
        ("gztar", wrong_checksum), ("gztar", wrong_sound), ("gztar", cut_off), ("bztar", wrong_sound),
        ("bztar", cut_off), ("xztar", wrong_sound), ("xztar", cut_off), ("tar", cut_off),
        ("tar", cut_off_between_members), ("tar", wrong_header), ("zip", wrong_sound), ("zip", cut_off),
        ("zip", encrypted), ("zip", unknown_compression),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)  # fmt: skip
def test_a_damaged_archive_is_an_error_and_leaves_nothing(kind, damage, tmp_path):
    archive = archive_of(digits(tmp_path / "digits"), kind)
    damage(archive)
    with pytest.raises(ValueError, match=r"digits\.\w.*expected a whole.* tar or zip archive"):
        unpacked(archive, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_damaged_archive_ends_the_command_with_one_line(tmp_path):
    archive = archive_of(digits(tmp_path / "digits"), "gztar")
    whole = archive.read_bytes()
    for damage, reason in ((wrong_checksum, "CRC check failed"), (cut_off, "ended before the end-of-stream marker")):
        archive.write_bytes(whole)
        damage(archive)
        assert reason in failed("fsdd", archive, "--output", tmp_path / "o")
        assert not (tmp_path / "o").exists()
    archive.write_bytes(whole)
    made("fsdd", archive, "--output", tmp_path / "o")
    path = archive_of(digits(tmp_path / "digits"), "zip")
    encrypted(path)
    assert "is encrypted, password required" in failed("fsdd", path, "--output", tmp_path / "p")


def test_what_is_no_archive_is_named(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # opening it would wait for ever
    for source, reason in (
        (tmp_path / "nowhere", "does not exist"), (SOUNDS[0], "neither a folder nor an archive"),
        (tmp_path / "fifo", "neither a folder nor a file"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError), match=reason):
            unpacked(source, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_failed_run_does_not_stop_the_next(tmp_path):
    """An archive without clips: the same error twice, then another archive into the same folder."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").write_text("no sound")
    empty, output = archive_of(tmp_path / "empty"), ("--output", tmp_path / "o")
    assert failed("fsdd", empty, *output) == failed("fsdd", empty, *output)
    assert "found no clips in" in failed("fsdd", empty, *output)
    assert "is not used by these manifests" in made("fsdd", archive_of(digits(tmp_path / "digits")), *output)
    assert "is not empty" in failed("fsdd", empty, *output)
    (tmp_path / "file").touch()
    assert "is a file, expected a folder" in failed("fsdd", tmp_path / "digits", "--output", tmp_path / "file")
