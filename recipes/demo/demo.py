#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`make demo`: pretrains a small SSAST on recorded speech without labels, fine-tunes it to tell who speaks, saves it,
loads it again as any transformers user would, and classifies recordings it has not seen.

Every step runs the command that a user would type.
"""

import argparse
import json
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
NO_DATA = 3  # exit status of prepare.py where the recordings cannot be had


def step(title: str, command: list[str]) -> int:
    """Prints a command, runs it, prints how long it took, and returns its exit status."""
    print(f"\n=== {title}\n$ {shlex.join(command)}", flush=True)
    start = time.monotonic()
    status = subprocess.run(command).returncode
    print(f"({time.monotonic() - start:.0f} s)", flush=True)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/demo"), help="directory to write (default: runs/demo)"
    )
    parser.add_argument("--max-steps", type=int, default=-1, help="stop each training after so many steps (for tests)")
    arguments = parser.parse_args()
    started = time.monotonic()
    output, data = arguments.output, arguments.output / "data"
    ssast = str(Path(sys.executable).with_name("ssast"))
    steps = ["--max_steps", str(arguments.max_steps)] if arguments.max_steps > 0 else []

    status = step("Recordings: two fishes speak Dutch (Debian package fillets-ng-data-nl)",
                  [sys.executable, str(HERE / "prepare.py"), str(data)])  # fmt: skip
    if status == NO_DATA:
        print("The demo's recordings come from Debian's packages, with apt-get and dpkg, which do not work here. On "
              "your own sound:\n"
              "  ssast pretrain --data FOLDER --size tiny --output_dir runs/pretrained\n"
              "  ssast finetune --data FOLDER_WITH_A_SUBFOLDER_PER_LABEL --model runs/pretrained --output_dir "
              "runs/classifier", file=sys.stderr)  # fmt: skip
    if status:
        return status

    pretrained, classifier = output / "pretrained", output / "classifier"
    pretrain = [ssast, "pretrain", str(HERE / "pretrain.yaml"), "--data", str(data / "train"),
                "--output_dir", str(pretrained), "--overwrite", *steps]  # fmt: skip
    finetune = [ssast, "finetune", str(HERE / "finetune.yaml"), "--data", str(data / "train"), "--test_data",
                str(data / "test"), "--model", str(pretrained), "--output_dir", str(classifier), "--overwrite",
                *steps]  # fmt: skip
    for title, command in (("Pretraining without labels", pretrain), ("Fine-tuning", finetune)):
        if status := step(title, command):
            return status

    print("\n=== Loading it again: AutoModelForAudioClassification and pipeline", flush=True)
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

    from ssast_hf import load_audio

    model = AutoModelForAudioClassification.from_pretrained(classifier)
    extractor = AutoFeatureExtractor.from_pretrained(classifier)
    classify = pipeline("audio-classification", model=model, feature_extractor=extractor)
    unseen = sorted((data / "test").glob("*/*"))
    print(f"Recordings from levels of the game that training has not seen ({len(unseen)} in all):")
    for path in random.Random(0).sample(unseen, min(8, len(unseen))):
        best = classify(load_audio(path, extractor.sampling_rate))[0]
        mark = "right" if best["label"] == path.parent.name else "WRONG"
        print(f"  {path.name[:44]:44}  {best['label']:16} {best['score']:.2f}  {mark}")

    results = json.loads((classifier / "test_results.json").read_text())
    chance = max(len(list(folder.iterdir())) for folder in (data / "test").iterdir()) / len(unseen)
    print(
        f"\nAccuracy on all {len(unseen)}: {results['test_accuracy']:.3f} (always guessing the commoner: {chance:.3f})"
    )
    print(f"Pretrained model:  {pretrained}\nClassifier:        {classifier}\n"
          f"Try it:            ssast classify YOUR_SOUND.wav --model {classifier}\n"
          f"Took {(time.monotonic() - started) / 60:.1f} minutes.")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
