# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A module of `evaluate`: accuracy, macro F1, mAP, mAUC and d-prime of classified sound, and the same per label."""

# One module per `import`: the parser of `evaluate.load` knows no other.
import datasets
import evaluate

from ssast_hf.training.clip_metrics import compute_metrics

DESCRIPTION = """
Metrics of clips with one label each, or with several. mAP and mAUC are means over labels ("macro"), of those that can
be measured: some clips have the label, and for mAUC some have not. d-prime is sqrt(2) times the standard normal
quantile of mAUC, as AudioSet's papers report it.
"""
CONFIGURATIONS = ("default", "multilabel")
INPUTS = """
predictions: list of scores per clip, (clips, labels): probabilities.
references: list of 0 and 1 per clip, (clips, labels); or of one label's number per clip, (clips,), as the Trainer has
them.
several: whether clips may have several labels. If not, the best score is what is predicted, else all of 0.5 and more.
Default: what the configuration says: `evaluate.load(path)` is for one label, `evaluate.load(path, "multilabel")` for
several.

Returns: `accuracy` (unless `several`), `f1_macro` (over the labels that occur or are predicted), `mAP`, `mAUC` and
`d_prime` (these three where they are defined; `d_prime` is None where it is infinite, for an mAUC of 0 or 1), and
`per_class`: for each label `clips`, `precision`, `recall`, `f1`, `AP`, `AUC`
(None where undefined).
"""


class AudioClassification(evaluate.Metric):
    def _info(self):
        if self.config_name not in CONFIGURATIONS:
            raise ValueError(f"The configuration is {self.config_name!r}, expected 'default' or 'multilabel'.")
        row = datasets.Sequence(datasets.Value("float32"))
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=[  # the first that fits is taken
                datasets.Features({"predictions": row, "references": row}),
                datasets.Features({"predictions": row, "references": datasets.Value("int64")}),
            ],
        )

    def _compute(self, predictions, references, several=None):
        several = self.config_name == "multilabel" if several is None else several
        return compute_metrics(predictions, references, several)
