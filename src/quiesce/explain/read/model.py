# SPDX-License-Identifier: Apache-2.0
"""What a lockdep report says, once it has been read: plain frozen data, nothing inferred.

Everything here was printed by the kernel. What we conclude from it (what a lock is, how it is held,
whether the cycle can hang) lives in ``annotations``, ``modes``, ``cycle`` and ``explanation``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PrintedFrame:
    """One line of a stack trace.

    :param function: symbol, empty when the trace shows a raw address only.
    :param offset: ``+0x12/0x340`` as printed, empty when a symboliser replaced it.
    :param module: ``kvm`` for ``[kvm]``, empty for the kernel itself.
    :param source: ``mm/memory.c:3141`` where a symboliser added it.
    :param reliable: False for the ``?`` frames, which the unwinder only found on the stack.
    :param inlined: True for a ``[inline]`` line: the function has no frame of its own.
    """

    function: str
    offset: str = ""
    module: str = ""
    source: str = ""
    reliable: bool = True
    inlined: bool = False

    @property
    def place(self) -> str:
        """The call site as it can be compared: symbol and offset."""
        return self.function + self.offset

    def __str__(self) -> str:
        text = self.place or "?"
        if self.module:
            text += f" [{self.module}]"
        return f"{text} {self.source}" if self.source else text


@dataclass(frozen=True)
class PrintedLock:
    """A lock as lockdep prints it: ``address (name#2/1){+.+.}-{3:3}, at: function``.

    :param name: the class as printed, with version and subclass: ``&type->s_umount_key#45/1``.
    :param base: the name alone.
    :param version: ``#N``, 1 when not printed: tells classes of the same name apart.
    :param subclass: ``/N``, 0 when not printed: the nesting level the caller asked for.
    :param detail: what the class's own print function added (``l=1 0:2803368``).
    :param usage: the characters between the first braces, without them.
    :param outer: outer wait type, None where the kernel printed none (before 5.7).
    :param inner: inner wait type, None if it is not printed.
    :param address: as printed, hashed or not; empty when absent.
    :param at: where it was taken, innermost inlined function first; empty when absent.
    :param line: 1-based line of the log.
    """

    name: str
    base: str
    version: int = 1
    subclass: int = 0
    detail: str = ""
    usage: str = ""
    outer: int | None = None
    inner: int | None = None
    address: str = ""
    at: tuple[PrintedFrame, ...] = ()
    line: int = 0

    @property
    def class_name(self) -> str:
        """The class without its version: what stays the same from boot to boot."""
        return f"{self.base}/{self.subclass}" if self.subclass else self.base

    def same_class(self, other: PrintedLock) -> bool:
        """True when both are of the same lock class, print-function details apart."""
        return (self.base, self.version, self.subclass) == (
            other.base,
            other.version,
            other.subclass,
        )

    @property
    def where(self) -> PrintedFrame | None:
        """The function that took it: the outermost of the ``at:`` frames."""
        return self.at[-1] if self.at else None


@dataclass(frozen=True)
class PrintedLink:
    """``-> #N (lock):`` and its trace: where *lock* was taken with lock N-1 held."""

    number: int
    lock: PrintedLock
    frames: tuple[PrintedFrame, ...]
    line: int


@dataclass(frozen=True)
class ScenarioStep:
    """One line of lockdep's own "Possible unsafe locking scenario" table.

    :param cpu: 0 or 1, by its column.
    :param op: ``lock``, ``rlock``, ``sync``, ``interrupt`` or ``irq-off``.
    :param name: the lock, empty for the last two.
    """

    cpu: int
    op: str
    name: str


@dataclass(frozen=True)
class UsageTrace:
    """``SOFTIRQ-ON-W at:`` and its trace inside a class block of an irq report."""

    state: str
    frames: tuple[PrintedFrame, ...]


@dataclass(frozen=True)
class ClassBlock:
    """``-> (lock) { usages } ... key at: ... acquired at:`` of an irq report's dependency tree."""

    lock: PrintedLock
    usages: tuple[UsageTrace, ...] = ()
    acquired: tuple[PrintedFrame, ...] = ()


@dataclass(frozen=True)
class StuckTask:
    """One task of a dump.

    :param name: ``comm/pid``.
    :param state: ``D``, ``S``, ``R``, ...; empty when not printed.
    :param seconds: for how long the hung task detector says that it is blocked, 0 if it does not.
    :param frames: its stack, innermost first.
    :param held: what "N locks held by" lists for it, outermost first; the last one may be what it
        waits for.
    :param owner: the task that is said to own what it waits for, ``comm/pid``; *owned*: what that is.
    :param work: the function of the work item that it runs.
    :param lists_held: True if the dump has such a list for it, or one of all locks without it.
    """

    name: str
    state: str = ""
    seconds: int = 0
    frames: tuple[PrintedFrame, ...] = ()
    held: tuple[PrintedLock, ...] = ()
    owner: str = ""
    owned: str = ""
    work: str = ""
    line: int = 0
    lists_held: bool = False


@dataclass(frozen=True)
class Missing:
    """A part that the report should have and that could not be read.

    :param what: the part, in words.
    :param line: 1-based line of the log where it was expected.
    """

    what: str
    line: int

    def __str__(self) -> str:
        return f"{self.what} (line {self.line})"


@dataclass(frozen=True)
class Other:
    """Something in the log that is known but not about waiting.

    :param name: "KASAN", "oops"; *what*: the rest of its headline.
    :param line: 1-based line of the log.
    """

    name: str
    what: str
    line: int

    def __str__(self) -> str:
        return f"{self.name}: {self.what} (line {self.line})"


@dataclass(frozen=True)
class ReadLog:
    """All reports of a log.

    :param reports: in the order of their headlines.
    :param unread: how many more there were than are read of one log.
    :param others: what is known but not about waiting, in the order of the log.
    """

    reports: tuple[PrintedReport, ...]
    unread: int = 0
    others: tuple[Other, ...] = ()


@dataclass(frozen=True)
class PrintedReport:
    """One lockdep report of a log.

    :param kind: the name of a kind, see :mod:`quiesce.explain.read.kind`.
    :param title: the headline without its brackets and tag.
    :param kernel: release, empty when it was not printed.
    :param task: ``qemu-system-x86/3069``, empty when unknown.
    :param line: 1-based line of the headline; *end_line*: the last line that belongs to it.
    :param wanted: the lock being taken, released or freed when lockdep spoke.
    :param holding: the lock that closes the problem: "but task is already holding lock".
    :param links: the dependency chain as printed, highest number first.
    :param declared_held: how many locks the "N locks held by" line announces, None without it.
    :param held: those locks, outermost first.
    :param chain_names: the names of "Chain exists of:".
    :param scenario: lockdep's own table.
    :param backtrace: the frames after "stack backtrace:".
    :param facts: what only some kinds print, by a fixed name; see ``docs/reading_splats.md``.
    :param traces: further named traces of those kinds.
    :param blocks: the dependency trees of the irq kinds.
    :param tasks: of a dump of tasks that are stuck.
    :param missing: what could not be read; a whole report has none.
    """

    kind: str
    title: str
    kernel: str = ""
    task: str = ""
    line: int = 0
    end_line: int = 0
    wanted: PrintedLock | None = None
    holding: PrintedLock | None = None
    links: tuple[PrintedLink, ...] = ()
    declared_held: int | None = None
    held: tuple[PrintedLock, ...] = ()
    chain_names: tuple[str, ...] = ()
    scenario: tuple[ScenarioStep, ...] = ()
    backtrace: tuple[PrintedFrame, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    traces: dict[str, tuple[PrintedFrame, ...]] = field(default_factory=dict)
    subjects: dict[str, PrintedLock] = field(default_factory=dict)
    blocks: tuple[ClassBlock, ...] = ()
    tasks: tuple[StuckTask, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def complete(self) -> bool:
        """True when every part that the kernel prints for this kind was read."""
        return not self.missing

    @property
    def chain_length(self) -> int:
        """Number of links of the cycle, by lockdep's own numbering, even when some are cut off."""
        return max((link.number + 1 for link in self.links), default=0)
