# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Unpacks the archive of a data set into a folder that belongs to this archive alone."""

import contextlib
import hashlib
import re
import tarfile
import zipfile
from pathlib import Path

from ssast_hf.utils.files import scratch_directory
from ssast_hf.utils.text import first_sentence

FOLDER = "unpacked"  # below --output
TAIL = 1 << 16  # bytes at an archive's end that tell it apart: a zip's directory, a compressed tar's checksum
CHUNK = 1 << 20  # bytes read at once


def unpacked(source: Path, output: Path) -> Path:
    """
    The folder `source`, or OUTPUT/unpacked/NAME-FINGERPRINT with all of the archive `source`, which is unpacked unless
    an earlier run did so. Another archive of the same name has another folder, so none is ever replaced.

    Raises:
        FileNotFoundError: There is no `source`.
        ValueError: It is no archive, or a damaged or an encrypted one; then nothing of it is left in `output`.
    """
    if source.is_dir():
        return source
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist, expected a folder or an archive")
    if not source.is_file():
        raise ValueError(f"{source} is neither a folder nor a file, expected a folder or an archive")
    folder = output / FOLDER / f"{source.name.split('.')[0] or 'archive'}-{fingerprint(source)}"
    if folder.is_dir():
        return folder
    made = [path for path in (folder.parent, output) if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with scratch_directory(folder) as unfinished:
            extract(source, unfinished)
            unfinished.rename(folder)  # only once it is complete
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):  # another source is unpacked there
                path.rmdir()
        raise
    return folder


def fingerprint(archive: Path) -> str:
    """12 hexadecimal digits of an archive's name, size, time of change and last bytes."""
    status = archive.stat()
    with open(archive, "rb") as file:
        file.seek(max(0, status.st_size - TAIL))
        tail = file.read()
    digest = hashlib.sha256(f"{archive.name}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    digest.update(tail)
    return digest.hexdigest()[:12]


def is_name(name: str) -> bool:
    """Whether a folder's name is of those that `unpacked` gives."""
    return re.fullmatch(r".+-[0-9a-f]{12}", name) is not None


def extract(archive: Path, folder: Path) -> None:
    """Unpacks a tar, compressed or not, or a zip. Raises ValueError unless all of it can be read."""
    try:
        if tarfile.is_tarfile(archive):
            extract_tar(archive, folder)
            return
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as members:
                members.extractall(folder)
            return
    except Exception as error:  # also EOFError, RuntimeError (a password), NotImplementedError, zlib.error, LZMAError
        if isinstance(error, OSError) and error.errno is not None:  # such as a full disk: not the archive's fault
            raise
        raise ValueError(
            f"{archive} cannot be unpacked ({first_sentence(error)}); expected a whole, unencrypted tar or zip archive"
        ) from error
    raise ValueError(
        f"{archive} is neither a folder nor an archive that can be unpacked; expected a whole tar or zip archive"
    )


def extract_tar(archive: Path, folder: Path) -> None:
    """Unpacks a tar after it was read to the end, where a lost rest and a wrong checksum show."""
    with tarfile.open(archive) as members:
        members.getmembers()  # stops in silence at a damaged header, and where the file is cut off between members
        stream = members.fileobj
        stream.seek(members.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("cut off or damaged: the mark of its end is missing")
        while stream.read(CHUNK):  # gzip, bzip2 and xz compare their checksums at the end
            pass
        members.extractall(folder, filter="data")
