# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The flags of `ssast finetune` beside those of the Trainer."""

from dataclasses import dataclass, field

from ..configuration_ssast import POOLINGS
from ..data.sources import LABELLED_HELP
from .arguments import CHANNEL_HELP, TRUNCATED_HELP
from .frozen import FEW_CLIPS, WARPED_COPIES


@dataclass
class FineTuningDataArguments:
    """What to fine-tune, on what."""

    data: str = field(metadata={"help": LABELLED_HELP})
    model: str = field(metadata={"help": "Pretrained checkpoint: directory, short name or Hub repository."})
    validation_data: str | None = field(
        default=None, metadata={"help": "Labelled sound for evaluation while training."}
    )
    validation_fraction: float | None = field(
        default=None,
        metadata={
            "help": "Share of --data held out without the above; 0: no validation [0.1; with fewer than 50 clips per "
            "label what makes five of each, up to 0.3]."
        },
    )
    group_column: str | None = field(
        default=None, metadata={"help": "Column of --data whose groups (speakers, ...) are held out as a whole."}
    )
    folds: int = field(
        default=0,
        metadata={
            "help": "Cross-validation first: train so many models, judge each by the part of --data that it did not "
            "hear (whole groups of --group_column), then train one on all of --data [none]."
        },
    )
    test_data: str | None = field(default=None, metadata={"help": "Labelled sound to judge by once, at the end."})
    multi_label: bool = field(default=False, metadata={"help": "A clip may have several labels: a;b, or a JSON list."})
    label_file: str | None = field(
        default=None, metadata={"help": "File with all labels in order: one per line, .json list, official class CSV."}
    )
    allow_missing_labels: bool = field(
        default=False, metadata={"help": "Go on where validation or test data has no clip of some label."}
    )
    new_classifier: bool = field(default=False, metadata={"help": "Replace a classifier that is for other labels."})
    frozen: bool = field(
        default=False,
        metadata={
            "help": "Leave the encoder as it is and fit logistic regression to its features: layer, pooling and "
            f"regularization are chosen by cross-validation [for up to {FEW_CLIPS} clips per label, unless a flag "
            "says how to train]."
        },
    )
    warped_copies: int | None = field(
        default=None,
        metadata={
            "help": "Copies of each clip, at another tempo and with its frequencies moved, that --frozen fits, too "
            f"[0; {WARPED_COPIES} for up to {FEW_CLIPS} clips per label where cross-validation finds it better]."
        },
    )
    refit: bool | None = field(  # a default of True would make a flag --no_refit
        default=None,
        metadata={
            "help": "Fit the saved model of a frozen encoder to the clips held out for validation, too, once they "
            "have judged it [True]."
        },
    )
    baseline: bool = field(
        default=False, metadata={"help": "Say what logistic regression on mel statistics of the same clips reaches."}
    )
    from_scratch: bool = field(default=False, metadata={"help": "Take --model's shape but not its weights."})
    eval_only: bool = field(
        default=False, metadata={"help": "Train nothing: judge --model by the validation and test data, else --data."}
    )
    save_predictions: bool = field(default=False, metadata={"help": "Write the scores of each file judged, too."})
    mixup: float = field(default=0.0, metadata={"help": "Share of the training clips with another one mixed in."})
    frequency_mask: int = field(default=0, metadata={"help": "Mel bins of SpecAugment's widest mask; 0: none."})
    time_mask: int = field(
        default=0, metadata={"help": "Frames of its widest mask in --max_length; shorter clips: their share."}
    )
    noise: bool = field(default=False, metadata={"help": "Add noise to training clips and roll them in time."})
    max_length: int | None = field(default=None, metadata={"help": "Frames (10 ms) of the longest clip [model's]."})
    frequency_stride: int | None = field(default=None, metadata={"help": "Mel bins between patches [model's]."})
    time_stride: int | None = field(default=None, metadata={"help": "Frames between patches [model's]."})
    pooling: str | None = field(
        default=None,
        metadata={
            "help": "Mean of the patches, of the special tokens (cls), of each row of patches, side by side, or of "
            "each row in each third of the clip (segments) [model's].",
            "choices": list(POOLINGS),
        },
    )
    mean: float | None = field(default=None, metadata={"help": "Mean of the log-mel features [model's]."})
    std: float | None = field(default=None, metadata={"help": "Standard deviation of the log-mel features."})
    cache_audio: bool = field(
        default=False, metadata={"help": "Decode the clips for training once, to disk: 115 MB an hour at 16 kHz."}
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "Where to keep decoded sound, for other runs too [OUTPUT_DIR/_decoded]."}
    )
    channel: int | None = field(default=None, metadata={"help": CHANNEL_HELP})
    accept_truncated: bool = field(default=False, metadata={"help": TRUNCATED_HELP})
