# SPDX-License-Identifier: Apache-2.0
"""One phase of a measurement: a VM whose memslots are updated while a storm goes on.

An update creates or deletes a slot of 16 pages that nothing uses. After each comes a request that is rejected
(the deletion of a slot that is not there): it takes the same way up to ``slots_lock`` and waits for nothing
else, so what it takes under the same storm is what an update would take without waiting.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

from quiesce.errors import UsageError
from quiesce.kvm.real.device import PAGE, HostMemory, Vm, fresh_vm
from quiesce.kvm.real.guest import RealModeGuest
from quiesce.kvm.real.stall_looks import Watcher
from quiesce.kvm.real.stall_result import Measured
from quiesce.kvm.real.stall_storm import REGION, Storm

PAUSE = 0.0002
"""Seconds between two updates."""

_UPDATED, _ABSENT, _GUEST, _FIRST_RELATED = 1, 2, 3, 4
"""Ids of slots."""

_UPDATED_AT, _GUEST_AT, _RELATED_AT = 1 << 30, 1 << 20, 1 << 24
"""Guest physical addresses."""

MOST_RELATED = 48
"""How many threads' regions become slots: a VM has few slots here."""


class Updates:
    """The updating thread.

    :param vm: whose memslots it updates.
    :param deadline: when it stops (``time.monotonic``); an update under way is finished.
    """

    def __init__(self, vm: Vm, memory: HostMemory, deadline: float) -> None:
        self.updates: list[float] = []
        self.rejected: list[float] = []
        self.last_began = self.last_ended = 0.0
        self.worst = (0.0, 0.0, 0.0)
        """The longest update: its time in ms, when it began, when it ended."""
        self.failed: int = 0
        self.go = threading.Event()
        """Set when it is to begin."""
        self.since = 0.0
        """When the update under way began; 0: there is none."""
        self.over = False
        """It is to stop before its deadline."""
        self._vm = vm
        self._memory = memory
        self._deadline = deadline
        self.thread = threading.Thread(target=self._run, name="updater", daemon=True)

    def _run(self) -> None:
        exists = False
        self.go.wait()
        while (not self.over and time.monotonic() < self._deadline) or exists:
            size = 0 if exists else self._memory.size
            began = self.since = time.monotonic()
            self.failed = self._vm.set_user_memory_region(
                _UPDATED, 0, _UPDATED_AT, size, self._memory.address
            )
            ended = time.monotonic()
            self.since = 0.0
            if self.failed:
                return
            exists = not exists
            self._vm.set_user_memory_region(_ABSENT, 0, _UPDATED_AT, 0, self._memory.address)
            self.rejected.append((time.monotonic() - ended) * 1e3)
            self.updates.append((ended - began) * 1e3)
            self.worst = max(self.worst, ((ended - began) * 1e3, began, ended))
            time.sleep(PAUSE)


@contextlib.contextmanager
def _related(vm: Vm, regions: list[int]) -> Iterator[None]:
    """Let the storm's memory back slots of the VM."""
    for number, address in enumerate(regions[:MOST_RELATED]):
        failed = vm.set_user_memory_region(
            _FIRST_RELATED + number, 0, _RELATED_AT + number * REGION, REGION, address
        )
        if failed:
            raise UsageError(f"a slot for the storm's memory is refused: {os.strerror(failed)}")
    yield


@contextlib.contextmanager
def _vcpu(vm: Vm, regions: list[int], deadline: float) -> Iterator[list[int]]:
    """Run a vCPU that reads the guest's memory until *deadline*; yield a list with its number of runs."""
    over = threading.Event()
    addresses = [_RELATED_AT + number * REGION for number in range(min(len(regions), 16))]
    runs = [0]
    with RealModeGuest(vm, _GUEST, _GUEST_AT) as guest:

        def run() -> None:
            while not over.is_set() and time.monotonic() < deadline:
                guest.read(addresses or [_GUEST_AT])
                runs[0] += 1

        thread = threading.Thread(target=run, name="vcpu", daemon=True)
        thread.start()
        try:
            yield runs
        finally:
            over.set()
            thread.join()


def measure(
    what: str,
    storm: Storm | None,
    regions: list[int],
    deadline: float,
    *,
    related: bool = False,
    vcpu: bool = False,
) -> Measured:
    """Measure updates of a new VM until *deadline*, while *storm* goes on.

    :param what: the name of the phase.
    :param regions: the memory that the storm invalidates.
    :param related: the memory backs slots of the VM.
    :param vcpu: a vCPU runs meanwhile.
    :raises UsageError: there is no usable ``/dev/kvm``, or it refuses what is needed.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        vm = stack.enter_context(fresh_vm())
        memory = stack.enter_context(HostMemory(16 * PAGE))
        if related:
            stack.enter_context(_related(vm, regions))
        if vcpu:
            stack.enter_context(_vcpu(vm, regions if related else [], deadline))
        updates = Updates(vm, memory, deadline)
        rate, watcher = 0.0, None
        updates.thread.start()
        try:
            if storm is not None:
                storm.start()
                updates.go.set()
                numbers = (updates.thread.native_id or 0, storm.thread_ids)
                watcher = Watcher(*numbers, lambda: updates.since)
                watcher.start()
                rate = storm.wait()
            else:
                updates.go.set()
                time.sleep(max(0.0, deadline - time.monotonic()))
        finally:
            updates.over = True
            updates.go.set()
            if storm is not None:
                storm.stop()
            updates.thread.join()
            looks = watcher.finish() if watcher is not None else None
    if updates.failed:
        raise UsageError(f"a memslot update is refused: {os.strerror(updates.failed)}")
    _worst, since, until = updates.worst
    return Measured(
        what,
        len(regions) if storm is not None else 0,
        updates.updates,
        updates.rejected,
        rate,
        time.monotonic() - began,
        storm is not None and since < deadline <= until,
        os.getloadavg()[0],
        looks,
    )
