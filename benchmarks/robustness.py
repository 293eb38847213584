# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Kills commands, lets them run out of disk, damages what they read, or classifies many files in one process, and prints
what happened as a table. Needs Linux.

    python -m benchmarks.robustness kills --runs 29
    python -m benchmarks.robustness full-disk --runs 5
    python -m benchmarks.robustness sounds --runs 10000
    python -m benchmarks.robustness manifests --runs 2000
    python -m benchmarks.robustness configs --runs 1000
    python -m benchmarks.robustness checkpoints --runs 1000
    python -m benchmarks.robustness leak --runs 10000
"""

import argparse
import tempfile
from pathlib import Path

from . import full_disk, fuzzing, kills

SOUNDS = fuzzing.SOUNDS
FUZZED = ("sounds", "manifests", "configs", "checkpoints")


def leak(files: int) -> None:
    """Prints the resident memory as so many files are classified, by a small random model."""
    import torch

    from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, classify

    torch.manual_seed(0)
    config = SSASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_length=128, num_labels=10
    )
    model, extractor = SSASTForAudioClassification(config).eval(), SSASTFeatureExtractor(max_length=128)
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder, "broken.wav")
        broken.write_bytes(b"RIFF nonsense")
        paths = [*sorted(SOUNDS.glob("*.flac")), broken]
        for number, _ in enumerate(classify(model, extractor, (paths * (files // len(paths) + 1))[:files]), start=1):
            if number % max(1, files // 10) == 0:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                print(f"{number:7} files, {pages * 4096 / 2**20:.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "full-disk", *FUZZED, "leak"))
    parser.add_argument(
        "--runs", type=int, default=20, help="kills or disks of each command, inputs, files (default 20)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="NAME", help="kills: commands whose name has this in it")
    arguments = parser.parse_args()
    if arguments.what == "leak":
        return leak(arguments.runs)
    if arguments.what == "full-disk":
        full_disk.enter_namespace()
    with tempfile.TemporaryDirectory(prefix="ssast-robustness-") as place:
        folder = Path(place, "files")
        if arguments.what == "kills":
            print(kills.table(kills.campaign(arguments.runs, arguments.seed, folder, arguments.only)))
        elif arguments.what == "full-disk":
            print(full_disk.table(full_disk.campaign(arguments.runs, arguments.seed, folder)))
        else:
            print(fuzzing.table(fuzzing.campaign(arguments.what, arguments.runs, arguments.seed, folder)))


if __name__ == "__main__":
    main()
