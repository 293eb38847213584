# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the original computed: see README.md."""

import json
from pathlib import Path

from safetensors import safe_open

FILE = Path(__file__).with_name("golden.safetensors")
with safe_open(FILE, "pt") as _file:
    CASES = json.loads(_file.metadata()["index"])
    GOLDEN = {name: _file.get_tensor(name) for name in _file.keys()}  # noqa: SIM118
