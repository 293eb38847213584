# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning short clips from files to a judged classifier: `ssast finetune` against transformers' AST."""

import contextlib
import csv
import io
import itertools
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import ASTFeatureExtractor, ASTForAudioClassification, Trainer, TrainingArguments, set_seed

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPreTraining, SSASTModel, load_audio
from ssast_hf.checkpoints import BUNDLED
from ssast_hf.cli import main
from ssast_hf.data.sources import Clip, read_clips
from ssast_hf.training import finetune  # noqa: F401 neither side is charged for imports

from .harness import Goal, Result, compare
from .peers import ast_like

DATA = "SSAST_DATA"  # environment variable with the folder that recipes/debian_audio/prepare.py filled
TRAIN, TEST = 100, 50  # clips
LONGEST = 2.0  # seconds
PAIRS = 3  # of whole runs, at most
COMMON = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "per_device_eval_batch_size": 8,
          "learning_rate": 3e-4, "warmup_steps": 0.1, "logging_steps": 5, "eval_strategy": "epoch",
          "save_strategy": "no", "disable_tqdm": True, "report_to": "none"}  # fmt: skip
RATE = 16000


def short_clips_of_two_parts() -> tuple[str, dict[str, list[tuple[str, str]]]]:
    """What clips there are here, and (file, label) of some for training and, of other origin, for testing."""
    table = Path(os.environ.get(DATA, "data"), "tasks", "drums.csv")
    if table.is_file():
        with open(table, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        tested = Counter(row["fold"] for row in rows).most_common(1)[0][0]  # a family of drum kits
        parts = {"train": [], "test": []}
        for row in rows:
            clip = Clip(str(table.parent / row["file"]), row["label"])
            parts["test" if row["fold"] == tested else "train"].append(clip)
        name = "drum hits"
    else:
        clips = read_clips(BUNDLED / "sounds", labelled=True)
        parts = {"train": [clip for index, clip in enumerate(clips) if index % 3 < 2], "test": clips[2::3]}
        name = "sounds of the package"
    parts = {
        part: [(clip.path, clip.label) for clip in clips if (clip.seconds() or LONGEST + 1) <= LONGEST]
        for part, clips in parts.items()
    }
    rng = random.Random(0)
    sizes = {"train": TRAIN, "test": TEST}
    return name, {part: rng.sample(clips, min(sizes[part], len(clips))) for part, clips in parts.items()}


class PaddedClips(Dataset):
    """Clips as transformers' `run_audio_classification.py` gives them: features on the fly, all of one length."""

    def __init__(self, clips: list[tuple[str, str]], labels: list[str], extractor: ASTFeatureExtractor):
        self.clips, self.labels, self.extractor = clips, labels, extractor

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict:
        path, label = self.clips[index]
        inputs = self.extractor(load_audio(path, RATE), sampling_rate=RATE, return_tensors="pt")
        return {"input_values": inputs.input_values[0], "labels": self.labels.index(label)}


def finetuning(repeats: int) -> Iterator[Result]:
    """Whole runs from the same weights, with the same clips, epochs, batches and learning rate; and their accuracy."""
    name, parts = short_clips_of_two_parts()
    labels = sorted({label for _, label in parts["train"]})
    accuracies = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        SSASTForPreTraining(SSASTConfig.tiny(pooling="cls")).save_pretrained(f"{folder}/pretrained")
        SSASTFeatureExtractor().save_pretrained(f"{folder}/pretrained")
        for part, clips in parts.items():
            with open(f"{folder}/{part}.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("file", "label"))
                writer.writerows((os.path.abspath(path), label) for path, label in clips)
        encoder = ast_like(SSASTModel.from_pretrained(f"{folder}/pretrained"))
        runs = itertools.count()

        def ours() -> None:
            seed = len(accuracies["ours"])
            output = f"{folder}/{next(runs)}"
            flags = [f"--{key}={value}" for key, value in {**COMMON, "seed": seed, "output_dir": output}.items()]
            line = ["finetune", "--data", f"{folder}/train.csv", "--validation_data", f"{folder}/test.csv",
                    "--model", f"{folder}/pretrained", "--allow_missing_labels", *flags]  # fmt: skip
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
                status = main(line)
            if status:
                raise RuntimeError(said.getvalue())
            accuracies["ours"].append(json.loads(Path(output, "eval_results.json").read_text())["eval_accuracy"])

        def peer() -> None:
            seed = len(accuracies["peer"])
            set_seed(seed)
            config = type(encoder.config)(**{**encoder.config.to_dict(), "num_labels": len(labels)})
            model = ASTForAudioClassification._from_config(
                config, attn_implementation=encoder.config._attn_implementation
            )
            model.audio_spectrogram_transformer.load_state_dict(encoder.state_dict())
            extractor = ASTFeatureExtractor()
            train, test = (PaddedClips(parts[part], labels, extractor) for part in ("train", "test"))
            trainer = Trainer(
                model=model,
                args=TrainingArguments(f"{folder}/{next(runs)}", seed=seed, **COMMON),
                train_dataset=train,
                eval_dataset=test,
                compute_metrics=lambda p: {"accuracy": float(np.mean(p.predictions.argmax(-1) == p.label_ids))},
            )
            with contextlib.redirect_stdout(io.StringIO()):
                trainer.train()
                trainer.save_model()
                accuracies["peer"].append(trainer.evaluate()["eval_accuracy"])

        result = compare("", Goal("speedup", 3.0), ours, peer, min(PAIRS, repeats), warm_up=0)
    found, expected = (median(accuracies[side]) for side in ("ours", "peer"))
    what = f"{len(parts['train'])} {name} of {LONGEST:g} s at most, {COMMON['num_train_epochs']} epochs"
    with_what = f"AST and Trainer, padded to 1024 frames, {expected:.2f}"
    result.name = f"fine-tuning, tiny, {what}, accuracy {found:.2f} (peer: {with_what})"
    result.holds = found >= expected
    yield result
