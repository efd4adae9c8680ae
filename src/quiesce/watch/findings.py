# SPDX-License-Identifier: Apache-2.0
"""What a watch reports, in a Python programmer's words; the kernel's text is there on request."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quiesce.harmless import one_line
from quiesce.lockdep.frames import Frame
from quiesce.lockdep.reports import Report
from quiesce.watch.classes import Witness, short, source_line

LIBRARY = threading.__file__.rpartition("threading")[0]
"""Where the standard library is. Installed packages are below it, and are not it."""


_NOT_LIBRARY = tuple(f"{LIBRARY}{name}" for name in ("site-packages", "dist-packages", "test"))


def in_library(file: str) -> bool:
    """True if *file* is a part of the standard library."""
    return file.startswith((LIBRARY, "<frozen")) and not file.startswith(_NOT_LIBRARY)


@dataclass(frozen=True)
class FindingSide:
    """One side of a finding: what one thread does.

    :ivar does: ``holds Server.a and acquires Server.b``.
    :ivar places: where, each with its source line.
    """

    thread: str
    does: str
    places: tuple[Frame, ...]
    stack: tuple[Frame, ...] = ()


@dataclass
class WatchFinding:
    """One thing that is wrong.

    :ivar kind: ``circular``, ``recursive``, ``inconsistent``, ``wait-for-end``, ``fork`` or ``await``.
    :ivar title: the headline.
    :ivar locks: name and place of each lock class that takes part.
    :ivar key: the same for the same finding in another run; has no line numbers.
    :ivar files: files of the places, for ignore rules.
    :ivar report: what the kernel's validator said; None where it has no word for it.
    :ivar during: the test that closed the cycle, if a test runner said so.
    """

    kind: str
    title: str
    locks: tuple[tuple[str, Frame], ...]
    steps: tuple[FindingSide, ...]
    ending: tuple[str, ...]
    report: Report | None = None
    during: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The kind and the names of the locks with their files."""
        names = sorted(f"{name or '-'} {_tail(at.file)}" for name, at in self.locks)
        return one_line(f"{self.kind}: {' | '.join(names)}")

    @property
    def files(self) -> set[str]:
        """Every file that a place of the finding is in."""
        places = [at for _, at in self.locks] + [at for step in self.steps for at in step.places]
        return {at.file for at in places}

    def lines(self) -> list[str]:
        """Return the report, line by line."""
        lines = [f"quiesce: {self.title}"]
        made = ", ".join(f"{name or 'the lock'} at {short(at)}" for name, at in self.locks)
        if made:
            lines.append(f"  made: {made}")
        for step in self.steps:
            lines.append(f"  {step.thread} {step.does}")
            lines += [f"    {_place(at)}" for at in step.places]
        lines += [f"  {line}" for line in (*self.ending, *self.notes)]
        return [one_line(line) for line in lines]

    def text(self) -> str:
        """Return the report, ending in a newline; names in it are harmless."""
        return "\n".join(self.lines()) + "\n"

    def kernel_text(self) -> str:
        """Return the kernel's text, or the report where the kernel has no word for it."""
        if self.report is None:
            return self.text()
        note = f"{self.report.note}\n" if self.report.note else ""
        return self.report.text() + note

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data, ready for JSON."""
        return {
            "kind": self.kind,
            "title": self.title,
            "key": self.key,
            "during": self.during,
            "locks": [{"name": name, "file": at.file, "line": at.line} for name, at in self.locks],
            "steps": [
                {
                    "thread": step.thread,
                    "does": step.does,
                    "places": [
                        {"file": at.file, "line": at.line, "function": at.function}
                        for at in step.places
                    ],
                    "stack": [str(frame) for frame in step.stack],
                }
                for step in self.steps
            ],
            "text": self.text(),
            "kernel_text": self.kernel_text(),
        }


def _tail(file: str) -> str:
    """Return the last two parts of a path, which do not depend on where a checkout is."""
    return "/".join(file.replace("\\", "/").split("/")[-2:])


def _place(at: Frame) -> str:
    line = source_line(at)
    return f"{short(at)} in {at.function}" + (f": {line}" if line else "")


def _seen_from_program(witness: Witness) -> tuple[Frame, Frame]:
    """Return both places of *witness*; where one is inside the standard library, the caller's.

    The first lock was acquired below a frame of the same library file that is still on the stack.
    """
    stack = witness.stack
    outside = [index for index, frame in enumerate(stack) if not in_library(frame.file)]
    held_at, wanted_at = witness.held_at, witness.wanted_at
    if outside and in_library(wanted_at.file):
        wanted_at = stack[outside[0]]
    if outside and in_library(held_at.file):
        same = [index for index, frame in enumerate(stack) if frame.file == held_at.file]
        further = [index for index in outside if same and index > same[0]]
        held_at = stack[further[0]] if further else held_at
    return held_at, wanted_at


def cycle(
    edges: Sequence[tuple[Any, Any, Witness]], report: Report | None, *, same_objects: bool
) -> WatchFinding:
    """Return the finding that lock classes are acquired in a cycle.

    :param edges: class held, class acquired, and how that was seen; the new order last.
    :param same_objects: the lock objects of neighbouring edges are the same.
    """
    classes = [held for held, _, _ in edges]
    names = " and ".join(cls.label for cls in classes)
    if len(classes) > 2:
        names = f"{', '.join(cls.label for cls in classes[:-1])} and {classes[-1].label}"
    how = "in both orders" if len(classes) == 2 else "in a cycle"
    steps = tuple(
        FindingSide(
            witness.thread,
            f"holds {held.label} and acquires {wanted.label}",
            _seen_from_program(witness),
            witness.stack,
        )
        for held, wanted, witness in edges
    )
    ending = ["If each has acquired its first lock, each waits forever for its second."]
    if len({witness.thread for _, _, witness in edges}) == 1:
        ending.append("One thread did all of it here; it takes another thread to deadlock.")
    elif not same_objects:
        ending.append("The lock objects differed; it takes the same ones to deadlock.")
    ending.append("Fix: acquire them in one order everywhere, or never hold both.")
    return WatchFinding(
        "circular",
        f"possible deadlock: {names} are acquired {how}",
        tuple((cls.name, cls.made_at) for cls in classes),
        steps,
        tuple(ending),
        report,
    )


def objects_turn(cls: Any, earlier: Witness, now: Witness, report: Report | None) -> WatchFinding:
    """Return the finding that two locks of one class are acquired in both orders."""
    steps = tuple(
        FindingSide(
            witness.thread,
            f"holds one {cls.label} and acquires another{order}",
            (witness.held_at, witness.wanted_at),
            witness.stack,
        )
        for witness, order in ((earlier, ""), (now, ", in the other order"))
    )
    ending = ["If each has acquired its first lock, each waits forever for its second."]
    if earlier.thread == now.thread:
        ending.append("One thread did all of it here; it takes another thread to deadlock.")
    ending.append("Fix: acquire locks of this class in one order, for example sorted by id().")
    return WatchFinding(
        "recursive",
        f"possible deadlock: two locks {cls.label} are acquired in both orders",
        ((cls.name, cls.made_at),),
        steps,
        tuple(ending),
        report,
    )


def self_deadlock(
    cls: Any, thread: str, held_at: Frame, now: Frame, report: Report | None
) -> WatchFinding:
    """Return the finding that a thread waits for a lock that it holds."""
    step = FindingSide(thread, f"holds {cls.label} and waits for it", (held_at, now))
    return WatchFinding(
        "recursive",
        f"deadlock: {thread} waits for {cls.label}, which it holds itself",
        ((cls.name, cls.made_at),),
        (step,),
        (
            "No other thread has released it so far.",
            "Fix: use an RLock, or do not call this with the lock held.",
        ),
        report,
    )


def context_conflict(
    cls: Any,
    context: str,
    inside: tuple[str, Frame],
    outside: tuple[str, Frame],
    report: Report | None,
) -> WatchFinding:
    """Return the finding that a lock is acquired in *context* and by the code that it interrupts."""
    when = "a garbage collection" if "garbage" in context else "the signal"
    return WatchFinding(
        "inconsistent",
        f"possible deadlock: {cls.label} is acquired in {context} and in the code that it interrupts",
        ((cls.name, cls.made_at),),
        (
            FindingSide(inside[0], f"acquires {cls.label} in {context}", (inside[1],)),
            FindingSide(outside[0], f"acquires {cls.label} in ordinary code", (outside[1],)),
        ),
        (
            f"If {when} comes while the second holds the lock, the thread waits forever for itself.",
            "Fix: do not acquire locks there; append to a queue.SimpleQueue, or set a flag."
            if "garbage" in context
            else "Fix: do not acquire locks there; set a flag that the main thread reads.",
        ),
        report,
    )
