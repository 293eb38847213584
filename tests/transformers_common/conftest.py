# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
MARKERS = (
    "accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "generate", "slow",
    "torch_compile_test",
)  # fmt: skip


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: used in transformers' common tests")
