# SPDX-License-Identifier: Apache-2.0
"""Which thread holds which lock, and which threads can therefore never move again.

A protocol's locks are ordinary variables; what makes one a lock is that its methods declare
``acquires`` and ``releases``. From these declarations alone this file knows which thread waits for which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quiesce.protocol import EXCLUSIVE, Mode, Protocol, Task
from quiesce.threads.place import Place


@dataclass(frozen=True)
class Hold:
    """A lock that a thread holds: since when (``time.monotonic``) and taken at which line."""

    lock: Protocol
    task: Task
    mode: Mode
    since: float
    place: Place


@dataclass(frozen=True)
class Want:
    """A lock that a thread waits for."""

    lock: Protocol
    task: Task
    mode: Mode


class Holdings:
    """The locks held now. Used under the scenario's lock."""

    def __init__(self) -> None:
        # By identity: a component may define its own notion of equality.
        self._holds: dict[int, list[Hold]] = {}

    def take(self, hold: Hold) -> None:
        """*hold.task* has got *hold.lock*."""
        self._holds.setdefault(id(hold.lock), []).append(hold)

    def let_go(self, lock: Protocol, task: Task) -> None:
        """*task* releases *lock*: its own latest hold, else (a lock handed over) the oldest one."""
        holds = self._holds.get(id(lock), [])
        for i in reversed(range(len(holds))):
            if holds[i].task is task:
                del holds[i]
                return
        if holds:
            del holds[0]

    def of_lock(self, lock: Protocol) -> list[Hold]:
        """Return the holds of *lock*, oldest first."""
        return list(self._holds.get(id(lock), ()))

    def of_task(self, task: Task) -> list[Hold]:
        """Return what *task* holds, oldest first."""
        held = [hold for holds in self._holds.values() for hold in holds if hold.task is task]
        return sorted(held, key=lambda hold: hold.since)


def hopeless(wants: Iterable[Want], holdings: Holdings) -> list[Want]:
    """Return those of *wants* that can never be granted, since each waits for another of them.

    A lock is taken to be given back by its holder only, as lockdep takes it. A thread then waits
    for every holder whose mode conflicts with its own; a reader that conflicts with no holder waits
    behind a writer that is queued. Repeatedly remove threads that wait for a thread outside the set. The
    remaining threads wait for each other.
    """
    left = list(wants)
    while True:
        stuck = [want for want in left if _is_blocked_by(left, want, holdings)]
        if len(stuck) == len(left):
            return left
        left = stuck


def _is_blocked_by(group: list[Want], want: Want, holdings: Holdings) -> bool:
    holds = holdings.of_lock(want.lock)
    members = [other.task for other in group]
    conflicting = [h for h in holds if EXCLUSIVE in (h.mode, want.mode)]
    if conflicting:
        return any(any(h.task is task for task in members) for h in conflicting)
    return bool(holds) and any(
        other.lock is want.lock and other.mode is EXCLUSIVE and other is not want for other in group
    )
