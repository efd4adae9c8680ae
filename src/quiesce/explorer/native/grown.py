# SPDX-License-Identifier: Apache-2.0
"""Vectors in memory that grow in place."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


class Grown:
    """A vector that grows in place: anonymous memory, which costs nothing until it is written.

    What is new in it is zero.
    """

    def __init__(self, kind: Any, length: int) -> None:
        self.kind = np.dtype(kind)
        # Private: shared anonymous memory cannot be made longer.
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._map = mmap.mmap(-1, max(1, length) * self.kind.itemsize, flags=private)
        self._advise()
        self.array = np.frombuffer(self._map, self.kind)

    def resize(self, length: int) -> None:
        """Make it *length* elements long, keeping what is there; it may move."""
        del self.array
        self._map.resize(length * self.kind.itemsize)
        self._advise()
        self.array = np.frombuffer(self._map, self.kind)

    @property
    def address(self) -> int:
        """Where it begins, until it is resized."""
        return int(self.array.ctypes.data)

    def _advise(self) -> None:
        # Huge pages: probing the table at random otherwise misses the TLB each time.
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                self._map.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                return
