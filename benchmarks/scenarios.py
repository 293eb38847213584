# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The commands that `benchmarks/robustness.py` kills and lets run out of disk, and whether two runs are the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

FILES = 150  # in the collection that is labelled and embedded
TRAINING = [
    "--per_device_train_batch_size", "2", "--logging_steps", "2", "--save_strategy", "steps", "--save_steps", "3",
    "--eval_strategy", "steps", "--eval_steps", "3", "--validation_fraction", "0.2", "--learning_rate", "3e-3",
    "--load_best_model_at_end", "True", "--metric_for_best_model", "loss", "--save_total_limit", "2",
    "--disable_tqdm", "True", "--report_to", "none",
]  # fmt: skip
LOGGED = ("step", "loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy")


@dataclass
class Scenario:
    """
    A command, and how its result is compared.

    Args:
        name (`str`): For the table.
        arguments (`Callable`): Where its output goes -> the arguments of `ssast`.
        output (`str`): Name of what it writes.
        difference (`Callable`): The outputs of two runs -> how they differ, None if they do not.
    """

    name: str
    arguments: Callable[[Path], list]
    output: str
    difference: Callable[[Path, Path], str | None]


def prepare(folder: Path) -> None:
    """Sounds, a manifest, a pretrained checkpoint and a classifier, all small and random."""
    import torch

    from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForAudioClassification, SSASTForPreTraining

    rng = np.random.default_rng(0)
    (folder / "sounds").mkdir(parents=True)
    rows = ["file,label"]
    for number in range(FILES):
        name = f"{number:03}.wav"
        seconds = 0.2 + 1.5 * rng.random()
        soundfile.write(folder / "sounds" / name, 0.1 * rng.standard_normal(int(16000 * seconds)), 16000)
        if number < 24:
            rows.append(f"sounds/{name},{'ab'[number % 2]}")
    (folder / "sounds/damaged.wav").write_bytes(b"RIFF nonsense")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = SSASTConfig(**sizes, max_length=64, num_labels=5)
    for name, model in (
        ("pretrained", SSASTForPreTraining(config)),
        ("classifier", SSASTForAudioClassification(config)),
    ):
        model.save_pretrained(folder / name)
        SSASTFeatureExtractor(max_length=64).save_pretrained(folder / name)


def scenarios(folder: Path) -> list[Scenario]:
    """Of what [`prepare`] wrote."""
    sounds, clips, pretrained, classifier = (
        folder / name for name in ("sounds", "clips.csv", "pretrained", "classifier")
    )

    def embed(output: Path, *more) -> list:
        return ["embed", sounds, "--model", pretrained, "--output", output, "--batch-size", "4", *more]

    def classify(output: Path, *more) -> list:
        return ["classify", sounds, "--model", classifier, "--output", output, "--format", "csv", *more]

    pretraining = ["pretrain", "--data", clips, "--model", pretrained, "--max_steps", "30", *TRAINING]
    tuning = ["finetune", "--data", clips, "--model", pretrained, "--max_steps", "30", *TRAINING]
    return [
        Scenario("pretrain", lambda output: [*pretraining, "--output_dir", output], "run", trained_differently),
        Scenario(
            "pretrain, 2 workers, cached",
            lambda o: [*pretraining, "--cache_audio", "True", "--dataloader_num_workers", "2", "--output_dir", o],
            "run",
            trained_differently,
        ),
        Scenario("finetune", lambda output: [*tuning, "--output_dir", output], "run", trained_differently),
        Scenario("embed", embed, "e.npz", embedded_differently),
        Scenario("embed, 2 workers", lambda o: embed(o, "--num-workers", "2"), "e.npz", embedded_differently),
        Scenario("classify", lambda o: classify(o, "--batch-size", "1"), "c.csv", labelled_differently),
        Scenario("classify, 2 workers", lambda o: classify(o, "--batch-size", "1", "--num-workers", "2"), "c.csv",
                 labelled_differently),
    ]  # fmt: skip


def trained_differently(one: Path, two: Path) -> str | None:
    """Compares weights bit by bit, the logs, and which checkpoint was the best."""
    if (one / "model.safetensors").read_bytes() != (two / "model.safetensors").read_bytes():
        return "other weights"
    states = [json.loads((path / "trainer_state.json").read_text()) for path in (one, two)]
    logs = [
        [{key: entry[key] for key in LOGGED if key in entry} for entry in state["log_history"]] for state in states
    ]
    if logs[0] != logs[1]:
        return "another log"
    for key in ("best_metric", "best_global_step", "global_step"):
        if states[0][key] != states[1][key]:
            return f"another {key}"
    if not json.loads((two / "_run.json").read_text())["finished"]:
        return "not finished"
    return None


def embedded_differently(one: Path, two: Path) -> str | None:
    """Compares rows in order; a resumed run has other batches, so that numbers may differ in the last digits."""
    with np.load(one) as first, np.load(two) as second:
        if first["files"].tolist() != second["files"].tolist():
            return "other files"
        difference = np.abs(first["embeddings"] - second["embeddings"]).max()
    return None if difference < 1e-5 else f"embeddings differ by {difference:.1g}"


def labelled_differently(one: Path, two: Path) -> str | None:
    """Compares the bytes."""
    return None if one.read_bytes() == two.read_bytes() else "other labels"
