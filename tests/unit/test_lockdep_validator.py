# SPDX-License-Identifier: Apache-2.0
"""The validator by itself: what the tables of the kernel do not pin down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quiesce.lockdep import (
    LOCKDEP_NO_TRACK,
    LOCKDEP_NO_VALIDATE,
    Frame,
    LockClassKey,
    LockdepMap,
    LockdepTask,
    LockType,
    Validator,
    WaitType,
)
from quiesce.lockdep.graph_text import as_dot, as_mermaid, as_text
from quiesce.lockdep.normalise import normalise


def setup(names: str, **options: bool) -> tuple[Validator, LockdepTask, list[LockdepMap]]:
    """Return a validator, a task, and a lock for each character of *names*."""
    validator = Validator(**options)  # type: ignore[arg-type]
    return validator, validator.task("task"), [validator.lock(name) for name in names]


def nest(validator: Validator, task: LockdepTask, *locks: LockdepMap) -> None:
    """Take the locks in order, let go of them in reverse."""
    for lock in locks:
        validator.acquire(task, lock)
    for lock in reversed(locks):
        validator.release(task, lock)


def test_only_the_first_report_counts() -> None:
    validator, task, (a, b, c) = setup("abc")
    nest(validator, task, a, b)
    nest(validator, task, b, a)
    first = validator.report
    nest(validator, task, a, c)
    nest(validator, task, c, a)
    assert validator.report is first and validator.reports == [first]
    assert not validator.debug_locks


def test_suspicious_rcu_leaves_the_validator_on() -> None:
    validator, task, (a, b) = setup("ab")
    validator.rcu_suspicious(task, "kernel/fork.c:1", "suspicious usage")
    nest(validator, task, a, b)
    nest(validator, task, b, a)
    assert [report.kind for report in validator.reports] == ["rcu", "circular"]


def test_release_in_the_middle_connects_what_remains() -> None:
    """After A, B, C, without B, C follows A; the new order is A -> C, even by another way."""
    validator, task, (a, b, c) = setup("abc")
    validator.acquire(task, a)
    validator.acquire(task, b, trylock=True)
    validator.acquire(task, c, trylock=True)
    validator.release(task, b)
    assert [held.instance for held in task.held] == [a, c]
    # A trylock stays one when it is put back: no order came of it.
    nest(Validator(), task, c)
    assert validator.report is None
    assert not validator.classes[0].after


def test_release_in_the_middle_reports_what_it_finds() -> None:
    """mmap_lock -> slots_lock of the seed: only the re-acquire shows Linux that order."""
    validator, task, (mmap, start, slots) = setup("msl", like_linux=True)
    nest(validator, task, slots, mmap)
    validator.acquire(task, mmap, trylock=True)
    validator.acquire(task, start, read=2)
    validator.acquire(task, slots, read=1)
    assert validator.report is None
    report = validator.release(task, start)
    assert report is not None and report.kind == "circular"
    assert "s --> " not in report.text()


def test_the_exact_validator_sees_it_at_the_acquire() -> None:
    validator, task, (mmap, start, slots) = setup("msl")
    nest(validator, task, slots, mmap)
    validator.acquire(task, mmap, trylock=True)
    validator.acquire(task, start, read=2)
    report = validator.acquire(task, slots, read=1)
    assert report is not None and report.kind == "circular" and report.linux_would_miss


def test_downgrade_is_checked_again() -> None:
    validator, task, (a, b) = setup("ab")
    validator.acquire(task, a)
    validator.downgrade(task, a)
    assert task.held[0].read == 1
    assert validator.acquire(task, a, read=2) is None
    validator.release(task, a)
    report = validator.downgrade(task, b)
    assert report is not None and report.kind == "unlock-balance"


def test_downgrade_of_nothing() -> None:
    validator, task, (a,) = setup("a")
    report = validator.downgrade(task, a)
    assert report is not None and report.title == "DEBUG_LOCKS_WARN_ON(!depth)"


def test_nest_lock_merges_and_counts() -> None:
    validator, task, (parent,) = setup("p")
    children = [validator.lock("child") for _ in range(3)]
    validator.acquire(task, parent)
    for child in children:
        assert validator.acquire(task, child, nest_lock=parent) is None
    assert len(task.held) == 2 and task.held[1].references == 3
    for child in children:
        assert validator.is_held(task, child)
        assert validator.release(task, child) is None
    assert [held.instance for held in task.held] == [parent]


def test_references_overflow() -> None:
    validator, task, (parent,) = setup("p")
    validator.acquire(task, parent)
    reports = [
        validator.acquire(task, validator.lock("child"), nest_lock=parent) for _ in range(2048)
    ]
    assert not any(reports[:-1])
    last = reports[-1]
    assert last is not None
    assert last.title == "DEBUG_LOCKS_WARN_ON(hlock->references < references)"


def test_what_a_nest_lock_excuses_hides_nothing_else() -> None:
    """P, B1, C, B2: C -> B is excused, but with D taken under all of them, C -> D is not."""
    script = "parent child other child2 last".split()

    def run(**options: bool) -> Validator:
        validator = Validator(**options)  # type: ignore[arg-type]
        task = validator.task("task")
        parent, child, other, child2, last = (
            validator.lock(name.rstrip("2"), name) for name in script
        )
        validator.acquire(task, parent)
        validator.acquire(task, child, nest_lock=parent)
        validator.acquire(task, other)
        validator.acquire(task, child2, nest_lock=parent)
        validator.acquire(task, last)
        for lock in (last, child2, other, child, parent):
            validator.release(task, lock)
        assert validator.report is None
        nest(validator, task, last, other)
        return validator

    exact = run().report
    assert exact is not None and exact.kind == "circular" and exact.linux_would_miss
    assert run(like_linux=True).report is None


def by_index(locks: list[LockdepMap]) -> Callable[[LockdepMap, LockdepMap], int]:
    return lambda a, b: locks.index(a) - locks.index(b)


@pytest.mark.parametrize("like_linux", [False, True])
def test_comparison_function_and_the_chain_cache(like_linux: bool) -> None:
    """Taken rightly first, the wrong order is the same chain to Linux, which looks away."""
    validator, task, _ = setup("", like_linux=like_linux)
    x = [validator.lock("x") for _ in range(2)]
    validator.set_lock_cmp_fn(x[0], by_index(x))
    nest(validator, task, *x)
    assert validator.report is None
    nest(validator, task, *reversed(x))
    if like_linux:
        assert validator.report is None
    else:
        assert validator.report is not None and validator.report.kind == "recursive"
        assert validator.report.linux_would_miss
        assert "comparison function returns 1:" in validator.report.text()


def test_names_and_versions() -> None:
    validator = Validator()
    task = validator.task("task")
    first, second = (validator.lock(LockClassKey(), "&x->lock") for _ in range(2))
    for lock in (first, second):
        validator.acquire(task, lock)
    validator.acquire(task, validator.lock(second.key, "&x->lock"), subclass=1)
    names = [held.cls.short_name for held in task.held]
    assert names == ["&x->lock", "&x->lock#2", "&x->lock#2/1"]


def test_invalid_subclass() -> None:
    validator, task, (a,) = setup("a")
    report = validator.acquire(task, a, subclass=8)
    assert report is not None and report.title == "BUG: looking up invalid subclass: 8"


def test_special_keys() -> None:
    validator = Validator()
    task = validator.task("task")
    unchecked, other = validator.lock(LOCKDEP_NO_VALIDATE, "u"), validator.lock("o")
    nest(validator, task, unchecked, other)
    nest(validator, task, other, unchecked)
    ignored = validator.lock(LOCKDEP_NO_TRACK, "i")
    validator.acquire(task, ignored)
    validator.release(task, ignored)
    validator.release(task, ignored)
    assert validator.report is None and not task.held


def test_an_interrupt_does_not_order_after_what_it_interrupted() -> None:
    validator, task, (a, b) = setup("ab")
    nest(validator, task, b, a)
    validator.hardirqs_off(task)
    validator.acquire(task, a)
    validator.hardirq_enter(task)
    validator.acquire(task, b)
    assert validator.report is None or validator.report.kind == "inconsistent"
    assert b.class_cache[0] is not None and not b.class_cache[0].before
    # Nor can it release what it interrupted.
    fresh, task, (a, _) = setup("ab")
    fresh.hardirqs_off(task)
    fresh.acquire(task, a)
    fresh.hardirq_enter(task)
    fresh.acquire(task, fresh.lock("c"))
    report = fresh.release(task, a)
    assert report is not None and report.kind == "unlock-balance"


def test_enabling_interrupts_in_a_hardirq() -> None:
    validator, task, _ = setup("")
    validator.hardirqs_off(task)
    validator.hardirq_enter(task)
    report = validator.hardirqs_on(task)
    assert report is not None and report.title == "DEBUG_LOCKS_WARN_ON(lockdep_hardirq_context())"


@pytest.mark.parametrize(
    ("raw_nesting", "inner", "reported"),
    [
        (True, WaitType.CONFIG, True),
        (True, WaitType.SPIN, False),
        (False, WaitType.CONFIG, False),
    ],
)
def test_spinlock_under_raw_spinlock(raw_nesting: bool, inner: WaitType, reported: bool) -> None:
    """A non-blockable start, on PREEMPT_RT: a spinlock_t may sleep there, a raw one does not."""
    validator = Validator(raw_nesting=raw_nesting)
    task = validator.task("oom_reaper")
    raw = validator.lock("raw", wait_inner=WaitType.SPIN)
    validator.acquire(task, raw)
    report = validator.acquire(task, validator.lock("&kvm->mn_invalidate_lock", wait_inner=inner))
    assert (report is not None) == reported


def test_wait_override_widens_again() -> None:
    def take(lock_type: LockType) -> bool:
        validator = Validator(raw_nesting=True)
        task = validator.task("task")
        validator.acquire(task, validator.lock("raw", wait_inner=WaitType.SPIN))
        override = validator.lock("override", wait_inner=WaitType.SLEEP, lock_type=lock_type)
        validator.acquire(task, override, trylock=True)
        validator.acquire(task, validator.lock("mutex", wait_inner=WaitType.SLEEP))
        return validator.report is None

    assert take(LockType.WAIT_OVERRIDE)
    assert not take(LockType.NORMAL)


def test_a_local_lock_is_transparent_to_inversions() -> None:
    def run(lock_type: LockType) -> bool:
        validator = Validator()
        task = validator.task("task")
        safe = validator.lock("safe")
        local = validator.lock("local", lock_type=lock_type)
        nest(validator, task, local)
        validator.hardirqs_off(task)
        validator.hardirq_enter(task)
        nest(validator, task, safe)
        validator.hardirq_exit(task)
        nest(validator, task, safe, local)
        return validator.report is None

    assert run(LockType.PERCPU)
    assert not run(LockType.NORMAL)


def test_sync_waits_and_holds_nothing() -> None:
    validator, task, (srcu, mutex) = setup("sm")
    validator.acquire(task, srcu, sync=True)
    assert not task.held
    validator.acquire(task, srcu, read=2)
    validator.acquire(task, mutex)
    validator.release(task, mutex)
    validator.release(task, srcu)
    validator.acquire(task, mutex)
    report = validator.acquire(task, srcu, sync=True)
    assert report is not None and "  sync(s);" in report.text()


def test_graph() -> None:
    validator, task, (a, b) = setup("ab")
    validator.acquire(task, a, read=1)
    validator.acquire(task, b)
    validator.release(task, b)
    validator.acquire(task, validator.lock('c"'), read=2)
    text = as_text(validator)
    assert text.splitlines() == [
        "(a){.+.+}-{0:0}",
        "  -> b SN",
        '  -> c" SR',
        "(b){+.+.}-{0:0}",
        '(c"){.+.+}-{0:0}',
    ]
    dot = as_dot(validator)
    assert 'c0 -> c1 [label="SN"];' in dot
    assert 'c0 -> c2 [label="SR", style=dashed];' in dot and 'c2 [label="(c\\")' in dot
    mermaid = as_mermaid(validator)
    assert 'c0 -->|"SN"| c1' in mermaid and 'c0 -.->|"SR"| c2' in mermaid
    assert 'c2["(c#quot;)' in mermaid


def test_frames() -> None:
    for text in ("down_read+0x48/0x250", "kvm_start+0x36d/0x4f0 [kvm]", "work (a b.py:12)"):
        assert str(Frame.parse(text)) == text
    assert Frame.parse("down_read") == Frame("down_read")


def test_normalise_is_strict() -> None:
    line = "qemu-system-x86/{pid} is trying to acquire lock:"
    assert normalise(line.format(pid=1)) == normalise(line.format(pid=3069))
    lock = "{address} (&x->lock#2/1){{+.+.}}-{{3:3}}, at: fn+{offset}/0x40"
    one = normalise(lock.format(address="ffff888000000040", offset="0x1"))
    assert one == normalise(lock.format(address="ffffffff8266b3c8", offset="0x20"))
    assert one == ["ADDRESS (&x->lock#2/1){+.+.}-{3:3}, at: fn+OFFSET"]
    # What differs in name, usage, wait type, version or function stays different.
    for change in ("#2", "/1", "+.+.", "3:3", "fn"):
        assert one != [one[0].replace(change, "?")]
    assert normalise("6.12.117 #1 Not tainted") == normalise(
        "5.12.0-rc3+ #6 Tainted: G           OE"
    )
    assert normalise(" ? fn+0x1/0x2 [kvm]\n fn+0x1/0x2\n </TASK>") == [" </TASK>"]


def test_the_table_of_dependencies_has_two_entries_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is seen again, or in another kind, takes no further entry. The exact mode has no table."""
    monkeypatch.setattr("quiesce.lockdep.order_checks.MAX_LOCKDEP_ENTRIES", 8)

    def pairs(like_linux: bool) -> str | None:
        validator, task, locks = setup("abcdef", like_linux=like_linux)
        for read, far in ((0, 1), (2, 1), (1, 1), (0, 2), (0, 3), (0, 4), (2, 4)):
            validator.acquire(task, locks[0], read=read)
            validator.acquire(task, locks[far], read=read)
            validator.release(task, locks[far])
            validator.release(task, locks[0])
            assert validator.report is None
        validator.acquire(task, locks[0])
        report = validator.acquire(task, locks[5])
        return report.title if report is not None else None

    assert pairs(like_linux=True) == "BUG: MAX_LOCKDEP_ENTRIES too low!"
    assert pairs(like_linux=False) is None


def test_the_table_of_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiesce.lockdep.order_checks.MAX_LOCKDEP_CHAINS", 3)

    def chains(like_linux: bool) -> list[bool]:
        validator, task, locks = setup("abcd", like_linux=like_linux)
        reported = []
        for lock in (*locks[:3], *locks[:3], locks[3]):
            validator.acquire(task, lock)
            validator.release(task, lock)
            reported.append(validator.report is not None)
        return reported

    assert chains(like_linux=True) == [False] * 6 + [True]
    assert not any(chains(like_linux=False))


def test_what_was_reported_is_not_held_after_resume() -> None:
    validator, task, (a, b) = setup("ab")
    nest(validator, task, a, b)
    validator.acquire(task, b)
    assert validator.acquire(task, a) is not None
    validator.resume()
    assert [held.instance for held in task.held] == [b] and validator.report is None
