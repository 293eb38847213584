# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Downloads transformers' example script for audio classification, which neither its package nor its sdist has, as it
stands in the repository at the tag of the installed version.
"""

import argparse
import importlib.metadata
import sys
import urllib.request
from pathlib import Path

NAME = "run_audio_classification.py"
VERSION = importlib.metadata.version("transformers")
DIRECTORY = Path(__file__).resolve().parents[2] / ".venv"
ADDRESS = (
    f"https://raw.githubusercontent.com/huggingface/transformers/v{VERSION}/examples/pytorch/audio-classification"
)


def script(directory: Path = DIRECTORY) -> Path:
    return directory / f"transformers-{VERSION}-examples" / NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=DIRECTORY, help="outside what git tracks")
    target = script(parser.parse_args().directory)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with urllib.request.urlopen(f"{ADDRESS}/{NAME}", timeout=60) as response:
                content = response.read()
        except OSError as error:
            sys.exit(f"{ADDRESS}/{NAME} cannot be fetched ({error}): the tests of this script are skipped")
        target.write_bytes(content)
    print(target)


if __name__ == "__main__":
    main()
