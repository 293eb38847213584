# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Manifests of Google's Speech Commands with the official splits.

Takes speech_commands_v0.02.tar.gz or speech_commands_v0.01.tar.gz, or the folder it unpacks to: a folder per word,
_background_noise_/, validation_list.txt, testing_list.txt. Writes train.csv, validation.csv and test.csv; column
`speaker` is the speaker's hash.

--task words has a label per word (35 in V2). --task keywords has ten words, _unknown_ for all others, and _silence_,
one-second pieces of the background noise (written to silence/; the first 80 % of each recording for training, then
10 % each for validation and test). With --test-set, speech_commands_test_set_v0.01.tar.gz or its folder, which has a
folder for each of the twelve labels, is the test set instead.
"""

import sys
from pathlib import Path

import soundfile

from recipes import manifests
from recipes.archives import unpacked
from ssast_hf import load_audio

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE, NOISE = "_unknown_", "_silence_", "_background_noise_"
RATE = 16000  # Hz, of the silence that is written: the data set's
SPLITS = {"validation.csv": "validation_list.txt", "test.csv": "testing_list.txt"}


def prepare(arguments) -> dict[str, list[dict]]:
    if arguments.test_set and arguments.task != "keywords":
        raise ValueError(f"--test-set has the twelve labels of --task keywords, but --task is {arguments.task}")
    root = manifests.find_root(arguments.source, "validation_list.txt")
    listed = {}
    for name, file in SPLITS.items():
        for line in (root / file).read_text(encoding="utf-8").split():
            listed[line] = name
    found: dict[str, list[dict]] = {"train.csv": [], "validation.csv": [], "test.csv": []}
    for path in words(root):
        word = path.parent.name
        label = word if arguments.task == "words" or word in KEYWORDS else UNKNOWN
        split = listed.pop(f"{word}/{path.stem}.wav", "train.csv")
        found[split].append({"file": path, "label": label, "speaker": path.name.split("_")[0]})
    if listed:
        first = next(iter(listed))
        raise FileNotFoundError(f"{len(listed)} files of the official lists are missing, such as {root / first}")
    if arguments.test_set:
        found["test.csv"] = official_test(unpacked(arguments.test_set, arguments.output))
    for rows in found.values():
        manifests.check_files(rows)
    if arguments.task == "keywords":
        for name, rows in silence(root / NOISE, arguments.output / "silence").items():
            if name != "test.csv" or not arguments.test_set:
                found[name] += rows
    return found


def words(root: Path) -> list[Path]:
    """The recordings in the folders of words; ValueError if one is there twice, as x.wav and as x.WAV."""
    folders = [path for path in root.iterdir() if path.is_dir() and path.name != NOISE]
    return list(manifests.once(manifests.wav_files(folders), lambda path: f"{path.parent.name}/{path.stem}").values())


def silence(noise: Path, output: Path) -> dict[str, list[dict]]:
    """One-second pieces of each recording of noise, the earlier ones for training; written once all are read."""
    found: dict[str, list[dict]] = {"train.csv": [], "validation.csv": [], "test.csv": []}
    recordings = manifests.once(manifests.wav_files([noise]) if noise.is_dir() else [], lambda path: path.stem)
    if not recordings:
        raise FileNotFoundError(f"{noise} holds no recordings of noise")
    written = {}
    for path in recordings.values():
        waveform = load_audio(path, RATE)
        pieces = [waveform[start : start + RATE] for start in range(0, len(waveform) - RATE + 1, RATE)]
        held = max(1, round(0.1 * len(pieces)))
        for number, piece in enumerate(pieces):
            left = len(pieces) - number
            split = "test.csv" if left <= held else "validation.csv" if left <= 2 * held else "train.csv"
            target = output / f"{path.stem}_{number}.wav"
            written[target] = piece
            found[split].append({"file": target, "label": SILENCE, "speaker": path.stem})
    output.mkdir(parents=True, exist_ok=True)
    for target, piece in written.items():
        soundfile.write(target, piece, RATE)
    return found


def official_test(folder: Path) -> list[dict]:
    """The twelve folders of the test set that Google distributes by itself."""
    root = manifests.find_root([folder], SILENCE)
    return [
        {"file": path, "label": path.parent.name, "speaker": path.name.split("_")[0]}
        for path in words(root)
        if path.parent.name in (*KEYWORDS, UNKNOWN, SILENCE)
    ]


if __name__ == "__main__":
    parser = manifests.parse(__doc__, "data/speechcommands", "speech_commands_v0.0N.tar.gz, or its folder")
    parser.add_argument("--task", choices=("words", "keywords"), default="words", help="see above (default: words)")
    parser.add_argument("--test-set", type=Path, metavar="SOURCE", help="the separate test set, for --task keywords")
    sys.exit(manifests.run(parser, prepare))
