# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Worker processes."""

import os
import threading
import time

POLL_SECONDS = 1.0


def end_with_parent(worker: int = 0) -> None:
    """
    Ends this process soon after its parent, also after one that was killed. Each worker process calls it when it
    starts: it is a `worker_init_fn` of `DataLoader` and an `initializer` of `ProcessPoolExecutor`.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
