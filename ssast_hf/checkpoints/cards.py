# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Model cards, written from the files of a saved checkpoint."""

import json
import math
import os
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from safetensors import SafetensorError, safe_open

from ..configuration_ssast import SSASTConfig
from ..utils.text import cell, code
from . import files
from .names import OFFICIAL_LICENCE, known

CARD = "README.md"
FACTS = "training.json"  # what the training scripts know of a model, for its card
MARK = "<!-- Written by ssast_hf from the checkpoint's files; remove this line to keep your changes. -->"
MOST_LABELS = 100  # that a card lists
TASKS = {  # class -> pipeline tag, what it is
    "SSASTForAudioClassification": ("audio-classification", "classifier"),
    "SSASTForPreTraining": ("feature-extraction", "pretrained model"),
    "SSASTModel": ("feature-extraction", "encoder"),
}
METRICS = {  # end of a result's name -> title
    "accuracy": "Accuracy",
    "f1_macro": "Macro F1",
    "mAP": "mAP",
    "mAUC": "mAUC",
}
BASELINE = "_baseline_"  # in a result's name: of logistic regression on mel statistics of the same clips
CITATION = """```
@inproceedings{gong2022ssast,
  title={SSAST: Self-Supervised Audio Spectrogram Transformer},
  author={Gong, Yuan and Lai, Cheng-I and Chung, Yu-An and Glass, James},
  booktitle={Proceedings of the AAAI Conference on Artificial Intelligence},
  volume={36}, number={10}, pages={10699--10709}, year={2022}
}
```"""
CLASSIFY = """import ssast_hf
from transformers import pipeline

classify = pipeline("audio-classification", model="{repo}"{revision})
print(classify(ssast_hf.load_audio("sound.wav"), top_k={top_k}))
"""
EMBED = """from ssast_hf import SSASTFeatureExtractor, SSASTModel, embed

extractor = SSASTFeatureExtractor.from_pretrained("{repo}"{revision})
model = SSASTModel.from_pretrained("{repo}"{revision}).eval()
print(next(embed(model, extractor, ["sound.wav"])))
"""


def write_facts(directory: str | os.PathLike, **facts) -> None:
    """
    Writes what a training run knows for the model's card to `training.json`: `base_model`, `data`, `clips`,
    `arguments`, `datasets`, `versions`, `date`, or the name of the `official` file that was converted, whichever are
    known. Callers name files without their folders, which are private.
    """
    known_facts = {name: value for name, value in facts.items() if value not in (None, {}, [])}
    Path(directory, FACTS).write_text(json.dumps(known_facts, indent=2, default=str) + "\n", encoding="utf-8")


def model_card(
    directory: str | os.PathLike,
    repo_id: str,
    licence: str | None = None,
    datasets: list[str] | None = None,
    tags: list[str] | None = None,
    revision: str | None = None,
) -> str:
    """
    A model card (README.md with metadata) from the files of a saved checkpoint; what is not known is left out.

    Args:
        directory (`str`): A saved model: `config.json`, and where there are any `training.json` and
            `*_results.json`, as `ssast finetune` and `ssast pretrain` leave them.
        repo_id (`str`): Its place on the Hub, `ORG/NAME`.
        licence (`str`, *optional*): Identifier, such as `cc-by-4.0`. Default: the base model's, if that is known.
        datasets (`list[str]`, *optional*): Hub datasets it was trained on.
        tags (`list[str]`, *optional*): Further tags.
        revision (`str`, *optional*): Branch, if it is not `main`.

    Raises:
        ValueError: `config.json` is not JSON of a configuration.
        OSError: There is no `config.json`.
    """
    directory = Path(directory)
    content = files.read_json(directory / files.CONFIG)
    config = SSASTConfig.from_dict(dict(content))
    task, kind = TASKS.get((content.get("architectures") or ["SSASTModel"])[0], TASKS["SSASTModel"])
    facts, results = read_json_or_empty(directory / FACTS), _results(directory)
    labels = config.label_names() if kind == "classifier" else []
    name = repo_id.split("/")[-1]

    evaluated = _eval_results(results, task, facts.get("data", "unnamed")) if kind == "classifier" else []
    base_model, base_licence = _base_model(facts)
    data = ModelCardData(
        license=licence or base_licence,
        library_name="transformers",
        pipeline_tag=task,
        tags=list(dict.fromkeys(["audio", "ssast", *(tags or [])])),
        base_model=base_model if base_model and re.fullmatch(r"[\w.-]+/[\w.-]+", base_model) else None,
        datasets=datasets or facts.get("datasets"),
        model_name=name if evaluated else None,
        eval_results=evaluated or None,
    )
    sections = [
        MARK,
        f"# {name}",
        _summary(config, kind, count_parameters(directory) or 0, base_model, facts.get("official")),
        _usage(kind, repo_id, revision, len(labels)),
    ]
    if labels:
        sections.append(_labels(labels))
    if facts.keys() - {"base_model", "official"}:
        sections.append(_training(facts))
    if results:
        sections.append(_results_section(results))
    sections.append(f"## Citation\n\n{CITATION}")
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _results_section(results: dict[str, float]) -> str:
    rows = [f"| {cell(key.replace('_', ' '))} | {value:.4g} |" for key, value in results.items()]
    table = "\n".join(["## Results", "", "| on held-out clips | |", "|---|--:|", *rows])
    if any(BASELINE in key for key in results):
        table += (
            "\n\nBaseline: logistic regression on mel statistics (mean, deviation, least and largest over time of 64 "
            "log-mel bands) of the same clips."
        )
    return table


def _labels(labels: list[str]) -> str:
    more = f", and {len(labels) - MOST_LABELS} more (see `config.json`)" if len(labels) > MOST_LABELS else ""
    names = ", ".join(code(label) for label in labels[:MOST_LABELS])
    return f"## Labels\n\n{len(labels)}: {names}{more}."


def _base_model(facts: dict) -> tuple[str | None, str | None]:
    """The model that was trained further, as a repository where the table knows it, and the licence to inherit."""
    name = facts.get("base_model")
    entry = known(name or "")
    if entry is None:
        return name, OFFICIAL_LICENCE if "official" in facts else None
    return (entry.repo if name == entry.name and entry.repo else name), entry.licence


def _eval_results(results: dict[str, float], task: str, data: str) -> list[EvalResult]:
    """The results that the Hub's model-index knows."""
    found = [(key, value, _metric(key)) for key, value in results.items()]
    return [
        EvalResult(
            task_type=task, dataset_type=data, dataset_name=data, metric_type=metric[0],
            metric_name=f"{metric[1]} ({_split(key)})", metric_value=value, dataset_split=_split(key),
        )
        for key, value, metric in found
        if metric is not None
    ]  # fmt: skip


def _summary(config: SSASTConfig, kind: str, parameters: int, base_model: str | None, official: str | None) -> str:
    count = f"{parameters / 1e6:.1f} M" if parameters >= 1e5 else f"{parameters:,}"
    patches = f"{config.frequency_patch_size} mel bins x {config.time_patch_size} frames"
    article = "An" if kind[0] in "aeiou" else "A"
    summary = (
        f"{article} {kind} for sound: [SSAST](https://arxiv.org/abs/2110.09784), the Self-Supervised Audio "
        f"Spectrogram Transformer (Gong, Lai, Chung and Glass, AAAI 2022), "
        f"{f'{count} parameters, ' if parameters else ''}"
        f"{config.num_hidden_layers} layers of width {config.hidden_size}, patches of {patches}, made for "
        f"{config.max_length / 100:g} s of mono sound at a time."
    )
    if base_model:
        summary += f" Trained from {code(base_model)}."
    if official is not None:
        summary += f" Converted from {code(official)} of the [official code](https://github.com/YuanGongND/ssast)."
    return summary


def _usage(kind: str, repo_id: str, revision: str | None, num_labels: int) -> str:
    use = (CLASSIFY if kind == "classifier" else EMBED).format(
        repo=repo_id, revision=f', revision="{revision}"' if revision else "", top_k=min(3, num_labels)
    )
    return (
        f"## How to use it\n\n```python\n{use}```\n\nThis needs the package `ssast_hf`. Without it, transformers' "
        "Auto classes and pipelines load the model with `trust_remote_code=True`, from the code in this repository."
    )


def read_json_or_empty(path: Path) -> dict:
    """The JSON object in a file; empty where there is no such file or it holds something else."""
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return {}


def _results(directory: Path) -> dict[str, float]:
    """Metrics on held-out clips, by name: the scripts' `eval_results.json` and `test_results.json`."""
    names = ("eval_results.json", "test_results.json")
    found = {key: value for name in names for key, value in read_json_or_empty(directory / name).items()}
    not_metrics = ("runtime", "per_second", "epoch", "samples", "flos")
    return {k: v for k, v in found.items() if isinstance(v, int | float) and not k.endswith(not_metrics)}


def _metric(key: str) -> tuple[str, str] | None:
    """The Hub's identifier and the name of a metric that model-index knows; None for losses and the like."""
    if BASELINE in key:  # not the model's
        return None
    return next(((m.split("_")[0], title) for m, title in METRICS.items() if key.endswith(f"_{m}")), None)


def _split(key: str) -> str:
    return "test" if key.startswith("test_") else "validation"


def count_parameters(directory: Path) -> int | None:
    """Number of parameters by the headers of the weights; None where there are none or they are damaged."""
    total = 0
    for file in directory.glob("model*.safetensors"):
        try:
            with safe_open(file, "pt") as weights:
                names = weights.keys()
                total += sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
        except (SafetensorError, OSError):
            return None
    return total or None


def _training(facts: dict) -> str:
    """The section on training: data, command, arguments and versions."""
    lines = ["## Training", ""]
    if "data" in facts:
        command = f"ssast {facts.get('command', 'finetune')}"
        recipe = f" and the recipe {code(facts['recipe'])}" if "recipe" in facts else ""
        lines += [f"On {code(facts['data'])}, with {code(command)}{recipe}."]
    task = {"task": facts["task"]} if "task" in facts else {}
    rows = {**task, **facts.get("clips", {}), **facts.get("arguments", {}), **facts.get("versions", {})}
    if "date" in facts:
        rows["date"] = facts["date"]
    if rows:
        lines += ["", "| | |", "|---|---|", *(f"| {cell(key)} | {cell(value)} |" for key, value in rows.items())]
    return "\n".join(lines)


def write_card(directory: str | os.PathLike, card: str) -> None:
    """Writes a card into `directory`, unless it has one that a person wrote or changed."""
    path = Path(directory, CARD)
    if not (path.exists() and is_users_own(path.read_text(encoding="utf-8"))):
        path.write_text(card, encoding="utf-8")


def is_users_own(card: str) -> bool:
    """Whether a person wrote or changed the card, so that it must not be replaced."""
    return MARK not in card
