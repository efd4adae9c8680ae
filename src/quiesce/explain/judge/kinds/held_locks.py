# SPDX-License-Identifier: Apache-2.0
"""Explain the kinds about a lock that is held, or not held, at the wrong moment."""

from __future__ import annotations

from quiesce.explain.judge.answer import Answer, Judgement
from quiesce.explain.judge.call_path import waiter
from quiesce.explain.judge.explanation import Explanation
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.missing import not_shown
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.places import all_notes, first_outside, in_function
from quiesce.explain.judge.sleeping import where_chain
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedReport

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


def _misuse(
    report: PrintedReport, text: str, *fixes: str, notes: tuple[str, ...] = ()
) -> Explanation:
    chains = (where_chain(report, report.backtrace),) if report.backtrace else ()
    return Explanation(
        Answer(Judgement.MISUSE, f"Misuse: {text}", notes=notes, chains=chains, fixes=fixes),
        locks=all_notes(report),
        not_shown=tuple(not_shown(report)),
    )


def _unlock(report: PrintedReport) -> Explanation:
    name = names_of(report).of(report.wanted) if report.wanted else "a lock"
    frames = report.traces.get("released", ())
    where = waiter(frames) or first_outside(report.backtrace)
    held = ", ".join(names_of(report).of(h) for h in report.held)
    also = ""
    if report.declared_held is not None:
        also = f" It holds {held}." if held else " It holds no lock at all."
    return _misuse(
        report,
        f"{report.task or 'a task'} releases {name}{in_function(where)}, but does not hold it.{also}",
        f"Look for a path to {where or 'the release'}() on which {name} was not taken, or was released "
        "already: an error path, a failed trylock.",
        "If another task took it on purpose, use a semaphore or a completion, which have no owner.",
    )


def _nested(report: PrintedReport) -> Explanation:
    names = names_of(report)
    name = names.of(report.wanted) if report.wanted else "a lock"
    nest = report.subjects.get("nest lock")
    outer = names.of(nest) if nest else "the outer lock"
    notes: tuple[str, ...] = ()
    if nest is None:
        notes = ("If the text ends here, the data of the lock was overwritten or freed.",)
    return _misuse(
        report,
        f"{report.task or 'a task'} takes {name} as nested inside {outer}, but does not hold {outer}.",
        f"Take {outer} around it: several locks of one class may be held only under one.",
        f"If {outer} was freed or never initialized, look for a use after free.",
        notes=notes,
    )


def _freed(report: PrintedReport) -> Explanation:
    name = names_of(report).of(report.wanted) if report.wanted else "a lock"
    rest = tuple(f for f in report.backtrace if not plain_name(f.function).startswith(_FREEING))
    where = first_outside(rest)
    memory = report.facts.get("memory", "")
    return _misuse(
        report,
        f"{report.task or 'a task'} frees memory{f' ({memory})' if memory else ''} in which {name} lies"
        f"{in_function(where)}, while that lock is held.",
        f"Release {name} before the object is freed{in_function(where)}.",
        "If a reference should have kept the object alive, look for the missing one.",
    )


def _held_too_long(report: PrintedReport, end: str) -> Explanation:
    names = ", ".join(names_of(report).of(h) for h in report.held) or "a lock"
    places = [h.where.function for h in report.held if h.where]
    return _misuse(
        report,
        f"{report.task or 'a task'} {end} and still holds {names}.",
        f"Look for a path out of {places[-1] if places else 'the system call'}() that does not release "
        f"{names}: an error path, an early return.",
        "If the lock is meant to be held across system calls, it has no owner: use a flag and a wait "
        "queue, or a semaphore.",
    )


def _at_exit(report: PrintedReport) -> Explanation:
    return _held_too_long(report, "exits or freezes")


def _returning(report: PrintedReport) -> Explanation:
    return _held_too_long(report, "returns to user space")


register(Judge("held-at-exit", _at_exit))
register(Judge("held-freed", _freed))
register(Judge("held-returning-user", _returning))
register(Judge("nested-not-taken", _nested))
register(Judge("unlock-balance", _unlock))
