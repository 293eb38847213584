# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The labels of a fine-tuned checkpoint, and whether they are those of the data."""

from ..checkpoints.files import WEIGHTS
from ..checkpoints.loading import loading
from ..checkpoints.locate import find
from ..configuration_ssast import SSASTConfig
from ..data.labels import Labels
from ..utils.parsing import normalized
from ..utils.text import listed


def labels_of_model(path: str) -> list[str] | None:
    """The labels of a fine-tuned checkpoint, in its order; None for one without a classifier."""
    find(path, WEIGHTS)  # fetches all of it
    with loading(path):
        config = SSASTConfig.from_pretrained(path)
        if not any(name.endswith("ForAudioClassification") for name in config.architectures or []):
            return None
    return [normalized(config.id2label[index]) for index in sorted(config.id2label)]  # as those of the data


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
