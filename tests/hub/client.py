# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Starting the server, and running Python beside it in fresh processes."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest

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
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"
        return self

    def __exit__(self, *error) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def _call(self, path: str, content: dict | None = None):
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_test/{path}", data)) as response:
            return json.loads(response.read())

    def fault(self, path: str, **kwargs) -> None:
        """Spoils downloads of files that end in `path`: `status=503`, `cut_after=bytes`, `truncate=bytes`; `times=`."""
        self._call("faults", {"path": path, **kwargs})

    def put(self, repo_id: str, directory: Path, sha: str | None = None, private: bool = False) -> str:
        """Makes a repository of a directory's files, past the client; returns the commit's hash, which may be given."""
        files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in Path(directory).iterdir()}
        return self._call("put", {"repo_id": repo_id, "files": files, "sha": sha, "private": private})

    def requests(self) -> list[dict]:
        return self._call("requests")

    def clear(self) -> None:
        """Forgets faults and requests; repositories stay."""
        self._call("clear", {})


def run_python(
    code: str, home: Path, hub: HubServer | None = None, token: str | None = None, offline: bool = False,
    hide_package: bool = False, check: bool = True, **env: str,
) -> subprocess.CompletedProcess:  # fmt: skip
    """Runs `code` in a fresh process with `home` as HF_HOME (and working directory); `check`: it must succeed."""
    with started(code, home, hub, token, offline, hide_package, **env) as process:
        out, err = process.communicate(timeout=300)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(code, process.returncode, out, err)


@contextlib.contextmanager
def started(code, home: Path, hub=None, token=None, offline=False, hide_package=False, **env: str):
    """As `run_python`, but does not wait for the process."""
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
    command = [sys.executable, "-c", textwrap.dedent(code)]
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


__all__ = ["TOKEN", "HubServer", "home", "hub", "run_python", "started"]
