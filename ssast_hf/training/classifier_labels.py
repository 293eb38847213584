# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The labels of a fine-tuned checkpoint, and whether they are those of the data."""

import json

from ..checkpoints.files import CONFIG, WEIGHTS
from ..checkpoints.locate import find
from ..data.labels import Labels, listed


def labels_of_model(path: str) -> list[str] | None:
    """The labels of a fine-tuned checkpoint, in its order; None for one without a classifier."""
    config = json.loads((find(path, WEIGHTS).directory / CONFIG).read_text(encoding="utf-8"))
    if not any(name.endswith("ForAudioClassification") for name in config.get("architectures") or []):
        return None
    id2label = {int(index): name for index, name in config.get("id2label", {}).items()}
    return [id2label[index] for index in sorted(id2label)]


def order_of_model(path: str, labels: Labels) -> Labels:
    """
    `labels` in the order of a checkpoint that has a classifier for them, unchanged for one that has no classifier.

    Raises:
        ValueError: The checkpoint's classifier is for other labels.
    """
    names = labels_of_model(path)
    if names is None:
        return labels
    if set(names) == set(labels.names):
        return Labels(tuple(names), labels.several)
    only_model = [name for name in names if name not in set(labels.names)]
    only_data = [name for name in labels.names if name not in set(names)]
    differences = [f"only the model has {listed(only_model)}"] if only_model else []
    differences += [f"only the data has {listed(only_data)}"] if only_data else []
    raise ValueError(
        f"{path} is a classifier for other labels than the data's: {'; '.join(differences)}. Give --new_classifier "
        "True to replace its classifier."
    )
