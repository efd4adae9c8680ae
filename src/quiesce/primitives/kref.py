# SPDX-License-Identifier: Apache-2.0
"""struct kref: the references of an object that the last one frees (``include/linux/kref.h``).

``kref_put(kref, release)`` calls *release* if it drops the last reference; here :meth:`Kref.put`
returns True, and the caller releases::

    if self.ref.put():
        self.free()
"""

from __future__ import annotations

from quiesce.primitives.base import Lock
from quiesce.primitives.refcount import Refcount
from quiesce.protocol import Protocol, atomic


class Kref(Protocol):
    """The references of one object, the creator's own included."""

    refcount = Refcount(1)

    @atomic(label="kref_get")
    def get(self) -> None:
        """Take a reference; the caller must hold one, or something that keeps one from being dropped."""
        self.refcount.inc()

    @atomic(label="kref_get_unless_zero")
    def get_unless_zero(self) -> bool:
        """Take a reference of an object that may be on its way out; return whether it was taken."""
        return self.refcount.inc_not_zero()

    @atomic(label="kref_put")
    def put(self) -> bool:
        """Drop a reference; return True if it was the last: then the caller releases the object."""
        return self.refcount.dec_and_test()

    def put_lock(self, lock: Lock) -> bool:
        """Drop a reference; if it was the last, return True with *lock* held (``kref_put_mutex()``)."""
        return self.refcount.dec_and_lock(lock)

    @atomic(label="kref_read")
    def read(self) -> int:
        """Return the number of references."""
        return self.refcount.refs
