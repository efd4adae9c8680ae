# SPDX-License-Identifier: Apache-2.0
"""What a report is, and the reports about lock order. The other kinds: ``reports_*.py``.

One object a report. Its fields are the data, :meth:`Report.to_dict` gives them to programs,
:meth:`Report.text` prints them as the kernel would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from quiesce.harmless import one_line
from quiesce.lockdep.kernel_text import (
    CPU1,
    banner,
    chain_exists,
    dump_stack,
    held_lines,
    lock_line,
    one_cpu,
    trace_lines,
    two_cpus,
)
from quiesce.lockdep.snapshot import Frames, HeldInfo, KernelIdent, Link, TaskInfo

OTHER_INFO = "other info that might help us debug this:"


@dataclass(frozen=True, kw_only=True)
class Report(ABC):
    """One complaint of the validator.

    :ivar task: the task that did it, and what it held.
    :ivar stack: where, innermost frame first.
    :ivar linux_would_miss: the finding is true, and Linux's own search or cache would not have made
        it here.
    """

    kind: ClassVar[str]

    ident: KernelIdent
    task: TaskInfo
    stack: Frames
    linux_would_miss: bool = False

    @property
    @abstractmethod
    def title(self) -> str:
        """The line that names the finding, as the kernel prints it."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the kernel's text, line by line, without the blank line that precedes it."""

    def text(self) -> str:
        """Return the kernel's text, ending in a newline; names in it are harmless."""
        return "\n".join(map(one_line, self.lines())) + "\n"

    @property
    def note(self) -> str:
        """A line of ours, not the kernel's, to print after the text; often empty."""
        if not self.linux_would_miss:
            return ""
        return "note: Linux would not report this: its own search or chain cache misses it here"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON: ``text`` is the kernel's, the rest its parts."""
        head = {"kind": self.kind, "title": self.title, "note": self.note, "text": self.text()}
        return {**head, **asdict(self)}

    def _dump_stack(self) -> list[str]:
        return dump_stack(self.task, self.stack, self.ident)


@dataclass(frozen=True, kw_only=True)
class CircularReport(Report):
    """A lock is waited for that already, through others, waits for one that is held.

    :ivar next: the lock to be acquired.
    :ivar prev: the lock held that it depends on.
    :ivar chain: from the class of *prev* back to that of *next*; each link was taken with the one
        after it held.
    """

    kind: ClassVar[str] = "circular"

    next: HeldInfo
    prev: HeldInfo
    chain: tuple[Link, ...]

    @property
    def title(self) -> str:
        return "WARNING: possible circular locking dependency detected"

    def lines(self) -> list[str]:
        lines = [
            *banner(54, self.title, self.ident),
            f"{self.task.who} is trying to acquire lock:",
            lock_line(self.next),
            "",
            "but task is already holding lock:",
            lock_line(self.prev),
            "",
            "which lock already depends on the new lock.",
            "",
            "",
            "the existing dependency chain (in reverse order) is:",
        ]
        for index, link in enumerate(self.chain):
            lines += ["", f"-> #{len(self.chain) - 1 - index}{link.cls.full()}:"]
            lines += trace_lines(link.trace, 6)
        return [
            *lines,
            "",
            OTHER_INFO,
            "",
            *self._scenario(),
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]

    def _scenario(self) -> list[str]:
        source, target = self.next, self.prev
        # However long the chain, the kernel names three classes: its ends and the last step.
        parent = self.chain[1].cls
        lines = []
        if len(self.chain) > 2:
            lines = chain_exists(source.name, parent.name, target.name)
        verb = "rlock" if source.read else "sync" if source.sync else "lock"
        return lines + two_cpus(
            " Possible unsafe locking scenario:",
            [
                f"  {'rlock' if target.read else 'lock'}({target.name});",
                f"{CPU1}lock({parent.name});",
                f"{CPU1}lock({target.name});",
                f"  {verb}({source.name});",
            ],
        )


@dataclass(frozen=True, kw_only=True)
class RecursiveReport(Report):
    """A lock is waited for while one of the same class is held.

    :ivar comparison: what the class's comparison function said of the two, if it has one.
    :ivar earlier: where the two were taken in the other order, if that is known.
    """

    kind: ClassVar[str] = "recursive"

    next: HeldInfo
    prev: HeldInfo
    comparison: int | None
    earlier: Frames = ()

    @property
    def note(self) -> str:
        """A remark of ours; with *earlier*, on several lines."""
        if not self.earlier:
            return super().note
        return "\n".join(
            ["note: these two were taken in the other order at:", *trace_lines(self.earlier, 2)]
        )

    @property
    def title(self) -> str:
        return "WARNING: possible recursive locking detected"

    def lines(self) -> list[str]:
        lines = [
            *banner(44, self.title, self.ident),
            f"{self.task.who} is trying to acquire lock:",
            lock_line(self.next),
            "",
            "but task is already holding lock:",
            lock_line(self.prev),
        ]
        if self.comparison is not None:
            lines.append(f"and the lock comparison function returns {self.comparison}:")
        return [
            *lines,
            "",
            OTHER_INFO,
            *one_cpu(
                " Possible unsafe locking scenario:",
                [f"  lock({self.prev.name});", f"  lock({self.next.name});"],
            ),
            " May be due to missing lock nesting notation",
            "",
            *held_lines(self.task),
            "",
            "stack backtrace:",
            *self._dump_stack(),
        ]
