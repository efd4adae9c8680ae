# SPDX-License-Identifier: Apache-2.0
"""Vectors in memory that grow where they are.

As much of the address space is reserved as the machine has memory; a page costs nothing until it is
written. So nothing is copied when a vector grows, and the system can use huge pages throughout: probing a
table at random otherwise misses the TLB each time. Where the address space is limited, less is reserved, and
a vector is copied when it needs more.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

_HUGE = 1 << 21
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if os.uname().sysname == "Linux" else 0)


class Grown:
    """A vector that grows; what is new in it is zero.

    :raises MemoryError: there is not that much address space.
    """

    def __init__(self, kind: Any, length: int) -> None:
        self.kind = np.dtype(kind)
        self._reserve(length * self.kind.itemsize)
        self.array = np.frombuffer(self._map, self.kind, length, self._offset)

    def _reserve(self, needed: int) -> None:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        # Where the address space is limited, some of it must be left for everything else.
        for size in (max(needed, whole), max(4 * needed, _HUGE), needed):
            try:
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
                self._map = mmap.mmap(-1, size + _HUGE, flags=flags)
                break
            except (OSError, OverflowError):
                continue
        else:
            raise MemoryError(f"there is no address space of {needed:,} bytes left")
        self._size = size
        start = np.frombuffer(self._map, np.uint8, 1)
        self._offset = -int(start.ctypes.data) % _HUGE
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                self._map.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                return

    def resize(self, length: int) -> None:
        """Make it *length* elements long, keeping what is there."""
        if length * self.kind.itemsize > self._size:
            before = self.array
            self._reserve(2 * length * self.kind.itemsize)
            self.array = np.frombuffer(self._map, self.kind, length, self._offset)
            self.array[: len(before)] = before
        self.array = np.frombuffer(self._map, self.kind, length, self._offset)

    @property
    def address(self) -> int:
        """Where it begins."""
        return int(self.array.ctypes.data)
