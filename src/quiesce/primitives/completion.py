# SPDX-License-Identifier: Apache-2.0
"""struct completion: "it is done", said once for each waiter or once for all.

``complete()`` lets one waiter go, now or later; ``complete_all()`` every waiter until
``reinit_completion()``. A newcomer may take what a sleeper was woken for, so waiting is not queued
(``do_wait_for_common()`` looks at ``done`` before it enqueues, ``kernel/sched/completion.c``).
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.protocol import THREADS, Bool, Int, Protocol, atomic, wait_until

MOST_AHEAD = 63
"""How many completions for each thread may not have been waited for. (The kernel stops counting at
``UINT_MAX``; a model of that would lose them much earlier.)"""


class Completion(Protocol):
    """Counts what was completed and not yet waited for."""

    done = Int(0, high=MOST_AHEAD * THREADS)
    all_done = Bool()

    @atomic(label="complete")
    def complete(self) -> None:
        """Let one waiter go."""
        if not self.all_done:
            self.done += 1

    @atomic(label="complete_all")
    def complete_all(self) -> None:
        """Let all waiters go, also those to come."""
        self.all_done = True
        self.done = 0

    @atomic(label="reinit_completion")
    def reinit_completion(self) -> None:
        """Start again; no task may be waiting."""
        self.all_done = False
        self.done = 0

    @atomic(label="wait_for_completion")
    def wait_for_completion(self) -> None:
        """Sleep until it is completed."""
        might_sleep()
        wait_until(self.all_done or self.done > 0)
        if not self.all_done:
            self.done -= 1
