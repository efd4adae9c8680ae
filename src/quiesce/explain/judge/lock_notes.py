# SPDX-License-Identifier: Apache-2.0
"""What each lock of a report is: mode, usage and wait type put into words."""

from __future__ import annotations

from quiesce.explain.judge.annotations import Nature, Note, look_up
from quiesce.explain.judge.explanation import LockNote
from quiesce.explain.judge.modes import UNKNOWN, AcquireMode, Acquisition, seen
from quiesce.explain.judge.words import names_of
from quiesce.explain.read.model import PrintedLock, PrintedReport

_MODE_WORDS = {
    AcquireMode.EXCLUSIVE: "exclusively",
    AcquireMode.READ: "for read",
    AcquireMode.RECURSIVE_READ: "for read, recursively",
    AcquireMode.SYNC: "by waiting for its readers",
    AcquireMode.UNKNOWN: "in a way the report does not show",
}


def mode_words(mode: AcquireMode) -> str:
    """Return *mode* as an adverb: "for read"."""
    return _MODE_WORDS[mode]


def lock_note(
    report: PrintedReport,
    lock: PrintedLock,
    role: str,
    how: Acquisition = UNKNOWN,
    held: AcquireMode = AcquireMode.UNKNOWN,
    note: Note | None = None,
) -> LockNote:
    """Return *lock* explained.

    :param role: its part in the report.
    :param how: how it is taken, *held*: how others hold it.
    :param note: what it is, where the caller has found out already.
    """
    note = note or look_up(lock)
    mode = how.mode if how.mode is not AcquireMode.UNKNOWN else note.usual
    place = lock.where.place if lock.where else (how.caller.place if how.caller else "")
    return LockNote(
        name=lock.name,
        class_name=lock.class_name,
        role=role,
        mode=mode.value,
        held_mode=held.value,
        annotation=note.nature.is_annotation,
        nature=note.nature.value,
        usage=lock.usage,
        usage_text=usage_words(lock, note, report.facts.get("layout") == "early"),
        # A spinlock with the number 3 proves the option as well.
        wait_type=wait_words(lock, raw_nesting(report) or how.primitive == "spinlock"),
        where=place,
        stands_for=note.stands_for,
        blocks=note.blocks,
        source=note.source,
        primitive=how.primitive,
        address=lock.address,
        line=lock.line,
        short_name=names_of(report).of(lock),
    )


def usage_words(lock: PrintedLock, note: Note, early: bool = False) -> str:
    """Return what the usage characters mean for this lock, where they mean something.

    :param early: the layout of the first 2.6 kernels, see :func:`quiesce.explain.judge.modes.seen`.
    """
    if not lock.usage or note.nature.is_annotation:
        return ""
    usage = seen(lock.usage, early)
    if usage.read and not usage.wrote:
        return "only ever taken for read so far: no writer has been seen"
    if usage.read and usage.wrote:
        return "taken for read and for write"
    if early:
        return "never taken for read so far"
    parts = []
    for index, context in ((0, "hardirq"), (2, "softirq")):
        char = lock.usage[index] if index < len(lock.usage) else "."
        if char in "-?":
            parts.append(f"taken in {context}s")
        if char == "?":
            parts.append(f"and with {context}s on, which cannot be right")
    if not parts and not usage.wrote:
        return "only ever taken with interrupts off"
    return ", ".join(parts)


def raw_nesting(report: PrintedReport) -> bool:
    """True when the report proves CONFIG_PROVE_RAW_LOCK_NESTING: a wait type of 4, RCU with 3."""
    locks = (report.wanted, report.holding, *report.held, *(link.lock for link in report.links))
    for lock in locks:
        if lock is not None and (
            lock.inner == 4 or (lock.inner == 3 and lock.base.startswith("rcu_read_lock"))
        ):
            return True
    return report.facts.get("context") == "5"


def wait_words(lock: PrintedLock, nesting: bool) -> str:
    """Return the wait type in words; the numbers depend on the configuration, see raw_nesting()."""
    if lock.inner is None:
        return ""
    if lock.inner == 0:
        return "no wait type"
    names = {1: "never waits", 2: "spins", 3: "sleeps"}
    if nesting:
        names |= {3: "spins, or sleeps on PREEMPT_RT", 4: "sleeps"}
    return names.get(lock.inner, "")


def what_it_is(note: LockNote) -> str:
    """Return the lock's nature as a phrase: "a lock that sleeps", "no lock, but an annotation"."""
    if note.nature == Nature.HOME_MADE.value:
        return "a real lock, without a wait type"
    if note.nature == Nature.UNKNOWN_MAP.value:
        return "perhaps no lock at all"
    if note.annotation:
        return "no lock, but an annotation"
    kind = note.primitive or "lock"
    what = f"an {kind}" if kind.startswith("rw") else f"a {kind}"
    return f"{what} that {note.wait_type}" if note.wait_type.startswith("s") else what
