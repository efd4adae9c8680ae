# SPDX-License-Identifier: Apache-2.0
"""The contexts that lockdep tells apart, and what to call them: hardirq, softirq, NMI, reclaim."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IrqContext:
    """One kind of interrupt.

    :param name: "softirq"; *article*: with its article; *plural*: what can be on or off.
    :param off: how a task keeps it away while it holds a spinlock; empty if nothing does.
    """

    name: str
    article: str
    plural: str
    off: str = ""


HARDIRQ = IrqContext("hard interrupt", "a hard interrupt", "hardirqs", "spin_lock_irqsave()")
SOFTIRQ = IrqContext("softirq", "a softirq", "softirqs", "spin_lock_bh()")
NMI = IrqContext("NMI", "an NMI", "NMIs")
RECLAIM = IrqContext("reclaim", "reclaim", "reclaim")


def context_of(*usages: str) -> IrqContext:
    """Return the context that the first of *usages* with one names, as in ``IN-SOFTIRQ-W``."""
    for usage in usages:
        text = usage.upper()
        for word, context in (
            ("NMI", NMI),
            ("SOFTIRQ", SOFTIRQ),
            ("RECLAIM", RECLAIM),
            ("HARDIRQ", HARDIRQ),
        ):
            if word in text:
                return context
    return HARDIRQ
