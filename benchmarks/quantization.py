# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`python -m benchmarks.quantization`: what 8-bit weights change in an exported classifier, with the nodes of the
filterbank left out and with them, on the bundled sounds. docs/export.md has the numbers.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from ssast_hf.audio import find_audio_files, load_audio
from ssast_hf.checkpoints import BUNDLED
from ssast_hf.cli import main as ssast
from ssast_hf.export.runtime import OnnxModel


def scores(path: Path, sounds: list[str]) -> np.ndarray:
    """Scores (sounds, labels), each sound whole."""
    model = OnnxModel(path)
    return np.concatenate([model.scores([load_audio(sound)]) for sound in sounds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ssast-tiny-patch-debian-kinds", help="a classifier")
    model = parser.parse_args().model
    sounds = [str(path) for path in find_audio_files(BUNDLED / "sounds")]
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder, "whole.onnx"), Path(folder, "small.onnx")
        assert ssast(["export", "--model", model, "--onnx", str(whole)]) == 0
        expected = scores(whole, sounds)
        nodes = [node.name for node in onnx.load(whole).graph.node]
        for title, left_out in (("left out", [n for n in nodes if n.startswith("/filterbank/")]), ("in 8 bits", [])):
            quantize_dynamic(whole, small, weight_type=QuantType.QInt8, nodes_to_exclude=left_out)
            found = scores(small, sounds)
            kept = int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
            print(
                f"filterbank {title}: {kept} of {len(sounds)} sounds keep the best label, scores change by at most "
                f"{np.abs(found - expected).max():.3f} (onnxruntime {onnxruntime.__version__})"
            )


if __name__ == "__main__":
    main()
