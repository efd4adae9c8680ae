# SPDX-License-Identifier: Apache-2.0
"""Planted bugs: what a checker of this protocol has to find, each with a twin that holds.

A bug is the real class with one thing changed, put into the scenario by ``MemslotUpdates(bug=name)``.
Its twin is the same scenario without it. ``docs/planted_bugs.md`` is the table; many of them were made
for real once (see there).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.kvm.gates import CountGate, Gate, PhasedGate, RwsemGate
from quiesce.kvm.memslots import NULL, VALID, AddressSpace, Change, MemslotSet
from quiesce.kvm.mm import Mm
from quiesce.kvm.mmu import Mmu, Spte
from quiesce.kvm.mmu_notifier import MmuNotifier
from quiesce.kvm.vm import Kvm
from quiesce.primitives import schedule, set_current_state
from quiesce.protocol import READ_ONCE, TASK_UNINTERRUPTIBLE, atomic, choose

Settings = dict[str, str | int | bool]


@dataclass(frozen=True)
class Bug:
    """A planted bug.

    :param what: one sentence on what is wrong.
    :param finds: the kinds of finding that it may be caught by.
    :param settings: the parameters of the scenario in which it shows.
    :param twin: what is different in the twin; nothing but the bug by default.
    """

    what: str
    finds: tuple[str, ...]
    settings: Settings = field(default_factory=dict)
    twin: Settings = field(default_factory=dict)
    gate: type[Gate] | None = None
    kvm: type[Kvm] = Kvm
    mm: type[Mm] = Mm
    mmu_notifier: type[MmuNotifier] = MmuNotifier


# --- In the gate ------------------------------------------------------------------------------------


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
    def publish(self, kvm: Kvm, space: AddressSpace, new: MemslotSet) -> None:
        with self.mn_invalidate_lock:
            self.wait_until_quiet()
        space.rcu_assign_pointer(new)


class CountNotLocked(CountGate):
    def enter(self, blockable: bool) -> int:
        self.mn_active_invalidate_count += 1
        return 0


class PhaseNotAwaited(PhasedGate):
    def wait_until_left(self, left: int) -> None:
        pass


# --- In KVM -----------------------------------------------------------------------------------------


class PhaseOfNow(Kvm):
    gate: PhasedGate

    def invalidate_range_end(self, hva: int, blockable: bool, ticket: int, locked: bool) -> None:
        with self.gate.mn_invalidate_lock:
            now = self.gate.phase
        self.handle_end(hva, now, blockable, locked)
        self.gate.leave(ticket, blockable)


class CountedAfterOverlapTest(Kvm):
    def invalidate_range_start(self, hva: int, blockable: bool) -> tuple[int, bool]:
        locked = self.handle_start(hva, 0, blockable)
        return self.gate.enter(blockable), locked


class ElisionDecidedAtStart(Kvm):
    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_end)")
    def handle_end(self, hva: int, ticket: int, blockable: bool, locked: bool) -> None:
        self.mmu.invalidate_end(locked)


class SeqRaisedLast(Kvm):
    def handle_end(self, hva: int, ticket: int, blockable: bool, locked: bool) -> None:
        if self.lower_in_progress(hva, ticket, blockable, locked):
            self.raise_seq()

    @atomic(label="mmu_invalidate_in_progress--")
    def lower_in_progress(self, hva: int, ticket: int, blockable: bool, locked: bool) -> bool:
        found = self.must_take_notice(hva, ticket, blockable)
        if found:
            with self.mmu.mmu_lock:
                self.mmu.mmu_invalidate_in_progress -= 1
                self.mmu.expected_in_progress -= 1
        return found

    @atomic(label="mmu_invalidate_seq++")
    def raise_seq(self) -> None:
        with self.mmu.mmu_lock:
            self.mmu.mmu_invalidate_seq += 1


class SeqNeverRaised(Kvm):
    @atomic(label="__kvm_handle_hva_range(kvm_mmu_invalidate_end)")
    def handle_end(self, hva: int, ticket: int, blockable: bool, locked: bool) -> None:
        if self.must_take_notice(hva, ticket, blockable):
            with self.mmu.mmu_lock:
                self.mmu.mmu_invalidate_in_progress -= 1
                self.mmu.expected_in_progress -= 1


class GracePeriodSkipped(Kvm):
    def swap_active_memslots(self, space: AddressSpace, new: MemslotSet) -> None:
        old = space.active
        self.gate.publish(self, space, new)
        self.slots_arch_lock.unlock()
        self.bury(space, old)


class DeletedInOneSwap(Kvm):
    def set_memslot(self, space: AddressSpace, change: Change) -> None:
        slot = NULL if change == Change.DELETE else VALID
        self.swap_active_memslots(space, self.prepare(space, change, slot))
        self.mmu.flush_shadow_memslot(space)


class RetryLeftOut(Mmu):
    def is_page_fault_stale(self, hva: int, seq: int) -> bool:
        return False


class FaultWithoutRetry(Kvm):
    mmu_class = RetryLeftOut


class InProgressNotTested(Mmu):
    def is_page_fault_stale(self, hva: int, seq: int) -> bool:
        return self.mmu_invalidate_seq != seq


class FaultIgnoresInProgress(Kvm):
    mmu_class = InProgressNotTested


class RangeOverwritten(Mmu):
    def note_range(self, hva: int) -> None:
        self.mmu_invalidate_range_start = hva
        self.mmu_invalidate_range_end = hva + 1


class RangeNotWidened(Kvm):
    mmu_class = RangeOverwritten


class SeqLookedAtLate(Kvm):
    def page_fault(self, spte: Spte) -> None:
        slots, srcu_index = self.enter_fault(spte)
        page = self.mm.get_user_pages_fast(spte.pte)
        seq = READ_ONCE(self.mmu.mmu_invalidate_seq)
        self.finish_fault(spte, slots, srcu_index, seq, page)


class SlotsLockInReadSection(Kvm):
    def page_fault(self, spte: Spte) -> None:
        slots, srcu_index = self.enter_fault(spte)
        self.slots_lock.lock()
        self.slots_lock.unlock()
        seq = READ_ONCE(self.mmu.mmu_invalidate_seq)
        page = self.mm.get_user_pages_fast(spte.pte)
        self.finish_fault(spte, slots, srcu_index, seq, page)


# --- In the MMU notifier and its callers --------------------------------------------------------------


class EndWithoutStart(MmuNotifier):
    def invalidate_range_start_nonblock(self, hva: int) -> tuple[bool, int, bool]:
        with self.invalidate_range_start_map:
            # The other subscriber comes first and fails, and KVM's start is skipped.
            if choose(False, True):
                self.undo_start(hva, 0, False)
                return False, 0, False
            ticket, locked = self.kvm.invalidate_range_start(hva, False)
        return True, ticket, locked


class FailedStartNotUndone(MmuNotifier):
    def undo_start(self, hva: int, ticket: int, locked: bool) -> None:
        pass


class EndAfterFailedStart(Mm):
    def reap(self, hva: int) -> None:
        if not self.mmap_lock.down_read_trylock():
            return
        _, ticket, locked = self.mmu_notifier.invalidate_range_start_nonblock(hva)
        self.set_pte(hva)
        self.mmu_notifier.invalidate_range_end_nonblock(hva, ticket, locked)
        self.mmap_read_unlock(hva)


_SLEEPS = ("lost wakeup", "stuck thread", "deadlock")
_ALWAYS_LOCK: Settings = {"design": "always_lock", "rounds": 1}
_RECLAIM: Settings = {"operations": "reap", "other_may_fail": True, "rounds": 1, "vcpus": 0}

BUGS: dict[str, Bug] = {
    "wake_up_dropped": Bug(
        "the last invalidation to leave does not wake the updater",
        _SLEEPS, {"rounds": 1}, gate=WakeUpDropped,
    ),
    "wake_up_before_decrement": Bug(
        "the updater is woken before the count is zero, finds it raised, and sleeps again",
        _SLEEPS, {"rounds": 1}, gate=WakeUpBeforeDecrement,
    ),
    "if_instead_of_while": Bug(
        "the updater does not look at the count again after it was woken",
        ("broken invariant",), {"rounds": 1}, gate=IfInsteadOfWhile,
    ),
    "state_set_after_unlock": Bug(
        "the updater announces its sleep after it has dropped the lock: a wake-up in between is lost",
        _SLEEPS, {"rounds": 1}, gate=StateSetAfterUnlock,
    ),
    "finish_rcuwait_forgotten": Bug(
        "the updater stays in the rcuwait after it has stopped waiting",
        ("failed assert",), {"rounds": 1}, gate=FinishForgotten,
    ),
    "published_outside_lock": Bug(
        "the memslots are published after the spinlock is dropped: a start comes in between",
        ("broken invariant",), {"rounds": 1}, gate=PublishedOutsideLock,
    ),
    "count_not_locked": Bug(
        "the count is raised without the spinlock",
        ("data race",), {"rounds": 1}, gate=CountNotLocked,
    ),
    "counted_after_overlap_test": Bug(
        "a start looks at the memslots first and raises the count then",
        ("broken invariant",), {"rounds": 1}, kvm=CountedAfterOverlapTest,
    ),
    "elision_decided_at_start": Bug(
        "a start elides mmu_lock where no memslot is, its end takes it anyway",
        ("broken invariant",), {"rounds": 1}, kvm=ElisionDecidedAtStart,
    ),
    "seq_raised_last": Bug(
        "mmu_invalidate_seq is raised after mmu_invalidate_in_progress was lowered",
        ("broken invariant",), _ALWAYS_LOCK, kvm=SeqRaisedLast,
    ),
    "seq_never_raised": Bug(
        "mmu_invalidate_seq is not raised at all",
        ("broken invariant",), _ALWAYS_LOCK, kvm=SeqNeverRaised,
    ),
    "grace_period_skipped": Bug(
        "the old memslots are reused without waiting for their readers",
        ("failed assert",), _ALWAYS_LOCK, kvm=GracePeriodSkipped,
    ),
    "deleted_in_one_swap": Bug(
        "a memslot is deleted without being made invalid and flushed first",
        ("broken invariant",), _ALWAYS_LOCK, kvm=DeletedInOneSwap,
    ),
    "fault_without_retry": Bug(
        "a fault installs what it has found without looking for invalidations",
        ("broken invariant",), _ALWAYS_LOCK, kvm=FaultWithoutRetry,
    ),
    "fault_ignores_in_progress": Bug(
        "a fault looks at mmu_invalidate_seq only, not at mmu_invalidate_in_progress",
        ("broken invariant",), _ALWAYS_LOCK, kvm=FaultIgnoresInProgress,
    ),
    "seq_looked_at_late": Bug(
        "a fault looks at mmu_invalidate_seq after it has looked up the page",
        ("broken invariant",), _ALWAYS_LOCK, kvm=SeqLookedAtLate,
    ),
    "range_not_widened": Bug(
        "a second invalidation replaces the range of the first instead of widening it",
        ("broken invariant",),
        {"design": "always_lock", "rounds": 1, "pages": 2, "operations": "copy_on_write"},
        kvm=RangeNotWidened,
    ),
    "slots_lock_in_read_section": Bug(
        "a vCPU takes slots_lock inside its SRCU read section, and the updater waits for it",
        _SLEEPS, _ALWAYS_LOCK, kvm=SlotsLockInReadSection,
    ),
    "end_without_start": Bug(
        "after a failed non-blockable start, end is called for a KVM whose start was not",
        ("failed assert",), _RECLAIM, mmu_notifier=EndWithoutStart,
    ),
    "failed_start_not_undone": Bug(
        "after a failed non-blockable start, end is not called for a KVM whose start was",
        _SLEEPS, _RECLAIM, mmu_notifier=FailedStartNotUndone,
    ),
    "end_after_failed_start": Bug(
        "the caller of a failed non-blockable start calls end all the same",
        ("failed assert",), _RECLAIM, mm=EndAfterFailedStart,
    ),
    "recursive_readers": Bug(
        "one task nests read sections of a fair rwsem, and a writer queues in between",
        ("deadlock", "stuck thread"), {"design": "rwsem", "rounds": 1},
        twin={"operations": "copy_on_write"}, gate=RwsemGate,
    ),
    "crossing_readers": Bug(
        "two tasks cross an rmap lock and read sections of a fair rwsem",
        ("deadlock", "stuck thread"),
        {"design": "rwsem", "rounds": 1, "operations": "migrate,protect_hugetlb", "vcpus": 0},
        twin={"design": "count"}, gate=RwsemGate,
    ),
    "pseudo_lock_waits": Bug(
        "the notifier's lockdep map is taken for a lock: the reported cycle is a real one",
        ("deadlock", "stuck thread"),
        {"design": "rwsem", "rounds": 1, "operations": "copy_on_write", "pseudo_lock_waits": True},
        twin={"pseudo_lock_waits": False}, gate=RwsemGate,
    ),
    "sleeping_lock_in_non_block": Bug(
        "with PREEMPT_RT, a start that must not sleep takes a spinlock_t",
        ("failed assert",), {"rounds": 1, "operations": "reap", "vcpus": 0, "rt": True},
        twin={"rt": False}, gate=CountGate,
    ),
    "phase_not_awaited": Bug(
        "an update does not wait for the phase that it has left",
        ("broken invariant", "data race"), {"design": "phased", "rounds": 1}, gate=PhaseNotAwaited,
    ),
    "phase_of_now": Bug(
        "an end decides by the phase of now instead of the one in which it started",
        ("broken invariant",), {"design": "phased", "rounds": 1}, kvm=PhaseOfNow,
    ),
}  # fmt: skip
"""All planted bugs by name."""
