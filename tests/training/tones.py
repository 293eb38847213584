# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of small models on the fixture `tones`."""

import json
from pathlib import Path

from ssast_hf.cli import main

CONFIG = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}
PITCHES = {"high": 3000, "low": 200, "mid": 900}
QUIET = ["--report_to", "none", "--disable_tqdm", "True", "--logging_steps", "1"]


def tune(*arguments) -> int:
    return main(["finetune", *map(str, arguments), *QUIET])


def log_of(output: Path) -> list[dict]:
    return json.loads((output / "trainer_state.json").read_text())["log_history"]
