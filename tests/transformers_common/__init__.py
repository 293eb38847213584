# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Transformers' own common tests, run on SSAST.

They are in transformers' sources, not in its package: `fetch.py`, which `make test` runs first, unpacks the sdist into
`.venv/`. Its `tests` is imported as `transformers_tests`, which keeps it apart from ours.
"""

import sys
import types

import pytest

from . import stand_ins
from .fetch import is_complete, sources

MISSING = ("exporters.test_export", "generation.test_utils", "utils.test_configuration_utils")


def make_importable() -> None:
    """Makes `transformers_tests` importable. Skips the importing test module where the sources are missing."""
    if not is_complete(sources()):
        pytest.skip(
            "Transformers' common tests are not here: `python tests/transformers_common/fetch.py` fetches them "
            f"to {sources()}.",
            allow_module_level=True,
        )
    package = types.ModuleType("transformers_tests")
    package.__path__ = [str(sources() / "tests")]
    sys.modules.setdefault("transformers_tests", package)
    for name in MISSING:
        sys.modules[f"transformers_tests.{name}"] = stand_ins
