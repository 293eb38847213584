# Copyright 2026 The ssast_hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Threads that share one resource in turn."""

import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Turns:
    """
    A lock that threads get in the order in which they ask for it: a thread that lets go of it and asks again comes
    after those that wait. A context manager.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._tickets = self._served = 0

    def __enter__(self) -> "Turns":
        with self._changed:
            ticket = self._tickets
            self._tickets += 1
            self._changed.wait_for(lambda: self._served == ticket)
        return self

    def __exit__(self, *_) -> None:
        with self._changed:
            self._served += 1
            self._changed.notify_all()

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, of which each is computed in a turn of its own."""
        iterator, done = iter(items), object()
        while True:
            with self:
                item = next(iterator, done)
            if item is done:
                return
            yield item  # type: ignore[misc]
