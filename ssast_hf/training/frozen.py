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
from ..utils.text import print_error
from .regression import Regression, WindowFeatures, cross_validate, fit, make_folds
from .tuning import FineTuner
from .warping import random_warp

logger = get_logger(__name__)

LAYERS = 6  # that are tried, evenly spaced up to the last
POOLINGS = ("mean", "rows", "segments")
STRENGTHS = (0.01, 0.03, 0.1, 0.3)  # scikit-learn's C
UNTRIED = 0.05  # C where cross-validation is impossible
FEW_CLIPS = 20  # per label, up to which the encoder stays frozen unless flags say how to train it
MOST_TO_CHOOSE_BY = 1000  # clips in cross-validation
DEPTH = 2 / 3  # of the encoder, whose layers are taken where others are not certainly better
WARPED_COPIES = 4  # of each clip, which are tried with few clips
# Flags of `ssast finetune` that mean something here.
FLAGS = {
    "data", "model", "validation_data", "validation_fraction", "group_column", "folds", "test_data", "multi_label",
    "label_file", "allow_missing_labels", "new_classifier", "from_scratch", "save_predictions", "frozen", "baseline",
    "max_length", "frequency_stride", "time_stride", "pooling", "mean", "std", "output_dir", "overwrite", "seed",
    "per_device_eval_batch_size", "dataloader_num_workers", "use_cpu", "disable_tqdm", "report_to", "log_level",
    "push_to_hub", "hub_model_id", "hub_token", "hub_private_repo", "hub_revision", "channel", "accept_truncated",
    "warped_copies",
}  # fmt: skip

Choice = tuple[int, str, float]  # layer from 1, pooling, C


def check_flags(given: Collection[str]) -> None:
    """Raises ValueError, with their names, for flags that say how to train an encoder."""
    if other := sorted(set(given) - FLAGS):
        names = ", ".join(f"--{name}" for name in other)
        raise ValueError(f"--frozen trains no encoder and has no use for {names}: leave out one or the other.")


def is_default(flags: Collection[str], clips: int, labels: int) -> bool:
    """
    Whether to leave the encoder frozen where --frozen is not given: there are few clips, for which regression is as
    good as training and a hundred times faster (recipes/debian_audio/README.md), and no flag says how to train.
    """
    return clips <= FEW_CLIPS * labels and not set(flags) - FLAGS


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
            logger.warning("Skipped %s: %s", clips[event.index].name, event.error)
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


def choose(
    features: dict[tuple[int, str], WindowFeatures],
    targets: np.ndarray,
    several: bool,
    seed: int,
    groups: Sequence[str] | None = None,
) -> tuple[Choice, list[str]]:
    """
    Pooling, layer and `C` by the accuracy in cross-validation, or for several labels mAP; of equals, by the
    logarithmic loss. With few clips the best of many combinations is best by chance. So the pooling is chosen by its
    mean over all layers and C, the layer by the mean over C and its neighbours, and C by its mean over layers. Of the
    layers within one standard error of the best, the one nearest `DEPTH` of the encoder is taken: clips of the same
    speaker or place on both sides of cross-validation favour layers that recognise these.

    Args:
        features: [`WindowFeatures`] by layer and pooling.
        targets (`np.ndarray` of shape `(clips, labels)`): 1 for the labels of a clip, else 0.
        several (`bool`): Whether a clip may have several labels.
        seed (`int`): Of the division into parts.
        groups (`Sequence[str]`, *optional*): One per clip; a group is never fitted on and judged by.

    Returns:
        The choice, and a line each about layer, pooling and C.
    """
    drawn, folds = _divide(targets, several, seed, groups)
    if not folds:
        layers, poolings = sorted({layer for layer, _ in features}), sorted({pooling for _, pooling in features})
        choice = (layers[len(layers) // 2], poolings[-1], UNTRIED)
        why = "no label has two clips" if groups is None else "the clips are of one group"
        return choice, [f"Layer {choice[0]}, pooling {choice[1]} and C {choice[2]:g}: not chosen by the clips, {why}"]
    worth: dict[Choice, tuple[float, float]] = {}
    for (layer, pooling), windows in features.items():
        found = cross_validate(windows.of(drawn), targets[drawn], STRENGTHS, several, folds)
        worth.update({(layer, pooling, strength): value for strength, value in zip(STRENGTHS, found)})
    error = _standard_error(worth, len(drawn))
    choice, tables = _best(worth, error)
    how = f"mean {'mAP' if several else 'accuracy'} {_how(drawn, folds, groups)}"
    lines = []
    for name, chosen, table in zip(("Layer", "Pooling", "C"), choice, tables):
        listed = ", ".join(f"{option} {value[0]:.3f}" for option, value in table.items())
        lines.append(f"{name} {chosen}: {how}: {listed}")
    lines[0] += f"; of those within {error:.3f} (one standard error) of the best, the nearest two thirds of the depth"
    return choice, lines


def _divide(
    targets: np.ndarray, several: bool, seed: int, groups: Sequence[str] | None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Indices of the clips to choose by, and their division into parts."""
    drawn = np.arange(len(targets))
    if len(drawn) > MOST_TO_CHOOSE_BY:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, MOST_TO_CHOOSE_BY, replace=False))
    own_groups = None if groups is None else [groups[int(index)] for index in drawn]
    return drawn, make_folds(targets[drawn], several, seed, own_groups)


def _how(drawn: np.ndarray, folds: list, groups: Sequence[str] | None) -> str:
    by = "" if groups is None else " by group"
    return f"in cross-validation of {len(drawn)} clips in {len(folds)} parts{by}"


def worth_copies(
    windows: WindowFeatures,
    copies: list[WindowFeatures],
    targets: np.ndarray,
    several: bool,
    seed: int,
    groups: Sequence[str] | None = None,
) -> tuple[bool, str] | None:
    """
    Whether to fit warped copies of the clips, too, by the logarithmic loss in cross-validation, mean over all C. The
    clips that judge are as they were. Arguments as of [`choose`].

    Returns:
        The answer and a line about it; None where cross-validation is impossible.
    """
    drawn, folds = _divide(targets, several, seed, groups)
    if not folds:
        return None
    losses = {}
    for count, fitted in ((0, windows), (len(copies), WindowFeatures.joined([windows, *copies]))):
        found = cross_validate(windows.of(drawn), targets[drawn], STRENGTHS, several, folds, fitted=fitted.of(drawn))
        losses[count] = -float(np.mean([likelihood for _, likelihood in found]))
    better = losses[len(copies)] < losses[0]
    listed = ", ".join(f"{count} {loss:.3f}" for count, loss in losses.items())
    how = f"mean logarithmic loss {_how(drawn, folds, groups)}"
    return better, f"Warped copies of each clip {len(copies) if better else 0}: {how}: {listed}"


def _standard_error(worth: dict[Choice, tuple[float, float]], clips: int) -> float:
    """Of the best accuracy of so many clips, or of a mAP, by the binomial distribution."""
    best = min(max(value for value, _ in worth.values()), 1 - 1 / (2 * clips))
    return math.sqrt(best * (1 - best) / clips)


def _best(worth: dict[Choice, tuple[float, float]], error: float) -> tuple[Choice, tuple[dict, dict, dict]]:
    """The choice of [`choose`], and what it compared: layers, poolings and strengths."""

    def means(part: int, entries: dict) -> dict:
        options = sorted({key[part] for key in entries})
        return {option: tuple(np.mean([value for key, value in entries.items() if key[part] == option], axis=0))
                for option in options}  # fmt: skip

    poolings = means(1, worth)
    pooling = max(poolings, key=poolings.__getitem__)
    own = {key: value for key, value in worth.items() if key[1] == pooling}
    alone, strengths = means(0, own), means(2, own)
    values = list(alone.values())
    layers = {layer: tuple(np.mean(values[max(0, i - 1) : i + 2], axis=0)) for i, layer in enumerate(alone)}
    strength = max(strengths, key=strengths.__getitem__)
    least = max(value for value, _ in layers.values()) - error
    close = [layer for layer, (value, _) in layers.items() if value >= least]
    layer = min(close, key=lambda layer: (abs(layer - DEPTH * max(layers)), -layers[layer][0]))
    return (layer, pooling, strength), (layers, poolings, strengths)


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
        if warped_copies is not None and warped_copies < 0:
            raise ValueError(f"--warped_copies is {warped_copies}, expected 0 or more.")
        self.groups, self.pooling, self.allow_missing_labels = groups, pooling, allow_missing_labels
        self.warped_copies = warped_copies
        self.choice: Choice | None = None

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
        targets = self.train_dataset.targets[readable]
        lost = set(range(len(clips))).difference(readable)
        self.train_dataset.reader.skipped.seen.update(clips[index].name for index in lost)  # they are counted
        if lost and not self.allow_missing_labels:
            names = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
            left = [clips[index] for index in readable]
            check_complete(left, Labels(names, several), "The training data", lost=True)
        groups = None if self.groups is None else [self.groups[clips[index]] for index in readable]
        self.choice, lines = choose(features, targets, several, self.args.seed, groups)
        for line in lines:
            print_error(line)
        layer, pooling, strength = self.choice
        model.ssast.layers = model.ssast.layers[:layer]
        left = [clips[index] for index in readable]
        windows = self._with_copies(features[layer, pooling], left, targets, groups)
        (regression,) = fit(windows, targets, [strength], several)
        to_classifier(model, layer, pooling, regression)
        metrics = {
            "train_runtime": round(time.monotonic() - begun, 4),
            "train_samples": len(readable),
            "frozen_layer": layer,
            "frozen_pooling": pooling,
            "frozen_C": strength,
            "frozen_warped_copies": self.warped_copies,
        }
        return TrainOutput(0, 0.0, metrics)

    def _with_copies(self, windows: WindowFeatures, clips: list[Clip], targets: np.ndarray, groups) -> WindowFeatures:
        """The features to fit: with those of warped copies, if asked for or found better. Sets how many there are."""
        asked, several = self.warped_copies, self.model.config.problem_type == "multi_label_classification"
        few = len(clips) <= FEW_CLIPS * self.model.config.num_labels
        count = (WARPED_COPIES if few else 0) if asked is None else asked
        self.warped_copies = 0
        if not count or (asked is None and not _divide(targets, several, self.args.seed, groups)[1]):
            return windows
        layer, pooling, _ = self.choice
        copies = warped_features(
            self.model.ssast, self.processing_class, clips, layer, pooling, count, self.args.seed,
            self.args.eval_batch_size, self.args.dataloader_num_workers,
        )  # fmt: skip
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
        return {**super().facts(), "arguments": chosen}
