# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
