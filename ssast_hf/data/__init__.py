# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Whatever yields clips of sound, with or without labels: folders, manifests, shards, datasets."""
