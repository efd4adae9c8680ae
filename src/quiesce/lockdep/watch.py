# SPDX-License-Identifier: Apache-2.0
"""``watch()``: lockdep for the locks of a Python program.

Inside ``with watch():`` the names ``Lock``, ``RLock``, ``Semaphore`` and ``BoundedSemaphore`` of
:mod:`threading` make locks that tell a validator when they are taken; a ``Condition`` made there
gets such a lock. Two threads that take two locks in opposite orders are reported the first time
that both orders were seen, whether or not they ever met, with the stack of each.

- A class is a creation site: the file and line where the lock was made.
- Locks of one class may nest in any order of the instances, as long as it is the same one always.
- A trylock, or an acquire with a timeout, cannot wait for ever. It is held, and what is taken under
  it counts, but it adds no order of its own.
- An RLock that its owner takes again is nothing new, and neither is a Semaphore.
- A Condition is its lock; waiting lets go of it and takes it again.
- A Semaphore is a lock as long as those who acquire it release it. One that starts at 0 is a
  signal, and is not watched. When another thread releases it, the oldest holder is taken to let go.

Off means off: the names are put back, and a lock made outside of ``watch()`` was never touched. A
watched lock that outlives its ``watch()`` goes on working, and tells nobody.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from quiesce.lockdep.watch_locks import WatchedLock, WatchedRLock, watched_semaphore
from quiesce.lockdep.watch_state import Site, Watch

_PATCHED = ("Lock", "RLock", "Semaphore", "BoundedSemaphore")


def _creation_site(frame: FrameType | None) -> Site | None:
    """Return the place that makes a lock; None if it is a part of another object of threading.

    Only Condition makes a lock that stands for itself. The locks inside Event, Barrier, Thread and
    the plain semaphores are never held while their users run.
    """
    if frame is not None and frame.f_code.co_filename == threading.__file__:
        if frame.f_code.co_qualname != "Condition.__init__":
            return None
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename == threading.__file__:
        return None
    return frame.f_code.co_filename, frame.f_lineno


@contextmanager
def watch(*, quiet: bool = False) -> Iterator[Watch]:
    """Watch the locks that are made inside.

    Yields the :class:`~quiesce.lockdep.watch_state.Watch`, whose ``reports`` fill as they are found.
    The names in :mod:`threading` are replaced for all threads, so only one thread should do this.

    :param quiet: do not print each report on standard error as it is found.
    """
    state = Watch(quiet)
    originals = {name: getattr(threading, name) for name in _PATCHED}

    def lock() -> object:
        site = _creation_site(sys._getframe(1))
        inner = originals["Lock"]()
        return inner if site is None else WatchedLock(state, site, inner)

    def rlock() -> object:
        site = _creation_site(sys._getframe(1))
        inner = originals["RLock"]()
        return inner if site is None else WatchedRLock(state, site, inner)

    replacements = (
        lock,
        rlock,
        watched_semaphore(originals["Semaphore"], state, _creation_site),
        watched_semaphore(originals["BoundedSemaphore"], state, _creation_site),
    )
    for name, replacement in zip(_PATCHED, replacements, strict=True):
        setattr(threading, name, replacement)
    try:
        yield state
    finally:
        for name, original in originals.items():
            setattr(threading, name, original)
        state.stop()
