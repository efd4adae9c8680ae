# SPDX-License-Identifier: Apache-2.0
"""The two locks of a report about an order between interrupts and tasks, and those between them."""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.explain.read.model import PrintedLock, PrintedReport


@dataclass(frozen=True)
class Ends:
    """The ends of the chain; one that the text lacks is None.

    :param safe: the lock taken in interrupts.
    :param unsafe: the lock taken with interrupts on.
    :param middle: the lock inside of which the last one is taken, where the report names it.
    :param between: the locks between the ends.
    """

    safe: PrintedLock | None
    unsafe: PrintedLock | None
    middle: PrintedLock | None = None
    between: tuple[PrintedLock, ...] = ()


def order_ends(report: PrintedReport) -> Ends:
    """Return the ends that "X-safe -> X-unsafe lock order" names."""
    wanted, holding = report.wanted, report.holding
    safe, unsafe = report.subjects.get("safe"), report.subjects.get("unsafe")
    middle = holding if holding and safe and holding.name != safe.name else wanted
    between: tuple[PrintedLock, ...] = ()
    if safe is not None and unsafe is not None:
        named = [lock for lock in (holding, wanted) if lock is not None]
        between = tuple(m for m in named if not m.same_class(safe) and not m.same_class(unsafe))
    return Ends(safe, unsafe, middle, between)


def inversion_ends(report: PrintedReport) -> Ends:
    """Return the ends that "irq lock inversion" names."""
    other, known = report.subjects.get("other"), [block.lock for block in report.blocks]
    names = report.chain_names[1:-1]
    between = tuple(lock for name in names for lock in known if lock.name == name)
    if report.facts.get("direction") == "backwards":
        return Ends(other, report.wanted, None, between)
    return Ends(report.wanted, other, None, between)
