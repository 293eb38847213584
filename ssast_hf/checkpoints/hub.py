# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Model cards written from what is known, and pushing to the Hub."""

import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, EvalResult, HfApi, ModelCard, ModelCardData, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    HTTPError,  # of the client's HTTP library, whichever that is
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from ..configuration_ssast import AUTO_MAP, SSASTConfig, save_code
from . import locate as checkpoints

CARD = "README.md"
FACTS = "training.json"  # what the training scripts know of a model, for its card
CODE = ("modeling_ssast.py", "masking.py", "feature_extraction_ssast.py")
MARK = "<!-- Written by ssast_hf from the checkpoint's files; remove this line to keep your changes. -->"
MOST_LABELS = 100  # that a card lists
TASKS = {  # class -> pipeline tag, what it is
    "SSASTForAudioClassification": ("audio-classification", "classifier"),
    "SSASTForPreTraining": ("feature-extraction", "pretrained model"),
    "SSASTModel": ("feature-extraction", "encoder"),
}
# Of a card's results, by the end of their names.
METRICS = {"accuracy": "Accuracy", "f1_macro": "Macro F1", "mAP": "mAP", "mAUC": "mAUC"}
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
    Keeps what a training run knows for the model's card, in `training.json`: `base_model`, `data`, `clips`,
    `arguments`, `datasets`, `versions`, `date`, or the name of the `official` file that was converted, whichever are
    known. Files are named without their folders, which are nobody's business.
    """
    known = {name: value for name, value in facts.items() if value not in (None, {}, [])}
    Path(directory, FACTS).write_text(json.dumps(known, indent=2, default=str) + "\n", encoding="utf-8")


def model_card(
    directory: str | os.PathLike,
    repo_id: str,
    licence: str | None = None,
    datasets: list[str] | None = None,
    tags: list[str] | None = None,
    revision: str | None = None,
) -> str:
    """
    A model card (README.md with metadata) of what a saved checkpoint's files tell; what is not known is left out.

    Args:
        directory (`str`): A saved model: `config.json`, and where there are any `training.json` and
            `*_results.json`, as `ssast finetune` and `ssast pretrain` leave them.
        repo_id (`str`): Where it will be on the Hub, `ORG/NAME`.
        licence (`str`, *optional*): Identifier, such as `cc-by-4.0`. Default: the base model's, if that is known.
        datasets (`list[str]`, *optional*): Hub datasets it was trained on.
        tags (`list[str]`, *optional*): Further tags.
        revision (`str`, *optional*): Branch, if it is not `main`.
    """
    directory = Path(directory)
    config = json.loads((directory / checkpoints.CONFIG).read_text(encoding="utf-8"))
    facts = _read_json(directory / FACTS)
    ssast = SSASTConfig.from_dict(dict(config))
    task, kind = TASKS.get((config.get("architectures") or ["SSASTModel"])[0], TASKS["SSASTModel"])
    base = checkpoints.known(facts.get("base_model") or "")
    base_model = facts.get("base_model")
    if base is not None and base_model == base.name and base.repo:
        base_model = base.repo
    labels = [ssast.id2label[index] for index in sorted(ssast.id2label)] if kind == "classifier" else []
    results = _results(directory)
    name = repo_id.split("/")[-1]

    evaluated = None
    if kind == "classifier" and results:
        data = facts.get("data", "unnamed")
        evaluated = [
            EvalResult(
                task_type=task, dataset_type=data, dataset_name=data, metric_type=_metric(key)[0],
                metric_name=f"{_metric(key)[1]} ({_part(key)})", metric_value=value, dataset_split=_part(key),
            )
            for key, value in results.items()
            if _metric(key)
        ]  # fmt: skip
    data = ModelCardData(
        license=licence or (base.licence if base else checkpoints.OFFICIAL_LICENCE if "official" in facts else None),
        library_name="transformers",
        pipeline_tag=task,
        tags=list(dict.fromkeys(["audio", "ssast", *(tags or [])])),
        base_model=base_model if base_model and re.fullmatch(r"[\w.-]+/[\w.-]+", base_model) else None,
        datasets=datasets or facts.get("datasets"),
        model_name=name if evaluated else None,
        eval_results=evaluated or None,
    )

    patches = f"{ssast.frequency_patch_size} mel bins x {ssast.time_patch_size} frames"
    parameters = _parameters(directory) or 0
    count = f"{parameters / 1e6:.1f} M" if parameters >= 1e5 else f"{parameters:,}"
    summary = (
        f"A {kind} for sound: [SSAST](https://arxiv.org/abs/2110.09784), the Self-Supervised Audio Spectrogram "
        f"Transformer (Gong, Lai, Chung and Glass, AAAI 2022), "
        f"{f'{count} parameters, ' if parameters else ''}{ssast.num_hidden_layers} layers of width "
        f"{ssast.hidden_size}, patches of {patches}, made for {ssast.max_length / 100:g} s of mono sound at a time."
    )
    if base_model:
        summary += f" Trained from `{base_model}`."
    if "official" in facts:
        summary += (
            f" Converted from `{facts['official']}` of the [official code](https://github.com/YuanGongND/ssast)."
        )
    use = (CLASSIFY if kind == "classifier" else EMBED).format(
        repo=repo_id,
        revision=f', revision="{revision}"' if revision else "",
        top_k=min(3, len(labels)),
    )
    sections = [
        MARK,
        f"# {name}",
        summary,
        f"## How to use it\n\n```python\n{use}```\n\nThis needs the package `ssast_hf`. Without it, transformers' "
        "Auto classes and pipelines load the model with `trust_remote_code=True`, from the code in this repository.",
    ]
    if labels:
        more = f", and {len(labels) - MOST_LABELS} more (see `config.json`)" if len(labels) > MOST_LABELS else ""
        names = ", ".join(f"`{label}`" for label in labels[:MOST_LABELS])
        sections.append(f"## Labels\n\n{len(labels)}: {names}{more}.")
    if facts.keys() - {"base_model", "official"}:
        sections.append(_training(facts))
    if results:
        rows = [f"| {key.replace('_', ' ')} | {value:.4g} |" for key, value in results.items()]
        sections.append("\n".join(["## Results", "", "| on held-out clips | |", "|---|--:|", *rows]))
    sections.append(f"## Citation\n\n{CITATION}")
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _results(directory: Path) -> dict[str, float]:
    """Metrics on held-out clips, by name: the scripts' `eval_results.json` and `test_results.json`."""
    found = {**_read_json(directory / "eval_results.json"), **_read_json(directory / "test_results.json")}
    noise = ("runtime", "per_second", "epoch", "samples", "flos")
    return {k: v for k, v in found.items() if isinstance(v, int | float) and not k.endswith(noise)}


def _metric(key: str) -> tuple[str, str] | None:
    """The Hub's identifier and the name of a metric that model-index knows; None for losses and the like."""
    return next(((m.split("_")[0], title) for m, title in METRICS.items() if key.endswith(f"_{m}")), None)


def _part(key: str) -> str:
    return "test" if key.startswith("test_") else "validation"


def _parameters(directory: Path) -> int | None:
    """Number of parameters, by the headers of the weights."""
    from math import prod

    from safetensors import SafetensorError, safe_open

    total = 0
    for file in directory.glob("model*.safetensors"):
        try:
            with safe_open(file, "pt") as weights:
                total += sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
        except (SafetensorError, OSError):
            return None
    return total or None


def _training(facts: dict) -> str:
    lines = ["## Training", ""]
    if "data" in facts:
        recipe = f" and the recipe `{facts['recipe']}`" if "recipe" in facts else ""
        lines += [f"On `{facts['data']}`, with `ssast {facts.get('command', 'finetune')}`{recipe}."]
    task = {"task": facts["task"]} if "task" in facts else {}
    rows = {**task, **facts.get("clips", {}), **facts.get("arguments", {}), **facts.get("versions", {})}
    if "date" in facts:
        rows["date"] = facts["date"]
    if rows:
        lines += ["", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]
    return "\n".join(lines)


def write_card(directory: str | os.PathLike, card: str) -> None:
    """Writes a card into `directory`, unless somebody's own is there."""
    path = Path(directory, CARD)
    if not (path.exists() and _is_own(path.read_text(encoding="utf-8"))):
        path.write_text(card, encoding="utf-8")


def push(
    saved,
    repo_id: str,
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    max_shard_size: int | str | None = "50GB",
    tags: list[str] | None = None,
) -> CommitInfo:
    """
    Pushes a model or a feature extractor, a model with a card; the arguments are those of transformers' `push_to_hub`.
    """
    is_model = hasattr(saved, "num_parameters")
    with tempfile.TemporaryDirectory() as directory:
        saved.save_pretrained(directory, **({"max_shard_size": max_shard_size} if is_model else {}))
        if is_model:
            name = saved.name_or_path
            on_hub = name in checkpoints.table() or (
                re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists()
            )
            write_facts(directory, base_model=name if on_hub and name != repo_id else None)
        files = {path.name: path for path in Path(directory).iterdir() if path.name != FACTS}
        return _upload(
            files, directory if is_model else None, repo_id, private, token, revision, create_pr,
            commit_message or f"Upload {type(saved).__name__}", commit_description, {"tags": tags},
        )  # fmt: skip


def push_directory(
    directory: str | os.PathLike,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    licence: str | None = None,
    datasets: list[str] | None = None,
    tags: list[str] | None = None,
    commit_message: str | None = None,
) -> CommitInfo:
    """
    Pushes a saved checkpoint: weights (safetensors), configurations, results, the code for `trust_remote_code`, and
    its `README.md`, or else a card of what is known. Training states and pickles stay where they are.

    Args:
        directory (`str`): A saved model with its feature extractor.
        repo_id (`str`): Where to, `ORG/NAME`; made if it is not there.
        private (`bool`, *optional*): Whether a new repository is private.
        revision (`str`, *optional*): Branch to push to; made if it is not there.
        token (`str`, *optional*): Default: the one of `hf auth login`, or `HF_TOKEN`.
        licence, datasets, tags: See [`model_card`].
        commit_message (`str`, *optional*): Default: says what is uploaded.

    Raises:
        ValueError: The directory is not a checkpoint of this package.
        OSError: The Hub refuses; says what to do.
    """
    found = checkpoints.find(directory, checkpoints.WEIGHTS)
    folder = found.directory
    config = _read_json(folder / checkpoints.CONFIG)
    if config.get("model_type") != SSASTConfig.model_type:
        raise ValueError(
            f"{directory} is a checkpoint of {config.get('model_type')}, expected ssast: convert it first "
            f"(`ssast convert {directory} DIR`)."
        )
    if not (folder / checkpoints.PREPROCESSOR).is_file():
        raise ValueError(
            f"{directory} has no {checkpoints.PREPROCESSOR}: save the feature extractor beside the model."
        )
    if not any(folder.glob("model*.safetensors")):
        raise ValueError(f"{directory} has no {checkpoints.WEIGHTS}: save the model in it.")
    with tempfile.TemporaryDirectory() as code:
        save_code(code, *CODE)
        files = {path.name: path for path in Path(code).iterdir()}
        for pattern in ("model*.safetensors", "model*.safetensors.index.json", "*_results.json", FACTS, CARD):
            files.update({path.name: path for path in folder.glob(pattern)})
        auto_maps = {
            checkpoints.CONFIG: AUTO_MAP,
            checkpoints.PREPROCESSOR: {"AutoFeatureExtractor": "feature_extraction_ssast.SSASTFeatureExtractor"},
        }
        for name, auto_map in auto_maps.items():
            content = {**_read_json(folder / name), "auto_map": auto_map}
            files[name] = (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
        return _upload(
            files, folder, repo_id, private, token, revision, False,
            commit_message or f"Upload {(config.get('architectures') or ['SSAST'])[0]}", None,
            {"licence": licence, "datasets": datasets, "tags": tags},
        )  # fmt: skip


def _upload(
    files: dict, directory, repo_id: str, private, token, revision, create_pr, message, description, card: dict
) -> CommitInfo:
    """One commit of `files` (name -> path or content), with a card of `directory`, if given and nobody wrote one."""
    api = HfApi(token=token)
    with explained(repo_id):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        make_branch(api, repo_id, revision)
        own = files.get(CARD) is not None and _is_own(files[CARD].read_text(encoding="utf-8"))
        if directory is not None and not own:
            files = {name: file for name, file in files.items() if name != CARD}
            if own_card_on_hub(api, repo_id, revision) is None:
                text = model_card(directory, repo_id, revision=revision, **card)
                ModelCard(text).validate()
                files[CARD] = text.encode()
        operations = [CommitOperationAdd(name, file) for name, file in sorted(files.items())]
        return api.create_commit(
            repo_id, operations, commit_message=message, commit_description=description, revision=revision,
            create_pr=create_pr,
        )  # fmt: skip


def make_branch(api: HfApi, repo_id: str, revision: str | None) -> None:
    """Makes the branch, if one is named and it is not there."""
    if revision and not revision.startswith("refs/pr"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)


def _is_own(card: str) -> bool:
    """Whether somebody wrote the card, so that it shall stay."""
    return MARK not in card


def own_card_on_hub(api: HfApi, repo_id: str, revision: str | None) -> str | None:
    """The card in a repository, if somebody wrote it."""
    try:
        path = api.hf_hub_download(repo_id, CARD, revision=revision)
    except LocalEntryNotFoundError:  # whether there is one is not known
        raise
    except EntryNotFoundError:
        return None
    text = Path(path).read_text(encoding="utf-8")
    return text if _is_own(text) else None


@contextmanager
def explained(repo_id: str):
    """Says what went wrong in pushing, in one sentence with the next step."""
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is not a repository's name, expected ORG/NAME: {error}") from None
    except OfflineModeIsEnabled:
        raise OSError(f"{repo_id} cannot be pushed, because HF_HUB_OFFLINE is set: unset it.") from None
    except (LocalTokenNotFoundError, LocalEntryNotFoundError, HTTPError) as error:
        if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
            error = error.__cause__
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, LocalTokenNotFoundError) or status in (401, 403):
            raise PermissionError(
                f"{constants.ENDPOINT} refused to let you write {repo_id}: log in with `hf auth login`, with a token "
                "that may write there."
            ) from None
        reason = " ".join(str(error).strip().split("\n")[0].split()).rstrip(".") or type(error).__name__
        raise OSError(f"{repo_id} could not be pushed to {constants.ENDPOINT} ({reason}): try again.") from None
