# SPDX-License-Identifier: Apache-2.0
"""Gates: how memslot updates are kept away from the time between a start and its end.

``mmu_lock`` need not be taken for an invalidation that no memslot covers. But start and end each look at
the memslots, and start increments a counter that end decrements. If an update is published between
the two, they decide differently. So the update must wait, or its effect must be kept from the
notifier: five ways to do it, each as its commit does.

An invalidation enters the gate first thing in start and leaves it last thing in end, whatever the range
and whether or not the caller may block. What :meth:`Gate.enter` returns, the *ticket*, travels to the
matching :meth:`Gate.leave`. ``docs/kvm.md`` compares the designs.
"""

from __future__ import annotations

from quiesce.kvm.memslots import AddressSpace, Memslots
from quiesce.kvm.mmu_notifier import MOST_NESTED
from quiesce.primitives import RcuWait, RwSem, SpinLock, schedule, set_current_state
from quiesce.protocol import (
    TASK_UNINTERRUPTIBLE,
    THREADS,
    Array,
    Int,
    Protocol,
    Ref,
    shared,
)


class Gate(Protocol):
    """What every design answers: how an invalidation enters and leaves, and how an update is published."""

    def attach(self, spaces: tuple[AddressSpace, ...]) -> None:
        """Prepare for the address spaces of a VM, before anything runs."""

    def enter(self, blockable: bool) -> int:
        """An invalidation starts.

        :param blockable: the caller may sleep here.
        :returns: the ticket to hand to :meth:`leave`.
        """
        return 0

    def leave(self, ticket: int, blockable: bool) -> None:
        """The same invalidation ends."""

    def must_lock(self, blockable: bool) -> bool:
        """Return whether start and end take ``mmu_lock`` without looking at the memslots."""
        return False

    def memslots(self, space: AddressSpace, ticket: int) -> Memslots:
        """Return the memslots of *space* that the invalidation with *ticket* looks at."""
        return space.active

    def publish(self, space: AddressSpace, new: Memslots) -> None:
        """Make *new* the active set of *space* as soon as that is safe.

        Called with ``slots_lock`` held, so by one updater at a time.
        """
        space.rcu_assign_pointer(new)


class AlwaysLockGate(Gate):
    """Before the series: ``mmu_lock`` is taken for every invalidation, related or not.

    Start and end need not agree on anything, so an update can be published at any time.
    (Before Linux commit 071064f14d87 "KVM: Don't take mmu_lock for range invalidation unless necessary".)
    """

    def must_lock(self, blockable: bool) -> bool:
        return True


class ElideUnguardedGate(Gate):
    """Eliding without holding updates up: what the series had to avoid. The base class does just that."""


class RwsemGate(Gate):
    """The second version of the patch: a semaphore held for reading from start to end.

    "[PATCH v2 09/10] KVM: Don't take mmu_lock for range invalidation unless necessary", April 2021. A
    start that must not sleep does without the semaphore, and takes ``mmu_lock`` instead, as before.
    """

    mmu_notifier_slots_lock = RwSem("&kvm->mmu_notifier_slots_lock")

    def enter(self, blockable: bool) -> int:
        if blockable:
            self.mmu_notifier_slots_lock.down_read()
        return 0

    def leave(self, ticket: int, blockable: bool) -> None:
        if blockable:
            self.mmu_notifier_slots_lock.up_read()

    def must_lock(self, blockable: bool) -> bool:
        return not blockable

    def publish(self, space: AddressSpace, new: Memslots) -> None:
        self.mmu_notifier_slots_lock.down_write()
        space.rcu_assign_pointer(new)
        self.mmu_notifier_slots_lock.up_write()


class CountGate(Gate):
    """The merged design: a count of invalidations under a spinlock, and one updater that waits for zero.

    Linux commit 52ac8b358b0c ("KVM: Block memslot updates across range_start() and range_end()").
    """

    mn_invalidate_lock = SpinLock("&kvm->mn_invalidate_lock")
    mn_active_invalidate_count = Int(0, high=MOST_NESTED * THREADS)
    mn_memslots_update_rcuwait = RcuWait("&kvm->mn_memslots_update_rcuwait")

    def enter(self, blockable: bool) -> int:
        # Pairs with the pointer store in publish(): no start can come between its test of the
        # count and its store.
        with self.mn_invalidate_lock:
            self.mn_active_invalidate_count += 1
        return 0

    def leave(self, ticket: int, blockable: bool) -> None:
        with self.mn_invalidate_lock:
            # Since d489ec956583 the kernel warns here and leaves the count alone.
            assert self.mn_active_invalidate_count > 0, "mn_active_invalidate_count is unbalanced"
            self.mn_active_invalidate_count -= 1
            wake = self.mn_active_invalidate_count == 0
        # There can be only one waiter, since the wait happens under slots_lock.
        if wake:
            self.mn_memslots_update_rcuwait.wake_up()

    def publish(self, space: AddressSpace, new: Memslots) -> None:
        with self.mn_invalidate_lock:
            self.wait_until_quiet()
            space.rcu_assign_pointer(new)

    def wait_until_quiet(self) -> None:
        """Sleep until no invalidation is between start and end; the spinlock is held but for that."""
        self.mn_memslots_update_rcuwait.prepare_to_rcuwait()
        while self.mn_active_invalidate_count:
            set_current_state(TASK_UNINTERRUPTIBLE)
            self.mn_invalidate_lock.unlock()
            schedule()
            self.mn_invalidate_lock.lock()
        self.mn_memslots_update_rcuwait.finish_rcuwait()


class View(Protocol):
    """What the invalidations of one phase see of one address space."""

    def __init__(self, sets: tuple[Memslots, ...]) -> None:
        self.mn_memslots = shared(Ref(sets, 0))


class Views(Protocol):
    """The views of both phases of one address space."""

    def __init__(self, sets: tuple[Memslots, ...]) -> None:
        self.of_phase = shared(Array(View(sets), 2))


class PhasedGate(Gate):
    """Beyond the series: an update waits only for the invalidations that began before it.

    An invalidation belongs to the phase in which it started, and its end decides as its start did, by
    the memslots that this phase looks at. An update gives the other phase the new memslots, makes it
    the current one, and waits until no invalidation is left in the phase before. From then on every
    invalidation under way has looked at the new memslots, so they can be published to the vCPUs. New
    invalidations never prolong the wait: none can join a phase that was left.
    """

    mn_invalidate_lock = SpinLock("&kvm->mn_invalidate_lock")
    phase = Int(0, high=1)
    active = Array[int](Int(0, high=MOST_NESTED * THREADS), 2)
    """How many invalidations belong to each phase."""
    mn_memslots_update_rcuwait = RcuWait("&kvm->mn_memslots_update_rcuwait")
    views: tuple[Views, ...]

    def attach(self, spaces: tuple[AddressSpace, ...]) -> None:
        self.views = tuple(Views(space.sets) for space in spaces)

    def enter(self, blockable: bool) -> int:
        with self.mn_invalidate_lock:
            ticket = self.phase
            self.active[ticket] += 1
        return ticket

    def leave(self, ticket: int, blockable: bool) -> None:
        with self.mn_invalidate_lock:
            assert self.active[ticket] > 0, "the count of this phase is unbalanced"
            self.active[ticket] -= 1
            wake = self.active[ticket] == 0 and self.phase != ticket
        if wake:
            self.mn_memslots_update_rcuwait.wake_up()

    def memslots(self, space: AddressSpace, ticket: int) -> Memslots:
        # No lock: a view is only written while its phase is empty.
        return self.views[space.as_id].of_phase[ticket].mn_memslots

    def publish(self, space: AddressSpace, new: Memslots) -> None:
        views = self.views[space.as_id]
        with self.mn_invalidate_lock:
            left = self.phase
            views.of_phase[1 - left].mn_memslots = new
            self.phase = 1 - left
            self.wait_until_left(left)
            # The old set is about to be reused, and the phase that was left is the next to come.
            views.of_phase[left].mn_memslots = new
        space.rcu_assign_pointer(new)

    def wait_until_left(self, left: int) -> None:
        """Sleep until no invalidation belongs to the phase *left* any more."""
        self.mn_memslots_update_rcuwait.prepare_to_rcuwait()
        while self.active[left]:
            set_current_state(TASK_UNINTERRUPTIBLE)
            self.mn_invalidate_lock.unlock()
            schedule()
            self.mn_invalidate_lock.lock()
        self.mn_memslots_update_rcuwait.finish_rcuwait()


GATES: dict[str, type[Gate]] = {
    "always_lock": AlwaysLockGate,
    "elide_unguarded": ElideUnguardedGate,
    "rwsem": RwsemGate,
    "count": CountGate,
    "phased": PhasedGate,
}
"""The five designs by name."""
