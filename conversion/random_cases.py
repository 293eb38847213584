# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Random configurations, computed by the original's own code and by this package, and compared. In double precision: in
single precision, a value at the kink of a ReLU or a tie can fall to either side by rounding, which changes gradients.
"""

import random
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from conversion.official import Original
from ssast_hf import SSASTForAudioClassification, SSASTModel
from ssast_hf.checkpoints.layouts import convert_state_dict, official_state_dict, official_to_ours

SHAPES = [(16, 16), (128, 2), (64, 4), (32, 8), (8, 32), (4, 64)]  # 256 values: the original's heads have no others
MOST_PATCHES = 1600  # 3,000 frames of 128 mel bins have 1,496
QUIRKS = {
    "8 rows": "more columns, and rows other than 8 before and after: the original interpolates positions through 8 "
    "rows, which blurs them; here rows are interpolated directly. All else is compared with positions made equal.",
    "fewer rows": "the original cuts as many rows as there are columns and stops with an error; here the rows in the "
    "middle are kept. Nothing to compare.",
}
NOT_DRAWN = {
    "patches of other than 256 values": "the original's pretraining heads have 256 outputs whatever the patch; here "
    "they have as many as the patch has values.",
    "sampling of masks": "the original never masks patch 0, wraps clusters into the next row and trims from the "
    "highest index; masks are given to both sides here.",
    "two passes": "the original's joint pretraining draws one mask for each loss; both get the same mask here, as in "
    "the paper.",
}


@dataclass
class Case:
    """One configuration; lengths in frames, heights in mel bins."""

    seed: int
    size: str
    depth: int
    shape: tuple[int, int]
    batch: int
    mel_bins: int
    frames: int
    masked: int
    new_mel_bins: int
    new_frames: int
    strides: tuple[int, int]
    labels: int
    pooling: str

    @classmethod
    def draw(cls, seed: int) -> "Case":
        rng = random.Random(seed)
        while True:
            height, width = rng.choice(SHAPES[:2] * 3 + SHAPES)
            frames, new_frames = (max(width, round(16 * (3000 / 16) ** rng.random())) for _ in range(2))
            mel_bins = rng.choice([height, 128, rng.randint(height, 192)])
            mel_bins = max(mel_bins, height)
            new_mel_bins = mel_bins if rng.random() < 0.7 else max(height, rng.randint(16, 192))
            strides = (height, width)
            if rng.random() < 0.6:
                strides = (rng.randint(max(1, height // 2), height), rng.randint(max(1, width // 2), width))
            patches = (mel_bins // height) * (frames // width)
            new_patches = ((new_mel_bins - height) // strides[0] + 1) * ((new_frames - width) // strides[1] + 1)
            if max(patches, new_patches) <= MOST_PATCHES:
                break
        small = max(patches, new_patches) <= 300
        size = rng.choices(["tiny", "small", "base"], [90, 8, 2] if small else [1, 0, 0])[0]
        depth = rng.choices([1, 2, 3, 12], [10, 6, 3, 1] if small else [3, 1, 0, 0])[0]
        return cls(
            seed, size, depth, (height, width), rng.randint(1, 3 if small else 1), mel_bins, frames,
            rng.randint(1, patches), new_mel_bins, new_frames, strides, rng.randint(2, 50),
            rng.choice(["mean", "cls"]),
        )  # fmt: skip


@dataclass
class Findings:
    """The largest difference of each quantity, relative to its largest value where that is above 1."""

    largest: dict[str, float] = field(default_factory=dict)
    quirks: Counter = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    compared: int = 0

    def compare(self, case: Case, what: str, found, expected, tolerance: float, scale: float = 1.0) -> None:
        found, expected = (torch.as_tensor(value).detach().double() for value in (found, expected))
        difference = float("inf")
        if found.shape == expected.shape:
            difference = ((found - expected).abs().max() / max(scale, expected.abs().max())).item()
        self.compared += 1
        kind = what.partition(":")[0]
        self.largest[kind] = max(self.largest.get(kind, 0.0), difference)
        if not difference <= tolerance:  # NaN, too
            self.mismatches.append(f"{what} differs by {difference:.2g}: {asdict(case)}")

    def compare_gradients(self, case: Case, official: nn.Module, ours: nn.Module, tolerance: float) -> None:
        """Relative to the tensor's largest gradient, or to a hundredth of the model's largest where that is above."""
        gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
        expected = {
            name: parameter.grad for name, parameter in official.named_parameters() if parameter.grad is not None
        }
        floor = 0.01 * max(gradient.abs().max() for gradient in expected.values())
        for name, gradient in expected.items():
            self.compare(case, f"gradients: {name}", gradients[official_to_ours(name)], gradient, tolerance, floor)


def randomize(model: nn.Module, generator: torch.Generator) -> None:
    """Weights of the size of trained ones, so that no part of the model is negligible."""
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        values = torch.randn(parameter.shape, generator=generator)
        if "norm" in name or name.startswith("mlp_head.0"):
            values = (1 if name.endswith("weight") else 0) + 0.1 * values
        elif parameter.ndim > 1 and name.endswith("weight"):
            values /= parameter[0].numel() ** 0.5
        else:
            values *= 0.1 if name.endswith("bias") else 0.3
        parameter.data.copy_(values)


def outputs_of(modules) -> list[torch.Tensor]:
    """A list that the next passes append the outputs of some modules to."""
    outputs: list[torch.Tensor] = []
    for module in modules:
        module.register_forward_hook(lambda _, __, output: outputs.append(output))
    return outputs


def compare_states(findings: Findings, case: Case, back: dict, state: dict) -> None:
    """Conversion there and back: the same names and bytes, but for timm's heads, which nothing uses."""
    same = back.keys() == state.keys() and all(
        torch.equal(back[name], state[name]) for name in state if ".v.head" not in name
    )
    findings.compare(case, "conversion there and back", 0.0 if same else 1.0, 0.0, 0.0)


def check_pretraining(findings: Findings, case: Case, official: nn.Module, tolerance: float, generator):
    """Losses, accuracy, hidden states and gradients under a given mask. Returns the converted model."""
    state = {f"module.{name}": value.clone() for name, value in official.state_dict().items()}
    model = convert_state_dict(state, num_mask_patches=case.masked).model
    compare_states(findings, case, official_state_dict(model), state)
    official.double()
    model.double()
    spectrograms = torch.randn(case.batch, case.frames, case.mel_bins, generator=generator).double()
    patches = model.config.num_patches
    order = torch.stack([torch.randperm(patches, generator=generator)[: case.masked] for _ in range(case.batch)])
    mask = torch.zeros(case.batch, patches, dtype=torch.bool).scatter(1, order, True)
    given = iter([*order, *order])
    official.gen_maskid_patch = official.gen_maskid_frame = lambda *_, **__: next(given)
    expected = outputs_of([*official.v.blocks, official.v.norm])
    found = outputs_of([*model.ssast.layers, model.ssast.layernorm])
    accuracy, contrastive = official(spectrograms, task="pretrain_mpc", cluster=True, mask_patch=case.masked)
    generative = official(spectrograms, task="pretrain_mpg", cluster=True, mask_patch=case.masked)
    outputs = model(spectrograms, bool_masked_pos=mask)
    for ours, theirs in zip(found, expected):
        findings.compare(case, "hidden states in pretraining", ours, theirs, tolerance)
    findings.compare(case, "discriminative loss", outputs.loss_discriminative, contrastive, tolerance)
    findings.compare(case, "generative loss", outputs.loss_generative, generative, tolerance)
    ties = 1.01 / (case.batch * case.masked)  # two nearly equal probabilities may change places
    findings.compare(case, "accuracy", outputs.accuracy, accuracy, max(tolerance, ties))
    (contrastive + 10 * generative).backward()
    outputs.loss.backward()
    findings.compare_gradients(case, official, model, tolerance)
    return model


def check_fine_tuning(findings: Findings, case: Case, original: Original, official, pretrained, tolerance, generator):
    """Adapted position embeddings; then logits, hidden states and gradients of the fine-tuned file."""
    (height, width), (frequency_stride, time_stride) = case.shape, case.strides
    grid = {"frequency_stride": frequency_stride, "time_stride": time_stride, "max_length": case.new_frames,
            "num_mel_bins": case.new_mel_bins}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "official.pth")
        torch.save({f"module.{name}": value for name, value in official.float().state_dict().items()}, file)
        pretrained.float().save_pretrained(folder)
        adapted = SSASTForAudioClassification.from_pretrained(
            folder, num_labels=case.labels, pooling=case.pooling, **grid
        )
        try:
            tuned = original.build(
                case.depth, label_dim=case.labels, fshape=height, tshape=width, fstride=frequency_stride,
                tstride=time_stride, input_fdim=case.new_mel_bins, input_tdim=case.new_frames, model_size=case.size,
                pretrain_stage=False, load_pretrained_mdl_path=str(file),
            )  # fmt: skip
        except RuntimeError:
            if adapted.config.num_frequency_patches >= pretrained.config.num_frequency_patches:
                raise
            findings.quirks["fewer rows"] += 1
            return
    positions = adapted.ssast.embeddings.position_embeddings
    (rows, columns), (new_rows, new_columns) = pretrained.config.patch_grid(), adapted.config.patch_grid()
    if new_columns >= columns and rows not in (1, 8) and new_rows != 8:
        findings.quirks["8 rows"] += 1
        tuned.v.pos_embed.data = positions.detach().clone()
    findings.compare(case, "position embeddings", positions, tuned.v.pos_embed, tolerance)
    randomize(tuned.mlp_head, generator)
    state = {f"module.{name}": value.clone() for name, value in tuned.state_dict().items()}
    model = convert_state_dict(state, pooling=case.pooling, problem_type="single_label_classification", **grid).model
    compare_states(findings, case, official_state_dict(model), state)
    tuned.double()
    model.double()
    spectrograms = torch.randn(case.batch, case.new_frames, case.new_mel_bins, generator=generator).double()
    labels = torch.randint(case.labels, (case.batch,), generator=generator)
    expected = outputs_of([*tuned.v.blocks, tuned.v.norm])
    found = outputs_of([*model.ssast.layers, model.ssast.layernorm])
    logits = tuned(spectrograms, task="ft_avgtok" if case.pooling == "mean" else "ft_cls")
    outputs = model(spectrograms, labels=labels)
    findings.compare(case, "logits", outputs.logits, logits, tolerance)
    for ours, theirs in zip(found, expected, strict=True):
        findings.compare(case, "hidden states in fine-tuning", ours, theirs, tolerance)
    if case.strides == case.shape and case.new_mel_bins == case.mel_bins:
        encoder = SSASTModel(pretrained.config).eval()
        encoder.double().load_state_dict(pretrained.ssast.state_dict(), strict=False)
        with torch.no_grad():
            unadapted = encoder(spectrograms).last_hidden_state
        findings.compare(case, "hidden states of another length, unadapted", unadapted, expected[-1], tolerance)
    F.cross_entropy(logits, labels).backward()
    outputs.loss.backward()
    findings.compare_gradients(case, tuned, model, tolerance)


def compare_random(path: Path, count: int, tolerance: float, seed: int = 0, progress=lambda number: None) -> Findings:
    """
    Compares `count` random configurations with the original's code in a clone at `path`.

    Raises:
        FileNotFoundError: There is no such code.
    """
    original, findings = Original(path), Findings()
    for number in range(count):
        case = Case.draw(seed + number)
        generator = torch.Generator().manual_seed(case.seed)
        height, width = case.shape
        official = original.build(
            case.depth, fshape=height, tshape=width, fstride=height, tstride=width, input_fdim=case.mel_bins,
            input_tdim=case.frames, model_size=case.size, pretrain_stage=True,
        )  # fmt: skip
        randomize(official, generator)
        pretrained = check_pretraining(findings, case, official, tolerance, generator)
        check_fine_tuning(findings, case, original, official, pretrained, tolerance, generator)
        progress(number + 1)
    return findings
