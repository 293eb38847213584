# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`ssast demo` as a Space: see README.md."""

from pathlib import Path

from ssast_hf.integrations.page import launch, load_page

demo = load_page(  # Spaces look for this name
    model="ssast-tiny-patch-debian",
    classifier="ssast-tiny-patch-debian-kinds",
    examples=sorted((Path(__file__).parent / "examples").glob("*.flac")),
)

if __name__ == "__main__":
    launch(demo)
