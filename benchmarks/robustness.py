# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Damages sounds and configurations at random, or classifies many files in one process, and prints what happened:

    python -m benchmarks.robustness fuzz --runs 10000
    python -m benchmarks.robustness leak --files 10000
"""

import argparse
import collections
import io
import json
import tempfile
import traceback
from pathlib import Path

import numpy as np
import soundfile

SOUNDS = Path(__file__).parent.parent / "tests/data/sounds"
KINDS = {"wav": ("WAV", "PCM_16"), "wav float": ("WAV", "FLOAT"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"),
         "mp3": ("MP3", "MPEG_LAYER_III")}  # fmt: skip


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, most often in the header; or a part cut out, repeated or cut off."""
    found = bytearray(data)
    kind = rng.integers(5)
    if kind < 2:
        reach = len(found) if kind else min(len(found), 200)
        for place in rng.integers(reach, size=rng.integers(1, 20)):
            found[place] = rng.integers(256)
        return bytes(found)
    start, stop = sorted(rng.integers(len(found), size=2))
    if kind == 2:
        return bytes(found[:stop])
    if kind == 3:
        return bytes(found[:start] + found[stop:])
    return bytes(found[:stop] + found[start:])


def changed(value, rng: np.random.Generator):
    """A configuration with one value replaced by nonsense."""
    nonsense = [None, -1, 0, 1.5, 10**9, "x", [], {}, True, float("nan"), [1, 2], "1"]
    name = rng.choice(sorted(value))
    return {**value, name: nonsense[rng.integers(len(nonsense))]}


def fuzz(runs: int, seed: int) -> None:
    """Counts outcomes: read, refused by ValueError, and anything else, which is a fault and shown."""
    from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTModel, load_audio

    rng = np.random.default_rng(seed)
    counts: dict[str, collections.Counter] = {}
    shown: set[str] = set()

    def attempt(name: str, call, *arguments) -> None:
        count = counts.setdefault(name, collections.Counter())
        try:
            result = call(*arguments)
            good = not isinstance(result, np.ndarray) or bool(np.isfinite(result).all())
            count["ok" if good else "FAULT: not finite"] += 1
        except ValueError:
            count["ValueError"] += 1
        except Exception as error:
            kind = f"FAULT: {type(error).__name__}"
            count[kind] += 1
            if (name, kind) not in shown:
                shown.add((name, kind))
                print(name, arguments if len(str(arguments)) < 500 else "", traceback.format_exc(limit=-3))

    originals = {name: [] for name in KINDS}
    for path in sorted(SOUNDS.glob("*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        for name, (container, subtype) in KINDS.items():
            file = io.BytesIO()
            soundfile.write(file, samples, rate, format=container, subtype=subtype)
            originals[name].append(file.getvalue())
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = SSASTConfig(**small, max_length=64).to_dict()
    extractor = SSASTFeatureExtractor().to_dict()
    for _ in range(runs):
        for name, sounds in originals.items():
            attempt(name, load_audio, damaged(sounds[rng.integers(len(sounds))], rng))
    for _ in range(runs // 10):
        text = json.dumps(changed(config, rng))
        attempt("model config", lambda text: SSASTModel(SSASTConfig.from_dict(json.loads(text))) and None, text)
        text = json.dumps(changed(extractor, rng))
        attempt("extractor config", lambda text: SSASTFeatureExtractor.from_dict(json.loads(text)) and None, text)
    for name, count in counts.items():
        print(
            f"{name:18} {sum(count.values()):7} runs: " + ", ".join(f"{n} {kind}" for kind, n in sorted(count.items()))
        )


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
    parser.add_argument("what", choices=("fuzz", "leak"))
    parser.add_argument("--runs", type=int, default=10000, help="per kind of file; a tenth per configuration")
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    leak(arguments.files) if arguments.what == "leak" else fuzz(arguments.runs, arguments.seed)


if __name__ == "__main__":
    main()
