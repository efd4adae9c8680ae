# SPDX-License-Identifier: Apache-2.0
"""Explain the kinds about interrupts: inconsistent, X-safe -> X-unsafe, irq lock inversion.

In all of them an interrupt comes while its CPU holds a lock, and the interrupt handler wants that
lock, or one whose holder waits for it. The interrupted task cannot go on before the handler ends.
"""

from __future__ import annotations

from quiesce.explain.judge.explanation import Explanation, Interleaving, LockNote, Reason
from quiesce.explain.judge.irq_ends import Ends, inversion_ends, order_ends
from quiesce.explain.judge.kind import Judge, Shape, register
from quiesce.explain.judge.lock_notes import lock_note
from quiesce.explain.judge.modes import of_trace
from quiesce.explain.judge.reasons import not_shown
from quiesce.explain.read.model import Frame, Lock, Report

_CONTEXTS = {"HARDIRQ": "hard interrupt", "SOFTIRQ": "soft interrupt", "RECLAIM_FS": "reclaim"}
_DISABLE = {
    "HARDIRQ": "the _irqsave() variant of the lock function, or local_irq_save()",
    "SOFTIRQ": "the _bh() variant of the lock function, or local_bh_disable()",
}


def _inconsistent(report: Report) -> Explanation:
    """One lock is taken in interrupts, and elsewhere with these interrupts on."""
    lock = report.wanted
    if lock is None:
        return Explanation(
            "A lock is used in two ways that do not fit; it is not in this text.",
            not_shown=tuple(not_shown(report, None)),
            fixes=("Get the whole report: from dmesg, not from the mail.",),
        )
    was, becomes = report.facts.get("was", ""), report.facts.get("becomes", "")
    if lock.base == "fs_reclaim":
        return _sleeping_allocation(report, lock, becomes.startswith("IN-"))
    state = _state(was or becomes)
    context = _CONTEXTS.get(state, "interrupt")
    now_inside = becomes.startswith("IN-")
    here = lock.where.function if lock.where else ""
    registered = _caller(report.traces.get("registered", ()))
    inside, outside = (here, registered) if now_inside else (registered, here)
    table = (
        f" CPU0\n ----\n lock({lock.name})          in {outside or '?'}(), {_plain(state)} on\n"
        f" <{context}>\n   lock({lock.name})        in {inside or '?'}(): waits for ever"
    )
    what = "reclaim" if state == "RECLAIM_FS" else f"{context}s"
    return Explanation(
        summary=(
            f"{lock.name} is taken in {what} ({inside or 'see below'}()), and elsewhere "
            f"({outside or 'see below'}()) while they can come: a {context} that comes there waits "
            "for the lock that its own CPU holds."
        ),
        locks=(lock_note(report, lock, "wanted", of_trace(report.backtrace)),),
        interleavings=(Interleaving("How it hangs", table, ()),),
        assessment="only-if",
        because=f"Real only if the {context} comes on the CPU that holds {lock.name} at {outside}().",
        real=(
            Reason(
                "", f"{{{was}}} and {{{becomes}}}: both usages have been seen in this boot.", True
            ),
        ),
        false=_false(report, context, (lock,)),
        not_shown=tuple(not_shown(report, None)),
        fixes=_irq_fixes(state, lock.name, outside, inside),
    )


def _sleeping_allocation(report: Report, lock: Lock, now_inside: bool) -> Explanation:
    """The "lock" is memory reclaim: an interrupt allocates as only a task may."""
    context = _CONTEXTS.get(_state(report.facts.get("was", "")), "interrupt")
    here = _caller(report.backtrace) or (lock.where.function if lock.where else "")
    inside = here if now_inside else _caller(report.traces.get("registered", ()))
    return Explanation(
        summary=(
            f"A {context}{_in(inside)} allocates memory in a way that may reclaim, and so sleep, "
            "which only a task may."
        ),
        locks=(lock_note(report, lock, "wanted"),),
        assessment="real",
        because=(
            "Nobody waits for fs_reclaim; but whoever enters it may sleep, and an interrupt that "
            "sleeps stops its CPU."
        ),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Use GFP_ATOMIC or GFP_NOWAIT{_in(inside)}, and expect that it fails.",
            "Allocate before, in a task, or move the work to a thread or a work item.",
        ),
    )


def _order(report: Report, ends: Ends) -> Explanation:
    """A lock taken in interrupts leads, over others, to one taken with interrupts on."""
    safe, unsafe, middle = ends.safe, ends.unsafe, ends.middle
    state = _state(report.facts.get("context", "") or report.title)
    context = _CONTEXTS.get(state, "interrupt")
    locks = _irq_locks(report, safe, unsafe, state)
    if safe is None or unsafe is None:
        wanted, holding = report.wanted, report.holding
        here = f" {wanted.name} inside {holding.name} is part of it." if wanted and holding else ""
        return Explanation(
            f"A lock taken in {context}s leads to one that is taken with them on; which, this text "
            f"does not show.{here}",
            locks=locks,
            not_shown=tuple(not_shown(report, None)),
            fixes=("Get the whole report: from dmesg, not from the mail.",),
        )
    if unsafe.base == "fs_reclaim":
        return _allocation(report, safe, middle, context, locks)
    second = middle or safe
    rows = [
        " CPU0                              CPU1",
        " ----                              ----",
        f" lock({unsafe.name})",
        f"{'':35}lock({safe.name})",
        f"{'':35}... lock({unsafe.name})",
        f"{'':35}  waits for CPU0",
        f" <{context}>",
        f"   lock({safe.name})",
        "     waits for CPU1",
    ]
    chain = " -> ".join(dict.fromkeys((safe.name, second.name, unsafe.name)))
    outside = _caller(report.traces.get("became unsafe", ()))
    outside = outside or _block_caller(report, unsafe, "-ON-")
    inside = _caller(report.traces.get("became safe", ()))
    inside = inside or _block_caller(report, safe, "IN-")
    return Explanation(
        summary=(
            f"{safe.name} is taken in {context}s and leads to {unsafe.name} ({chain}), which is "
            f"taken with {_plain(state)} on: a {context} on the CPU that holds {unsafe.name} and "
            f"wants {safe.name} closes the circle."
        ),
        locks=locks,
        interleavings=(Interleaving("How it hangs", "\n".join(rows), ()),),
        assessment="only-if",
        because=(
            f"Real only if the {context} that takes {safe.name} comes on a CPU that holds "
            f"{unsafe.name}, while another CPU holds {safe.name} and wants {unsafe.name}."
        ),
        real=(Reason("", "All three usages and the order have been seen in this boot.", True),),
        false=_false(report, context, (safe, unsafe)),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            *_irq_fixes(state, unsafe.name, outside, inside)[:1],
            f"Do not take {unsafe.name} inside {second.name}, or let go of the latter first.",
            f"Take {safe.name} no longer in {context}s{_in(inside)}: move that work to a thread or "
            "a work item.",
        ),
    )


def _allocation(
    report: Report, safe: Lock, middle: Lock | None, context: str, locks: tuple[LockNote, ...]
) -> Explanation:
    """The irq-unsafe "lock" is memory reclaim: somebody allocates where nobody may sleep."""
    held = safe if middle is None or middle.base == "fs_reclaim" else middle
    where = _caller(report.backtrace) or _block_caller(report, safe, "IN-")
    order = ""
    if report.holding is not None and held.name != safe.name:
        order = f", which is taken inside {safe.name}"
    return Explanation(
        summary=(
            f"Memory is allocated in a way that may reclaim, and so sleep, with {held.name} held"
            f"{order}; {safe.name} is taken in {context}s."
        ),
        locks=locks,
        assessment="real",
        because=(
            "Nobody waits for fs_reclaim, so the circle that lockdep draws is none; but an "
            f"allocation that may reclaim must not be made where {context}s are off, and there "
            "the task would sleep, or reclaim would take locks that are not irq-safe."
        ),
        false=_false(report, context, (safe,)),
        not_shown=tuple(not_shown(report, None)),
        fixes=(
            f"Allocate before {held.name} is taken{_in(where)}.",
            "Use GFP_ATOMIC or GFP_NOWAIT there, and expect that it fails.",
        ),
    )


def _irq_locks(
    report: Report, safe: Lock | None, unsafe: Lock | None, state: str
) -> tuple[LockNote, ...]:
    notes: list[LockNote] = []
    names: set[str] = set()
    for lock, role in (
        (safe, f"{state}-safe"),
        (unsafe, f"{state}-unsafe"),
        (report.holding, "held"),
        (report.wanted, "wanted"),
    ):
        if lock is not None and lock.name not in names:
            names.add(lock.name)
            notes.append(lock_note(report, lock, role))
    return tuple(notes)


def _false(report: Report, context: str, locks: tuple[Lock, ...]) -> tuple[Reason, ...]:
    reasons = [
        Reason("g", f"Can the {context} come there at all (device off, boot, one CPU)?", False)
    ]
    for lock in locks:
        note = lock_note(report, lock, "")
        if note.annotation:
            reasons.append(Reason("i", f"{lock.name} is no lock. {note.blocks}", True))
        elif lock.name.startswith("&"):
            reasons.append(
                Reason("c", f"Is it the same {lock.name} in both places, or two of a class?", False)
            )
    return tuple(reasons)


def _irq_fixes(state: str, name: str, outside: str, inside: str) -> tuple[str, ...]:
    if state == "RECLAIM_FS":
        return (f"Do not allocate with {name} held{_in(outside)}, or use GFP_NOFS there.",)
    context = _CONTEXTS.get(state, "interrupt")
    return (
        f"Take {name} with {_plain(state)} off{_in(outside)} ({_DISABLE[state]}), so that the "
        f"{context} cannot come there.",
        f"Do not take {name} in the {context}{_in(inside)}: defer that to a thread or a work item.",
    )


def _state(usage: str) -> str:
    for state in ("HARDIRQ", "SOFTIRQ", "RECLAIM_FS"):
        if state in usage.upper():
            return state
    return "HARDIRQ"


def _plain(state: str) -> str:
    return {"HARDIRQ": "hardirqs", "SOFTIRQ": "softirqs"}.get(state, "reclaim")


def _in(function: str) -> str:
    return f" in {function}()" if function else ""


def _caller(frames: tuple[Frame, ...]) -> str:
    caller = of_trace(frames).caller
    return caller.function if caller else ""


def _block_caller(report: Report, lock: Lock, mark: str) -> str:
    """Who took *lock* in the usage whose name contains *mark*, by the dependency tree."""
    for block in report.blocks:
        if block.lock.same_class(lock):
            for usage in block.usages:
                if mark in usage.state:
                    return _caller(usage.frames)
    return ""


def _safe_unsafe(report: Report) -> Explanation:
    return _order(report, order_ends(report))


def _inversion(report: Report) -> Explanation:
    return _order(report, inversion_ends(report))


register(Judge("inconsistent", _inconsistent, Shape.INTERRUPT))
register(Judge("irq-inversion", _inversion, Shape.INTERRUPT, ends=inversion_ends))
register(Judge("safe-unsafe", _safe_unsafe, Shape.INTERRUPT, ends=order_ends))
