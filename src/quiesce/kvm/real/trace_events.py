# SPDX-License-Identifier: Apache-2.0
"""The events of a trace: what a task does at the gate, in one format for every source.

A trace is a sequence of events in the order in which they happened. Its text has one line an event, with
four columns: time, task, VM, event. Lines that begin with ``#`` are comments::

    # quiesce trace 1
    120 stall-104 0 start
    135 stall-104 0 start_done

The unit of the time is that of the source (ns, or steps); only the order of the lines counts.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """What happened. Each is a moment that a function probe can see."""

    START = "start"
    """A task enters ``kvm_mmu_notifier_invalidate_range_start()``."""
    START_DONE = "start_done"
    """It has returned from there: its invalidation has passed the gate."""
    END = "end"
    """The task enters ``kvm_mmu_notifier_invalidate_range_end()``."""
    END_DONE = "end_done"
    """It has returned from there."""
    SWAP = "swap"
    """An updater enters ``kvm_swap_active_memslots()``."""
    PUBLISHED = "published"
    """The new set of memslots is active by now, and the grace period is about to begin."""
    GRACE_DONE = "grace_done"
    """The updater has returned from ``kvm_swap_active_memslots()``."""


HEADER = "# quiesce trace 1"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    :param kind: what happened.
    :param task: which task did it: a name without blanks, unique among the tasks of the trace.
    :param vm: at the gate of which VM.
    :param time: when, in the unit of the source.
    :param line: the line of the file that says so, from 1 on; 0: it is from no file.
    """

    kind: Kind
    task: str
    vm: str = "0"
    time: int = 0
    line: int = 0


@dataclass(slots=True)
class Trace:
    """A trace, with what its source says about its completeness.

    :param source: where it is from, for people: ``ftrace``, ``events``, ``path of the explorer``.
    :param begins_late: calls may have been under way before the first event (a ring buffer that was
        overwritten): ends without a start prove nothing then.
    :param lost: indexes of events before which the source lost some.
    :param unit: the unit of the times, ``ns``, ``us``, ``ticks`` or ``steps``.
    :param notes: what a person should know about how it was read.
    :param loop_from: of the path of an endless run, the index of the first event of its loop.
    """

    events: list[Event]
    source: str = "events"
    begins_late: bool = False
    lost: list[int] = field(default_factory=list)
    unit: str = "ns"
    notes: list[str] = field(default_factory=list)
    loop_from: int | None = None


def events_text(events: Iterable[Event]) -> str:
    """Return *events* as the text of a trace, which :func:`quiesce.kvm.real.trace_read.read_trace` reads."""
    lines = [f"{e.time} {e.task} {e.vm} {e.kind.value}" for e in events]
    return "\n".join([HEADER, *lines, ""])
