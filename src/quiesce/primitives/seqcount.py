# SPDX-License-Identifier: Apache-2.0
"""seqcount_t: readers try again if a writer was there meanwhile (``include/linux/seqlock.h``)::

    while True:
        seq = count.read_seqcount_begin()
        ... READ_ONCE() what it protects ...
        if not count.read_seqcount_retry(seq):
            break

Writers must be kept apart by a lock of their own.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock
from quiesce.protocol import (
    SHARED_RECURSIVE,
    Bool,
    Version,
    acquires,
    atomic,
    releases,
    wait_until,
)


class SeqCount(Lock):
    """``with seqcount:`` is a write section."""

    sequence = Version()
    writing = Bool()
    """Whether the sequence is odd."""

    @atomic(label="read_seqcount_begin")
    def read_seqcount_begin(self) -> int:
        """Wait until no writer is active; return what to give to :meth:`read_seqcount_retry`."""
        acquires(self, SHARED_RECURSIVE)
        wait_until(not self.writing)
        releases(self)
        return self.sequence

    @atomic(label="read_seqcount_retry")
    def read_seqcount_retry(self, start: int) -> bool:
        """Return whether a writer was there since *start*, so that what was read is no good."""
        return self.sequence != start

    @atomic(label="write_seqcount_begin")
    def write_seqcount_begin(self) -> None:
        """Begin to write; no other writer may be active."""
        acquires(self)
        assert not self.writing, "two writers of one seqcount at the same time"
        self.writing = True
        self.sequence += 1

    @atomic(label="write_seqcount_end")
    def write_seqcount_end(self) -> None:
        """End the write section."""
        assert self.writing, "bad unlock: no write section is open"
        releases(self)
        self.writing = False
        self.sequence += 1

    def lock(self) -> None:
        """The same as :meth:`write_seqcount_begin`."""
        self.write_seqcount_begin()

    def unlock(self) -> None:
        """The same as :meth:`write_seqcount_end`."""
        self.write_seqcount_end()
