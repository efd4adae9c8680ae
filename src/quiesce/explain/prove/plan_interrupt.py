# SPDX-License-Identifier: Apache-2.0
"""The scenario of a report about interrupts: a task, and the interrupt that comes on top of it.

An interrupt is a thread of its own that runs on the CPU of the task: while it does, the task cannot
move (``quiesce.primitives.annotations.Cpu``). So a handler that waits for a lock of the interrupted
task waits forever. Where two locks are involved, another CPU holds the one that the handler wants and
waits for the task's.

Old kernels (before 4.14) report memory reclaim in the same words; there the "interrupt" is the task's own
allocation, and the scenario one task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from quiesce.explain.judge.annotations import Nature, look_up
from quiesce.explain.judge.cycle import Party
from quiesce.explain.judge.irq_ends import Ends
from quiesce.explain.judge.modes import AcquireMode, Acquisition, of_trace, seen
from quiesce.explain.prove.lock_classes import (
    CONTEXT,
    IRQ_RWLOCK,
    MUTEX,
    RWSEM,
    SECTION,
    SEQCOUNT,
    SPINLOCK,
    LockKind,
    kind_of,
    nest,
    write,
)
from quiesce.explain.prove.plan import (
    IRQS_OFF,
    WRITERS,
    AttributeNames,
    Claim,
    ModelLock,
    ModelThread,
    Nest,
    ScenarioModel,
    Trial,
)
from quiesce.explain.read.model import PrintedFrame, PrintedLock, PrintedReport

_CONTEXTS = {"HARDIRQ": "hard interrupt", "SOFTIRQ": "soft interrupt"}
_TASK_RUNS = Nest("self.cpu.task_runs()", comment="Here the interrupt may come.")


@dataclass(frozen=True)
class _Use:
    """A lock as one of the threads takes it."""

    attribute: str
    kind: LockKind
    party: Party

    def with_mode(self, mode: AcquireMode) -> _Use:
        return replace(self, party=self.party.with_mode(mode))

    def nest(self, comment: str = "") -> Nest:
        return nest(self.kind, self.party, self.attribute, wanted=False, comment=comment)


def irq_claim(report: PrintedReport, ends: Ends | None) -> Claim:
    """Return what *report* claims: of one lock, or of the two in *ends*."""
    return _inconsistent(report) if ends is None else _order(report, ends)


def _not_modelled(reason: str) -> Claim:
    return Claim(None, verdict="not_modelled", reason=reason)


def _about_annotation(lock: PrintedLock) -> Claim | None:
    """Return the reason for not checking *lock* if it is an annotation: the bug is then not a hang."""
    note = look_up(lock)
    if not note.nature.is_annotation or note.nature is Nature.UNKNOWN_MAP or _spins(lock):
        return None
    if note.nature is Nature.CONTEXT:
        return _not_modelled(
            f"(i) {lock.name} is not a lock, and no task waits for it; the bug is that it is entered "
            "where that is not allowed, as by an allocation that may sleep with interrupts off"
        )
    return _not_modelled(
        f"(i) {lock.name} is not a lock; {note.blocks[:1].lower()}{note.blocks[1:]}"
    )


def _spins(lock: PrintedLock) -> bool:
    """True for the one annotation of which a wait in interrupts is known: the printk() owner."""
    return lock.base == "console_owner"


def _kind_of(*parties: Party) -> LockKind:
    """Return the kind of a lock that is taken in interrupts, where no task may sleep."""
    kind = kind_of(parties)
    if kind in (MUTEX, SECTION):
        return SPINLOCK
    if kind is RWSEM:
        return IRQ_RWLOCK
    return kind


# --- One lock: inconsistent -----------------------------------------------------------------------


def _inconsistent(report: PrintedReport) -> Claim:
    lock, was, becomes = report.wanted, report.facts.get("was"), report.facts.get("becomes")
    if lock is None or not was or not becomes:
        return Claim(None, verdict="incomplete", reason="the lock or its two usages are missing")
    claim = _about_annotation(lock)
    if claim is not None:
        return claim
    now_inside = becomes.upper().startswith("IN-")
    usage_in, usage_on = (becomes, was) if now_inside else (was, becomes)
    here, before = report.backtrace, report.traces.get("registered", ())
    frames_in, frames_on = (here, before) if now_inside else (before, here)
    reclaim = "RECLAIM" in was.upper() or "RECLAIM" in becomes.upper()
    attribute = AttributeNames().of("lock", lock.base)
    inside = _party(lock, frames_in, usage_in, in_irq=not reclaim)
    outside = _party(lock, frames_on, usage_on, in_irq=False)
    kind = _kind_of(inside, outside)
    of = {"inside": _Use(attribute, kind, inside), "outside": _Use(attribute, kind, outside)}
    if reclaim:
        return _reclaim(report, lock, of)
    context = _context(usage_in)
    task = ModelThread(
        "task",
        f"Takes {lock.name} with {context}s on.",
        _interruptible(of["outside"], _in(frames_on)),
    )
    handler = ModelThread(
        "interrupt",
        f"The {context}, which takes {lock.name}.",
        (Nest("with self.cpu:"), of["inside"].nest(_in(frames_in))),
    )
    model = _irq_model(report, [(attribute, lock, kind)], [task, handler], writers=False)
    condition = f"the {context} comes on the CPU that holds {lock.name}"
    return Claim(model, _trials(lock, context, (condition,), tasks=1, writers=()))


def _reclaim(report: PrintedReport, lock: PrintedLock, of: dict[str, _Use]) -> Claim:
    body = (
        of["outside"].nest(),
        Nest("with self.reclaim:", comment="An allocation that goes into reclaim."),
        of["inside"].nest(),
    )
    model = ScenarioModel(
        title=f"{report.title}, {report.task}",
        notes=("The task that allocates does the reclaim itself.",),
        locks=(
            ModelLock(of["outside"].attribute, lock.name, of["outside"].kind.constructor),
            ModelLock("reclaim", "reclaim", CONTEXT.constructor),
        ),
        threads=(ModelThread("task", f"Allocates with {lock.name} held.", body),),
    )
    condition = f"reclaim gets to the same {lock.name} (f: it cannot reach an object in use)"
    return Claim(model, (Trial("", (), conditions=(condition,)),))


# --- Two locks and more: safe-unsafe, irq-inversion ------------------------------------------------


def _order(report: PrintedReport, ends: Ends) -> Claim:
    safe, unsafe, between = ends.safe, ends.unsafe, ends.between
    if safe is None or unsafe is None:
        return Claim(None, verdict="incomplete", reason="one of the two locks is missing")
    for lock in (safe, unsafe):
        claim = _about_annotation(lock)
        if claim is not None:
            return claim
    state = "SOFTIRQ" if report.facts.get("context", "").startswith("SOFT") else "HARDIRQ"
    names = AttributeNames()
    uses = [
        _use(report, lock, state, names)
        for lock in (safe, *between, unsafe)
        if _spins(lock) or not look_up(lock).nature.is_annotation
    ]
    last = uses[-1]
    if last.kind is SEQCOUNT and last.party.how.mode is AcquireMode.EXCLUSIVE:
        return _not_modelled(
            f"{unsafe.name} is a sequence count, whose writers never wait: the cycle is open; "
            "two writers at a time would be the fault"
        )
    threads = _order_threads(report, uses, state)
    writers: tuple[str, ...] = ()
    if last.party.how.mode is AcquireMode.READ and last.kind.shared:
        text = f"A writer of {unsafe.name}. It is not in the report: both sides only read."
        body = (write(last.kind, last.attribute),)
        threads.append(ModelThread("writer", text, body, WRITERS, True))
        writers = (f"a writer of {unsafe.name} waits in between",)
    locks = [(use.attribute, use.party.lock, use.kind) for use in uses]
    model = _irq_model(report, locks, threads, writers=bool(writers))
    context = _CONTEXTS[state]
    condition = (
        f"the {context} comes on a CPU that holds {unsafe.name} while another holds {safe.name} "
        "and wants the former"
    )
    return Claim(model, _trials(unsafe, context, (condition,), tasks=2, writers=writers))


def _use(report: PrintedReport, lock: PrintedLock, state: str, names: AttributeNames) -> _Use:
    """Return *lock* as the task on the other CPU takes it: for read if it is never written."""
    usage = seen(lock.usage, report.facts.get("layout") == "early")
    mode = AcquireMode.READ if usage.read and not usage.wrote else AcquireMode.EXCLUSIVE
    party = _party_of(lock, _block_frames(report, lock), mode)
    in_irq = party.with_mode(_mode_in(lock, state, "-?", AcquireMode.RECURSIVE_READ))
    kind = _kind_of(party, in_irq, party.with_mode(_mode_in(lock, state, "+?", AcquireMode.READ)))
    return _Use(names.of((lock.base, lock.version, lock.subclass), lock.base), kind, party)


def _mode_in(lock: PrintedLock, state: str, signs: str, reads: AcquireMode) -> AcquireMode:
    """Return *reads* if *lock* has *signs* in the read column of *state* only, else EXCLUSIVE.

    The first 2.6 kernels have other columns and signs; there, and without a usage, the answer is
    EXCLUSIVE.
    """
    column = 2 if state == "SOFTIRQ" else 0
    wrote, read = lock.usage[column : column + 1], lock.usage[column + 1 : column + 2]
    return reads if read and read in signs and wrote not in signs else AcquireMode.EXCLUSIVE


def _order_threads(report: PrintedReport, uses: list[_Use], state: str) -> list[ModelThread]:
    """Return the three that hang: a task, the interrupt on top of it, a task on another CPU."""
    context, first, last = _CONTEXTS[state], uses[0], uses[-1]
    safe, unsafe = first.party.lock, last.party.lock
    inside = first.with_mode(_mode_in(safe, state, "-?", AcquireMode.RECURSIVE_READ))
    outside = last.with_mode(_mode_in(unsafe, state, "+?", AcquireMode.READ))
    return [
        ModelThread(
            "task_on_cpu0",
            f"Takes {unsafe.name} with {context}s on.",
            _interruptible(outside, _in(report.traces.get("became unsafe", ()))),
        ),
        ModelThread(
            "interrupt_on_cpu0",
            f"The {context}, which takes {safe.name}.",
            (Nest("with self.cpu:"), inside.nest(_in(report.traces.get("became safe", ())))),
        ),
        ModelThread(
            "task_on_cpu1",
            f"Takes {' and then '.join(use.party.lock.name for use in uses)}.",
            tuple(use.nest() for use in uses),
        ),
    ]


# --- Parts ----------------------------------------------------------------------------------------


def _interruptible(use: _Use, comment: str) -> tuple[Nest, ...]:
    """Return a lock taken where an interrupt may come, unless the scenario keeps it away."""
    return (
        Nest("with self.task_irqs:", comment=f"Keeps the interrupt away if {IRQS_OFF} is set."),
        use.nest(comment),
        _TASK_RUNS,
    )


def _irq_model(
    report: PrintedReport,
    locks: list[tuple[str, PrintedLock, LockKind]],
    threads: list[ModelThread],
    *,
    writers: bool,
) -> ScenarioModel:
    parameters = (IRQS_OFF, WRITERS) if writers else (IRQS_OFF,)
    attributes = ["cpu = Cpu()", f"task_irqs = IrqState(self.cpu, {IRQS_OFF})"]
    if writers:
        attributes.append(f"{WRITERS} = {WRITERS}")
    unique = {attribute: (lock, kind) for attribute, lock, kind in locks}
    return ScenarioModel(
        title=", ".join(part for part in (report.title, report.kernel, report.task) if part),
        notes=("The same lock in all places; a class may stand for many.",),
        locks=tuple(
            ModelLock(attribute, lock.name, kind.constructor, comment=_stands_for(lock))
            for attribute, (lock, kind) in unique.items()
        ),
        threads=tuple(threads),
        parameters=parameters,
        attributes=tuple(attributes),
    )


def _stands_for(lock: PrintedLock) -> str:
    note = look_up(lock)
    return f"Stands for {note.stands_for}. {note.blocks}" if note.stands_for else ""


def _trials(
    lock: PrintedLock,
    context: str,
    conditions: tuple[str, ...],
    tasks: int,
    writers: tuple[str, ...],
) -> tuple[Trial, ...]:
    without = ((WRITERS, 0),) if writers else ()
    away = f"a fix tried, {context}s off where {lock.name} is taken"
    return (
        Trial("as reported", ((IRQS_OFF, False),), without, tasks, conditions, writers),
        Trial(away, ((IRQS_OFF, True),), (), tasks, refuted="the interrupt cannot come there"),
    )


def _party(
    lock: PrintedLock, frames: tuple[PrintedFrame, ...], usage: str, *, in_irq: bool
) -> Party:
    """Return *lock* as taken with *frames*, for read if *usage* says so (``IN-HARDIRQ-R``)."""
    if not usage.upper().endswith("-R"):
        return _party_of(lock, frames, AcquireMode.EXCLUSIVE)
    return _party_of(lock, frames, AcquireMode.RECURSIVE_READ if in_irq else AcquireMode.READ)


def _party_of(lock: PrintedLock, frames: tuple[PrintedFrame, ...], mode: AcquireMode) -> Party:
    how = of_trace(frames)
    return Party(lock, look_up(lock), Acquisition(mode, how.primitive, how.function, how.caller))


def _block_frames(report: PrintedReport, lock: PrintedLock) -> tuple[PrintedFrame, ...]:
    """Return a stack that takes *lock*: of its dependency block, or where lockdep spoke."""
    for block in report.blocks:
        if block.lock.same_class(lock):
            return next((usage.frames for usage in block.usages if usage.frames), block.acquired)
    if report.wanted is not None and report.wanted.same_class(lock):
        return report.backtrace
    return ()


def _in(frames: tuple[PrintedFrame, ...]) -> str:
    caller = of_trace(frames).caller
    return f"In {caller.function}()." if caller is not None and caller.function else ""


def _context(usage: str) -> str:
    return _CONTEXTS["SOFTIRQ" if "SOFTIRQ" in usage.upper() else "HARDIRQ"]
