# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Prepares recorded sound from Debian packages: an unlabelled corpus, and labelled tasks to judge models with.

The packages are fetched with apt-get as an ordinary user and unpacked without installing anything. An interrupted run
continues where it stopped; a finished one answers at once. Exits with 0 when the data is there, 3 when this machine
cannot fetch it.
"""

import argparse
import sys
from pathlib import Path

from recipes.debian import UNAVAILABLE, Unavailable
from recipes.debian_audio import corpus, kinds, tasks
from recipes.debian_audio.packages import PACKAGES
from ssast_hf.utils.text import first_sentence


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("corpus", help="unlabelled sound to pretrain on")
    command.add_argument("dest", type=Path, help="folder for audio/, manifest.csv, train.csv, validation.csv, ...")
    size = command.add_mutually_exclusive_group()
    size.add_argument("--compact", action="store_true", help="0.6 GB of packages (the default)")
    size.add_argument("--full", action="store_true", help="all packages: 3.2 GB")
    command = commands.add_parser("tasks", help="labelled clips to judge models with")
    command.add_argument("dest", type=Path, help="folder whose tasks/ will hold audio/ and a manifest for each task")
    command.add_argument("--task", choices=tasks.TASKS, help="one of them (default: all)")
    command.add_argument(
        "--record", action="store_true", help=f"then write {corpus.TEST_CLIPS.name} beside this script"
    )
    command = commands.add_parser("kinds", help="labels speech, music, percussion and effect, of both")
    command.add_argument("dest", type=Path, help="folder with a corpus and the task drums; more speech with language")
    args = parser.parse_args()
    try:
        if args.command == "corpus":
            packages = [package for package in PACKAGES if args.full or package.compact]
            corpus.prepare(packages, args.dest, corpus.read_test_clips())
        elif args.command == "kinds":
            kinds.prepare(args.dest)
        else:
            tasks.prepare([args.task] if args.task else list(tasks.TASKS), args.dest / "tasks")
            if args.record:
                tasks.record_test_clips(args.dest / "tasks", corpus.TEST_CLIPS)
            print(f"{args.dest / 'tasks'} is ready")
    except Unavailable as error:
        print(f"the packages cannot be fetched here: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {first_sentence(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
