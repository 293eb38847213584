# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints by name: what SSAST checkpoints there are, where each can be had, and finding one on disk or on the Hub.

`from_pretrained` of every class here takes, in this order: a directory; a name of the table that is bundled, was
converted before, or is on the Hub; a Hub repository. Only JSON and safetensors files are fetched: no pickle is opened
and no repository's code is run.
"""

import difflib
import hashlib
import json
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

logger = logging.getLogger(f"transformers.{__name__}")  # heard and silenced with transformers' own

BUNDLED = Path(__file__).parents[1] / "bundled"  # a directory per checkpoint that the package carries
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "token")
OFFICIAL_LICENCE = "bsd-3-clause"


@dataclass(frozen=True)
class Checkpoint:
    """
    One checkpoint of the table.

    Args:
        name (`str`): Short name, which `from_pretrained` takes.
        size (`str`, *optional*): `"tiny"`, `"small"` or `"base"`.
        patches (`str`, *optional*): `"patch"` (16 x 16) or `"frame"` (128 x 2).
        num_mask_patches (`int`, *optional*): Patches masked of 512 in pretraining.
        official (`str`, *optional*): The file of the official repository.
        repo (`str`, *optional*), revision (`str`, *optional*): Hub repository and commit, in full or abbreviated.
        sha256 (`str`, *optional*): Of `model.safetensors` at that revision.
        path (`str`, *optional*): A directory, instead of a repository.
        licence (`str`, *optional*): Identifier of the licence.
        note (`str`, *optional*): What is special.
    """

    name: str
    size: str | None = None
    patches: str | None = None
    num_mask_patches: int | None = None
    official: str | None = None
    repo: str | None = None
    revision: str | None = None
    sha256: str | None = None
    path: str | None = None
    licence: str | None = None
    note: str | None = None

    @property
    def patch_shape(self) -> tuple[int, int] | None:
        """Mel bins and frames of a patch."""
        return {"patch": (16, 16), "frame": (128, 2), None: None}[self.patches]


def _official(name: str, size: str, patches: str, masked: int, official: str, **more) -> Checkpoint:
    return Checkpoint(name, size, patches, masked, official, licence=OFFICIAL_LICENCE, **more)


# The official checkpoints (README.md of YuanGongND/ssast) and the copies of them on the Hub, which hold the encoder.
FAMILY = (
    _official(
        "ssast-base-patch", "base", "patch", 400, "SSAST-Base-Patch-400.pth",
        repo="Simon-Kotchou/ssast-base-patch-audioset-16-16", revision="f67df8e895e787bad0aec434563e8f0a1f61c794",
        sha256="a31a7f70fea7648847882ecd278369f6f1b1cb0050364c4dff7d3c8cf8aabfe6",
    ),
    _official(
        "ssast-base-frame", "base", "frame", 400, "SSAST-Base-Frame-400.pth",
        repo="confit/ssast-t2-f128-p400.as-ls", revision="9b74afd",
    ),
    _official(
        "ssast-small-patch", "small", "patch", 400, "SSAST-Small-Patch-400.pth",
        repo="Simon-Kotchou/ssast-small-patch-audioset-16-16",
    ),
    _official(
        "ssast-tiny-patch", "tiny", "patch", 400, "SSAST-Tiny-Patch-400.pth",
        repo="Simon-Kotchou/ssast-tiny-patch-audioset-16-16", revision="da0ba7aa03ad524b1caa0dc0e13e689cec1198d5",
    ),
    _official("ssast-tiny-frame", "tiny", "frame", 400, "SSAST-Tiny-Frame-400.pth"),
    _official("ssast-base-patch-250", "base", "patch", 250, "SSAST-Base-Patch-250.pth"),
    _official("ssast-base-frame-250", "base", "frame", 250, "SSAST-Base-Frame-250.pth"),
    _official("ssast-base-patch-100", "base", "patch", 100, "audio_model_100m.pth", note="ablation: 100 masked"),
    _official(
        "ssast-base-patch-discriminative", "base", "patch", 400, "audio_model_dis.pth",
        note="ablation: discriminative objective only",
    ),
    _official(
        "ssast-base-patch-generative", "base", "patch", 400, "audio_model_gen.pth",
        note="ablation: generative objective only",
    ),
    _official("ssast-base-patch-as20k", "base", "patch", 400, "audio_model_as20k.pth", note="ablation: AudioSet-20K"),
    _official("ssast-base-patch-audioset", "base", "patch", 400, "audio_model_as.pth", note="ablation: AudioSet-2M"),
    _official(
        "ssast-base-patch-librispeech", "base", "patch", 400, "audio_model_librispeech.pth",
        repo="confit/ssast-t16-f16-p400.ls", revision="2ae2c13", note="ablation: LibriSpeech-960",
    ),
)  # fmt: skip
# What the package carries, made by `recipes/debian_audio`.
DEFAULT_PRETRAINED, DEFAULT_CLASSIFIER = "ssast-tiny-patch-debian", "ssast-tiny-patch-debian-kinds"
OWN = (
    Checkpoint(DEFAULT_PRETRAINED, "tiny", "patch", 400, licence="apache-2.0", note="pretrained, 2.56 s"),
    Checkpoint(
        DEFAULT_CLASSIFIER, "tiny", "patch", 400, licence="apache-2.0",
        note="classifier: speech, music, percussion, effect",
    ),
)  # fmt: skip
SAME_WEIGHTS = {"confit/ssast-t16-f16-p400.as-ls": "ssast-base-patch"}  # further copies on the Hub


@dataclass(frozen=True)
class Found:
    """Where a checkpoint lies: its directory, the table's entry where it has one, and the name that was asked for."""

    name: str
    directory: Path
    entry: Checkpoint | None = None
    on_hub: bool = False


def _is_official(found: Found) -> bool:
    """Whether it is known to have the weights of an official file, wherever the copy lies and in whatever layout."""
    return found.entry is not None and found.entry.official is not None


def home() -> Path:
    """Directory of converted checkpoints: `$SSAST_HOME`, else `ssast` beside the Hub's cache."""
    from huggingface_hub import constants

    return Path(os.environ.get("SSAST_HOME") or Path(constants.HF_HOME) / "ssast").expanduser()


def table() -> dict[str, Checkpoint]:
    """
    Every checkpoint by its short name: the official family, what is bundled or was converted, and the user's own.

    A user adds names in a JSON file, `$SSAST_CHECKPOINTS` or `checkpoints.json` in `home()`, such as
    `{"birds": "me/birds", "bats": {"repo": "me/bats", "revision": "v2", "sha256": "..."}, "x": {"path": "/data/x"}}`.
    A name of the family may be among them: it is then found there, and is the family's still. So is one with
    `"official": "SSAST-Base-Patch-400.pth"`, say, a copy of that file; else SSAST's weights in AST's layout are taken
    for another AST's.
    `$SSAST_ORGANIZATION` is where the family is looked for on the Hub, by its short names, instead.

    Raises:
        ValueError: The user's file is not such a file.
    """
    organization = os.environ.get("SSAST_ORGANIZATION")
    entries = {}
    for entry in FAMILY:
        if organization:
            entry = replace(entry, repo=f"{organization}/{entry.name}", revision=None, sha256=None)
        entries[entry.name] = entry
    entries.update({entry.name: entry for entry in OWN if (BUNDLED / entry.name).is_dir()})
    for folder in (BUNDLED, home()):
        for config in sorted(folder.glob(f"*/{CONFIG}")):
            entries.setdefault(config.parent.name, Checkpoint(config.parent.name))
    return {**entries, **_user_entries()}


def known(name: str) -> Checkpoint | None:
    """The entry of a short name, or of a repository that has one."""
    entries = table()
    repositories = {entry.repo: entry for entry in (*FAMILY, *entries.values())}
    repositories.update({repo: next(e for e in FAMILY if e.name == same) for repo, same in SAME_WEIGHTS.items()})
    return entries.get(name) or repositories.get(name)


def _user_entries() -> dict[str, Checkpoint]:
    given = os.environ.get("SSAST_CHECKPOINTS")
    path = Path(given).expanduser() if given else home() / "checkpoints.json"
    if not path.is_file():
        if given:
            raise ValueError(f"SSAST_CHECKPOINTS is {given}, expected a JSON file of checkpoints.")
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    allowed = [f.name for f in fields(Checkpoint) if f.name != "name"]
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, expected a JSON object of names and repositories.")
    entries = {}
    for name, value in content.items():
        value = {"repo": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or not set(value) <= set(allowed) or not ("repo" in value) ^ ("path" in value):
            raise ValueError(
                f"{path}: {name!r} is {value!r}, expected a repository or an object with either repo or path and any "
                f"of {', '.join(allowed)}."
            )
        if value.get("patches") not in (None, "patch", "frame"):
            raise ValueError(f"{path}: patches of {name!r} is {value['patches']!r}, expected 'patch' or 'frame'.")
        family = next((entry for entry in FAMILY if name == entry.name), None)
        elsewhere = {"repo": None, "revision": None, "sha256": None, "path": None}
        entries[name] = replace(family, **{**elsewhere, **value}) if family else Checkpoint(name, **value)
    return entries


def find(
    name: str | os.PathLike, needs: str = CONFIG, subfolder: str = "", variant: str | None = None, **hub
) -> Found:
    """
    Finds a checkpoint, fetching what it needs from the Hub where it is there.

    Args:
        name (`str`): Directory, short name or Hub repository.
        needs (`str`, defaults to `"config.json"`): `"config.json"`, `"preprocessor_config.json"` or
            `"model.safetensors"`: which file must be there (the configurations are looked for in any case; weights may
            be in shards).
        subfolder (`str`, *optional*), variant (`str`, *optional*): As in transformers' `from_pretrained`.
        hub: `revision` (default: the table's, which "main" stands for as well), `token`, `cache_dir`,
            `force_download`, `local_files_only`, as in transformers.

    Raises:
        OSError: There is no such checkpoint, or it cannot be fetched; says what to do.
        ValueError: What is there is not a checkpoint that can be loaded safely.
    """
    hub = {key: value for key, value in hub.items() if value is not None and key in HUB_ARGUMENTS}
    text = os.fspath(name)
    path = Path(text).expanduser()
    if path.is_dir():
        return _checked(Found(text, path), needs, subfolder, variant)
    if path.is_file():
        raise ValueError(f"{text} is a file, expected the directory of a checkpoint.")
    entry = known(text)
    if text not in table():
        if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text):
            if "/" in text or text.startswith("."):
                raise FileNotFoundError(f"No such directory: {text}")
            close = difflib.get_close_matches(text, table(), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else "`ssast checkpoints` lists the names."
            raise FileNotFoundError(f"{text} is neither a directory nor a checkpoint's name: {hint}")
        repo = text
    else:
        for directory in (BUNDLED / text, home() / text, Path(entry.path).expanduser() if entry.path else None):
            if directory is not None and (directory / CONFIG).is_file():
                return _checked(Found(text, directory, entry), needs, subfolder, variant)
        if entry.path:
            raise FileNotFoundError(f"{text} is to be in {entry.path}, which has no {CONFIG}.")
        if not entry.repo:
            raise FileNotFoundError(f"{text} is not on this machine, and no copy on the Hub is known: {_ways(entry)}")
        repo = entry.repo
        if hub.get("revision", "main") == "main" and entry.revision:  # transformers' default is "main"
            hub["revision"] = entry.revision
    found = _checked(_from_hub(Found(text, Path(), entry, True), repo, needs, subfolder, variant, hub),
                     needs, subfolder, variant)  # fmt: skip
    if needs == WEIGHTS and entry is not None and entry.sha256:
        pin = entry.revision or "main"
        if hub.get("revision", "main") == pin or found.directory.name.startswith(pin):
            _verify(found, entry.sha256, subfolder, variant)
    return found


def _ways(entry: Checkpoint) -> str:
    """The ways to get a checkpoint of the family, as the end of a sentence."""
    file = entry.official or "OFFICIAL.pth"
    return (
        f"convert the official file with `ssast convert {file} --name {entry.name}`, name a directory or a Hub "
        "repository that has it, or add one to the table (`ssast checkpoints --help`)."
    )


def _checked(found: Found, needs: str, subfolder: str, variant: str | None) -> Found:
    """Raises ValueError where the directory lacks what is needed."""
    folder = found.directory / subfolder
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if needs == PREPROCESSOR and PREPROCESSOR in names:
        return found
    if CONFIG not in names and "adapter_config.json" not in names:
        raise ValueError(f"{found.name} has no {CONFIG}, expected the directory of a checkpoint.")
    pickles = sorted(name for name in names if name.endswith(PICKLES) and name != "training_args.bin")
    if needs == WEIGHTS and pickles and not any(name.endswith(".safetensors") for name in names):
        raise ValueError(_refusal(found.name, pickles))
    return found


def _refusal(name: str, pickles: list[str]) -> str:
    return (
        f"{name} has no {WEIGHTS}, only {', '.join(pickles)}: a pickle can run code when it is opened. If you trust "
        "it, load it with use_safetensors=False, or save it again as safetensors."
    )


def _with_variant(filename: str, variant: str | None) -> str:
    return re.sub(r"^model", f"model.{variant}", filename) if variant and "index" not in filename else (
        filename.replace(".index.json", f".index.{variant}.json") if variant else filename
    )  # fmt: skip


def _from_hub(found: Found, repo: str, needs: str, subfolder: str, variant: str | None, hub: dict) -> Found:
    """Fetches the configurations, and the weights where they are needed, all of one commit, into the Hub's cache."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    hub, unreached = dict(hub), {}

    def fetch(filename: str, optional: bool = False) -> Path | None:
        """The file; None if it is optional and not there, or not known to be: then `unreached` says why."""
        try:
            return Path(hf_hub_download(repo, filename, subfolder=subfolder or None, **hub))
        except LocalEntryNotFoundError as error:  # no network, or told not to use it, or the Hub is out of order
            path = f"{subfolder}/{filename}" if subfolder else filename
            absent = try_to_load_from_cache(repo, path, hub.get("cache_dir"), hub.get("revision"))
            if not optional:
                raise _explained(error, found, repo, hub, filename) from None
            if absent is not _CACHED_NO_EXIST:
                unreached[filename] = error
            return None
        except EntryNotFoundError as error:
            if optional:
                return None
            raise _explained(error, found, repo, hub, filename) from None
        except Exception as error:
            raise _explained(error, found, repo, hub, filename) from None

    if hub.get("revision") and re.fullmatch(r"[0-9a-f]{7,39}", hub["revision"]):
        hub["revision"] = _full_revision(found, repo, hub)
    first = fetch(CONFIG, optional=needs == PREPROCESSOR)
    if first is None:
        first = fetch(PREPROCESSOR)
    snapshot = first.parents[len(Path(subfolder).parts)]
    hub["revision"] = snapshot.name
    if needs != WEIGHTS:
        hub.pop("force_download", None)
    if fetch(PREPROCESSOR, optional=True) is None and needs == PREPROCESSOR and PREPROCESSOR in unreached:
        raise _explained(unreached[PREPROCESSOR], found, repo, hub, PREPROCESSOR)
    single, index = _with_variant(WEIGHTS, variant), _with_variant(WEIGHTS_INDEX, variant)
    if needs == WEIGHTS and fetch(single, optional=True) is None:
        table_of_shards = fetch(index, optional=True)
        if table_of_shards is not None:
            for shard in sorted(set(json.loads(table_of_shards.read_text())["weight_map"].values())):
                fetch(shard)
        elif single in unreached:
            raise _explained(unreached[single], found, repo, hub, single)
        else:
            raise ValueError(_why_no_weights(found.name, repo, hub))
    return Found(found.name, snapshot, found.entry, True)


def _full_revision(found: Found, repo: str, hub: dict) -> str:
    """The full commit hash of an abbreviated one: from the cache, else from the Hub, which takes none abbreviated."""
    from huggingface_hub import HfApi, constants

    cache = Path(hub.get("cache_dir") or constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    cached = sorted(path.name for path in cache.glob(f"{hub['revision']}*"))
    if len(cached) == 1:
        return cached[0]
    if hub.get("local_files_only") or constants.is_offline_mode():
        return hub["revision"]
    try:
        commits = [commit.commit_id for commit in HfApi(token=hub.get("token")).list_repo_commits(repo)]
    except Exception as error:
        raise _explained(error, found, repo, hub) from None
    return next((commit for commit in commits if commit.startswith(hub["revision"])), hub["revision"])


def _why_no_weights(name: str, repo: str, hub: dict) -> str:
    from huggingface_hub import HfApi

    try:
        files = HfApi(token=hub.get("token")).list_repo_files(repo, revision=hub["revision"])
    except Exception:  # offline, say
        return f"{name} has no {WEIGHTS} in the cache: load it once with the Hub in reach."
    pickles = sorted(file for file in files if file.endswith(PICKLES) and file != "training_args.bin")
    return _refusal(name, pickles) if pickles else f"{name} has no {WEIGHTS}: it holds {', '.join(sorted(files))}."


def _explained(error: Exception, found: Found, repo: str, hub: dict, filename: str | None = None) -> OSError:
    """What went wrong on the Hub, in one sentence with the next step."""
    from huggingface_hub import constants, errors

    what = repo if found.name == repo else f"{found.name} ({repo})"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, errors.HfHubHTTPError):
        error = error.__cause__  # it was the Hub that had no answer
    status = getattr(getattr(error, "response", None), "status_code", None)
    or_else = f", or {_ways(found.entry)}" if _is_official(found) else "."
    if isinstance(error, errors.GatedRepoError):
        return OSError(f"{what} is gated: ask for access at {constants.ENDPOINT}/{repo} and log in (`hf auth login`).")
    if isinstance(error, errors.RepositoryNotFoundError):
        return FileNotFoundError(
            f"{what} is neither a directory here nor a repository that {constants.ENDPOINT} shows you: check the "
            f"name, and log in with `hf auth login` if it is private{or_else}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return FileNotFoundError(
            f"{what} has no revision {hub.get('revision')!r}: choose one of {constants.ENDPOINT}/{repo}/commits/main."
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else "the Hub cannot be reached"
        why = "local_files_only is set" if hub.get("local_files_only") else why
        return OSError(
            f"{what} is neither a directory here nor in the Hub's cache, and {why}: load it once with the Hub in reach"
            f"{or_else}"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return FileNotFoundError(f"{what} has no {filename}, so it is not a checkpoint: check the repository.")
    if status in (401, 403):
        return PermissionError(
            f"{constants.ENDPOINT} refused the token for {what}: log in again with `hf auth login`, or give "
            "token=False for a public repository."
        )
    reason = " ".join(str(error).strip().split("\n")[0].split()).rstrip(".") or type(error).__name__
    return OSError(f"{what} could not be fetched from {constants.ENDPOINT} ({reason}): try again.")


def _verify(found: Found, expected: str, subfolder: str, variant: str | None) -> None:
    """Raises OSError where the weights are not the ones that the table names."""
    file = found.directory / subfolder / _with_variant(WEIGHTS, variant)
    actual = "that of several files"  # shards
    if file.is_file():
        with open(file, "rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != expected:
        raise OSError(
            f"{file} is not the weights of {found.name}: its sha256 is {actual}, expected {expected}: "
            f"{_again(found)}, or give another `revision` to take what is there."
        )


def _again(found: Found) -> str:
    """How to have a file that is in the Hub's cache fetched again."""
    return f"fetch it again with force_download=True, or delete {found.directory.parents[1]} and load it"


def status(entry: Checkpoint) -> str:
    """`"bundled"`, `"converted"`, `"here"` (a directory of the user's), `"cached"` (from the Hub) or `"no"`."""
    from huggingface_hub import constants, try_to_load_from_cache

    for where, directory in (("bundled", BUNDLED / entry.name), ("converted", home() / entry.name),
                             ("here", entry.path and Path(entry.path).expanduser())):  # fmt: skip
        if directory and (directory / CONFIG).is_file():
            return where
    if entry.repo:
        revision = entry.revision or "main"
        cache = Path(constants.HF_HUB_CACHE) / f"models--{entry.repo.replace('/', '--')}" / "snapshots"
        full = sorted(path.name for path in cache.glob(f"{revision}*")) if entry.revision else []
        if isinstance(try_to_load_from_cache(entry.repo, WEIGHTS, revision=full[0] if full else revision), str):
            return "cached"
    return "no"


# How the classes' `from_pretrained` come here: see `AROUND` in configuration_ssast.py, which `_auto.py` fills.


def _is_elsewhere(name, kwargs: dict) -> bool:
    """Whether transformers shall load without us: nothing named, a file of its own formats, pickles asked for."""
    return (
        name is None
        or bool(kwargs.get("gguf_file"))
        or kwargs.get("use_safetensors") is False
        or Path(name).expanduser().is_file()
    )


def _find(name, needs: str, kwargs: dict) -> tuple[Found, dict]:
    """The checkpoint, and the keywords that are left for transformers, to which it is a directory."""
    given = {key: kwargs[key] for key in (*HUB_ARGUMENTS, "subfolder", "variant") if kwargs.get(key) is not None}
    found = find(name, needs, **given)
    rest = {key: value for key, value in kwargs.items() if key not in (*HUB_ARGUMENTS, "proxies")}
    return found, rest


def load_config_dict(load, name, **kwargs) -> tuple[dict, dict]:
    """`get_config_dict` of [`SSASTConfig`]: `config.json` in either layout, as fields of SSAST's."""
    if _is_elsewhere(name, kwargs):
        return load(name, **kwargs)
    found, kwargs = _find(name, CONFIG, kwargs)
    subfolder = kwargs.get("subfolder") or ""
    config_dict, kwargs = load(str(found.directory), **kwargs)
    kind = config_dict.get("model_type")
    if kind == "audio-spectrogram-transformer":
        from ..configuration_ssast import GRID_FIELDS, SSASTConfig
        from .layouts import ast_config_to_ours

        shape = _patch_shape(found.directory / subfolder) or (found.entry and found.entry.patch_shape)
        config_dict = ast_config_to_ours(config_dict, _is_official(found), shape)
        if found.entry and found.entry.num_mask_patches:  # of the 512 in pretraining; the copy's grid may be another
            patches = SSASTConfig(
                **{name: config_dict[name] for name in GRID_FIELDS if name in config_dict}
            ).num_patches
            config_dict["num_mask_patches"] = max(1, round(found.entry.num_mask_patches * patches / 512))
    elif kind != "ssast":
        raise ValueError(
            f"{found.name} is a checkpoint of {kind or 'an unnamed model type'}, expected ssast or "
            "audio-spectrogram-transformer."
        )
    if found.on_hub:
        config_dict["_name_or_path"] = found.name
    return config_dict, kwargs


def _patch_shape(directory: Path) -> tuple[int, int] | None:
    """Mel bins and frames of a patch, by the header of the weights where they are here: AST's config may err."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as weights:
                for name in weights.keys():  # noqa: SIM118
                    if name.endswith("embeddings.patch_embeddings.projection.weight"):
                        return tuple(weights.get_slice(name).get_shape()[2:])
        except (SafetensorError, OSError):
            return None  # loading the weights says it better
    return None


def load_feature_extractor_dict(load, name, **kwargs) -> tuple[dict, dict]:
    """`get_feature_extractor_dict` of [`SSASTFeatureExtractor`]: of this package, or of transformers' AST."""
    if _is_elsewhere(name, kwargs):
        return load(name, **kwargs)
    found, kwargs = _find(name, PREPROCESSOR, kwargs)
    folder = found.directory / (kwargs.get("subfolder") or "")
    if not (folder / PREPROCESSOR).is_file():
        if not _is_official(found):
            raise ValueError(f"{found.name} has no {PREPROCESSOR}: save the feature extractor beside the model.")
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return {key: config[key] for key in ("num_mel_bins", "max_length") if key in config}, kwargs
    content, kwargs = load(str(found.directory), **kwargs)
    kind = content.get("feature_extractor_type", "SSASTFeatureExtractor")
    if kind == "ASTFeatureExtractor":
        # Its attention mask is off because AST has none, and its padding side is the only one here.
        names = ("sampling_rate", "num_mel_bins", "max_length", "padding_value", "do_normalize", "mean", "std")
        content = {key: content[key] for key in names if key in content}
    elif kind != "SSASTFeatureExtractor":
        raise ValueError(
            f"{found.name} has the feature extractor {kind}, expected SSASTFeatureExtractor or ASTFeatureExtractor."
        )
    return content, kwargs


def load_model(load, name, *model_args, config=None, **kwargs):
    """`from_pretrained` of the models: safetensors only, in either layout, errors in one sentence."""
    from safetensors import SafetensorError
    from transformers.configuration_utils import PreTrainedConfig

    if _is_elsewhere(name, kwargs):
        return load(name, *model_args, config=config, **kwargs)
    found, rest = _find(name, WEIGHTS, kwargs)
    folder = found.directory / (rest.get("subfolder") or "")
    try:
        config_json = folder / CONFIG
        kind = json.loads(config_json.read_text(encoding="utf-8")).get("model_type") if config_json.is_file() else None
        if kind in ("ssast", "audio-spectrogram-transformer") and not any(folder.glob("*.safetensors")):
            there = ", ".join(sorted(path.name for path in folder.iterdir()))
            raise FileNotFoundError(f"{found.name} has no {WEIGHTS}: it holds {there}.")
        if kind == "audio-spectrogram-transformer":
            from ..configuration_ssast import SSASTConfig

            if not isinstance(config, PreTrainedConfig):
                config, rest = SSASTConfig.from_pretrained(config or name, return_unused_kwargs=True, **kwargs)
            else:
                rest = {key: value for key, value in rest.items() if key not in ("subfolder", "variant")}
            rest = {key: value for key, value in rest.items() if key not in (*HUB_ARGUMENTS, "use_safetensors")}
            state = _ast_state(folder, rest.pop("variant", None))
            if load.__self__.__name__ != "SSASTForAudioClassification":
                state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
            with _report_about(found.name):
                loaded = load(None, *model_args, config=config, state_dict=state, **rest)
            if load.__self__.__name__ == "SSASTForPreTraining":
                logger.warning(
                    f"{found.name} holds the encoder alone: the mask token and both heads of SSASTForPreTraining are "
                    "new."
                )
        else:
            loaded = load(str(found.directory), *model_args, config=config, **{"use_safetensors": True, **rest})
    except SafetensorError as error:
        again = _again(found) if found.on_hub else "copy or save it again"
        raise OSError(
            f"The weights of {found.name} in {folder} are damaged or cut short ({error}): {again}."
        ) from None
    model = loaded[0] if isinstance(loaded, tuple) else loaded
    model.name_or_path = model.config._name_or_path = found.name if found.on_hub else str(found.directory)
    return loaded


@contextmanager
def _report_about(name: str):
    """Lets transformers' report on missing weights name the checkpoint, of which it is only given the weights."""
    report = logging.getLogger("transformers.modeling_utils")

    def named(record: logging.LogRecord) -> bool:
        record.msg = str(record.msg).replace("from: None", f"from: {name}")
        return True

    report.addFilter(named)
    try:
        yield
    finally:
        report.removeFilter(named)


def _ast_state(folder: Path, variant: str | None):
    from safetensors.torch import load_file

    from .layouts import ast_state_to_ours

    index = folder / _with_variant(WEIGHTS_INDEX, variant)
    names = [_with_variant(WEIGHTS, variant)]
    if not (folder / names[0]).is_file() and index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}, in which its weights should be.")
    return ast_state_to_ours({key: value for name in names for key, value in load_file(folder / name).items()})
