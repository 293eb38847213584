# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`python -m ssast_hf.cli`."""

import sys

from .main import main

sys.exit(main())
