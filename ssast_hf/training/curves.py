# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The curves of a training run: loss, what validation measures, learning rate, by step."""

from pathlib import Path

from ..utils.files import replacing
from ..utils.logs import get_logger

CURVES = "curves.png"
MEASURES = ("accuracy", "mAP", "f1_macro")  # at most what validation of both commands gives
PARTS = {"": "training", "eval_": "validation"}

logger = get_logger(__name__)


def series(history: list[dict]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """
    What a run logged (`trainer.state.log_history`), by panel (`loss`, a measure, `learning_rate`) and curve
    (`training`, `validation`): pairs of step and value. Panels without a value are left out.
    """
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for name in ("loss", *MEASURES, "learning_rate"):
        for prefix, part in PARTS.items():
            found = [(entry["step"], entry[prefix + name]) for entry in history if prefix + name in entry]
            if found:
                panels.setdefault(name, {})[part] = found
    return panels


def draw_curves(history: list[dict], path: Path) -> bool:
    """Writes a picture (.png) with a panel for each of [`series`]. Returns False where there is nothing to draw, or,
    with a warning, where matplotlib is not installed."""
    panels = series(history)
    if not panels:
        return False
    try:
        from matplotlib.figure import Figure
    except ImportError:
        logger.warning("No curves were drawn: pip install matplotlib")
        return False
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    for axes, (name, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for part, points in curves.items():
            axes.plot(*zip(*points), label=part, marker="." if len(points) < 50 else None)
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend()
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        figure.savefig(file, dpi=110, format="png")
    return True
