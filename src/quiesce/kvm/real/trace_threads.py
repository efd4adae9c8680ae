# SPDX-License-Identifier: Apache-2.0
"""Traces of our own threads: a scenario of the KVM system that takes note of what its threads do.

The classes of the system are extended, not changed: each call notes its beginning and its return. Under the
interpreter's lock the order of the notes is the order of the moments.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from quiesce.kvm.gates import Gate
from quiesce.kvm.memslots import AddressSpace, Change, Memslots
from quiesce.kvm.real.trace_events import Event, Kind, Trace
from quiesce.kvm.scenarios import MemslotUpdates, Parts
from quiesce.kvm.vm import Kvm
from quiesce.protocol import current

MOST_EVENTS = 1_000_000
"""Events that are kept: some 150 MB. What comes later is not recorded, so the trace ends there."""


class Recorder:
    """Takes note of events in the order in which they happen, and of how long updates take."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.updates: list[float] = []
        """The time of each whole update in ms."""
        self.related = 0
        """Whole invalidations of a page of the slot."""
        self.unrelated = 0
        """Whole invalidations of the page that no slot covers."""

    def note(self, kind: Kind) -> None:
        """Note that the current task does *kind* now."""
        if len(self.events) < MOST_EVENTS:
            event = Event(kind, current().name, "0", time.monotonic_ns())
            self.events.append(event)

    def trace(self) -> Trace:
        """Return what was noted so far."""
        return Trace(list(self.events), "threads")


def recorded_scenario(settings: dict[str, Any]) -> tuple[MemslotUpdates, Recorder]:
    """Return a scenario with these parameters whose threads note what they do, and the notes."""
    recorder = Recorder()
    return recorded_class(recorder)(**settings), recorder


def recorded_class(recorder: Recorder) -> type[MemslotUpdates]:
    """Return the scenario's class, with parts that tell *recorder* what they do."""

    class Recorded(MemslotUpdates):
        """The scenario, with classes that take notes."""

        def parts(self, design: str) -> Parts:
            parts = super().parts(design)
            return dataclasses.replace(
                parts, gate=_noting_gate(parts.gate, recorder), kvm=_noting_kvm(parts.kvm, recorder)
            )

    Recorded.__name__ = MemslotUpdates.__name__
    return Recorded


def _noting_gate(base: type[Gate], recorder: Recorder) -> type[Gate]:
    class Noting(base):  # type: ignore[misc, valid-type]
        """The gate; notes that a set is published."""

        def publish(self, space: AddressSpace, new: Memslots) -> None:
            super().publish(space, new)
            recorder.note(Kind.PUBLISHED)

    return Noting


def _noting_kvm(base: type[Kvm], recorder: Recorder) -> type[Kvm]:
    class Noting(base):  # type: ignore[misc, valid-type]
        """The VM; notes the calls of the notifier, the swaps and the updates."""

        def invalidate_range_start(self, hva: int, blockable: bool) -> int:
            recorder.note(Kind.START)
            ticket = super().invalidate_range_start(hva, blockable)
            recorder.note(Kind.START_DONE)
            return int(ticket)

        def invalidate_range_end(self, hva: int, blockable: bool, ticket: int) -> None:
            recorder.note(Kind.END)
            super().invalidate_range_end(hva, blockable, ticket)
            recorder.note(Kind.END_DONE)
            if hva < self.pages:
                recorder.related += 1
            else:
                recorder.unrelated += 1

        def set_memslot(self, space: AddressSpace, change: Change, log_dirty: bool) -> None:
            began = time.monotonic()
            super().set_memslot(space, change, log_dirty)
            recorder.updates.append((time.monotonic() - began) * 1e3)

        def swap_active_memslots(self, space: AddressSpace) -> None:
            recorder.note(Kind.SWAP)
            super().swap_active_memslots(space)
            recorder.note(Kind.GRACE_DONE)

    return Noting
