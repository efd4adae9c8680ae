# SPDX-License-Identifier: Apache-2.0
"""All planted bugs by name."""

from __future__ import annotations

from quiesce.kvm.gates import RwsemGate
from quiesce.kvm.planted import fault, gates, notifier, update
from quiesce.kvm.planted.bug import Bug, Settings

_SLEEPS = ("lost wakeup", "stuck thread", "deadlock")
_HANGS = ("no_deadlock", "no_stuck_thread")
_BROKEN = ("broken invariant",)
_ASSERT = ("failed assert",)
_AGREE = ("balanced", "start_and_end_agree")
_STALE = ("no_stale_translation",)
_ONCE: Settings = {"rounds": 1}
_ALWAYS_LOCK: Settings = {"design": "always_lock", "rounds": 1}
_PHASED: Settings = {"design": "phased", "rounds": 1}
_RECLAIM: Settings = {"operations": "reap", "other_may_fail": True, "rounds": 1, "vcpus": 0}
_MMIO: Settings = {**_ALWAYS_LOCK, "notifiers": 1, "mmio": True}
_SHADOW: Settings = {**_ALWAYS_LOCK, "notifiers": 1, "shadow_roots": True}
_FLAGS: Settings = {**_ALWAYS_LOCK, "notifiers": 1, "changes": "delete,flags"}

PLANTED: dict[str, Bug] = {
    # --- The gate -------------------------------------------------------------------------------
    "wake_up_dropped": Bug(
        "the last invalidation to leave does not wake up the updater",
        _SLEEPS, _HANGS, _ONCE, gate=gates.WakeUpDropped,
    ),
    "wake_up_before_decrement": Bug(
        "the updater is woken before the count is zero, finds it raised, and sleeps again",
        _SLEEPS, _HANGS, _ONCE, gate=gates.WakeUpBeforeDecrement,
    ),
    "if_instead_of_while": Bug(
        "the updater does not read the count again after it was woken",
        _BROKEN, _AGREE, _ONCE, gate=gates.IfInsteadOfWhile,
    ),
    "state_set_after_unlock": Bug(
        "the updater announces its sleep after it has dropped the lock: a wakeup before that is lost",
        _SLEEPS, _HANGS, _ONCE, gate=gates.StateSetAfterUnlock,
    ),
    "finish_rcuwait_forgotten": Bug(
        "the updater stays in the rcuwait after it has stopped waiting",
        _ASSERT, ("assertions",), _ONCE, gate=gates.FinishForgotten,
    ),
    "published_outside_lock": Bug(
        "the memslots are published after the spinlock is dropped, when a start may have come",
        _BROKEN, _AGREE, _ONCE, gate=gates.PublishedOutsideLock,
    ),
    "count_not_locked": Bug(
        "the count is raised without the spinlock",
        ("data race",), ("no_data_race",), _ONCE, gate=gates.CountNotLocked,
    ),
    "lock_never_elided": Bug(
        "start and end take mmu_lock whether or not a memslot covers the range",
        _BROKEN, ("unrelated_invalidations_elide",),
        {"rounds": 1, "unrelated": "copy_on_write"}, gate=gates.LockNeverElided,
    ),
    "phase_not_awaited": Bug(
        "an update does not wait for the phase that it has left",
        (*_BROKEN, "data race"), (*_AGREE, "no_data_race"), _PHASED, gate=gates.PhaseNotAwaited,
    ),
    "phase_not_flipped": Bug(
        "an update rewrites the view of the current phase instead of flipping it",
        (*_BROKEN, "data race"), (*_AGREE, "no_data_race"), _PHASED, gate=gates.PhaseNotFlipped,
    ),
    "published_before_wait": Bug(
        "an update publishes the memslots to the vCPUs before the phase that it leaves is empty",
        _BROKEN, _STALE, _PHASED, gate=gates.PublishedBeforeWait,
    ),
    "left_view_kept": Bug(
        "the phase that an update has left keeps its view, of a set that is about to be reused",
        _ASSERT, ("assertions",), {**_PHASED, "notifiers": 1, "vcpus": 0, "spaces": 2},
        gate=gates.LeftViewKept,
    ),
    "phase_of_now": Bug(
        "an end decides by the phase of now instead of the one in which it started",
        _BROKEN, _AGREE, _PHASED, kvm=notifier.PhaseOfNow,
    ),
    # --- KVM's callbacks of the MMU notifier --------------------------------------------------------
    "counted_after_overlap_test": Bug(
        "a start looks at the memslots first and raises the count then",
        _BROKEN, _AGREE, _ONCE, kvm=notifier.CountedAfterOverlapTest,
    ),
    "left_before_overlap_test": Bug(
        "an end lowers the count first and looks at the memslots then",
        _BROKEN, _AGREE, _ONCE, kvm=notifier.LeftBeforeOverlapTest,
    ),
    "elision_decided_at_start": Bug(
        "a start elides mmu_lock where no memslot is, its end takes it anyway",
        _BROKEN, _AGREE, _ONCE, kvm=notifier.ElisionDecidedAtStart,
    ),
    "first_space_only": Bug(
        "start and end look at the first address space only",
        _BROKEN, _STALE, {"rounds": 1, "notifiers": 1, "spaces": 2}, kvm=notifier.FirstSpaceOnly,
    ),
    "invalid_slot_ignored": Bug(
        "an invalid memslot does not count as covering its range",
        _BROKEN, _STALE, _ONCE, kvm=notifier.InvalidSlotIgnored,
    ),
    "translation_kept": Bug(
        "a start does not drop the translation",
        _BROKEN, _STALE, _ALWAYS_LOCK, mmu=notifier.TranslationKept,
    ),
    "seq_raised_last": Bug(
        "mmu_invalidate_seq is raised in a section of its own after mmu_invalidate_in_progress was lowered",
        _BROKEN, _STALE, _ALWAYS_LOCK, kvm=notifier.SeqRaisedLast,
    ),
    "seq_never_raised": Bug(
        "mmu_invalidate_seq is not raised at all",
        _BROKEN, _STALE, _ALWAYS_LOCK, mmu=notifier.SeqNeverRaised,
    ),
    "range_not_widened": Bug(
        "a second invalidation replaces the range of the first instead of widening it",
        _BROKEN, _STALE, {"rounds": 1, "pages": 2, "operations": "copy_on_write"},
        mmu=notifier.RangeOverwritten,
    ),
    "known_gfns_only": Bug(
        "where updates do not wait, a start notes only the gfns that it finds, not where the slot may go",
        _BROKEN, _STALE, {**_ALWAYS_LOCK, "notifiers": 1, "changes": "move"},
        kvm=notifier.KnownGfnsOnly,
    ),
    # --- The memslot update ---------------------------------------------------------------------
    "slots_lock_not_taken": Bug(
        "updates are not kept apart by slots_lock",
        (*_ASSERT, "data race"), ("assertions", "no_data_race"),
        {"rounds": 1, "notifiers": 1, "updaters": 2, "vcpus": 0}, kvm=update.SlotsLockNotTaken,
    ),
    "grace_period_skipped": Bug(
        "the old memslots are reused without waiting for their readers",
        _ASSERT, ("assertions",), _ALWAYS_LOCK, kvm=update.GracePeriodSkipped,
    ),
    "deleted_in_one_swap": Bug(
        "a memslot is deleted without being made invalid and flushed first",
        _BROKEN, ("no_translation_without_memslot",), _ALWAYS_LOCK, kvm=update.ChangedInOneSwap,
    ),
    "moved_in_one_swap": Bug(
        "a memslot is moved without being made invalid and flushed first",
        _BROKEN, ("no_translation_without_memslot",), {**_ALWAYS_LOCK, "changes": "move"},
        kvm=update.ChangedInOneSwap,
    ),
    "translations_not_flushed": Bug(
        "the translations of a slot that was made invalid are not dropped",
        _BROKEN, ("no_translation_without_memslot",), _ALWAYS_LOCK,
        kvm=update.TranslationsNotFlushed,
    ),
    "flushed_before_grace_period": Bug(
        "the translations are dropped before the faults that found the slot valid are over",
        _BROKEN, ("no_translation_without_memslot",), _ALWAYS_LOCK,
        kvm=update.FlushedBeforeGracePeriod,
    ),
    "arch_lock_across_grace_period": Bug(
        "slots_arch_lock is dropped after the grace period, in which a vCPU waits for it",
        _SLEEPS, _HANGS, _SHADOW, kvm=update.ArchLockAcrossGracePeriod,
    ),
    "arch_lock_dropped_early": Bug(
        "slots_arch_lock is dropped before the new memslots are published",
        (*_BROKEN, "data race"), ("slots_have_rmaps", "no_data_race"), _SHADOW,
        kvm=update.ArchLockDroppedEarly,
    ),
    "generation_not_changed": Bug(
        "the generation of the memslots stays the same",
        _BROKEN, ("no_stale_mmio",), _MMIO, kvm=update.GenerationNotChanged,
    ),
    "generation_changed_early": Bug(
        "the generation changes before the grace period is over",
        _BROKEN, ("no_stale_mmio",), _MMIO, kvm=update.GenerationChangedEarly,
    ),
    "update_bit_ignored": Bug(
        "cached MMIO is used although the generation says that an update is in progress",
        _BROKEN, ("no_stale_mmio",), _MMIO, mmio_spte=update.UpdateBitIgnored,
    ),
    "flags_not_changed": Bug(
        "a flags-only update does not change the flags",
        _BROKEN, ("writes_are_logged",), _FLAGS, kvm=update.FlagsNotChanged,
    ),
    "write_access_kept": Bug(
        "when dirty logging is switched on, translations keep their write access",
        _BROKEN, ("writes_are_logged",), _FLAGS, kvm=update.WriteAccessKept,
    ),
    "write_protected_before_swap": Bug(
        "translations lose their write access before the new flags are published",
        _BROKEN, ("writes_are_logged",), _FLAGS, kvm=update.WriteProtectedBeforeSwap,
    ),
    # --- The page fault -------------------------------------------------------------------------
    "fault_without_retry": Bug(
        "a fault installs what it has found whether or not it was invalidated",
        _BROKEN, _STALE, _ALWAYS_LOCK, mmu=fault.FaultWithoutRetry,
    ),
    "fault_ignores_in_progress": Bug(
        "a fault compares mmu_invalidate_seq only and does not test mmu_invalidate_in_progress",
        _BROKEN, _STALE, _ALWAYS_LOCK, mmu=fault.FaultIgnoresInProgress,
    ),
    "range_ignored": Bug(
        "a fault is retried while anything is invalidated",
        _BROKEN, ("retries_are_needed",), {"rounds": 1, "notifiers": 1, "pages": 2},
        mmu=fault.RangeIgnored,
    ),
    "seq_looked_at_late": Bug(
        "a fault reads mmu_invalidate_seq after it has looked up the page",
        _BROKEN, _STALE, _ALWAYS_LOCK, kvm=fault.SeqLookedAtLate,
    ),
    "invalid_slot_used": Bug(
        "a fault maps a page by a memslot that is being deleted",
        _BROKEN, ("no_translation_without_memslot",), _ALWAYS_LOCK, kvm=fault.InvalidSlotUsed,
    ),
    "write_not_logged": Bug(
        "a fault does not test whether the slot's writes are logged",
        _BROKEN, ("writes_are_logged",), _FLAGS, kvm=fault.WriteNotLogged,
    ),
    "slots_lock_in_read_section": Bug(
        "a vCPU takes slots_lock inside its SRCU read section, for whose end the updater waits",
        _SLEEPS, _HANGS, _ALWAYS_LOCK, kvm=fault.SlotsLockInReadSection,
    ),
    # --- The MMU notifier and its callers -----------------------------------------------------------
    "end_without_start": Bug(
        "after a failed non-blockable start, end is called for a KVM whose start was not",
        _ASSERT, ("assertions",), _RECLAIM, mmu_notifier=notifier.EndWithoutStart,
    ),
    "failed_start_not_undone": Bug(
        "after a failed non-blockable start, end is not called for a KVM whose start was",
        _SLEEPS, _HANGS, _RECLAIM, mmu_notifier=notifier.FailedStartNotUndone,
    ),
    "end_after_failed_start": Bug(
        "the caller of a failed non-blockable start calls end all the same",
        _ASSERT, ("assertions",), _RECLAIM, mm=notifier.EndAfterFailedStart,
    ),
    "recursive_readers": Bug(
        "one task nests read sections of a fair rwsem, and a writer queues between them",
        ("deadlock", "stuck thread"), _HANGS, {"design": "rwsem", "rounds": 1},
        twin={"operations": "copy_on_write"}, gate=RwsemGate,
    ),
    "crossing_readers": Bug(
        "two tasks cross an rmap lock and read sections of a fair rwsem",
        ("deadlock", "stuck thread"), _HANGS,
        {"design": "rwsem", "rounds": 1, "operations": "migrate,protect_hugetlb", "vcpus": 0},
        twin={"design": "count"}, gate=RwsemGate,
    ),
    "pseudo_lock_waits": Bug(
        "the notifier's lockdep map is treated as a lock: the reported cycle is a real one",
        ("deadlock", "stuck thread"), _HANGS,
        {"design": "rwsem", "rounds": 1, "operations": "copy_on_write", "pseudo_lock_waits": True},
        twin={"pseudo_lock_waits": False}, gate=RwsemGate,
    ),
    "sleeping_lock_in_non_block": Bug(
        "with PREEMPT_RT, a start that must not sleep takes a spinlock_t",
        _ASSERT, ("assertions",), {"rounds": 1, "operations": "reap", "vcpus": 0, "rt": True},
        twin={"rt": False},
    ),
}  # fmt: skip
"""Each with the scenario in which it shows. Its twin is the same without it."""
