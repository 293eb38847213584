# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Runs the tests that notice other versions, in throwaway environments, and prints a table.

Tested are the lowest and the newest versions that setup.cfg allows of torch, transformers and huggingface-hub, on each
Python of 3.11 and 3.13 that is installed. An environment takes a gigabyte and is removed after its tests. Where pip's
index is PyPI, torch comes with CUDA on Linux: set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL to torch's index of CPU builds.
"""

import argparse
import configparser
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.13")
CHOSEN = ("torch", "transformers", "huggingface-hub")
NEEDED = ("accelerate", "datasets", "evaluate", "matplotlib", "parameterized", "peft", "pytest", "pyyaml",
          "scikit-learn", "scipy", "starlette", "uvicorn")  # fmt: skip
TESTS = ("tests/utils/test_transformers_internals.py", "tests/test_golden.py", "tests/checkpoints")


def requirements(name: str) -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup["options"][name].split()


def lowest(requirement: str) -> str:
    """`torch>=2.8,<3` -> `torch==2.8.*`: the lowest allowed version with its newest corrections."""
    name, _, rest = requirement.partition(">=")
    return f"{name}=={rest.split(',')[0]}.*"


def chosen_versions(choice: str) -> list[str]:
    every = requirements("install_requires")
    chosen = [entry for entry in every if entry.partition(">=")[0] in CHOSEN]
    return [*(lowest(entry) if choice == "lowest" else entry for entry in chosen), *(set(every) - set(chosen))]


def find_python(version: str) -> str | None:
    """An interpreter that starts; a shim of a version that is not installed does not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return str(path)
    return None


def run(python: str, choice: str, directory: Path, log: Path) -> str:
    """Builds an environment, runs the tests in it, and says how that went in a line."""
    with log.open("w") as output:

        def call(*command) -> int:
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
            return subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=output).returncode

        own = str(directory / "bin" / "python")
        if uv := shutil.which("uv"):
            made = call(uv, "venv", "--python", python, str(directory))
            install = [uv, "pip", "install", "--python", own, "--no-cache"]
        else:
            made = call(python, "-m", "venv", str(directory))
            install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
        if made or call(*install, *chosen_versions(choice), *NEEDED):
            return f"could not be installed, see {log}"
        code = f"from importlib.metadata import version; print(*map(version, {CHOSEN!r}))"
        found = subprocess.run([own, "-c", code], capture_output=True, text=True).stdout.split()
        failed = call(own, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)
    versions = ", ".join(map(" ".join, zip(CHOSEN, found)))
    return f"{'failed, see ' + str(log) if failed else 'passed'} ({versions})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", choices=PYTHONS, help="only this version")
    parser.add_argument("--versions", choices=("lowest", "newest"), help="only these")
    arguments = parser.parse_args()
    logs = ROOT / "runs" / "matrix"
    logs.mkdir(parents=True, exist_ok=True)
    rows = []
    for version in PYTHONS if arguments.python is None else (arguments.python,):
        python = find_python(version)
        for choice in ("lowest", "newest") if arguments.versions is None else (arguments.versions,):
            started, result = time.monotonic(), "this Python is not installed"
            if python is not None:
                with tempfile.TemporaryDirectory(prefix="ssast-matrix-") as directory:
                    result = run(python, choice, Path(directory, "venv"), logs / f"{version}-{choice}.log")
            rows.append((version, choice, f"{time.monotonic() - started:.0f} s", result))
            print("| " + " | ".join(rows[-1]) + " |", file=sys.stderr)
    print("| Python | versions | time | result |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    return int(any("failed" in row[-1] or "could not" in row[-1] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
