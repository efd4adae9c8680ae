# SPDX-License-Identifier: Apache-2.0
"""struct timer_list: a function that runs in an interrupt, some time after it was armed.

A scenario gives the expiry a thread of its own::

    @thread(daemon=True)
    def timer_softirq(self) -> None:
        while True:
            self.timer.begin()
            ...                     the function
            self.timer.end()

There is no clock: a timer that is armed expires at any later time, but not never. The function may arm
the timer again. What is modelled (``kernel/time/timer.c``): ``timer_delete()`` takes a pending timer
away and does not wait; ``timer_delete_sync()`` also waits until the function does not run, and
``timer_shutdown_sync()`` makes later arming do nothing. For lockdep the function runs inside the
timer's map, and the two waits acquire it.

Left out: that the function runs on top of a task of its CPU, so that a lock that it shares with that
task must be taken with interrupts disabled.
"""

from __future__ import annotations

from quiesce.primitives.base import Lock, WaitType
from quiesce.protocol import Bool, acquires, atomic, releases, wait_until


class Timer(Lock):
    """One timer."""

    wait_type_inner: WaitType = "SPIN"
    pending = Bool()
    running = Bool()
    shut_down = Bool()

    @atomic(label="mod_timer")
    def mod_timer(self) -> bool:
        """Arm the timer; return whether it was armed already."""
        was_pending = self.pending
        if not self.shut_down:
            self.pending = True
        return was_pending

    @atomic(label="timer_pending")
    def timer_pending(self) -> bool:
        """Return whether the timer is armed."""
        return self.pending

    @atomic(label="timer_delete")
    def timer_delete(self) -> bool:
        """Disarm the timer; return whether it was armed. The function may still be running."""
        was_pending = self.pending
        self.pending = False
        return was_pending

    @atomic(label="timer_delete_sync")
    def timer_delete_sync(self) -> bool:
        """Wait until the function does not run, and disarm the timer; return whether it was armed.

        A function that arms the timer again and again can starve this wait; a task that arms it later makes
        it worthless.
        """
        acquires(self)
        wait_until(not self.running)
        releases(self)
        was_pending = self.pending
        self.pending = False
        return was_pending

    def timer_shutdown_sync(self) -> bool:
        """Disarm the timer for ever, and wait until the function does not run; return whether it was armed.

        The function, if it runs, cannot arm the timer any more, so the wait ends.
        """
        was_pending = self._shut_down()
        self._wait_for_end()
        return was_pending

    @atomic(label="timer_shutdown_sync")
    def _shut_down(self) -> bool:
        was_pending = self.pending
        self.pending = False
        self.shut_down = True
        return was_pending

    @atomic(label="wait_for_timer")
    def _wait_for_end(self) -> None:
        acquires(self)
        wait_until(not self.running)
        releases(self)

    @atomic(label="expire_timer")
    def begin(self) -> None:
        """The interrupt: wait until the timer is armed, and begin to run its function."""
        wait_until(self.pending and not self.running)
        acquires(self)
        self.pending = False
        self.running = True

    @atomic(label="timer_done")
    def end(self) -> None:
        """The interrupt: the function has returned."""
        releases(self)
        self.running = False

    def lock(self) -> None:
        """The same as :meth:`begin`."""
        self.begin()

    def unlock(self) -> None:
        """The same as :meth:`end`."""
        self.end()
