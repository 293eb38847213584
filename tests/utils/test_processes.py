# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Worker processes end when nobody waits for them any more."""

import multiprocessing
import os
import signal
import time

import pytest

from ssast_hf.utils.processes import worker_pool


def wait(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_ends_the_workers_at_once(error):
    """Not after what they are working on, which for shards of sound takes minutes; other children stay."""
    other = multiprocessing.Process(target=time.sleep, args=(60,))
    other.start()
    begun = time.monotonic()
    with pytest.raises(error), worker_pool(2) as pool:
        for _ in pool.map(wait, [0, 60, 60, 60]):
            raise error
    assert time.monotonic() - begun < 30
    assert multiprocessing.active_children() == [other]
    other.kill()
    other.join()


def test_workers_leave_ctrl_c_to_their_parent():
    with worker_pool(1) as pool:
        for worker in list(pool.map(wait, [0])):
            os.kill(worker, signal.SIGINT)
        assert list(pool.map(wait, [0.1])) == [worker]
