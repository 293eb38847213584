# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast finetune --frozen`: logistic regression on features of the pretrained encoder, which stays as it is."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np
import torch
from transformers.trainer_utils import TrainOutput

from ..data.labels import Labels, check_complete
from ..data.sources import Clip
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..inference.batches import End, pad_features, run_model, windows_of
from ..modeling_ssast import SSASTClassificationHead, SSASTForAudioClassification, SSASTModel
from ..utils.logs import get_logger
from ..utils.text import print_error, reason_of
from .augment import LabelledClips
from .classifier_labels import labels_of_model
from .frozen_choice import Choice, choose, divide, worth_copies
from .regression import Regression, WindowFeatures, fit
from .tuning import FineTuner
from .warping import random_warp

logger = get_logger(__name__)

LAYERS = 6  # that are tried, evenly spaced up to the last
POOLINGS = ("mean", "rows", "segments")
FEW_CLIPS = 20  # per label, up to which the encoder stays frozen unless flags say how to train it
WARPED_COPIES = 4  # of each clip, which are tried with few clips
# Flags of `ssast finetune` that mean something here.
FLAGS = {
    "data", "model", "validation_data", "validation_fraction", "group_column", "folds", "test_data", "multi_label",
    "label_file", "allow_missing_labels", "new_classifier", "from_scratch", "save_predictions", "frozen", "baseline",
    "max_length", "frequency_stride", "time_stride", "pooling", "mean", "std", "output_dir", "overwrite", "seed",
    "per_device_eval_batch_size", "dataloader_num_workers", "use_cpu", "disable_tqdm", "report_to", "log_level",
    "push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_revision", "channel", "accept_truncated",
    "warped_copies", "refit",
}  # fmt: skip


def check_flags(given: Collection[str]) -> None:
    """Raises ValueError, with their names, for flags that say how to train an encoder."""
    if names := _listed(given):
        raise ValueError(
            f"--frozen trains no encoder and has no use for {names}: leave out one or the other, or the recipe that "
            "has them."
        )


def check_meant(data, flags: Collection[str]) -> None:
    """Raises ValueError for flags about a frozen encoder that mean nothing beside the others."""
    if data.warped_copies is not None and data.warped_copies < 0:
        raise ValueError(f"--warped_copies is {data.warped_copies}, expected 0 or more.")
    for name in ("warped_copies", "refit"):
        if name in flags and not data.frozen:
            raise ValueError(f"--{name} is for --frozen, which is not given: leave it out, or give both.")
    drawn = not data.validation_data and data.validation_fraction != 0 and not data.folds
    if "refit" in flags and data.refit and not drawn:
        raise ValueError("--refit is about clips that are held out of --data, and none are: leave it out.")


def is_default(flags: Collection[str], clips: int, labels: int) -> bool:
    """
    Whether to leave the encoder frozen where --frozen is not given: there are few clips, for which regression is as
    good as training and a hundred times faster (recipes/debian_audio/README.md), and no flag says how to train.
    """
    return clips <= FEW_CLIPS * labels and not set(flags) - FLAGS


def frozen_by_default(data, training, clips: int, labels: int, flags: Collection[str]) -> bool:
    """Whether the encoder stays frozen without --frozen; says so. A classifier for the same labels is trained on."""
    if training.world_size > 1 or data.from_scratch or clips > FEW_CLIPS * labels:
        return False
    if not data.new_classifier and labels_of_model(data.model) is not None:
        return False
    frozen = is_default(flags, clips, labels)
    if training.process_index == 0:
        few = f"{clips} clips of {labels} labels are few (at most {FEW_CLIPS} per label on average)"
        if frozen:
            print_error(f"{few}, so the encoder stays frozen (--frozen); --frozen False trains all of it")
        else:
            print_error(f"{few}; all of the encoder is trained because of {_listed(flags)}, and --frozen leaves it")
    return frozen


def _listed(flags: Collection[str]) -> str:
    """The flags that train an encoder."""
    return ", ".join(f"--{name}" for name in sorted(set(flags) - FLAGS))


def layers_to_try(num_hidden_layers: int) -> list[int]:
    """Up to `LAYERS` layers, counted from 1, evenly spaced, the last of them included."""
    return sorted({math.ceil(num_hidden_layers * part / LAYERS) for part in range(1, LAYERS + 1)})


def frozen_features(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    clips: list[Clip],
    layers: Sequence[int],
    poolings: Sequence[str] = POOLINGS,
    batch_size: int = 16,
    num_workers: int = 0,
    change: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> tuple[dict[tuple[int, str], WindowFeatures], list[int]]:
    """
    Pooled outputs of several layers in one pass, as the model would give them if it ended with that layer: after the
    final LayerNorm. Clips are read in pieces and cut into windows as `ssast classify` cuts them.

    Args:
        model ([`SSASTModel`]), extractor ([`SSASTFeatureExtractor`]): Any checkpoint.
        clips (`list[Clip]`): What to read. Unreadable ones are skipped, with a warning.
        layers (`Sequence[int]`): Counted from 1.
        poolings (`Sequence[str]`): As `config.pooling`.
        batch_size (`int`), num_workers (`int`): As for [`~ssast_hf.classify`].
        change (`Callable`, *optional*): What is done to the features (frames, mel bins) of each window first.

    Returns:
        The [`WindowFeatures`] of the readable clips by layer and pooling, and the indices of these clips.
    """
    keys = [(layer, pooling) for layer in layers for pooling in poolings]
    compute = partial(_pooled, model.eval(), keys)
    if change is not None:
        compute = partial(_changed, model, extractor, change, compute)
    outputs, place, weight = [], [], []
    readable: list[int] = []
    own: list[tuple[list[np.ndarray], int]] = []  # of the clip that is being read
    windows = windows_of(extractor, model.config.max_length)
    for event in run_model(model, extractor, clips, batch_size, compute, windows, num_workers):
        if not isinstance(event, End):
            own.append((event.output, event.weight))
            continue
        if event.error is not None:
            name = clips[event.index].name
            logger.warning("Skipped %s: %s", name, reason_of(event.error, name))
        else:
            total = sum(samples for _, samples in own)
            outputs += [output for output, _ in own]
            weight += [samples / total for _, samples in own]
            place += [len(readable)] * len(own)
            readable.append(event.index)
        own = []
    if not readable:
        raise ValueError(f"None of the {len(clips)} sound files can be read: see the warnings above.")
    columns = (np.stack(column) for column in zip(*outputs))
    where = np.array(place), np.array(weight)
    return {key: WindowFeatures(column, *where) for key, column in zip(keys, columns)}, readable


def _pooled(model: SSASTModel, keys: list[tuple[int, str]], inputs: dict, frames: torch.Tensor) -> list:
    """For each window the pooled outputs (size,) by layer and pooling, float32."""
    hidden_states = model(**inputs, output_hidden_states=True).hidden_states
    real = model.real_patches(inputs["input_values"], model.num_real_time_patches(inputs.get("attention_mask")))
    normalised = {layer: model.layernorm(hidden_states[layer]) for layer in {layer for layer, _ in keys}}
    pooled = [model.pool(normalised[layer], real, pooling).float().cpu().numpy() for layer, pooling in keys]
    return list(zip(*pooled))


def _changed(model, extractor, change: Callable, compute: Callable, inputs: dict, frames: torch.Tensor) -> list:
    """What `compute` makes of the windows once their features are changed, cut to the model's `max_length`."""
    longest = model.config.max_length
    found = [change(values[:count])[:longest] for values, count in zip(inputs["input_values"], frames.tolist())]
    length = None if "attention_mask" in inputs else longest
    padded = pad_features(extractor, [item.cpu().numpy() for item in found], model.config.time_patch_size, length)
    counts = torch.tensor([len(item) for item in found], device=frames.device)
    return compute({name: value.to(model.device) for name, value in padded.items()}, counts)


def warped_features(
    model: SSASTModel,
    extractor: SSASTFeatureExtractor,
    clips: list[Clip],
    layer: int,
    pooling: str,
    copies: int,
    seed: int,
    batch_size: int = 16,
    num_workers: int = 0,
) -> list[WindowFeatures]:
    """
    [`frozen_features`] of one layer and pooling for each of so many warped copies ([`random_warp`]) of the clips.

    Raises:
        ValueError: A clip cannot be read any more.
    """
    found = []
    for copy in range(copies):
        change = partial(random_warp, seed=seed, copy=copy)
        features, readable = frozen_features(
            model, extractor, clips, [layer], [pooling], batch_size, num_workers, change
        )
        if len(readable) < len(clips):
            (lost, *_) = set(range(len(clips))).difference(readable)
            raise ValueError(f"{clips[lost].name} could be read once, but not again.")
        found.append(features[layer, pooling])
    return found


def to_classifier(
    model: SSASTForAudioClassification, layer: int, pooling: str, regression: Regression
) -> SSASTForAudioClassification:
    """
    Cuts off the layers above `layer` and makes the regression the classifier, in place. The classifier has no layer
    norm then; the encoder's final one stays.
    """
    config = model.config
    config.num_hidden_layers, config.pooling, config.classifier_layer_norm = layer, pooling, False
    model.ssast.layers = model.ssast.layers[:layer]
    head = SSASTClassificationHead(config)
    with torch.no_grad():
        head.dense.weight.copy_(torch.from_numpy(regression.weight))
        head.dense.bias.copy_(torch.from_numpy(regression.bias))
    model.classifier = head.to(model.device, model.dtype)
    return model


class FrozenTrainer(FineTuner):
    """
    Fits the classifier of a frozen encoder to features of `train_dataset`, all at once.

    Args:
        groups (`dict[Clip, str]`, *optional*): For cross-validation.
        pooling (`str`, *optional*): The only one to try.
        warped_copies (`int`, *optional*): Copies of each clip that are fitted, too. Default: none, or `WARPED_COPIES`
            where there are at most `FEW_CLIPS` clips per label and they help in cross-validation.
        allow_missing_labels (`bool`): Whether a label may have no clip that can be read; else `train` raises
            ValueError. Headers do not tell all: samples may turn out not to be finite.
    """

    def __init__(
        self,
        *args,
        groups: dict[Clip, str] | None = None,
        pooling: str | None = None,
        warped_copies: int | None = None,
        allow_missing_labels: bool = False,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if self.args.world_size > 1:
            raise ValueError(f"--frozen takes one process, found {self.args.world_size}: start it without torchrun.")
        self.groups, self.pooling, self.allow_missing_labels = groups, pooling, allow_missing_labels
        self.warped_copies = warped_copies
        self.choice: Choice | None = None
        self.fitted: tuple[WindowFeatures, np.ndarray] | None = None  # with copies, and the targets of its clips
        self.refitted: int | None = None  # clips

    def train(self, resume_from_checkpoint: str | None = None, **kwargs) -> TrainOutput:
        """Fits and says on stderr what was chosen. The metrics are the choice and how long it took."""
        begun = time.monotonic()
        model, clips = self.model, self.train_dataset.clips
        several = model.config.problem_type == "multi_label_classification"
        one_row = model.config.num_frequency_patches == 1  # whose mean is the mean of all
        poolings = [pooling for pooling in POOLINGS if not (one_row and pooling == "rows")]
        features, readable = frozen_features(
            model.ssast, self.processing_class, clips, layers_to_try(model.config.num_hidden_layers),
            poolings if self.pooling is None else [self.pooling], self.args.eval_batch_size,
            self.args.dataloader_num_workers,
        )  # fmt: skip
        targets, left = self.train_dataset.targets[readable], [clips[index] for index in readable]
        lost = set(range(len(clips))).difference(readable)
        self.train_dataset.reader.skipped.seen.update(clips[index].name for index in lost)  # they are counted
        if lost and not self.allow_missing_labels:
            names = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
            check_complete(left, Labels(names, several), "The training data", lost=True)
        groups = None if self.groups is None else [self.groups[clips[index]] for index in readable]
        self.choice, lines = choose(features, targets, several, self.args.seed, groups)
        for line in lines:
            print_error(line)
        layer, pooling, strength = self.choice
        model.ssast.layers = model.ssast.layers[:layer]
        windows = self._with_copies(features[layer, pooling], left, targets, groups, layer, pooling)
        self._fit(self.choice, windows, targets)
        metrics = {
            "train_runtime": round(time.monotonic() - begun, 4),
            "train_samples": len(readable),
            "frozen_layer": layer,
            "frozen_pooling": pooling,
            "frozen_C": strength,
            "frozen_warped_copies": self.warped_copies,
        }
        return TrainOutput(0, 0.0, metrics)

    def _fit(self, choice: Choice, windows: WindowFeatures, targets: np.ndarray) -> None:
        """Makes the regression on these features the model's classifier."""
        layer, pooling, strength = choice
        self.fitted = windows, targets
        several = self.model.config.problem_type == "multi_label_classification"
        (regression,) = fit(windows, targets, [strength], several)
        to_classifier(self.model, layer, pooling, regression)

    def refit(self, held_out: LabelledClips) -> int:
        """
        Fits the classifier again, as chosen, to the clips of `train_dataset` and of `held_out`.

        Returns:
            How many clips these are, without those that cannot be read.

        Raises:
            ValueError: `train` has not been called.
        """
        if self.choice is None or self.fitted is None:
            raise ValueError("nothing was chosen yet, expected `train` before `refit`")
        layer, pooling, _ = self.choice
        windows, targets = self.fitted
        features, readable = frozen_features(
            self.model.ssast, self.processing_class, held_out.clips, [layer], [pooling], self.args.eval_batch_size,
            self.args.dataloader_num_workers,
        )  # fmt: skip
        more = [features[layer, pooling]]
        if self.warped_copies:
            more += self._warped([held_out.clips[index] for index in readable], self.warped_copies, layer, pooling)
        both = np.concatenate([targets, held_out.targets[readable]])
        self._fit(self.choice, windows.followed_by(WindowFeatures.joined(more)), both)
        self.refitted = len(both)
        return self.refitted

    def _warped(self, clips: list[Clip], count: int, layer: int, pooling: str) -> list[WindowFeatures]:
        return warped_features(
            self.model.ssast, self.processing_class, clips, layer, pooling, count, self.args.seed,
            self.args.eval_batch_size, self.args.dataloader_num_workers,
        )  # fmt: skip

    def _with_copies(
        self, windows: WindowFeatures, clips: list[Clip], targets: np.ndarray, groups, layer: int, pooling: str
    ) -> WindowFeatures:
        """The features to fit: with those of warped copies, if asked for or found better. Sets how many there are."""
        asked, several = self.warped_copies, self.model.config.problem_type == "multi_label_classification"
        few = len(clips) <= FEW_CLIPS * self.model.config.num_labels
        count = (WARPED_COPIES if few else 0) if asked is None else asked
        self.warped_copies = 0
        if not count or (asked is None and not divide(targets, several, self.args.seed, groups)[1]):
            return windows
        try:
            copies = self._warped(clips, count, layer, pooling)
        except ValueError as error:
            if asked is not None:
                raise
            print_error(f"Warped copies are not tried: {error}")
            return windows
        if asked is None:
            better, line = worth_copies(windows, copies, targets, several, self.args.seed, groups)
            print_error(line)
            if not better:
                return windows
        self.warped_copies = count
        return WindowFeatures.joined([windows, *copies])

    def facts(self) -> dict[str, dict | str]:
        """What was chosen, in place of the arguments that train an encoder."""
        layer, pooling, strength = self.choice or (None, None, None)
        chosen = {"encoder": "frozen", "layer": layer, "pooling": pooling, "C": strength, "seed": self.args.seed,
                  "warped copies": self.warped_copies}  # fmt: skip
        if self.refitted is not None:
            chosen["clips fitted to"] = f"{self.refitted}, those for validation too, after these judged"
        return {**super().facts(), "arguments": chosen}
