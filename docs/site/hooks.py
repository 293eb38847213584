# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
MkDocs hooks of `make docs`. The site has the layout of the repository, so that a relative link works in both.

- README.md, docs/, the README.md files of other folders and recipes/pretrain/one_gpu.md are its pages. Notebooks
  become pages, too.
- A line `::: ssast_hf.classify` in docs/api/ names what a user imports. mkdocstrings reads sources without running
  them, which the package's lazy `__init__` defeats, so the line is resolved to the module that defines the name.
"""

import importlib
import re
from pathlib import Path

import nbformat
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "docs",
    "recipes",
    "conversion",
    "device",
    "benchmarks",
    "tests/golden",
    "tests/hub",
    "ssast_hf/bundled/sounds",
)
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "NOTICE", "setup.cfg", "constraints.txt")
BESIDE_PAGES = (".md", ".py", ".yaml", ".png", ".css", ".txt", "LICENSE")
REFERENCE = re.compile(r"^::: (\S+)$", flags=re.M)


def on_config(config):
    """Adds every recipe to the navigation; its title is its page's heading."""
    recipes = next(section["Recipes"] for section in config.nav if "Recipes" in section)
    listed = {path for entry in recipes for path in entry.values()}
    pages = (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "recipes").glob("*/README.md")))
    recipes += [page for page in pages if page not in listed]
    return config


def on_files(files: Files, config) -> Files:
    """The theme's files and the repository's, by their paths from the root."""
    kept = [file for file in files if file.src_dir != config.docs_dir]
    paths = [ROOT / name for name in AT_THE_TOP]
    for folder in FOLDERS:
        paths += [path for path in sorted((ROOT / folder).rglob("*")) if _is_shown(path)]
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        kept.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        kept.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook_page(path)))
    return Files(kept)


def _is_shown(path: Path) -> bool:
    if path.suffix == ".md" and path.name not in ("README.md", "one_gpu.md") and (ROOT / "docs") not in path.parents:
        return False  # templates of model cards
    return path.is_file() and path.name.endswith(BESIDE_PAGES) and "__pycache__" not in path.parts


def notebook_page(path: Path) -> str:
    """Markdown of a notebook: its text and its code, without outputs."""
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
    return "\n\n".join(parts) + f"\n\n(`notebooks/{path.name}` in the repository runs this.)\n"


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Links to notebooks lead to their pages; names of the API to the modules that define them."""
    markdown = re.sub(r"\]\(([^)\s]+)\.ipynb\)", r"](\1.md)", markdown)
    return REFERENCE.sub(_reference, markdown) if page.file.src_uri.startswith("docs/api/") else markdown


def _reference(match: re.Match) -> str:
    return f'::: {resolve(match[1])}\n    options:\n      heading: "{match[1]}"'


def resolve(name: str) -> str:
    """Module and name that define what is imported as `name`. Raises AttributeError if there is none."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    return f"{found.__module__}.{found.__qualname__}"
