# SPDX-License-Identifier: Apache-2.0
"""Runs of the native gates: threads that invalidate, update and fault, and what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quiesce.kvm.real import native_kernels as native
from quiesce.kvm.real.device import HostMemory
from quiesce.kvm.real.trace_events import Event, Kind, Trace

DESIGNS = {
    "always_lock": native.ALWAYS_LOCK,
    "elide_unguarded": native.ELIDE_UNGUARDED,
    "rwsem": native.RWSEM_GATE,
    "count": native.COUNT_GATE,
    "phased": native.PHASED,
}
WORK = {
    "nothing": native.NOTHING,
    "dontneed": native.DONTNEED,
    "mprotect": native.MPROTECT,
    "mremap": native.MREMAP,
    "fork": native.FORK,
    "spin": native.SPIN,
}
"""What an invalidation does between start and end."""

MOST_UPDATES = 1 << 20
"""Updates of one thread whose time is kept."""

_KINDS = tuple(Kind)
_BROKEN = {
    native.UNBALANCED: "mmu_invalidate_in_progress is not what the invalidations under way raised it to",
    native.DISAGREED: "an end did not take mmu_lock as its start did",
    native.STALE: "a translation outlived the page, and no invalidation of it was under way",
    native.UNDERFLOW: "the count of invalidations went below 0",
}
"""The invariants that are looked at while the threads run, and the cell that counts when each was false."""


@dataclass(slots=True)
class Threads:
    """What to run.

    :param design: one of ``DESIGNS``; empty: no gate but the kernel's own.
    :param work: one of ``WORK``.
    :param related: share of invalidations that hit the slot's page, 0 to 1.
    :param nested: share of invalidations with another one inside, 0 to 1.
    :param hold_us: how long a vCPU holds ``mmu_lock`` at a time, in microseconds.
    :param pause_us: how long an updater sleeps between two updates, in microseconds.
    :param log_events: events of each thread that are recorded; 0: no trace.
    """

    design: str = ""
    notifiers: int = 2
    updaters: int = 1
    vcpus: int = 0
    work: str = "nothing"
    related: float = 0.0
    nested: float = 0.0
    hold_us: int = 50
    pause_us: int = 100
    seed: int = 0
    log_events: int = 0


@dataclass(slots=True)
class NativeResult:
    """What a run came to.

    :param waits: the time of each update in ns.
    :param held: the share of the time for which vCPUs held ``mmu_lock``.
    :param broken: what was found false, and how often.
    :param deadlock: the threads of a deadlock; empty if there was none.
    """

    design: str
    seconds: float
    invalidations: int
    updates: int
    faults: int
    waits: np.ndarray[Any, np.dtype[np.int64]]
    held: float = 0.0
    broken: list[tuple[str, int]] = field(default_factory=list)
    deadlock: list[str] = field(default_factory=list)
    trace: Trace | None = None
    until_end: bool = False
    """An update was still under way at the deadline."""
    related: int = 0
    """How many of the invalidations hit the slot's page."""

    @property
    def rate(self) -> float:
        """Whole invalidations a second, of all threads together."""
        return self.invalidations / self.seconds if self.seconds else 0.0


class Crowd:
    """Threads at native speed that share one gate: start them, wait for them, read what came of it.

    Every thread stops by itself at the deadline, whatever becomes of this object.

    :param deadline: on ``time.monotonic``.
    """

    def __init__(self, what: Threads, deadline: float) -> None:
        self.what = what
        self.cells = np.zeros(native.CELLS, np.int64)
        self._lock_words = np.zeros(native.LOCK_WORDS, np.int64)
        self._deadline = int(deadline * 1e9)
        self._regions: list[HostMemory] = []
        self._members: list[_Member] = []
        self._began = 0.0
        self._go = threading.Event()
        self._add("updater", what.updaters if what.design else 0, self._update)
        self._add("vcpu", what.vcpus if what.design else 0, self._fault)
        self._add("notifier", what.notifiers, self._invalidate)

    def _add(self, name: str, count: int, run: Callable[[_Member], None]) -> None:
        for number in range(count):
            log = np.zeros(2 + 2 * self.what.log_events, np.int64)
            member = _Member(f"{name}/{number}", len(self._members), log, run, self._go)
            self._members.append(member)

    def start(self, regions: list[int] | None = None) -> None:
        """Start all threads.

        :param regions: where each notifier's 64 KiB are, with as much room behind them; None: new memory.
        """
        self.regions = regions or [self._region() for _ in range(self.what.notifiers)]
        try:
            for member in self._members:
                member.thread.start()
        except BaseException:
            self.stop()
            raise
        finally:
            # Only now: threads that spin already would hold up the start of the others.
            self._began = time.monotonic()
            self._go.set()

    def _region(self) -> int:
        memory = HostMemory(2 * native.REGION)
        self._regions.append(memory)
        return memory.address

    def stop(self) -> None:
        """Ask every thread to stop at its next step."""
        self.cells[native.STOP] = 1

    def wait(self) -> NativeResult:
        """Wait until all threads are gone; return what came of it."""
        try:
            for member in self._members:
                member.thread.join()
        except BaseException:
            self.stop()
            for member in self._members:
                member.thread.join()
            raise
        seconds = time.monotonic() - self._began
        for memory in self._regions:
            # A storm of mremap leaves a hole where the region was.
            self._regions = []
            memory.close()
        return self._result(seconds)

    @property
    def thread_ids(self) -> list[int]:
        """The kernel's numbers of the notifiers, as in ``/proc/self/task``."""
        found = (m.thread.native_id for m in self._members if m.name.startswith("notifier"))
        return [number for number in found if number is not None]

    def _invalidate(self, member: _Member) -> None:
        what, (ts, place) = self.what, member.clock
        region = self.regions[int(member.name.rpartition("/")[2])]
        native.invalidate(
            DESIGNS.get(what.design, native.NO_GATE), WORK[what.work],
            round(what.related * 256), round(what.nested * 256),
            self.cells, self._locks, member.results, member.log, ts, place,
            region, region + native.REGION, self._deadline, what.seed * 1000 + member.number,
        )  # fmt: skip

    def _update(self, member: _Member) -> None:
        ts, place = member.clock
        member.waits = np.zeros(MOST_UPDATES, np.int64)
        native.update(
            DESIGNS[self.what.design], self.what.pause_us,
            self.cells, self._locks, member.results, member.log, member.waits, ts, place,
            self._deadline,
        )  # fmt: skip

    def _fault(self, member: _Member) -> None:
        ts, place = member.clock
        native.fault(
            self.what.hold_us * 1000, self.what.vcpus, self.cells, member.results, ts, place,
            self._deadline,
        )  # fmt: skip

    @property
    def _locks(self) -> int:
        return int(self._lock_words.ctypes.data)

    def _result(self, seconds: float) -> NativeResult:
        of = {kind: [m for m in self._members if m.name.startswith(kind)] for kind in _ROLES}
        waits = [m.waits[: min(int(m.results[0]), MOST_UPDATES)] for m in of["updater"]]
        held = sum(int(m.results[1]) for m in of["vcpu"])
        stuck = bool(self.cells[native.STUCK])
        return NativeResult(
            self.what.design,
            seconds,
            sum(int(m.results[0]) for m in of["notifier"]),
            sum(int(m.results[0]) for m in of["updater"]),
            sum(int(m.results[0]) for m in of["vcpu"]),
            np.concatenate(waits) if waits else np.zeros(0, np.int64),
            held / 1e9 / seconds if seconds else 0.0,
            [(text, int(self.cells[c])) for c, text in _BROKEN.items() if self.cells[c]],
            [m.name for m in self._members if m.results[2] and m.name[0] != "v"] if stuck else [],
            self._trace() if self.what.log_events else None,
            any(m.results[3] for m in of["updater"]),
            sum(int(m.results[3]) for m in of["notifier"]),
        )

    def _trace(self) -> Trace:
        """Put the events of all threads into one order."""
        found: list[tuple[int, Event]] = []
        whole = int(self.cells[native.ORDER])
        for member in self._members:
            count = int(member.log[0])
            if count >= self.what.log_events:
                # What it did later is not known, so nobody's later events can be judged.
                whole = min(whole, int(member.log[2 * count]) + 1)
            for at in range(count):
                order, kind = int(member.log[2 + 2 * at]), int(member.log[3 + 2 * at])
                found.append((order, Event(_KINDS[kind], member.name, "0", order)))
        found.sort(key=lambda one: one[0])
        events = [event for order, event in found if order < whole]
        return Trace(events, "native gates", unit="events")


_ROLES = ("notifier", "updater", "vcpu")


class _Member:
    """One thread, with the arrays that its loop writes to."""

    def __init__(
        self,
        name: str,
        number: int,
        log: np.ndarray[Any, np.dtype[np.int64]],
        run: Callable[[_Member], None],
        go: threading.Event,
    ) -> None:
        self.name = name
        self.number = number
        self.log = log
        self.results = np.zeros(16, np.int64)
        self.waits = np.zeros(0, np.int64)
        ts = np.zeros(16, np.int64)
        self.clock = (ts, int(ts.ctypes.data))
        self._go = go
        self._run = run
        self.thread = threading.Thread(target=self._begin, name=name, daemon=True)

    def _begin(self) -> None:
        self._go.wait()
        self._run(self)


def run_native(what: Threads, deadline: float) -> NativeResult:
    """Run a crowd until *deadline* (``time.monotonic``) and return what came of it."""
    crowd = Crowd(what, deadline)
    crowd.start()
    return crowd.wait()


def compile_kernels() -> float:
    """Compile the loops, or load them from the cache; return the seconds that it took."""
    began = time.monotonic()
    run_native(Threads("count", 1, 1, 1), began)
    return time.monotonic() - began
