# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Fetches Debian packages as an ordinary user and unpacks them, and archives in them, without installing anything."""

import re
import shutil
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path

UNAVAILABLE = 3  # exit status of a recipe whose packages this machine cannot fetch
OPTIONS = ["-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "APT::Sandbox::User=root"]
# Package lists of our own: what apt-get reads after its system-wide settings, whose hooks would clean system folders.
PRIVATE_STATE = """
Dir::State::Lists "{folder}/lists/";
Dir::Cache "{folder}/cache/";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class Unavailable(Exception):
    """A package cannot be fetched or unpacked on this machine."""


def run(*command: str, folder: Path) -> str:
    """Runs a command in `folder` and returns what it prints. Raises Unavailable with its last line if it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        detail = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Unavailable(f"{command[0]} failed: {detail[-1]}")
    return done.stdout.strip()


def require_tools(*tools: str) -> None:
    """Raises Unavailable if one of the programs is not installed."""
    for tool in tools:
        if not shutil.which(tool):
            raise Unavailable(f"{tool} is not installed")


def fetch(package: str, folder: Path) -> Path:
    """Downloads a package into `folder`, if need be with package lists kept there, and returns the file."""
    config = folder / "apt.conf"
    try:
        own = ["-c", str(config)] if config.exists() else []
        run("apt-get", *OPTIONS, *own, "download", package, folder=folder)
    except Unavailable as error:
        print(f"{error}; trying with package lists of our own", flush=True)
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config.write_text(PRIVATE_STATE.format(folder=folder))
        run("apt-get", *OPTIONS, "-c", str(config), "update", folder=folder)
        run("apt-get", *OPTIONS, "-c", str(config), "download", package, folder=folder)
    return next(folder.glob(f"{package}_*.deb"))


def unpack(archive: Path, folder: Path) -> str:
    """Unpacks a package into `folder` and returns its version."""
    folder.mkdir(parents=True, exist_ok=True)
    run("dpkg-deb", "-x", str(archive), str(folder), folder=folder)
    return run("dpkg-deb", "-f", str(archive), "Version", folder=folder)


def copyright_text(folder: Path, package: str) -> str:
    """What the copyright file of a package unpacked in `folder` says."""
    path = folder / "usr" / "share" / "doc" / package / "copyright"
    return path.read_text(encoding="utf-8", errors="replace").rstrip()


def unpack_archives(folder: Path, suffixes: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Unpacks the members with one of `suffixes` of every .pk3, .wz (zip) and .rcc (Qt resource) file under `folder`.

    Those of `x/y.pk3` go to `x/y.pk3.d/`. Returns the archives that could not be read and why.
    """
    failed = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".pk3", ".wz", ".rcc") or not path.is_file():
            continue
        target = path.with_name(path.name + ".d")
        try:
            if path.suffix.lower() == ".rcc":
                for name, data in read_rcc(path.read_bytes(), suffixes):
                    (target / name).parent.mkdir(parents=True, exist_ok=True)
                    (target / name).write_bytes(data)
            else:
                with zipfile.ZipFile(path) as members:
                    for member in members.namelist():
                        if member.lower().endswith(suffixes):
                            members.extract(member, target)
        except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
            failed.append((path, str(error)))
    return failed


def read_rcc(data: bytes, suffixes: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Reads the files with one of `suffixes` from a binary Qt resource file (format 1 to 3, as rcc of Qt writes it).

    Returns:
        Pairs of a relative path and the file's bytes.

    Raises:
        ValueError: `data` is no Qt resource file, is damaged, or a file in it is compressed with anything but zlib.
    """
    if data[:4] != b"qres":
        raise ValueError(f"begins with {data[:4]!r}; expected b'qres', a Qt resource file")
    try:
        version, tree, contents, names = struct.unpack_from(">4I", data, 4)
        size = 14 if version < 2 else 22  # bytes of a tree node: since format 2 with a time at its end
        found, pending = [], [(0, "")]
        while pending:
            index, parent = pending.pop()
            name_offset, flags = struct.unpack_from(">IH", data, tree + index * size)
            name = parent
            if index:  # the root has no name
                length = struct.unpack_from(">H", data, names + name_offset)[0]
                start = names + name_offset + 6  # after the length and a hash
                name = f"{parent}/{data[start : start + 2 * length].decode('utf-16-be')}"
            if flags & 2:  # a folder
                count, first = struct.unpack_from(">2I", data, tree + index * size + 6)
                if index in range(first, first + count) or first + count > len(data) // size:
                    raise ValueError("its tree of folders is damaged")
                pending += [(child, name) for child in range(first, first + count)]
            elif name.lower().endswith(suffixes):
                start = contents + struct.unpack_from(">I", data, tree + index * size + 10)[0]
                length = struct.unpack_from(">I", data, start)[0]
                payload = data[start + 4 : start + 4 + length]
                if flags & 4:
                    raise ValueError(f"{name} is compressed with zstd; expected zlib or no compression")
                payload = zlib.decompress(payload[4:]) if flags & 1 else payload
                found.append((re.sub(r"(^|/)(\.*/)+", r"\1", name).lstrip("/"), payload))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"is a damaged Qt resource file: {error}") from error
    return sorted(found)
