# SPDX-License-Identifier: Apache-2.0
"""What a report keeps of the validator's state: plain data, taken at the moment of the report."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.lockdep.classes import STATIC_OBJECTS, LockClass, LockClassKey
from quiesce.lockdep.frames import Frame, ip_of
from quiesce.lockdep.held import HeldLock, IrqEvent, LockdepTask
from quiesce.lockdep.search import PathNode
from quiesce.lockdep.usage import USAGE_NAMES, usage_characters

Frames = tuple[Frame, ...]


@dataclass(frozen=True)
class UsageInfo:
    """One usage bit of a class and where it was first seen."""

    name: str
    trace: Frames


@dataclass(frozen=True)
class ClassInfo:
    """A lock class as reports print it.

    :ivar name: with version and subclass, for example ``&x[i]#2/1``.
    :ivar usage: the four characters between the braces.
    """

    name: str
    usage: str
    wait_outer: int
    wait_inner: int
    usages: tuple[UsageInfo, ...]
    key: Frame

    def full(self, instance: str = "") -> str:
        """Return `` (name){usage}-{outer:inner}``; *instance* is what a print_fn adds."""
        wait = f"{self.wait_outer or self.wait_inner}:{self.wait_inner}"
        return f" ({self.name}{instance}){{{self.usage}}}-{{{wait}}}"


@dataclass(frozen=True)
class HeldInfo:
    """A lock held, or about to be.

    :ivar instance: what the class's print_fn says of this instance, often nothing.
    :ivar read: 0 writer, 1 reader, 2 recursive reader.
    """

    cls: ClassInfo
    instance: str
    address: int
    ip: Frame
    read: int
    trylock: bool
    sync: bool

    @property
    def name(self) -> str:
        """The class name followed by what tells this instance apart."""
        return self.cls.name + self.instance


@dataclass(frozen=True)
class IrqEventInfo:
    """When interrupts last went on or off."""

    stamp: int
    ip: Frame


@dataclass(frozen=True)
class TaskInfo:
    """The task that a report is about, with what it held."""

    comm: str
    pid: int
    hardirq_context: int
    softirq_context: int
    softirq_count: int
    hardirqs_enabled: bool
    softirqs_enabled: bool
    irq_events: int
    hardirq_enable: IrqEventInfo
    hardirq_disable: IrqEventInfo
    softirq_enable: IrqEventInfo
    softirq_disable: IrqEventInfo
    held: tuple[HeldInfo, ...]

    @property
    def who(self) -> str:
        """``comm/pid``."""
        return f"{self.comm}/{self.pid}"


@dataclass(frozen=True)
class Link:
    """One class of a dependency path and where its lock was taken with the previous one held."""

    cls: ClassInfo
    trace: Frames


@dataclass(frozen=True)
class KernelIdent:
    """The kernel that a report claims to come from: ``6.12.117 #1 Not tainted``."""

    release: str = "6.12.117"
    build: str = "#1"
    taint: str = "Not tainted"


def class_info(cls: LockClass) -> ClassInfo:
    """Take a picture of a class."""
    usages = tuple(
        UsageInfo(name, cls.usage_traces[bit])
        for bit, name in enumerate(USAGE_NAMES)
        if cls.usage >> bit & 1
    )
    return ClassInfo(
        cls.short_name,
        usage_characters(cls.usage),
        cls.wait_outer,
        cls.wait_inner,
        usages,
        Frame(_key_symbol(cls)),
    )


def _key_symbol(cls: LockClass) -> str:
    # A static lock is its own key; a lock set up at run time has a key in its init function.
    if isinstance(cls.key, LockClassKey):
        return cls.key.symbol
    return "__key.0" if cls.name.startswith("&") else cls.name


def key_address(key: Frame) -> int:
    """Return a made-up address for a key, always the same for the same symbol."""
    return STATIC_OBJECTS + 0x600000 + (zlib.crc32(key.function.encode()) & 0xFFFC0)


def held_info(hlock: HeldLock) -> HeldInfo:
    """Take a picture of a held lock."""
    print_fn = hlock.cls.print_fn
    return HeldInfo(
        class_info(hlock.cls),
        print_fn(hlock.instance) if print_fn is not None else "",
        hlock.instance.address,
        ip_of(hlock.stack),
        hlock.read,
        hlock.trylock,
        hlock.sync,
    )


def task_info(task: LockdepTask) -> TaskInfo:
    """Take a picture of a task and all that it holds."""

    def event(event: IrqEvent) -> IrqEventInfo:
        return IrqEventInfo(event.stamp, event.ip)

    return TaskInfo(
        task.comm,
        task.pid,
        task.hardirq_context,
        task.softirq_context,
        task.softirq_count,
        task.hardirqs_enabled,
        task.softirqs_enabled,
        task.irq_events,
        event(task.hardirq_enable),
        event(task.hardirq_disable),
        event(task.softirq_enable),
        event(task.softirq_disable),
        tuple(held_info(hlock) for hlock in task.held),
    )


def links(nodes: Sequence[PathNode], root_trace: Frames) -> tuple[Link, ...]:
    """Take a picture of a path; the trace of its root is *root_trace*."""
    return tuple(
        Link(class_info(node.cls), node.trace if node.parent is not None else root_trace)
        for node in nodes
    )
