# SPDX-License-Identifier: Apache-2.0
"""Where something happened, and notes on the locks held there; for kinds without a cycle."""

from __future__ import annotations

from quiesce.explain.judge.explanation import LockNote
from quiesce.explain.judge.lock_notes import lock_note
from quiesce.explain.judge.modes import of_trace, plain_name
from quiesce.explain.read.model import PrintedFrame, PrintedReport

_LOCKDEP = ("lockdep_", "dump_", "show_stack", "__dump", "print_", "debug_", "panic", "__warn",
            "report_bug", "fixup_bug", "do_error_trap", "do_invalid_op", "invalid_op", "register_lock",
            "arch_", "unwind_", "___might_", "__might_", "rcu_preempt_sleep_check")  # fmt: skip


def all_notes(report: PrintedReport) -> tuple[LockNote, ...]:
    """Return notes on the lock that *report* is about and on all held ones, each once."""
    first = () if report.wanted is None else (lock_note(report, report.wanted, "wanted"),)
    nest = report.subjects.get("nest lock")
    second = () if nest is None else (lock_note(report, nest, "not held"),)
    shown = {(report.wanted.name, report.wanted.address)} if report.wanted else set()
    rest = (n for n in held_notes(report) if (n.name, n.address) not in shown)
    return (*first, *second, *rest)


def held_notes(report: PrintedReport) -> tuple[LockNote, ...]:
    """Return notes on the locks that the task holds, outermost first."""
    return tuple(
        lock_note(report, lock, f"held #{number}") for number, lock in enumerate(report.held)
    )


def first_outside(frames: tuple[PrintedFrame, ...]) -> str:
    """Return the innermost function that is neither lockdep's nor the locking code's."""
    rest = tuple(
        f for f in frames if f.reliable and f.function and not f.function.startswith(_LOCKDEP)
    )
    caller = of_trace(rest).caller
    return plain_name(caller.function) if caller else ""


def in_function(function: str) -> str:
    """Return " in f()", or nothing if the function is not known."""
    return f" in {function}()" if function else ""
