#!/usr/bin/env python
# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`make demo`: the pretrained model and the recorded sounds that the package carries, put to use. It labels sounds, shows
what the model makes of masked spectrograms, trains on without labels, fine-tunes a classifier of percussion on some
forty sounds, loads that again as any transformers user would, and classifies sounds it has not seen.

Nothing is downloaded. Every step is a command that a user would type.
"""

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
MODEL = "ssast-tiny-patch-debian"
LABELS = ("bleep", "cymbal", "kick", "snare", "tabla", "tom")  # the bundled sounds' kinds with six sounds or more


def step(title: str, command: list[str]) -> int:
    """Prints a command, runs it, prints how long it took, and returns its exit status."""
    print(f"\n=== {title}\n$ {shlex.join(command)}", flush=True)
    start = time.monotonic()
    status = subprocess.run(command).returncode
    print(f"({time.monotonic() - start:.0f} s)", flush=True)
    return status


def near(path: Path) -> str:
    """A path as a user would type it: relative where it lies below the working directory."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def write_manifests(sounds: Path, folder: Path) -> tuple[Path, Path]:
    """Two of three sounds of each label to train on, the third to judge by."""
    parts = {"train": [], "test": []}
    for label in LABELS:
        for index, path in enumerate(sorted((sounds / label).iterdir())):
            parts["test" if index % 3 == 2 else "train"].append((path.resolve(), label))
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("file", "label"), *rows])
    return folder / "train.csv", folder / "test.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/demo"), help="directory to write (default: runs/demo)"
    )
    parser.add_argument("--max-steps", type=int, default=-1, help="stop each training after so many steps (for tests)")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    started = time.monotonic()
    output, classifier = arguments.output, arguments.output / "classifier"
    ssast, here = near(Path(sys.executable).with_name("ssast")), Path(near(HERE))
    steps = ["--max_steps", str(arguments.max_steps)] if arguments.max_steps > 0 else []

    import ssast_hf

    sounds = Path(near(Path(ssast_hf.__file__).parent / "bundled" / "sounds"))
    train, test = write_manifests(sounds, output / "data")
    samples = [str(next(iter(sorted(folder.iterdir())))) for folder in sorted(sounds.iterdir()) if folder.is_dir()]
    picture = output / "reconstruction.png"
    classify = [ssast, "classify", *samples]
    draw = [near(Path(sys.executable)), near(HERE.parents[1] / "docs" / "reconstruction.py"), "--output", str(picture)]
    pretrain = [ssast, "pretrain", str(here / "pretrain.yaml"), "--data", str(sounds), "--model", MODEL,
                "--output_dir", str(output / "pretrained"), "--overwrite", *steps]  # fmt: skip
    finetune = [ssast, "finetune", str(here / "finetune.yaml"), "--data", str(train), "--test_data", str(test),
                "--model", MODEL, "--output_dir", str(classifier), "--overwrite", *steps]  # fmt: skip
    for title, command in (
        ("What do these sounds hold? (the bundled classifier)", classify),
        ("What the pretrained model fills in where a spectrogram is masked", draw),
        ("Pretraining goes on, without labels", pretrain),
        (f"Fine-tuning: {', '.join(LABELS)}", finetune),
    ):
        if status := step(title, command):
            return status

    print("\n=== Loading it again: AutoModelForAudioClassification and pipeline", flush=True)
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline
    from transformers.utils import logging

    from ssast_hf import load_audio

    logging.disable_progress_bar()  # of loading weights, a tenth of a second
    model = AutoModelForAudioClassification.from_pretrained(classifier)
    extractor = AutoFeatureExtractor.from_pretrained(classifier)
    labels = pipeline("audio-classification", model=model, feature_extractor=extractor)
    with open(test, encoding="utf-8", newline="") as file:
        unseen = [(Path(row["file"]), row["label"]) for row in csv.DictReader(file)]
    for path, label in unseen[:: max(1, len(unseen) // 8)]:
        best = labels(load_audio(path, extractor.sampling_rate))[0]
        mark = "right" if best["label"] == label else f"WRONG: {label}"
        print(f"  {path.name:28}  {best['label']:8} {best['score']:.2f}  {mark}")

    results = json.loads((classifier / "test_results.json").read_text())
    print(f"\nAccuracy on the {len(unseen)} sounds held out: {results['test_accuracy']:.3f} "
          f"(by chance: {1 / len(LABELS):.3f})\n"
          f"Picture:     {picture}\nClassifier:  {classifier}\n"
          f"Try it:      ssast classify YOUR_SOUND.wav --model {classifier}\n"
          f"Took {(time.monotonic() - started) / 60:.1f} minutes.")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
