# SPDX-License-Identifier: Apache-2.0
"""Traces of our own threads: a scenario of the KVM system that takes note of what its threads do.

The classes of the system are extended, not changed: each call notes its beginning and its return. Under the
interpreter's lock the order of the notes is the order of the moments.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from quiesce.kvm.gates import Gate
from quiesce.kvm.memslots import AddressSpace, Memslots
from quiesce.kvm.real.trace_events import Event, Kind, Trace
from quiesce.kvm.scenarios import MemslotUpdates, Parts
from quiesce.kvm.vm import Kvm
from quiesce.protocol import current

MOST_EVENTS = 1_000_000
"""Events that are kept: some 150 MB. What comes later is not recorded, so the trace ends there."""


class Recorder:
    """Takes note of events in the order in which they happen."""

    def __init__(self) -> None:
        self.events: list[Event] = []

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

    class Recorded(MemslotUpdates):
        """The scenario, with classes that take notes."""

        def parts(self, design: str) -> Parts:
            parts = super().parts(design)
            return dataclasses.replace(
                parts,
                gate=_noting_gate(parts.gate, recorder.note),
                kvm=_noting_kvm(parts.kvm, recorder.note),
            )

    return Recorded(**settings), recorder


def _noting_gate(base: type[Gate], note: Callable[[Kind], None]) -> type[Gate]:
    class Noting(base):  # type: ignore[misc, valid-type]
        """The gate; notes that a set is published."""

        def publish(self, space: AddressSpace, new: Memslots) -> None:
            super().publish(space, new)
            note(Kind.PUBLISHED)

    return Noting


def _noting_kvm(base: type[Kvm], note: Callable[[Kind], None]) -> type[Kvm]:
    class Noting(base):  # type: ignore[misc, valid-type]
        """The VM; notes the calls of the notifier and the swaps."""

        def invalidate_range_start(self, hva: int, blockable: bool) -> int:
            note(Kind.START)
            ticket = super().invalidate_range_start(hva, blockable)
            note(Kind.START_DONE)
            return int(ticket)

        def invalidate_range_end(self, hva: int, blockable: bool, ticket: int) -> None:
            note(Kind.END)
            super().invalidate_range_end(hva, blockable, ticket)
            note(Kind.END_DONE)

        def swap_active_memslots(self, space: AddressSpace) -> None:
            note(Kind.SWAP)
            super().swap_active_memslots(space)
            note(Kind.GRACE_DONE)

    return Noting
