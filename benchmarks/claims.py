# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The claims about speed, one function each; both sides do the same work on the same input, which is checked first."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from ssast_hf import (
    SSASTConfig,
    SSASTFeatureExtractor,
    SSASTForAudioClassification,
    SSASTForPreTraining,
    SSASTModel,
    convert_state_dict,
    sample_masks,
)

from .finetuning import finetuning
from .harness import Goal, Result, compare
from .peers import OFFICIAL, ast_like, official_pretraining_model, sample_masks_in_a_loop, torchaudio_fbank
from .pipeline import pipeline

FRAMES, MEL_BINS, RATE = 1024, 128, 16000
BATCH = {"tiny": 4, "base": 1}


def encoder_pair(size: str):
    """SSAST, AST of the same weights, and spectrograms (batch, frames, mel bins) for which their outputs agree."""
    model = SSASTModel(getattr(SSASTConfig, size)(pooling="cls"))
    peer = ast_like(model)
    input_values = torch.randn(BATCH[size], FRAMES, MEL_BINS)
    with torch.no_grad():
        for name in ("last_hidden_state", "pooler_output"):
            found, expected = (getattr(m.eval()(input_values), name) for m in (model, peer))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    return model, peer, input_values


def step(model, input_values) -> None:
    """Forward and backward."""
    model.zero_grad()
    outputs = model(input_values)
    (outputs.loss if hasattr(outputs, "loss") else outputs.last_hidden_state.sum()).backward()


def forward(repeats: int) -> Iterator[Result]:
    """Encoder forward, against transformers' AST."""
    for size in BATCH:
        model, peer, input_values = encoder_pair(size)
        with torch.no_grad():
            yield compare(
                f"encoder forward, {size}, {BATCH[size]} x {FRAMES} frames (peer: transformers' AST)",
                Goal("speedup", 1.0),
                partial(model, input_values),
                partial(peer, input_values),
                repeats,
            )


def backward(repeats: int) -> Iterator[Result]:
    """Encoder forward and backward, against transformers' AST."""
    for size in BATCH:
        model, peer, input_values = encoder_pair(size)
        model.train(), peer.train()
        yield compare(
            f"encoder forward + backward, {size}, {BATCH[size]} x {FRAMES} frames (peer: transformers' AST)",
            Goal("speedup", 1.0),
            partial(step, model, input_values),
            partial(step, peer, input_values),
            repeats,
        )


def short_clips(repeats: int) -> Iterator[Result]:
    """From 1 s waveforms to logits, padded to the longest against padded to 1024 frames."""
    extractor = SSASTFeatureExtractor()

    def classify(model, waveforms, padding):
        return model(**extractor(waveforms, sampling_rate=RATE, padding=padding, return_tensors="pt")).logits

    for size, batch in (("tiny", 8), ("base", 4)):
        model = SSASTForAudioClassification(getattr(SSASTConfig, size)()).eval()
        waveforms = list(torch.randn(batch, RATE) / 10)
        with torch.no_grad():
            yield compare(
                f"1 s clips to logits, {size}, batch of {batch} (peer: the same padded to {FRAMES} frames)",
                Goal("speedup", 8.0),
                partial(classify, model, waveforms, "longest"),
                partial(classify, model, waveforms, "max_length"),
                repeats,
            )


def filterbank(repeats: int) -> Iterator[Result]:
    """Features of a batch of 10 s clips, against torchaudio's filterbank in a loop."""
    fbank = torchaudio_fbank()
    if fbank is None:
        print("filterbank: skipped, because the peer, torchaudio, could not be downloaded.")
        return
    extractor = SSASTFeatureExtractor()
    waveforms = list(torch.randn(8, 10 * RATE) / 10)

    def ours():
        return extractor(waveforms, sampling_rate=RATE, return_tensors="pt").input_values

    def peer():
        features = [
            fbank((waveform - waveform.mean())[None], htk_compat=True, sample_frequency=RATE, use_energy=False,
                  window_type="hanning", num_mel_bins=MEL_BINS, dither=0.0)
            for waveform in waveforms
        ]  # fmt: skip
        padded = [torch.nn.functional.pad(feature, (0, 0, 0, FRAMES - len(feature))) for feature in features]
        return torch.stack([(feature - extractor.mean) / (2 * extractor.std) for feature in padded])

    torch.testing.assert_close(ours(), peer(), rtol=0, atol=1e-3)
    name = "features of 8 clips of 10 s (peer: a loop over torchaudio's kaldi.fbank, padded, normalised)"
    yield compare(name, Goal("speedup", 1.5), ours, peer, 3 * repeats)


def pretraining(repeats: int) -> Iterator[Result]:
    """Mask sampling, both losses, forward and backward, against one forward and backward of transformers' AST."""
    for size in BATCH:
        model = SSASTForPreTraining(getattr(SSASTConfig, size)())
        _, peer, input_values = encoder_pair(size)
        model.train(), peer.train()
        yield compare(
            f"joint pretraining step, {size}, {BATCH[size]} x {FRAMES} frames (peer: AST forward + backward)",
            Goal("time", 1.1),
            partial(step, model, input_values),
            partial(step, peer, input_values),
            repeats,
        )


def two_pass(repeats: int) -> Iterator[Result]:
    """The joint pretraining step, against the official one of two passes, on the same weights."""
    for size, batch in (("tiny", 8), ("base", 4)):
        config = getattr(SSASTConfig, size)()
        official = official_pretraining_model(config, size, FRAMES)
        if official is None:
            print(f"two_pass: skipped, because the peer could not be had: ${OFFICIAL} names no checkout of it.")
            return
        model = convert_state_dict(official.state_dict()).model.train()
        input_values = torch.randn(batch, FRAMES, MEL_BINS)

        def two_passes(official=official, input_values=input_values, masked=config.num_mask_patches):
            official.zero_grad()
            _, discriminative = official(input_values, "pretrain_mpc", mask_patch=masked)
            generative = official(input_values, "pretrain_mpg", mask_patch=masked)
            (discriminative + 10 * generative).backward()
            return discriminative, generative

        with torch.no_grad():  # with one mask for all
            mask = sample_masks(1, config.patch_grid(), config.num_mask_patches)
            with mock.patch.object(official, "gen_maskid_patch", return_value=mask[0].nonzero()[:, 0]):
                expected = official(input_values, "pretrain_mpc")[1], official(input_values, "pretrain_mpg")
            outputs = model(input_values, bool_masked_pos=mask.expand(batch, -1))
        torch.testing.assert_close((outputs.loss_discriminative, outputs.loss_generative), expected)
        yield compare(
            f"joint pretraining step, {size}, {batch} x {FRAMES} frames (peer: the official step of two passes)",
            Goal("speedup", 2.3),
            partial(step, model, input_values),
            two_passes,
            max(3, repeats // 4),
            warm_up=1,
        )


def masks(repeats: int) -> Iterator[Result]:
    """Masks of 64 clips, 400 of 8 x 64 patches each."""

    def ours():
        return sample_masks(64, (8, 64), 400)

    def peer():
        return sample_masks_in_a_loop(64, (8, 64), 400)

    assert (ours().sum(1) == 400).all() and (peer().sum(1) == 400).all()
    yield compare("masks of 64 clips (peer: a plain Python loop)", Goal("ms", 3.0), ours, peer, 3 * repeats)


def onnx(repeats: int) -> Iterator[Result]:
    """From a 10 s waveform to logits on the CPU: the exported model by onnxruntime, against torch."""
    from ssast_hf.export.runtime import OnnxModel
    from ssast_hf.export.to_onnx import export_onnx

    extractor, waveform = SSASTFeatureExtractor(), torch.randn(10 * RATE) / 10
    model = SSASTForAudioClassification(SSASTConfig.tiny()).eval()

    def peer():
        return model(**extractor(waveform, sampling_rate=RATE, padding="longest", return_tensors="pt")).logits

    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for int8 in (False, True):
            path = Path(folder, f"{int8}.onnx")
            export_onnx(model, extractor, path, int8=int8)
            name = f"a 10 s clip to logits, tiny, onnxruntime{', 8-bit weights' if int8 else ''} (peer: torch)"
            yield compare(name, Goal("speedup", 1.0), partial(OnnxModel(path), [waveform.numpy()]), peer, repeats)


CLAIMS = {
    claim.__name__: claim
    for claim in (forward, backward, short_clips, filterbank, pretraining, two_pass, masks, pipeline, onnx, finetuning)
}
