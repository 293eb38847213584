# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Starting the server, and running Python beside it in fresh processes."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import urllib.request
from pathlib import Path

import pytest
import torch

from ssast_hf import SSASTConfig, SSASTFeatureExtractor

from ..conftest import SMALL
from ..fork_server import python_command
from .server import TOKEN

ROOT = Path(__file__).parents[2]
# Makes `import ssast_hf` fail: this machine knows only transformers.
NO_PACKAGE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ssast_hf":
            raise ModuleNotFoundError("No module named 'ssast_hf'")

sys.meta_path.insert(0, Absent())
"""


class HubServer:
    """The server, in a process of its own."""

    def __enter__(self) -> "HubServer":
        command = [sys.executable, "-m", "tests.hub.server"]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=self.errors)
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"
        return self

    def __exit__(self, *error) -> None:
        ended = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.seek(0)
        if ended is not None:
            raise RuntimeError(f"The server ended before the tests, with status {ended}: {self.errors.read()}")

    def _call(self, path: str, content: dict | None = None):
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_test/{path}", data)) as response:
            return json.loads(response.read())

    def fault(self, path: str, **kwargs) -> None:
        """Spoils downloads of files that end in `path`: `status=503`, `cut_after=` or `truncate=` bytes; `times=`."""
        self._call("faults", {"path": path, **kwargs})

    def put(self, repo_id: str, directory: Path, sha: str | None = None, private: bool = False) -> str:
        """Makes a repository of a directory's files, past the client; returns the commit's hash, or takes one."""
        files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in Path(directory).iterdir()}
        return self._call("put", {"repo_id": repo_id, "files": files, "sha": sha, "private": private})

    def requests(self) -> list[dict]:
        return self._call("requests")

    def clear(self) -> None:
        """Forgets faults and requests; repositories stay."""
        self._call("clear", {})


def run_python(code: str, home: Path, *args, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
    """Runs `code` as `started` says; `check`: it must succeed."""
    with started(code, home, *args, **kwargs) as process:
        out, err = process.communicate(timeout=300)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(code, process.returncode, out, err)


def run_commands(commands: list[list[str]], home: Path, *args, **kwargs) -> list[tuple[int, str, str]]:
    """
    Runs `ssast` command lines one after the other in one fresh process; exit status, output and errors of each. A
    command line may begin with `HF_TOKEN=...`, which then holds from there on.
    """
    code = """
        import contextlib, io, json, os
        from ssast_hf.cli import main
        results = []
        for argv in commands:
            if argv[0].startswith("HF_TOKEN="):
                os.environ["HF_TOKEN"] = argv.pop(0).partition("=")[2]
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(argv)
            results.append((status, out.getvalue(), err.getvalue()))
        print(json.dumps(results))
    """
    commands = [list(map(str, argv)) for argv in commands]
    done = run_python(code, home, *args, given={"commands": commands}, **kwargs)
    return [tuple(result) for result in json.loads(done.stdout.splitlines()[-1])]


@contextlib.contextmanager
def started(
    code: str, home: Path, hub: HubServer | None = None, token: str | None = None, offline: bool = False,
    hide_package: bool = False, given: dict | None = None, patient: bool = True, **env: str,
):  # fmt: skip
    """
    A fresh process that runs `code`, with `home` as HF_HOME and working directory, the names `given`, and `env` in
    the environment; without the client's pauses before it tries again where not `patient`.
    """
    home.mkdir(parents=True, exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    own = {
        "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1", **env,
    }  # fmt: skip
    if hub is not None:
        own["HF_ENDPOINT"] = hub.url
    if token is not None:
        own["HF_TOKEN"] = token
    if offline:
        own["HF_HUB_OFFLINE"] = "1"
    if hide_package:
        (home / "sitecustomize.py").write_text(NO_PACKAGE)
        own["PYTHONPATH"] = str(home)
    given = {name: str(value) if isinstance(value, Path) else value for name, value in (given or {}).items()}
    names = "".join(f"{name} = {value!r}\n" for name, value in given.items())
    if not patient:
        names = f"import time\ntime.sleep = lambda seconds: None\n{names}"
    python = [sys.executable] if hide_package else python_command()
    command = [*python, "-c", names + textwrap.dedent(code)]
    process = subprocess.Popen(
        command, cwd=home, env={**inherited, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


def save_checkpoint(directory: Path, cls, seed: int = 0, **fields) -> Path:
    """A model of `cls` with random weights and its feature extractor, small unless `fields` say otherwise."""
    torch.manual_seed(seed)
    model = cls(SSASTConfig(**{**SMALL, "max_length": 64, **fields}))
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2)  # far enough from any initialisation
    model.save_pretrained(directory)
    SSASTFeatureExtractor(max_length=model.config.max_length, mean=-5.0 - seed).save_pretrained(directory)
    return directory


__all__ = ["TOKEN", "HubServer", "home", "hub", "run_commands", "run_python", "save_checkpoint", "started"]
