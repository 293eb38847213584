# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from the first cell to the last, with the checkpoint and sounds of the package, and no network."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ..hub.client import TOKEN, HubServer

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path):
    return nbformat.read(path, nbformat.current_nbformat)


def run(path: Path, folder: Path, **environment: str):
    """Executes a notebook in `folder` and returns it, with outputs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {
        "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TMPDIR": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **environment,
    }  # fmt: skip
    (folder / "runtime").mkdir()
    notebook = read(path)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute(env={**inherited, **environment})
    return notebook


def printed(notebook) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def pictures(notebook) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_stored_without_outputs_and_begin_with_a_title(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None and not cell.metadata


def test_quick_start(tmp_path):
    notebook = run(ROOT / "notebooks/quick_start.ipynb", tmp_path, HF_HUB_OFFLINE="1")
    assert pictures(notebook) == 1 and "accuracy on 16 held-out sounds" in printed(notebook)
    assert "of 16 right" in printed(notebook)


def test_masked_patches(tmp_path):
    notebook = run(ROOT / "notebooks/masked_patches.ipynb", tmp_path, HF_HUB_OFFLINE="1")
    assert pictures(notebook) == 4 and "8 x 16 patches" in printed(notebook)


def test_embedding_map(tmp_path):
    notebook = run(ROOT / "notebooks/embedding_map.ipynb", tmp_path, HF_HUB_OFFLINE="1")
    assert pictures(notebook) == 1 and ", 0 that could not be read" in printed(notebook)
    pages = [output.data["text/html"] for cell in notebook.cells for output in cell.get("outputs", [])
             if "text/html" in output.get("data", {})]  # fmt: skip
    assert sum(page.startswith("<svg") and page.count("<circle") == 74 for page in pages) == 1


def test_fine_tune_and_push_to_a_server_here(tmp_path):
    with HubServer() as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "SSAST_REPOSITORY": "lab/kinds"}
        notebook = run(ROOT / "notebooks/fine_tune.ipynb", tmp_path, **environment)
        assert any(entry["path"].startswith("/api/models/lab/kinds/commit/") for entry in hub.requests())
    assert "loaded lab/kinds with the same weights" in printed(notebook)
    assert pictures(notebook) == 1 and re.search(r"^accuracy [01]\.\d+ macro F1", printed(notebook), flags=re.M)
