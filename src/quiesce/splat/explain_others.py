# SPDX-License-Identifier: Apache-2.0
"""Explain the kinds that are about no deadlock of tasks: misuse, RCU, and lockdep turning itself off."""

from __future__ import annotations

from collections.abc import Callable

from quiesce.splat.explanation import Explanation, LockNote, Reason
from quiesce.splat.lock_notes import lock_note, raw_nesting
from quiesce.splat.model import Frame, Lock, Report
from quiesce.splat.modes import of_trace, plain_name
from quiesce.splat.reasons import not_shown

_LOCKDEP = ("lockdep_", "dump_", "show_stack", "__dump", "print_", "debug_", "panic", "__warn",
            "report_bug", "fixup_bug", "do_error_trap", "do_invalid_op", "invalid_op", "register_lock",
            "arch_", "unwind_", "___might_", "__might_", "rcu_preempt_sleep_check")  # fmt: skip


_FREEING = (
    "kfree",
    "kvfree",
    "vfree",
    "kmem_cache_free",
    "free_",
    "__free",
    "slab_free",
    "__vunmap",
)


def explain_other(report: Report) -> Explanation:
    """Return the explanation of *report*, of any kind without a table of waiting tasks."""
    return _BY_KIND[report.kind](report)


def _wait_context(report: Report) -> Explanation:
    lock = report.wanted
    if lock is None:
        return Explanation(
            "A lock that may sleep is taken where sleeping is not allowed.",
            not_shown=tuple(not_shown(report, None)),
            fixes=("Get the whole report: from dmesg, not from the mail.",),
        )
    wanted = lock_note(report, lock, "wanted", of_trace(report.backtrace))
    blocker = _narrowest(report)
    raw = raw_nesting(report)
    if blocker is not None:
        why = f"while {blocker.name} is held, which allows less waiting"
    else:
        why = f"in a context that allows less waiting ({_task_context(report, raw)})"
    both_spin = lock.inner == 3 and raw
    because = (
        "On PREEMPT_RT a spinlock_t sleeps, and must not be taken under a raw_spinlock_t or with "
        "interrupts off; elsewhere it only spins, and nothing hangs."
        if both_spin
        else "A task that sleeps there sleeps with preemption or interrupts off, and its CPU stops."
    )
    if blocker is not None and blocker.base.startswith("rcu_read_lock"):
        because = (
            "A task must not sleep inside an RCU read-side section: the grace period ends then."
        )
    fixes = [
        f"Make {lock.name} a raw_spinlock_t, if what it protects is short and bounded."
        if both_spin
        else f"Take {lock.name} before, or leave that section first.",
        "Move the work to a thread or a work item, where sleeping is allowed.",
    ]
    if blocker is not None and blocker.base.startswith("rcu_read_lock"):
        fixes.insert(0, "Leave the RCU read-side section before, or use SRCU, which may sleep.")
    elif blocker is not None and both_spin:
        fixes.insert(1, f"Make {blocker.name} a spinlock_t, if nothing needs it to be raw.")
    elif blocker is not None and blocker.inner in (2, 3):
        fixes.insert(1, f"Make {blocker.name} a lock that may be held while sleeping (a mutex).")
    return Explanation(
        summary=f"{report.task or 'A task'} takes {lock.name} ({wanted.wait_type or 'a lock'}) {why}.",
        locks=(wanted, *_held_notes(report)),
        assessment="only-if" if both_spin else "real",
        because=because,
        false=(
            Reason("g", "Without PREEMPT_RT a spinlock_t does not sleep.", True),
        ) if both_spin else (),
        not_shown=tuple(not_shown(report, None)),
        fixes=tuple(fixes),
    )  # fmt: skip


def _narrowest(report: Report) -> Lock | None:
    """The held lock that allows the least waiting; it is why the wanted one does not fit."""
    wanted = report.wanted
    held = [h for h in report.held if h.inner]
    if wanted is None or not held:
        return None
    lowest = min(held, key=lambda h: h.inner or 9)
    outer = wanted.outer or wanted.inner or 0
    return lowest if (lowest.inner or 9) < outer else None


def _task_context(report: Report, raw: bool) -> str:
    level = report.facts.get("context", "")
    names = {
        "2": "hard interrupt",
        "3": "soft interrupt" if raw else "task",
        "4": "task",
        "5": "task",
    }
    return names.get(level, "interrupt or atomic section")


def _unlock(report: Report) -> Explanation:
    name = report.wanted.name if report.wanted else "a lock"
    frames = report.traces.get("released", ())
    where = frames[-1].function if frames else _first_outside(report.backtrace)
    held = ", ".join(h.name for h in report.held)
    also = f" It holds {held}." if held else " It holds no lock at all."
    return Explanation(
        summary=(
            f"{report.task or 'A task'} releases {name} in {where or 'this place'}(), but does not "
            f"hold it.{also if report.declared_held is not None else ''}"
        ),
        locks=_all_notes(report),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Look for a path to {where or 'the release'}() on which {name} was not taken, or was "
            "released already: an error path, a failed trylock.",
            "If another task took it on purpose, the lock has no owner: use a semaphore or a "
            "completion, or tell lockdep (lockdep_off is not the way).",
        ),
    )


def _nested(report: Report) -> Explanation:
    name = report.wanted.name if report.wanted else "a lock"
    nest = report.subjects.get("nest lock")
    outer = nest.name if nest else "the outer lock"
    return Explanation(
        summary=(
            f"{report.task or 'A task'} takes {name} as nested inside {outer}, but does not hold "
            f"{outer}."
        ),
        locks=_all_notes(report),
        real=(
            Reason(
                "j", "When the text ends here, the lock's data was overwritten or freed.", False
            ),
        )
        if nest is None
        else (),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Take {outer} around it: several locks of one class may be held only under one.",
            f"If {outer} was freed or never initialised, look for a use after free.",
        ),
    )


def _freed(report: Report) -> Explanation:
    name = report.wanted.name if report.wanted else "a lock"
    where = _first_outside(
        tuple(f for f in report.backtrace if not plain_name(f.function).startswith(_FREEING))
    )
    return Explanation(
        summary=(
            f"{report.task or 'A task'} frees memory ({report.facts.get('memory', 'see below')}) "
            f"in which {name} lies, and holds that lock."
        ),
        locks=_all_notes(report),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Release {name} before the object is freed{_in(where)}.",
            "If a reference should have kept the object alive, look for the missing one.",
        ),
    )


def _held_too_long(report: Report) -> Explanation:
    names = ", ".join(h.name for h in report.held) or "a lock"
    places = [h.where.function for h in report.held if h.where]
    returning = report.kind == "held-returning-user"
    end = "returns to user space" if returning else "exits or freezes"
    return Explanation(
        summary=f"{report.task or 'A task'} {end} and still holds {names}.",
        locks=_all_notes(report),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Look for a path out of {places[-1] if places else 'the system call'}() that does not "
            f"release {names}: an error path, an early return.",
            "If the lock is meant to be held across system calls, it needs no owner: a flag and a "
            "wait queue, or a semaphore.",
        ),
    )


def _rcu(report: Report) -> Explanation:
    place, what = report.facts.get("place", ""), report.facts.get("what", "")
    where = _first_outside(report.backtrace)
    illegal = report.facts.get("illegal", "")
    held = ", ".join(h.name for h in report.held) or "none"
    reading = any(h.base.startswith("rcu_read_lock") for h in report.held)
    if illegal:
        why = f"{illegal}: RCU is not watching this CPU then, so its readers are not seen."
        cure = "Tell RCU first (ct_irq_enter(), RCU_NONIDLE, _rcuidle tracepoints), or do not use RCU here."
    elif "llegal context switch" in what:
        why = "It may sleep inside a read-side section, which must not."
        cure = "Leave the read-side section before, or use SRCU."
    elif "dereference_protected" in what:
        why = "The updater's pointer access does not show the lock that should protect it."
        cure = "Take the update-side lock, or name it: rcu_dereference_protected(p, lockdep_is_held(&lock))."
    else:
        why = "An RCU-protected pointer or list is read, and no read-side section is open."
        cure = "Open one (rcu_read_lock()), or name the lock that protects it (rcu_dereference_protected())."
    return Explanation(
        summary=f"{place or 'A line'}{f', in {where}()' if where else ''}: {what}. {why}",
        locks=_all_notes(report),
        because=f"Locks held: {held}." if report.declared_held is not None else "",
        false=(
            Reason(
                "",
                "A lock that protects the pointer is held, but the check does not name it?",
                False,
            ),
        )
        if report.held and not reading
        else (),
        not_shown=tuple(not_shown(report, None)),
        fixes=(cure,),
    )


def _notice(report: Report) -> Explanation:
    where = _first_outside(report.backtrace)
    task = report.task or "A task"
    fixes: tuple[str, ...]
    if report.kind == "non-static-key":
        summary = (
            f"{task} uses a lock that was never initialised{_in(where)}: its class key is neither "
            "static nor registered."
        )
        fixes = (
            f"Initialise the lock (spin_lock_init(), mutex_init(), ...) before {where or 'its'}() use: "
            "most often an error or remove path runs although the probe did not.",
            "A key in allocated memory needs lockdep_register_key().",
        )
    elif report.kind == "limits":
        summary = (
            f"A table of lockdep is full ({report.title}): the validator has turned itself off."
        )
        fixes = (
            "Raise the limit (CONFIG_LOCKDEP_BITS, _CHAINS_BITS, _STACK_TRACE_BITS), or look for a "
            "leak of lock classes: keys made per object, modules loaded again and again.",
        )
    else:
        summary = f"lockdep warns about itself ({report.title}){_in(where)}."
        fixes = (
            "Its data does not fit what it expects: memory corruption, a lock used after it was "
            "freed, a key reused, or a defect of lockdep.",
        )
    return Explanation(
        summary=summary,
        locks=_all_notes(report),
        because="Nothing after this is checked until the next boot.",
        not_shown=tuple(not_shown(report, None)),
        fixes=fixes,
    )


def _all_notes(report: Report) -> tuple[LockNote, ...]:
    first = () if report.wanted is None else (lock_note(report, report.wanted, "wanted"),)
    nest = report.subjects.get("nest lock")
    second = () if nest is None else (lock_note(report, nest, "not held"),)
    shown = {(report.wanted.name, report.wanted.address)} if report.wanted else set()
    rest = (n for n in _held_notes(report) if (n.name, n.address) not in shown)
    return (*first, *second, *rest)


def _held_notes(report: Report) -> tuple[LockNote, ...]:
    return tuple(
        lock_note(report, lock, f"held #{number}") for number, lock in enumerate(report.held)
    )


def _first_outside(frames: tuple[Frame, ...]) -> str:
    """The innermost function that is neither lockdep's nor the locking code's."""
    rest = tuple(
        f for f in frames if f.reliable and f.function and not f.function.startswith(_LOCKDEP)
    )
    caller = of_trace(rest).caller
    return plain_name(caller.function) if caller else ""


def _in(function: str) -> str:
    return f" in {function}()" if function else ""


_BY_KIND: dict[str, Callable[[Report], Explanation]] = {
    "wait-context": _wait_context,
    "unlock-balance": _unlock,
    "nested-not-taken": _nested,
    "held-freed": _freed,
    "held-at-exit": _held_too_long,
    "held-returning-user": _held_too_long,
    "rcu": _rcu,
    "non-static-key": _notice,
    "limits": _notice,
    "lockdep-warn": _notice,
}
