# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Downloads the sources of the installed transformers for their common tests, which its package leaves out."""

import argparse
import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = importlib.metadata.version("transformers")
DIRECTORY = Path(__file__).resolve().parents[2] / ".venv"


def sources(directory: Path = DIRECTORY) -> Path:
    return directory / f"transformers-{VERSION}"


def is_complete(target: Path) -> bool:
    return (target / "tests" / "__init__.py").exists()


def fetch(directory: Path = DIRECTORY) -> Path:
    """Unpacks the sdist into `directory`/transformers-VERSION, if it is not there yet, and returns that path."""
    target = sources(directory)
    if is_complete(target):
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as download:
        command = ["pip", "download", "--no-binary", ":all:", "--no-deps", "--no-build-isolation", "--quiet",
                   "--disable-pip-version-check", "--dest", download, f"transformers=={VERSION}"]  # fmt: skip
        subprocess.run([sys.executable, "-m", *command], check=True)
        with tarfile.open(next(Path(download).glob("*.tar.gz"))) as archive:
            archive.extractall(directory, filter="data")
    # An empty file that the tests load and the sdist lacks. It comes last: where it exists, all is unpacked.
    (target / "tests" / "__init__.py").touch()
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=DIRECTORY, help="outside what git tracks")
    print(fetch(parser.parse_args().directory))


if __name__ == "__main__":
    main()
