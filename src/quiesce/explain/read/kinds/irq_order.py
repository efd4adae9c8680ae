# SPDX-License-Identifier: Apache-2.0
"""What the irq kinds print of their own: "X-safe -> X-unsafe lock order", "irq lock inversion".

Both say that a lock taken in interrupts leads to one that is taken with interrupts on. The first is
found when the connecting dependency appears, the second when a usage appears.
"""

from __future__ import annotations

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.kinds.circular import chain_exists, chain_names
from quiesce.explain.read.reader import Handler, ReportReader


def _new_dependency(reader: ReportReader, text: str, number: int) -> None:
    reader.expect("dependency")


def _safe(reader: ReportReader, text: str, number: int) -> None:
    reader.facts.setdefault("context", _context(text))
    reader.expect("safe")


def _unsafe(reader: ReportReader, text: str, number: int) -> None:
    reader.facts.setdefault("context", _context(text))
    reader.expect("unsafe")


def _became(reader: ReportReader, text: str, number: int) -> None:
    reader.expect("")
    reader.trace("became unsafe" if "-unsafe" in text else "became safe")


def _changed(reader: ReportReader, text: str, number: int) -> None:
    reader.task_line(text, number)
    reader.expect("wanted")


def _took_another(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["direction"] = "forwards"
    reader.facts.setdefault("context", _context(text))
    reader.expect("other")


def _taken_by_another(reader: ReportReader, text: str, number: int) -> None:
    reader.facts["direction"] = "backwards"
    reader.facts.setdefault("context", _context(text))
    reader.expect("other")


def _no_more(reader: ReportReader, text: str, number: int) -> None:
    reader.close()


def _context(text: str) -> str:
    """``HARDIRQ`` of "a HARDIRQ-irq-safe lock"; the 2006 spelling is ``hard-irq-safe``."""
    for word in text.split():
        if "-safe" in word or "-unsafe" in word:
            return word.split("-")[0].upper().replace("HARDIRQ", "HARD").replace("HARD", "HARDIRQ")
    return ""


_PHRASES: dict[str, Handler] = {
    "which would create a new lock dependency": _new_dependency,
    "but this new dependency connects": _safe,
    "... which became": _became,
    "just changed the state of lock": _changed,
    "but this lock took another": _took_another,
    "but this lock was taken by another": _taken_by_another,
    "and interrupts could create": _no_more,
    "the dependencies between": _no_more,
    "lock to be acquired": _no_more,
    "the shortest dependencies between": _no_more,
    "lock's dependencies": _no_more,
    "chain exists of": chain_exists,
    " -->": chain_names,
    "-irq-unsafe lock": _unsafe,
}


def _inversion_lacks(reader: ReportReader) -> None:
    """Note if the other lock or the way to it is missing."""
    if "other" not in reader.subjects:
        reader.lack("the other lock")
    if not reader.blocks:
        reader.lack("the dependencies between the locks")


def _order_lacks(reader: ReportReader) -> None:
    """Note if a lock at one of the ends is missing, or the stack that made it what it is."""
    for slot, what in (("safe", "the irq-safe lock"), ("unsafe", "the irq-unsafe lock")):
        if slot not in reader.subjects:
            reader.lack(what)
        if not reader.traces.get(f"became {slot}"):
            reader.lack(f"the stack that made {what} so")


register(
    ReportKind(
        "irq-inversion",
        titles=(r"possible irq lock inversion(?: dependency(?: detected)?)?",),
        triggers=("irq lock inversion",),
        whole_title="possible irq lock inversion dependency detected",
        phrases=_PHRASES,
        find_missing=_inversion_lacks,
        locks=1,
        has_table=True,
    )
)
register(
    ReportKind(
        "safe-unsafe",
        titles=(r"[\w-]{1,24}-safe -> [\w-]{1,24}-unsafe lock order(?: detected)?",),
        triggers=("-unsafe lock order",),
        phrases=_PHRASES,
        find_missing=_order_lacks,
        locks=2,
        has_table=True,
    )
)
