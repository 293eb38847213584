# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What cluster range, number of masked patches and objective are worth: short pretraining runs of a small model, alike
but for one thing, judged by the same masks on held-out packages and by fine-tuning on vocalisations, 10 clips per
class.

The model has 6 layers of width 128 and sees 256 frames, 128 patches; of these, as many are masked as of the 512
patches of the paper's clips. The runs lie in DEST/ablation, and a run that was finished is not run again.
"""

import argparse
import csv
import json
import sys
from contextlib import redirect_stdout
from functools import cache, partial
from pathlib import Path

import torch

from recipes.debian_audio import frozen, measure
from recipes.report import Measured, mean_and_deviation, write_between
from ssast_hf import SSASTFeatureExtractor, SSASTForPreTraining, load_audio, sample_masks
from ssast_hf.training import pretrain

RECIPE = Path(__file__).with_name("pretrain.yaml")
BEGIN, END = "<!-- ablation: begin -->", "<!-- ablation: end -->"
SMALL = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512, "num_hidden_layers": 6,
         "position_embedding_init": "sincos", "initializer_range": 0.05}  # fmt: skip
FRAMES, PATCHES, PAPER = 256, 128, 512  # of a crop; patches of a crop, and of the paper's clips
BATCH = 32
TASK, CLIPS, SEEDS = "vocal", "few", (0, 1, 2)
COMMON = {"smallest": 3, "largest": 5, "masked": 400, "discriminative": 1.0, "generative": 10.0}
VARIANTS = {  # what differs from COMMON
    "clusters 3-5, 400 masked, joint": {},
    "clusters 1-1": {"smallest": 1, "largest": 1},
    "clusters 3-3": {"largest": 3},
    "clusters 5-5": {"smallest": 5},
    "100 masked": {"masked": 100},
    "250 masked": {"masked": 250},
    "discriminative alone": {"generative": 0.0},
    "generative alone": {"discriminative": 0.0},
}
NO_PRETRAINING = "none (random weights)"


def slug(name: str) -> str:
    """A variant's name as a file's."""
    return name.replace(",", "").replace(" ", "_")


def train(dest: Path, output: Path, variant: dict, steps: int, seed: int, flags: list[str]) -> None:
    """Pretrains one variant, or goes on where it was interrupted."""
    values = {**COMMON, **variant}
    arguments = [
        str(RECIPE), "--data", str(dest / "train.csv"), "--validation_data", str(dest / "validation.csv"),
        "--config", json.dumps(SMALL), "--max_length", str(FRAMES), "--output_dir", str(output),
        "--cache_dir", str(output.parent / "decoded"), "--max_steps", str(steps), "--eval_strategy", "no",
        "--lr_scheduler_kwargs", json.dumps({"num_decay_steps": steps // 5, "decay_type": "linear"}),
        "--mask_cluster_min", str(values["smallest"]), "--mask_cluster_max", str(values["largest"]),
        "--num_mask_patches", str(values["masked"] * PATCHES // PAPER),
        "--discriminative_loss_weight", str(values["discriminative"]),
        "--generative_loss_weight", str(values["generative"]),
        "--seed", str(seed), "--disable_tqdm", "True", "--report_to", "none", *flags,
    ]  # fmt: skip
    with redirect_stdout(sys.stderr):
        pretrain.main(arguments)


@cache
def held_out_crops(dest: Path) -> torch.Tensor:
    """All sound of the held-out packages, one clip after the other, cut to whole crops: `(crops, samples)`."""
    extractor = SSASTFeatureExtractor(max_length=FRAMES)
    with open(dest / "validation.csv", encoding="utf-8", newline="") as file:
        paths = [dest / row["file"] for row in csv.DictReader(file)]
    sound = torch.cat([torch.from_numpy(load_audio(path, extractor.sampling_rate)) for path in paths])
    samples = extractor.sampling_rate * FRAMES // 100
    return sound[: len(sound) // samples * samples].reshape(-1, samples)


@torch.no_grad()
def judge(model_dir: Path, crops: torch.Tensor) -> dict[str, float]:
    """Held-out accuracy and mean squared error, with the masks of the common variant, whatever the model's own are."""
    model = SSASTForPreTraining.from_pretrained(model_dir).eval()
    extractor = SSASTFeatureExtractor.from_pretrained(model_dir)
    # What a model was not trained for is not to be judged; both heads answer here.
    model.config.discriminative_loss_weight, model.config.generative_loss_weight = 1.0, 10.0
    grid = model.config.patch_grid(FRAMES)
    generator = torch.Generator().manual_seed(0)
    sums = torch.zeros(2, dtype=torch.float64)
    for batch in crops.split(BATCH):
        features = extractor(list(batch.numpy()), sampling_rate=extractor.sampling_rate, return_tensors="pt")
        masks = sample_masks(len(batch), grid, COMMON["masked"] * PATCHES // PAPER, COMMON["smallest"],
                             COMMON["largest"], generator=generator)  # fmt: skip
        outputs = model(features["input_values"][:, :FRAMES], bool_masked_pos=masks)
        sums += len(batch) * torch.stack([outputs.accuracy, outputs.loss_generative]).double()
    accuracy, error = (sums / len(crops)).tolist()
    return {"accuracy": accuracy, "error": error}


def downstream(dest: Path, model_dir: Path, way: str) -> list[float]:
    """Balanced accuracies of fine-tuning, one for each seed."""
    rows = frozen.read(dest, TASK)
    runs = zip(frozen.folds_of(rows), SEEDS)
    return [measure.run_tuned(rows, TASK, CLIPS, *run, str(model_dir), way, [])["balanced"] for run in runs]


def measure_variant(name: str, folder: Path, arguments: argparse.Namespace) -> dict:
    if name == NO_PRETRAINING:
        return {TASK: downstream(arguments.dest, folder / slug(next(iter(VARIANTS))), "scratch")}
    output = folder / slug(name)
    if not (output / "eval_results.json").exists():
        train(arguments.dest, output, VARIANTS[name], arguments.steps, arguments.seed, arguments.flags)
    return {**judge(output, held_out_crops(arguments.dest)), TASK: downstream(arguments.dest, output, "fine-tuned")}


def table(results: dict[str, dict]) -> str:
    lines = [
        "| pretraining | held-out accuracy | held-out mean squared error | vocal, 10 per class |",
        "|---|--:|--:|--:|",
    ]
    for name, result in results.items():
        values = {**COMMON, **VARIANTS.get(name, {})}
        trained = name != NO_PRETRAINING
        accuracy = f"{result['accuracy']:.3f}" if trained and values["discriminative"] else ""
        error = f"{result['error']:.4f}" if trained and values["generative"] else ""
        lines.append(f"| {name} | {accuracy} | {error} | {mean_and_deviation(result[TASK])} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, help="where prepare.py wrote the corpus and the tasks")
    parser.add_argument("--steps", type=int, default=2000, help="of each run (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of pretraining (default: 0)")
    names = [*VARIANTS, NO_PRETRAINING]
    parser.add_argument("--variant", nargs="+", choices=names, default=names, help="some of the runs (default: all)")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of ssast pretrain")
    arguments = parser.parse_args()
    folder = arguments.dest / "ablation" / f"{arguments.steps}-{arguments.seed}"
    log = Measured(folder / "measured.jsonl")
    results = {}
    for name in arguments.variant:
        results[name] = log.get({"name": name}, partial(measure_variant, name, folder, arguments))
        print(table({name: results[name]}).splitlines()[-1], flush=True)
    text = table(results)
    print(text)
    if arguments.readme:
        made = f"{log.origin(list(results.values()))[:-1]}; {arguments.steps:,} steps."
        write_between(measure.README, BEGIN, END, f"{made}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
