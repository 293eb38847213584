# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast export`."""

from argparse import ArgumentParser, Namespace
from functools import partial

from ..utils.logs import quieten
from ..utils.text import printable
from .flags import add_model, add_pooling

SUMMARY = "write a model as ONNX, filterbank included"
DESCRIPTION = (
    "Writes one ONNX file from waveform to logits, or to embeddings with --level, which `ssast classify --model "
    "X.onnx` and ssast_hf.onnx run without torch. Its outputs are compared with torch's first: where they differ by "
    "more than 1e-4, nothing is written."
)
EPILOG = "Example: ssast export --model runs/birds --onnx birds.onnx"


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--onnx", required=True, metavar="X.onnx", help="file to write")
    parser.add_argument(
        "--level",
        choices=("clip", "frame", "patch"),
        help="embeddings per clip, time step or patch, instead of logits",
    )
    add_pooling(parser)
    parser.add_argument(
        "--int8", action="store_true", help="store weights in 8 bits, and print by how much that changes the outputs"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def run(arguments: Namespace) -> int:
    from ..checkpoints.loading import load_complete
    from ..export.runtime import OnnxModel
    from ..export.to_onnx import export_onnx
    from ..inference.classify import load_classifier
    from ..inference.devices import load_on_device
    from ..inference.timing import measure
    from ..modeling_ssast import SSASTModel

    if arguments.pooling and arguments.level != "clip":
        raise ValueError("--pooling is for embeddings of clips: give --level clip")
    quieten()
    load_model = partial(load_complete, SSASTModel) if arguments.level else load_classifier
    extractor, model = load_on_device(arguments.model, load_model, "cpu")
    model.config.pooling = arguments.pooling or model.config.pooling
    report = export_onnx(model, extractor, arguments.onnx, arguments.level, arguments.int8, arguments.overwrite)
    print(
        f"{printable(arguments.onnx)}: {report.bytes / 1e6:.1f} MB; differs from torch by at most {report.error:.1g}"
    )
    exported = OnnxModel(arguments.onnx)
    windows = exported.windows
    print(measure(lambda waveform: exported([waveform]), windows.length, windows.rate))
    if arguments.int8 and arguments.level:
        print(f"8-bit weights: cosine similarity of embeddings at least {1 - (report.change or 0.0):.4f}")
    elif arguments.int8:
        print(
            f"8-bit weights: scores of {report.clips} test signals change by at most {report.change:.4f}, "
            f"{report.agreement:.0%} keep their best label"
        )
    return 0
