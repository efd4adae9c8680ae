# SPDX-License-Identifier: Apache-2.0
"""Makes lockdep reports for tests, as the kernel prints them: locks and stacks of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One link: *lock* is taken by *functions*, innermost first, with the lock before it held.

    :param usage: of the lock; *types*: its wait type, "0:0" for an annotation.
    """

    lock: str
    functions: str
    usage: str = "+.+."
    types: str = "3:3"

    @property
    def printed(self) -> str:
        return f"({self.lock}){{{self.usage}}}-{{{self.types}}}"


def stack(functions: str, indent: str = " ") -> list[str]:
    """Return the lines of a stack; a function may bring its own offset (``f+0x54/0x130``)."""
    lines = []
    for number, function in enumerate(functions.split()):
        place = function if "+0x" in function else f"{function}+0x{16 + number:x}/0x1f0"
        lines.append(f"{indent}{place}")
    return lines


def circular(
    steps: Sequence[Step],
    *,
    task: str = "toyd/42",
    kernel: str = "6.12.0-toy",
    held: Sequence[str] = (),
    address: str = "ffff888100000000",
) -> str:
    """Return a circular report: *steps* are links #0, #1, ...; the last one's lock is held.

    :param held: further locks that the task holds, as ``(name){usage}-{types}, at: f+0x1/0x2``.
    """
    top = steps[-1]
    first = steps[0].functions.split()
    lines = [
        "======================================================",
        "WARNING: possible circular locking dependency detected",
        f"{kernel} #1 Not tainted",
        "------------------------------------------------------",
        f"{task} is trying to acquire lock:",
        f"{address} {steps[0].printed}, at: {first[1] if len(first) > 1 else first[0]}+0x1/0x20",
        "",
        "but task is already holding lock:",
        f"ffff8881000000ff {top.printed}, at: toy_outer+0x1/0x20",
        "",
        "which lock already depends on the new lock.",
        "",
        "the existing dependency chain (in reverse order) is:",
    ]
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        lines += ["", f"-> #{number} {step.printed}:", "       lock_acquire+0xd1/0x2d0"]
        lines += stack(step.functions, "       ")
    locks = [*held, f"{top.printed}, at: toy_outer+0x1/0x20"]
    lines += ["", "other info that might help us debug this:", ""]
    lines += [f"{len(locks)} lock{'s' if len(locks) > 1 else ''} held by {task}:"]
    lines += [f" #{n}: ffff8881000001{n:02x} {lock}" for n, lock in enumerate(locks)]
    lines += ["", "stack backtrace:", "Call Trace:", " dump_stack_lvl+0x6f/0xb0"]
    lines += stack(steps[0].functions)
    return "\n".join(lines) + "\n"


def recursive(
    lock: str,
    functions: str,
    *,
    wanted: str = "ffff888100000010",
    holding: str = "ffff888100000020",
    at: str = "toy_outer",
    usage: str = "+.+.",
    types: str = "3:3",
) -> str:
    """Return a recursive report: *functions* take *lock*, which *at* took before."""
    printed = f"({lock}){{{usage}}}-{{{types}}}"
    place = functions.split()[1] if len(functions.split()) > 1 else functions
    lines = [
        "============================================",
        "WARNING: possible recursive locking detected",
        "6.12.0-toy #1 Not tainted",
        "--------------------------------------------",
        "toyd/42 is trying to acquire lock:",
        f"{wanted} {printed}, at: {place}+0x1/0x20",
        "",
        "but task is already holding lock:",
        f"{holding} {printed}, at: {at}+0x1/0x20",
        "",
        "other info that might help us debug this:",
        "1 lock held by toyd/42:",
        f" #0: {holding} {printed}, at: {at}+0x1/0x20",
        "",
        "stack backtrace:",
        "Call Trace:",
        " dump_stack_lvl+0x6f/0xb0",
        " lock_acquire+0xd1/0x2d0",
        *stack(functions),
    ]
    return "\n".join(lines) + "\n"


def inconsistent(
    lock: str,
    *,
    was: str,
    becomes: str,
    before: str,
    now: str,
    at: str = "toy_outer",
    types: str = "2:2",
) -> str:
    """Return an inconsistent report: *before* is the stack of *was*, *now* that of *becomes*."""
    printed = f"({lock}){{+.?.}}-{{{types}}}"
    lines = [
        "================================",
        "WARNING: inconsistent lock state",
        "6.12.0-toy #1 Not tainted",
        "--------------------------------",
        f"inconsistent {{{was}}} -> {{{becomes}}} usage.",
        "toyd/42 [HC0[0]:SC0[0]:HE0:SE1] takes:",
        f"ffff888100000010 {printed}, at: {at}+0x1/0x20",
        f"{{{was}}} state was registered at:",
        "  lock_acquire+0xd1/0x2d0",
        *stack(before, "  "),
        "irq event stamp: 42",
        "",
        "other info that might help us debug this:",
        "1 lock held by toyd/42:",
        f" #0: ffff888100000010 {printed}, at: {at}+0x1/0x20",
        "",
        "stack backtrace:",
        "Call Trace:",
        " dump_stack_lvl+0x6f/0xb0",
        *stack(now),
    ]
    return "\n".join(lines) + "\n"
