# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretraining from sound files against the same steps on a batch that is there already."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from torch.utils.data import DataLoader

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining, load_audio
from ssast_hf.data.labelled import clip_seconds
from ssast_hf.data.reader import Reader
from ssast_hf.data.skipped import Skipped
from ssast_hf.data.sources import read_sources
from ssast_hf.training.crops import Crops, EpochSampler
from ssast_hf.training.masked_batches import MaskingCollator

from .harness import Goal, Result, compare

SOUNDS = Path(__file__).parent.parent / "tests" / "data" / "sounds"
FILES, SECONDS, RATE = 24, 30, 44100
BATCH = {"tiny": 4, "base": 1}


def pipeline(repeats: int) -> Iterator[Result]:
    """Random 10 s crops of 30 s FLAC files at 44.1 kHz: seek, decode, resample, features, masks, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        sounds = [load_audio(path, RATE) for path in sorted(SOUNDS.glob("*.flac"))]
        for index in range(FILES):  # the tests' recordings, one after the other in random order
            joined = np.concatenate([sounds[i] for i in rng.integers(len(sounds), size=150)])[: SECONDS * RATE]
            soundfile.write(Path(folder, f"{index:02}.flac"), joined, RATE)
        for size, batch in BATCH.items():
            model = SSASTForPreTraining(getattr(SSASTConfig, size)()).train()
            extractor = SSASTFeatureExtractor()
            samples = round(clip_seconds(model.config.max_length) * extractor.sampling_rate)
            crops = Crops(read_sources(folder), samples, Reader(extractor.sampling_rate, Skipped()), 0, 400)
            collate = MaskingCollator(extractor, model.config, seed=0)

            def batches(crops=crops, batch=batch, collate=collate):
                for epoch in itertools.count():
                    sampler = EpochSampler(crops, batch, seed=0)
                    sampler.set_epoch(epoch)
                    yield from DataLoader(crops, batch, sampler=sampler, collate_fn=collate)

            source = batches()
            ready = next(source)

            def step(inputs, model=model) -> None:
                model.zero_grad()
                model(**{name: value for name, value in inputs.items() if name != "frames"}).loss.backward()

            yield compare(
                f"pretraining from files, {size}, {batch} x {model.config.max_length} frames (peer: batch in memory)",
                Goal("speedup", 0.9),
                lambda step=step, source=source: step(next(source)),
                lambda step=step, ready=ready: step(ready),
                repeats,
            )
