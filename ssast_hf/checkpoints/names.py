# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The table of checkpoints: what SSAST checkpoints there are, by short name, and where each can be found."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

from .files import CONFIG, read_json

BUNDLED = Path(__file__).parents[1] / "bundled"  # a directory per checkpoint that the package carries
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
        """Mel bins and frames of a patch; None where `patches` is."""
        return {"patch": (16, 16), "frame": (128, 2), None: None}[self.patches]

    def directories(self) -> list[tuple[str, Path]]:
        """Local directories in which it is looked for, in this order, each with what it is."""
        places = [("bundled", BUNDLED / self.name), ("converted", home() / self.name)]
        return [*places, ("here", Path(self.path).expanduser())] if self.path else places

    def ways_to_get(self) -> str:
        """How a user can get a checkpoint of the official family, as the end of a sentence."""
        file = self.official or "OFFICIAL.pth"
        return (
            f"convert the official file with `ssast convert {file} --name {self.name}`, name a directory or a Hub "
            "repository that has it, or add one to the table (`ssast checkpoints --help`)."
        )


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
DEFAULT_PRETRAINED, DEFAULT_CLASSIFIER = "ssast-tiny-patch-debian-v2", "ssast-tiny-patch-debian-kinds"
DEFAULT_RECONSTRUCTION = "ssast-tiny-patch-debian"  # has the pretraining heads
OWN = (
    Checkpoint(
        DEFAULT_PRETRAINED, "tiny", "patch", licence="apache-2.0",
        note="encoder, for embeddings and fine-tuning; 5.12 s",
    ),
    Checkpoint(
        DEFAULT_RECONSTRUCTION, "tiny", "patch", 400, licence="apache-2.0",
        note="pretrained by MSPM alone, with its heads; 2.56 s",
    ),
    Checkpoint(
        DEFAULT_CLASSIFIER, "tiny", "patch", 400, licence="apache-2.0",
        note="classifier: speech, music, percussion, effect",
    ),
)  # fmt: skip
SAME_WEIGHTS = {"confit/ssast-t16-f16-p400.as-ls": "ssast-base-patch"}  # further copies on the Hub


@dataclass(frozen=True)
class Found:
    """A checkpoint on this machine: the name that was asked for, its directory, and its entry in the table, if any."""

    name: str
    directory: Path
    entry: Checkpoint | None = None
    on_hub: bool = False

    @property
    def is_official(self) -> bool:
        """Whether the weights are known to be those of an official file, whatever the layout and place of the copy."""
        return self.entry is not None and self.entry.official is not None

    @property
    def has_name(self) -> bool:
        """Whether `name` means the same checkpoint on other machines: a repository, or a short name without a path."""
        return self.on_hub or (self.entry is not None and self.name == self.entry.name and self.entry.path is None)


def home() -> Path:
    """Directory of converted checkpoints: `$SSAST_HOME`, else `ssast` beside the Hub's cache."""
    from huggingface_hub import constants

    return Path(os.environ.get("SSAST_HOME") or Path(constants.HF_HOME) / "ssast").expanduser()


def table() -> dict[str, Checkpoint]:
    """
    Every checkpoint by its short name: the official family, bundled and converted checkpoints, and the user's own.

    A user adds names in a JSON file, `$SSAST_CHECKPOINTS` or `checkpoints.json` in `home()`, such as
    `{"birds": "me/birds", "bats": {"repo": "me/bats", "revision": "v2", "sha256": "..."}, "x": {"path": "/data/x"}}`.
    A name of the official family may be given another place in this way. A copy of an official file in AST's layout
    needs `"official": "SSAST-Base-Patch-400.pth"` in its entry; without it, the weights are taken for those of a
    supervised AST, which pools differently. `$SSAST_ORGANIZATION` replaces the Hub repositories of the family: each
    is then looked for in that organisation, by its short name.

    Raises:
        ValueError: The user's file is not JSON of this form.
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
    """The user's own entries; see `table`."""
    given = os.environ.get("SSAST_CHECKPOINTS")
    path = Path(given).expanduser() if given else home() / "checkpoints.json"
    if not path.is_file():
        if given:
            raise ValueError(f"SSAST_CHECKPOINTS is {given}, expected a JSON file of checkpoints.")
        return {}
    allowed = [f.name for f in fields(Checkpoint) if f.name != "name"]
    entries = {}
    for name, value in read_json(path).items():
        value = {"repo": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or not set(value) <= set(allowed) or not ("repo" in value) ^ ("path" in value):
            raise ValueError(
                f"{path}: {name!r} is {value!r}, expected a repository or an object with either repo or path and any "
                f"of {', '.join(allowed)}."
            )
        if value.get("patches") not in (None, "patch", "frame"):
            raise ValueError(f"{path}: patches of {name!r} is {value['patches']!r}, expected 'patch' or 'frame'.")
        family = next((entry for entry in FAMILY if name == entry.name), None)
        unset = {"repo": None, "revision": None, "sha256": None, "path": None}
        entries[name] = replace(family, **{**unset, **value}) if family else Checkpoint(name, **value)
    return entries
