# SPDX-License-Identifier: Apache-2.0
"""An event (``threading.Event``, a Win32 event): it is set or not, and tasks wait until it is.

The kernel's counterpart is ``struct completion``, which counts.
"""

from __future__ import annotations

from quiesce.primitives.base import might_sleep
from quiesce.protocol import Bool, Protocol, atomic, wait_until


class Event(Protocol):
    """A flag that tasks wait for.

    :param auto_reset: a wait that returns resets the event, so that one ``set()`` lets one task through.
    """

    is_on = Bool()

    def __init__(self, auto_reset: bool = False) -> None:
        self.auto_reset = auto_reset

    @atomic(label="event_set")
    def set(self) -> None:
        """Set the event."""
        self.is_on = True

    @atomic(label="event_clear")
    def clear(self) -> None:
        """Reset the event."""
        self.is_on = False

    @atomic(label="event_is_set")
    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self.is_on

    @atomic(label="event_wait")
    def wait(self) -> None:
        """Sleep until the event is set."""
        might_sleep()
        wait_until(self.is_on)
        if self.auto_reset:
            self.is_on = False
