# SPDX-License-Identifier: Apache-2.0
"""Bugs in a gate. ``table.py`` says what each one does."""

from __future__ import annotations

from quiesce.kvm.gates import CountGate, PhasedGate
from quiesce.kvm.memslots import AddressSpace, Memslots
from quiesce.primitives import schedule, set_current_state
from quiesce.protocol import TASK_UNINTERRUPTIBLE


class WakeUpDropped(CountGate):
    def leave(self, ticket: int, blockable: bool) -> None:
        with self.mn_invalidate_lock:
            self.mn_active_invalidate_count -= 1


class WakeUpBeforeDecrement(CountGate):
    def leave(self, ticket: int, blockable: bool) -> None:
        with self.mn_invalidate_lock:
            wake = self.mn_active_invalidate_count == 1
        if wake:
            self.mn_memslots_update_rcuwait.wake_up()
        with self.mn_invalidate_lock:
            self.mn_active_invalidate_count -= 1


class IfInsteadOfWhile(CountGate):
    def wait_until_quiet(self) -> None:
        self.mn_memslots_update_rcuwait.prepare_to_rcuwait()
        if self.mn_active_invalidate_count:
            set_current_state(TASK_UNINTERRUPTIBLE)
            self.mn_invalidate_lock.unlock()
            schedule()
            self.mn_invalidate_lock.lock()
        self.mn_memslots_update_rcuwait.finish_rcuwait()


class StateSetAfterUnlock(CountGate):
    def wait_until_quiet(self) -> None:
        self.mn_memslots_update_rcuwait.prepare_to_rcuwait()
        while self.mn_active_invalidate_count:
            self.mn_invalidate_lock.unlock()
            set_current_state(TASK_UNINTERRUPTIBLE)
            schedule()
            self.mn_invalidate_lock.lock()
        self.mn_memslots_update_rcuwait.finish_rcuwait()


class FinishForgotten(CountGate):
    def wait_until_quiet(self) -> None:
        self.mn_memslots_update_rcuwait.prepare_to_rcuwait()
        while self.mn_active_invalidate_count:
            set_current_state(TASK_UNINTERRUPTIBLE)
            self.mn_invalidate_lock.unlock()
            schedule()
            self.mn_invalidate_lock.lock()


class PublishedOutsideLock(CountGate):
    def publish(self, space: AddressSpace, new: Memslots) -> None:
        with self.mn_invalidate_lock:
            self.wait_until_quiet()
        space.rcu_assign_pointer(new)


class CountNotLocked(CountGate):
    def enter(self, blockable: bool) -> int:
        self.mn_active_invalidate_count += 1
        return 0


class LockNeverElided(CountGate):
    def must_lock(self, blockable: bool) -> bool:
        return True


class PhaseNotAwaited(PhasedGate):
    def wait_until_left(self, left: int) -> None:
        pass


class PublishedBeforeWait(PhasedGate):
    def publish(self, space: AddressSpace, new: Memslots) -> None:
        space.rcu_assign_pointer(new)
        views = self.views[space.as_id]
        with self.mn_invalidate_lock:
            left = self.phase
            views.of_phase[1 - left].mn_memslots = new
            self.phase = 1 - left
            self.wait_until_left(left)
            views.of_phase[left].mn_memslots = new


class LeftViewKept(PhasedGate):
    def publish(self, space: AddressSpace, new: Memslots) -> None:
        views = self.views[space.as_id]
        with self.mn_invalidate_lock:
            left = self.phase
            views.of_phase[1 - left].mn_memslots = new
            self.phase = 1 - left
            self.wait_until_left(left)
        space.rcu_assign_pointer(new)


class PhaseNotFlipped(PhasedGate):
    def publish(self, space: AddressSpace, new: Memslots) -> None:
        views = self.views[space.as_id]
        with self.mn_invalidate_lock:
            views.of_phase[self.phase].mn_memslots = new
            views.of_phase[1 - self.phase].mn_memslots = new
        space.rcu_assign_pointer(new)
