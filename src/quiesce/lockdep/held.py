# SPDX-License-Identifier: Apache-2.0
"""What a task holds, its interrupt state, and its place in the chain cache."""

from __future__ import annotations

from dataclasses import dataclass

from quiesce.lockdep.classes import LockClass, LockdepMap
from quiesce.lockdep.frames import UNKNOWN, Frame, Stack

HARDIRQ_CONTEXT = 2
SOFTIRQ_CONTEXT = 1


class ChainNode:
    """One lock chain: a sequence of (class, reader kind) held in one interrupt context.

    The kernel hashes the sequence into 64 bits; a tree of sequences is as fast here and cannot
    collide. *cached* says that Linux has validated this very sequence and will not look again.
    """

    __slots__ = ("cached", "children")

    def __init__(self) -> None:
        # Most chains are never continued, and an empty dict is larger than the node.
        self.children: dict[int, ChainNode] | None = None
        self.cached = False

    def follow(self, step: int) -> ChainNode:
        """Return the chain that is longer by *step*, a class and a reader kind."""
        children = self.children
        if children is None:
            children = self.children = {}
        chain = children.get(step)
        if chain is None:
            chain = children[step] = ChainNode()
        return chain


class HeldLock:
    """One entry of a task's stack of held locks (``struct held_lock``).

    :ivar read: 0 writer, 1 reader that a waiting writer blocks, 2 recursive reader.
    :ivar serialised: the lock was excused from the checks by its nest_lock, so that the locks below
        it on the stack have no dependency to it.
    """

    __slots__ = (
        "check",
        "cls",
        "hardirqs_off",
        "instance",
        "irq_context",
        "nest_lock",
        "prev_chain",
        "read",
        "references",
        "serialised",
        "stack",
        "sync",
        "trylock",
    )

    def __init__(
        self,
        cls: LockClass,
        instance: LockdepMap,
        stack: Stack,
        nest_lock: LockdepMap | None,
        irq_context: int,
        trylock: bool,
        read: int,
        check: bool,
        sync: bool,
        hardirqs_off: bool,
        references: int,
        prev_chain: ChainNode,
    ) -> None:
        self.cls = cls
        self.instance = instance
        self.stack = stack
        self.nest_lock = nest_lock
        self.irq_context = irq_context
        self.trylock = trylock
        self.read = read
        self.check = check
        self.sync = sync
        self.hardirqs_off = hardirqs_off
        self.references = references
        self.prev_chain = prev_chain
        self.serialised = False

    def __repr__(self) -> str:
        return f"<HeldLock {self.instance.name} read={self.read}>"


@dataclass
class IrqEvent:
    """The last time that interrupts went on or off: a stamp and the place."""

    stamp: int = 0
    ip: Frame = UNKNOWN


class LockdepTask:
    """One task: ``struct task_struct`` as far as lockdep looks. Made by :meth:`Validator.task`.

    Interrupts that hit a task run on its stack of held locks, marked with another context, as they
    do in the kernel.
    """

    __slots__ = (
        "chain",
        "comm",
        "hardirq_context",
        "hardirq_disable",
        "hardirq_enable",
        "hardirq_threaded",
        "hardirqs_enabled",
        "held",
        "irq_context",
        "irq_events",
        "pid",
        "softirq_context",
        "softirq_disable",
        "softirq_enable",
        "softirqs_enabled",
    )

    def __init__(self, comm: str, pid: int, chain: ChainNode) -> None:
        self.comm = comm
        self.pid = pid
        self.held: list[HeldLock] = []
        self.chain = chain
        self.hardirqs_enabled = True
        self.softirqs_enabled = True
        self.hardirq_context = 0
        self.hardirq_threaded = False
        self.softirq_context = 0
        self.irq_context = 0
        self.irq_events = 0
        self.hardirq_enable = IrqEvent()
        self.hardirq_disable = IrqEvent()
        self.softirq_enable = IrqEvent()
        self.softirq_disable = IrqEvent()

    def __repr__(self) -> str:
        return f"<Task {self.comm}/{self.pid}>"

    def update_irq_context(self) -> None:
        """Recompute which locks of the stack belong together; called when a context changes."""
        hard = HARDIRQ_CONTEXT if self.hardirq_context else 0
        self.irq_context = hard | (SOFTIRQ_CONTEXT if self.softirq_context else 0)

    @property
    def softirq_count(self) -> int:
        """The number in brackets after SC: 2 where bottom halves are off, else 1 in a softirq."""
        return 2 if not self.softirqs_enabled else self.softirq_context

    def stamp(self, ip: Frame) -> IrqEvent:
        """Count one change of interrupt state."""
        self.irq_events += 1
        return IrqEvent(self.irq_events, ip)
