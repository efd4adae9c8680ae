# SPDX-License-Identifier: Apache-2.0
"""A name for the problem that a report shows, the same from boot to boot and from every entry point.

A cycle can be caught at any of its edges, and lockdep then prints it from there; the version numbers
of classes (``#45``) depend on what was loaded before. So a cycle's name is made of its class names
without versions, in the cyclic order that is first in the alphabet. Nesting levels (``/1``) stay:
they are in the source. The name of a workqueue often has the number of a device (``hci0``): numbers in
it do not count.
"""

from __future__ import annotations

import hashlib
import re

from quiesce.explain.judge.modes import plain_name
from quiesce.explain.read.model import PrintedLock, PrintedReport

_LOCKDEP = ("lockdep_", "dump_", "show_stack", "__dump", "print_", "debug_", "__warn", "panic")


def digest(kind: str, identity: tuple[str, ...]) -> str:
    """Return twelve hexadecimal digits, equal for reports of the same problem."""
    text = "\n".join((kind, *identity))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def stable_name(lock: PrintedLock) -> str:
    """Return the name of the class of *lock* that is the same on every machine."""
    name = lock.class_name
    return re.sub(r"\d+", "N", name) if name.startswith("(wq_completion)") else name


def chain_of_names(report: PrintedReport) -> tuple[str, ...]:
    """Return the class names of the cycle, from whichever link it was printed."""
    size = report.chain_length
    names = {link.number: stable_name(link.lock) for link in report.links}
    if report.wanted is not None:
        names.setdefault(0, stable_name(report.wanted))
    if size >= 2 and len(names) == size:
        return canonical_rotation([names[number] for number in range(size)])
    ends = [stable_name(lock) for lock in (report.wanted, report.holding) if lock is not None]
    return ("cut", str(size), *sorted(ends))


def source_place(report: PrintedReport) -> tuple[str, ...]:
    """Return the source file, what was done there, and the function that did it."""
    place = report.facts.get("place", "").rpartition(":")[0].rpartition("/")[2]
    return (place, report.facts.get("what", ""), _innermost(report))


def named_locks(report: PrintedReport) -> tuple[str, ...]:
    """Return the classes of the locks that the report is about, else of those held."""
    slots = [report.wanted, report.holding]
    slots += [report.subjects.get(name) for name in ("safe", "unsafe", "other", "nest lock")]
    names = [stable_name(lock) for lock in slots if lock is not None]
    if names:
        usage = (report.facts.get("was", ""), report.facts.get("becomes", ""))
        return (*names, *sorted(usage))
    if report.held:
        return tuple(stable_name(lock) for lock in report.held)
    return (report.title, _innermost(report))


def canonical_rotation(names: list[str]) -> tuple[str, ...]:
    """Return the rotation of *names* that comes first in the alphabet.

    By comparing two candidates at a time, each name is looked at a constant number of times.
    """
    count = len(names)
    first, second, same = 0, 1, 0
    while first < count and second < count and same < count:
        one, other = names[(first + same) % count], names[(second + same) % count]
        if one == other:
            same += 1
            continue
        if one > other:
            first += same + 1
        else:
            second += same + 1
        second += first == second
        same = 0
    start = min(first, second)
    return tuple(names[start:] + names[:start])


def _innermost(report: PrintedReport) -> str:
    for frame in report.backtrace:
        name = plain_name(frame.function)
        if frame.reliable and name and not name.startswith(_LOCKDEP):
            return name
    return ""
