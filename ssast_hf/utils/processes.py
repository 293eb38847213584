# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Worker processes."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

POLL_SECONDS = 1.0


def end_with_parent(worker: int = 0) -> None:
    """
    Ends this process soon after its parent, also after one that was killed. Each worker process calls it when it
    starts: it is a `worker_init_fn` of `DataLoader`.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


@contextlib.contextmanager
def worker_pool(workers: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """
    A pool of so many processes, default one per processor. They end with this process and, after an exception or
    Ctrl-C in the block, at once: what they are working on is not waited for.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers or os.cpu_count(), initializer=_begin) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent acts on it
    end_with_parent()
