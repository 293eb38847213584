# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Fetching a checkpoint from the Hub into its cache. Only JSON and safetensors files are fetched: no pickle is opened and
no code of a repository is run.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from .files import (
    CONFIG,
    PREPROCESSOR,
    WEIGHTS,
    WEIGHTS_INDEX,
    pickles_among,
    refusal_of_pickles,
    shard_names,
    with_variant,
)
from .names import Checkpoint, Found

HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


@dataclass
class Download:
    """
    Files of one commit of a Hub repository.

    Args:
        name (`str`): What the user asked for: a short name or the repository.
        repo (`str`): The Hub repository.
        hub (`dict`): `revision`, `token`, `cache_dir`, `force_download`, `local_files_only`, as in transformers.
        entry ([`Checkpoint`], *optional*): The table's entry.
        subfolder (`str`), variant (`str`, *optional*): As in transformers' `from_pretrained`.
    """

    name: str
    repo: str
    hub: dict
    entry: Checkpoint | None = None
    subfolder: str = ""
    variant: str | None = None
    unreached: dict[str, Exception] = field(default_factory=dict)  # optional files that may exist on the Hub

    def fetch(self, needs: str) -> Found:
        """
        Fetches the configurations, and the weights where `needs` is `"model.safetensors"`, all of one commit.

        Raises:
            OSError: A file cannot be fetched; the message says what to do.
            ValueError: The repository has no weights as safetensors.
        """
        if self.hub.get("revision") and re.fullmatch(r"[0-9a-f]{7,39}", self.hub["revision"]):
            self.hub["revision"] = self._full_revision()
        first = self._file(CONFIG, optional=needs == PREPROCESSOR) or self._file(PREPROCESSOR)
        assert first is not None  # a file that is not optional is there, or an error was raised
        snapshot = first.parents[len(Path(self.subfolder).parts)]
        self.hub["revision"] = snapshot.name
        if needs != WEIGHTS:
            self.hub.pop("force_download", None)
        preprocessor = self._file(PREPROCESSOR, optional=True)
        if preprocessor is None and needs == PREPROCESSOR and PREPROCESSOR in self.unreached:
            raise self._explained(self.unreached[PREPROCESSOR], PREPROCESSOR)
        if needs == WEIGHTS:
            self._fetch_weights()
        return Found(self.name, snapshot, self.entry, True)

    def _fetch_weights(self) -> None:
        single, index = with_variant(WEIGHTS, self.variant), with_variant(WEIGHTS_INDEX, self.variant)
        if self._file(single, optional=True) is not None:
            return
        index_file = self._file(index, optional=True)
        if index_file is not None:
            for shard in shard_names(index_file):
                self._file(shard)
        elif single in self.unreached:
            raise self._explained(self.unreached[single], single)
        else:
            raise ValueError(self._why_no_weights())

    def _file(self, filename: str, optional: bool = False) -> Path | None:
        """The local path of a file. None if it is optional and missing, or cannot be fetched (see `unreached`)."""
        from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self.repo, filename, subfolder=self.subfolder or None, **self.hub))
        except LocalEntryNotFoundError as error:  # no network, offline mode, or the Hub does not answer
            path = f"{self.subfolder}/{filename}" if self.subfolder else filename
            cached = try_to_load_from_cache(self.repo, path, self.hub.get("cache_dir"), self.hub.get("revision"))
            if not optional:
                raise self._explained(error, filename) from None
            if cached is not _CACHED_NO_EXIST:
                self.unreached[filename] = error
            return None
        except EntryNotFoundError as error:
            if optional:
                return None
            raise self._explained(error, filename) from None
        except Exception as error:
            raise self._explained(error, filename) from None

    def _full_revision(self) -> str:
        """The full commit hash of an abbreviated one, from the cache or the Hub (which takes no abbreviations)."""
        from huggingface_hub import HfApi, constants

        revision = self.hub["revision"]
        cached = cached_commits(self.repo, revision, self.hub.get("cache_dir"))
        if len(cached) == 1:
            return cached[0]
        if self.hub.get("local_files_only") or constants.is_offline_mode():
            return revision
        try:
            commits = [commit.commit_id for commit in HfApi(token=self.hub.get("token")).list_repo_commits(self.repo)]
        except Exception as error:
            raise self._explained(error) from None
        return next((commit for commit in commits if commit.startswith(revision)), revision)

    def _why_no_weights(self) -> str:
        from huggingface_hub import HfApi

        try:
            files = HfApi(token=self.hub.get("token")).list_repo_files(self.repo, revision=self.hub["revision"])
        except Exception:  # such as offline mode
            return f"{self.name} has no {WEIGHTS} in the cache: load it once with the Hub in reach."
        pickles = pickles_among(files)
        if pickles:
            return refusal_of_pickles(self.name, pickles)
        there = ", ".join(sorted(name for name in files if not name.endswith(".py")))
        return f"{self.name} has no {WEIGHTS}: it holds {there}."

    def _explained(self, error: BaseException, filename: str | None = None) -> OSError:
        """The error of the Hub's client as one sentence that says what to do."""
        from huggingface_hub import constants, errors

        what = self.repo if self.name == self.repo else f"{self.name} ({self.repo})"
        page = f"{constants.ENDPOINT}/{self.repo}"
        if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, errors.HfHubHTTPError):
            error = error.__cause__  # the Hub was reached and gave no answer
        official = self.entry is not None and self.entry.official is not None
        or_else = f", or {self.entry.ways_to_get()}" if self.entry is not None and official else "."
        if isinstance(error, errors.GatedRepoError):
            return OSError(f"{what} is gated: ask for access at {page} and log in (`hf auth login`).")
        if isinstance(error, errors.RepositoryNotFoundError):
            return FileNotFoundError(
                f"{what} is neither a directory here nor a repository that {constants.ENDPOINT} shows you: check the "
                f"name, and log in with `hf auth login` if it is private{or_else}"
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return FileNotFoundError(
                f"{what} has no revision {self.hub.get('revision')!r}: choose one of {page}/commits/main."
            )
        if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
            why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else "the Hub cannot be reached"
            why = "local_files_only is set" if self.hub.get("local_files_only") else why
            return OSError(
                f"{what} is neither a directory here nor in the Hub's cache, and {why}: load it once with the Hub in "
                f"reach{or_else}"
            )
        if isinstance(error, errors.EntryNotFoundError):
            return FileNotFoundError(f"{what} has no {filename}, so it is not a checkpoint: check the repository.")
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            return PermissionError(
                f"{constants.ENDPOINT} refused the token for {what}: log in again with `hf auth login`, or give "
                "token=False for a public repository."
            )
        reason = " ".join(str(error).strip().split("\n")[0].split()).rstrip(".") or type(error).__name__
        return OSError(f"{what} could not be fetched from {constants.ENDPOINT} ({reason}): try again.")


def cached_commits(repo: str, abbreviated: str, cache_dir=None) -> list[str]:
    """Commits of a repository in the Hub's cache that begin with an abbreviated hash."""
    from huggingface_hub import constants

    cache = Path(cache_dir or constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    return sorted(path.name for path in cache.glob(f"{abbreviated}*"))


def verify_weights(found: Found, expected: str, subfolder: str = "", variant: str | None = None) -> None:
    """Raises OSError where the weights do not have the sha256 that the table states."""
    file = found.directory / subfolder / with_variant(WEIGHTS, variant)
    actual = "that of several files"  # shards
    if file.is_file():
        with open(file, "rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != expected:
        raise OSError(
            f"{file} is not the weights of {found.name}: its sha256 is {actual}, expected {expected}: "
            f"{how_to_fetch_again(found)}, or give another `revision` to take what is there."
        )


def how_to_fetch_again(found: Found) -> str:
    """How a user has a file in the Hub's cache fetched again, as part of a sentence."""
    return f"fetch it again with force_download=True, or delete {found.directory.parents[1]} and load it"
