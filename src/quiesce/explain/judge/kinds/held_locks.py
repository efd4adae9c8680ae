# SPDX-License-Identifier: Apache-2.0
"""Explain the kinds about a lock that is held, or not held, at the wrong moment."""

from __future__ import annotations

from quiesce.explain.judge.explanation import Explanation, Reason
from quiesce.explain.judge.kind import Judge, register
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.places import all_notes, first_outside, in_function
from quiesce.explain.judge.reasons import not_shown
from quiesce.explain.read.model import Report

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


def _unlock(report: Report) -> Explanation:
    name = report.wanted.name if report.wanted else "a lock"
    frames = report.traces.get("released", ())
    where = frames[-1].function if frames else first_outside(report.backtrace)
    held = ", ".join(h.name for h in report.held)
    also = f" It holds {held}." if held else " It holds no lock at all."
    return Explanation(
        summary=(
            f"{report.task or 'A task'} releases {name} in {where or 'this place'}(), but does not "
            f"hold it.{also if report.declared_held is not None else ''}"
        ),
        locks=all_notes(report),
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
        locks=all_notes(report),
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
    where = first_outside(
        tuple(f for f in report.backtrace if not plain_name(f.function).startswith(_FREEING))
    )
    return Explanation(
        summary=(
            f"{report.task or 'A task'} frees memory ({report.facts.get('memory', 'see below')}) "
            f"in which {name} lies, and holds that lock."
        ),
        locks=all_notes(report),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Release {name} before the object is freed{in_function(where)}.",
            "If a reference should have kept the object alive, look for the missing one.",
        ),
    )


def _held_too_long(report: Report, end: str) -> Explanation:
    names = ", ".join(h.name for h in report.held) or "a lock"
    places = [h.where.function for h in report.held if h.where]
    return Explanation(
        summary=f"{report.task or 'A task'} {end} and still holds {names}.",
        locks=all_notes(report),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Look for a path out of {places[-1] if places else 'the system call'}() that does not "
            f"release {names}: an error path, an early return.",
            "If the lock is meant to be held across system calls, it needs no owner: a flag and a "
            "wait queue, or a semaphore.",
        ),
    )


def _at_exit(report: Report) -> Explanation:
    return _held_too_long(report, "exits or freezes")


def _returning(report: Report) -> Explanation:
    return _held_too_long(report, "returns to user space")


register(Judge("held-at-exit", _at_exit))
register(Judge("held-freed", _freed))
register(Judge("held-returning-user", _returning))
register(Judge("nested-not-taken", _nested))
register(Judge("unlock-balance", _unlock))
