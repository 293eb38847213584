# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pushing models, feature extractors and directories to the Hub."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, ModelCard, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    HTTPError,  # of the client's HTTP library, whichever that is
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from ..configuration_ssast import (
    AUTO_MAP,
    FEATURE_EXTRACTOR_CODE,
    MODEL_CODE,
    SSASTConfig,
    custom_pipelines,
    save_code,
)
from .cards import CARD, FACTS, is_users_own, model_card, read_json_or_empty, write_facts
from .files import CONFIG, PREPROCESSOR, WEIGHTS
from .locate import find
from .names import table

CODE = (*MODEL_CODE, *FEATURE_EXTRACTOR_CODE)  # beside configuration_ssast.py


def code_fields(config: dict) -> dict[str, dict]:
    """File -> the fields by which transformers finds the code beside a model with this `config.json`."""
    (architecture,) = config.get("architectures") or ("SSASTModel",)
    return {
        CONFIG: {"auto_map": AUTO_MAP, "custom_pipelines": custom_pipelines(architecture)},
        PREPROCESSOR: {"auto_map": {"AutoFeatureExtractor": "feature_extraction_ssast.SSASTFeatureExtractor"}},
    }


def push_hook(method, repo_id: str, **kwargs) -> CommitInfo:
    """Wraps `push_to_hub` of models and feature extractors (`LOADING_HOOKS`): [`push`] of what it is bound to."""
    return push(method.__self__, repo_id, **kwargs)


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
    Pushes a model (with a card) or a feature extractor. The arguments are those of transformers' `push_to_hub`.
    """
    is_model = hasattr(saved, "num_parameters")
    with tempfile.TemporaryDirectory() as directory:
        saved.save_pretrained(directory, **({"max_shard_size": max_shard_size} if is_model else {}))
        if is_model:
            name = saved.name_or_path
            on_hub = name in table() or (re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists())
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
    its `README.md`, or else a card of what is known. Training states and pickles are not pushed.

    Args:
        directory (`str`): A saved model with its feature extractor.
        repo_id (`str`): Repository, `ORG/NAME`; created if it does not exist.
        private (`bool`, *optional*): Whether a new repository is private.
        revision (`str`, *optional*): Branch to push to; created if it does not exist.
        token (`str`, *optional*): Default: the one of `hf auth login`, or `HF_TOKEN`.
        licence, datasets, tags: See [`model_card`].
        commit_message (`str`, *optional*): Default: names the class that is uploaded.

    Raises:
        ValueError: The directory is not a checkpoint of this package.
        OSError: The Hub refuses or cannot be reached; the message says what to do.
    """
    found = find(directory, WEIGHTS)
    folder = found.directory
    config = read_json_or_empty(folder / CONFIG)
    if config.get("model_type") != SSASTConfig.model_type:
        raise ValueError(
            f"{directory} is a checkpoint of {config.get('model_type')}, expected ssast: convert it first "
            f"(`ssast convert {directory} DIR`)."
        )
    if not (folder / PREPROCESSOR).is_file():
        raise ValueError(f"{directory} has no {PREPROCESSOR}: save the feature extractor beside the model.")
    if not any(folder.glob("model*.safetensors")):
        raise ValueError(f"{directory} has no {WEIGHTS}: save the model in it.")
    with tempfile.TemporaryDirectory() as code:
        save_code(code, *CODE)
        files: dict[str, Path | bytes] = {path.name: path for path in Path(code).iterdir()}
        for pattern in ("model*.safetensors", "model*.safetensors.index.json", "*_results.json", FACTS, CARD):
            files.update({path.name: path for path in folder.glob(pattern)})
        for name, fields in code_fields(config).items():
            content = {**read_json_or_empty(folder / name), **fields}
            files[name] = (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
        return _upload(
            files, folder, repo_id, private, token, revision, False,
            commit_message or f"Upload {(config.get('architectures') or ['SSAST'])[0]}", None,
            {"licence": licence, "datasets": datasets, "tags": tags},
        )  # fmt: skip


def _upload(
    files: dict, directory, repo_id: str, private, token, revision, create_pr, message, description, card: dict
) -> CommitInfo:
    """Commits `files` (name -> path or content), with a card of `directory`, if given, unless a person wrote one."""
    api = HfApi(token=token)
    with explained(repo_id):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        make_branch(api, repo_id, revision)
        own = files.get(CARD) is not None and is_users_own(files[CARD].read_text(encoding="utf-8"))
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
    """Creates the branch, if one is named and does not exist."""
    if revision and not revision.startswith("refs/pr"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)


def own_card_on_hub(api: HfApi, repo_id: str, revision: str | None) -> str | None:
    """The card in a repository, if a person wrote or changed it."""
    try:
        path = api.hf_hub_download(repo_id, CARD, revision=revision)
    except LocalEntryNotFoundError:  # whether there is one is not known
        raise
    except EntryNotFoundError:
        return None
    text = Path(path).read_text(encoding="utf-8")
    return text if is_users_own(text) else None


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """Turns errors of the Hub's client into one sentence that says what to do."""
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is not a repository's name, expected ORG/NAME: {error}") from None
    except OfflineModeIsEnabled:
        raise OSError(f"{repo_id} cannot be pushed, because HF_HUB_OFFLINE is set: unset it.") from None
    except (LocalTokenNotFoundError, LocalEntryNotFoundError, HTTPError) as raised:
        cause: BaseException = raised
        if isinstance(raised, LocalEntryNotFoundError) and raised.__cause__ is not None:
            cause = raised.__cause__
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(cause, LocalTokenNotFoundError) or status in (401, 403):
            raise PermissionError(
                f"{constants.ENDPOINT} refused to let you write {repo_id}: log in with `hf auth login`, with a token "
                "that may write there."
            ) from None
        reason = " ".join(str(cause).strip().split("\n")[0].split()).rstrip(".") or type(cause).__name__
        raise OSError(f"{repo_id} could not be pushed to {constants.ENDPOINT} ({reason}): try again.") from None
