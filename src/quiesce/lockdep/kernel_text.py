# SPDX-License-Identifier: Apache-2.0
"""The pieces that lockdep's reports are printed from, in the kernel's own text (6.12).

Scripts, bots and people match these texts, so they are reproduced to the blank.
"""

from __future__ import annotations

from collections.abc import Iterable

from quiesce.lockdep.frames import Frame
from quiesce.lockdep.snapshot import (
    ClassInfo,
    Frames,
    HeldInfo,
    KernelIdent,
    Link,
    TaskInfo,
    key_address,
)

CPU1 = " " * 31
"""The second column of a scenario."""


def banner(width: int, title: str, ident: KernelIdent) -> list[str]:
    """Return the first four lines of a report."""
    return ["=" * width, title, f"{ident.release} {ident.build} {ident.taint}", "-" * width]


def lock_line(lock: HeldInfo) -> str:
    """Return a lock: its address, its class, where it was taken (``print_lock()``)."""
    return f"{lock.address:016x}{lock.cls.full(lock.instance)}, at: {lock.ip}"


def address_and_symbol(frame: Frame) -> str:
    """Return ``[<address>] symbol``."""
    return f"[<{frame.address:016x}>] {frame}"


def trace_lines(trace: Frames, spaces: int) -> list[str]:
    """Return a stack trace, indented by *spaces* and one more, as ``stack_trace_print()`` does."""
    return [f"{' ' * (spaces + 1)}{frame}" for frame in trace]


def held_lines(task: TaskInfo) -> list[str]:
    """Return what *task* holds, outermost lock first."""
    count = len(task.held)
    if not count:
        return [f"no locks held by {task.who}."]
    lines = [f"{count} lock{'s' if count > 1 else ''} held by {task.who}:"]
    return lines + [f" #{i}: {lock_line(lock)}" for i, lock in enumerate(task.held)]


def irq_state(task: TaskInfo) -> str:
    """Return ``[HC0[0]:SC0[0]:HE1:SE1]``: hardirq and softirq context, and what is enabled."""
    hard = task.hardirq_context
    return (
        f"[HC{hard}[{hard}]:SC{task.softirq_context}[{task.softirq_count}]"
        f":HE{int(task.hardirqs_enabled)}:SE{int(task.softirqs_enabled)}]"
    )


def irq_events(task: TaskInfo) -> list[str]:
    """Return where interrupts last went on and off (``print_irqtrace_events()``)."""
    lines = [f"irq event stamp: {task.irq_events}"]
    for name, event in (
        ("hardirqs last  enabled", task.hardirq_enable),
        ("hardirqs last disabled", task.hardirq_disable),
        ("softirqs last  enabled", task.softirq_enable),
        ("softirqs last disabled", task.softirq_disable),
    ):
        lines.append(f"{name} at ({event.stamp}): {address_and_symbol(event.ip)}")
    return lines


def dump_stack(task: TaskInfo, stack: Frames, ident: KernelIdent) -> list[str]:
    """Return what ``dump_stack()`` prints. The kernel's blank after the build number is kept."""
    who = f"CPU: 0 UID: 0 PID: {task.pid} Comm: {task.comm}"
    return [
        f"{who} {ident.taint} {ident.release} {ident.build} ",
        "Call Trace:",
        " <TASK>",
        *trace_lines(stack, 0),
        " </TASK>",
    ]


def chain_exists(*names: str) -> list[str]:
    """Return the chain of three classes through which two of them depend on each other."""
    return ["Chain exists of:", f"  {' --> '.join(names)}", ""]


def one_cpu(title: str, steps: Iterable[str]) -> list[str]:
    """Return a scenario on one CPU."""
    return [title, "", "       CPU0", "       ----", *steps, "", " *** DEADLOCK ***", ""]


def two_cpus(title: str, steps: Iterable[str]) -> list[str]:
    """Return a scenario on two CPUs."""
    head = [title, "", "       CPU0                    CPU1", "       ----                    ----"]
    return [*head, *steps, "", " *** DEADLOCK ***", ""]


def interrupt_scenario(safe: str, middle: str, unsafe: str) -> list[str]:
    """Return how an interrupt closes the cycle; *middle* is what *safe*'s holder waits for."""
    lines = chain_exists(safe, middle, unsafe) if middle != unsafe else []
    return lines + two_cpus(
        " Possible interrupt unsafe locking scenario:",
        [
            f"  lock({unsafe});",
            f"{CPU1}local_irq_disable();",
            f"{CPU1}lock({safe});",
            f"{CPU1}lock({middle});",
            "  <Interrupt>",
            f"    lock({safe});",
        ],
    )


def class_header(cls: ClassInfo, depth: int) -> list[str]:
    """Return all that is known of a class, indented by its *depth* in a path."""
    pad = " " * depth
    lines = [f"{pad}->{cls.full()} {{"]
    for usage in cls.usages:
        head = f"{pad}   {usage.name}"
        lines.append(f"{head} at:")
        lines += trace_lines(usage.trace, depth + len(head) + len(" at:"))
    lines.append(f"{pad} }}")
    lines.append(f"{pad} ... key      at: [<{key_address(cls.key):016x}>] {cls.key}")
    return lines


def shortest_dependencies(path: Iterable[Link], *, backwards: bool = False) -> list[str]:
    """Return the classes of a path, from its far end to its root.

    Each class comes with the place where its lock was taken. A path found backwards knows that
    place one class too early, so there it is printed one class later, and the first class has none.
    """
    nodes = list(path)
    lines: list[str] = []
    previous: Frames | None = None
    for index, link in enumerate(nodes):
        depth = len(nodes) - 1 - index
        lines += class_header(link.cls, depth)
        trace = previous if backwards else link.trace
        if trace is not None:
            lines.append(f"{' ' * depth} ... acquired at:")
            lines += [*trace_lines(trace, 2), ""]
        previous = link.trace
    return lines
