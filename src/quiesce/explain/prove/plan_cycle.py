# SPDX-License-Identifier: Apache-2.0
"""The scenario of a circular or recursive report: one thread per path, in two readings.

lockdep takes every name for a lock, so each path is a task of its own. In truth some names make
nobody wait (memory reclaim, a worker that starts its item), and then one task goes through several
paths. Both readings are in one scenario; paths that are the same in both are one thread. A fair
lock that both sides of a wait read needs a writer in between: it gets a thread as well, and the
scenario says that the report has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Blocking, Cycle, CycleTask, CycleWait, HoldingPath, Party
from quiesce.explain.judge.ladder import two_addresses
from quiesce.explain.judge.modes import AcquireMode
from quiesce.explain.prove.lock_classes import LockKind, drawn_kind_of, enter, kind_of, nest, write
from quiesce.explain.prove.plan import (
    AS_DRAWN,
    IN_TURN,
    MANY_TASKS,
    OTHER_ORDER,
    WRITERS,
    AttributeNames,
    ModelLock,
    ModelThread,
    Nest,
    ScenarioModel,
)
from quiesce.explain.read.model import PrintedLock, PrintedReport

Key = tuple[str, int, int]


def cycle_scenario(report: PrintedReport, cycle: Cycle) -> ScenarioModel:
    """Return the scenario of *cycle*, the cycle of *report*."""
    if two_addresses(report, cycle):
        return _two_objects(report, cycle)
    return _CycleBuilder(report, cycle).build()


def has_annotations(cycle: Cycle) -> bool:
    """True when lockdep's reading and ours differ: some name of the cycle is not a lock."""
    natures = [party.note.nature for path in cycle.paths for party in (path.holds, path.wants)]
    return any(n.is_annotation and n is not Nature.UNKNOWN_MAP for n in natures) or any(
        path.passes for path in cycle.paths
    )


def _key(lock: PrintedLock) -> Key:
    return (lock.base, lock.version, lock.subclass)


class _CycleBuilder:
    """Collects the locks and threads of one cycle."""

    def __init__(self, report: PrintedReport, cycle: Cycle) -> None:
        self.report = report
        self.cycle = cycle
        self.names = AttributeNames()
        self.parties: dict[Key, list[Party]] = {}
        for path in cycle.paths:
            for party in (path.holds, path.wants):
                self.parties.setdefault(_key(party.lock), []).append(party)
        self.annotated = has_annotations(cycle)
        self.attributes = {key: self.names.of(key, ps[0].lock.base) for key, ps in
                           self.parties.items()}  # fmt: skip
        self.kinds = {key: kind_of(ps) for key, ps in self.parties.items()}
        self.drawn = {key: drawn_kind_of(ps) for key, ps in self.parties.items()}

    def build(self) -> ScenarioModel:
        tasks = list(self._tasks())
        turns = len(self.cycle.paths) > MANY_TASKS
        threads = [*(_in_turn(tasks) if turns else tasks), *self._writers()]
        counts = {thread.count for thread in threads}
        attributes = []
        if counts & {"as_drawn", "drawn_writers"} or self.annotated:
            attributes += [f"as_drawn = int({AS_DRAWN})", f"as_it_is = int(not {AS_DRAWN})"]
        if WRITERS in counts:
            attributes.append(f"{WRITERS} = {WRITERS}")
        if "drawn_writers" in counts:
            attributes.append(f"drawn_writers = {WRITERS} if {AS_DRAWN} else 0")
        if "real_writers" in counts:
            attributes.append(f"real_writers = 0 if {AS_DRAWN} else {WRITERS}")
        parameters = [AS_DRAWN] if self.annotated else []
        if turns:
            parameters.append(IN_TURN)
            attributes.append(f"turns = Turns({IN_TURN})")
        if any("writers" in count for count in counts):
            parameters.append(WRITERS)
        return ScenarioModel(
            title=_title(self.report),
            notes=tuple(self._notes()),
            locks=tuple(self._lock(key) for key in self.parties),
            threads=tuple(threads),
            parameters=tuple(parameters),
            attributes=tuple(attributes),
        )

    # --- Locks ------------------------------------------------------------------------------------

    def _lock(self, key: Key) -> ModelLock:
        party = self.parties[key][0]
        real, drawn = self.kinds[key].constructor, self.drawn[key].constructor
        comment = ""
        if party.note.stands_for:
            comment = f"Stands for {party.note.stands_for}. {party.note.blocks}".strip()
        return ModelLock(
            self.attributes[key],
            party.lock.name,
            real,
            drawn if drawn != real and self.annotated else "",
            comment,
        )

    # --- Tasks ------------------------------------------------------------------------------------

    def _tasks(self) -> Iterator[ModelThread]:
        shared = [task.paths[0] for task in self.cycle.tasks if self._same_in_both(task)]
        for path in self.cycle.paths:
            both = any(path is one for one in shared)
            yield ModelThread(
                f"link_{path.number}" if len(self.cycle.paths) > 1 else "task",
                _path_text(self.report, self.cycle, path),
                (
                    self._held(path.holds, self.drawn if not both else self.kinds),
                    self._wanted(path, self.drawn if not both else self.kinds),
                ),
                "" if both else "as_drawn",
            )
        # Where no task waits at all, one task can go through the whole cycle.
        for task in self.cycle.tasks or (CycleTask(self.cycle.paths),):
            if not self._same_in_both(task):
                yield self._joined(task)

    def _same_in_both(self, task: CycleTask) -> bool:
        """True when lockdep and we see the same path: two locks, and a task that waits."""
        if len(task.paths) > 1 or task.paths[0].passes:
            return False
        return all(
            self.kinds[_key(p.lock)] == self.drawn[_key(p.lock)] for p in (task.holds, task.wants)
        )

    def _joined(self, task: CycleTask) -> ModelThread:
        numbers = "_".join(str(path.number) for path in task.paths)
        body = [self._held(task.holds, self.kinds)]
        for path in task.paths[:-1]:
            kind, attribute = self._of(path.wants, self.kinds)
            body.append(enter(kind, path.wants, attribute, _where(path)))
        last = task.paths[-1]
        if last.passes:
            kind, attribute = self._of(last.wants, self.kinds)
            body.append(enter(kind, last.wants, attribute, _where(last)))
        else:
            body.append(self._wanted(last, self.kinds))
        if len(task.paths) == 1:
            name, text = f"task_{numbers}", f"Link #{numbers}, with what the annotation stands for."
        else:
            name = f"links_{numbers}"
            text = f"Links {_listed(task.paths)} in one task: no task waits in between."
        return ModelThread(name, text, tuple(body), "as_it_is")

    def _of(self, party: Party, kinds: dict[Key, LockKind]) -> tuple[LockKind, str]:
        key = _key(party.lock)
        return kinds[key], self.attributes[key]

    def _held(self, party: Party, kinds: dict[Key, LockKind]) -> Nest:
        kind, attribute = self._of(party, kinds)
        comment = f"Held: {party.reason}." if party.reason else ""
        if party.how.mode is AcquireMode.UNKNOWN and kind.shared:
            comment = "Held for write, say: how, the report does not show. "
            if any(path.wants.how.mode.reads for path in self._wanting(party)):
                comment += "Held for read, it takes a writer in between."
            else:
                comment += "Held for read, it makes the other wait as well."
            party = party.with_mode(AcquireMode.EXCLUSIVE)
        return nest(kind, party, attribute, wanted=False, comment=comment)

    def _wanting(self, party: Party) -> Iterator[HoldingPath]:
        """The paths that want what *party* holds."""
        key = _key(party.lock)
        return (path for path in self.cycle.paths if _key(path.wants.lock) == key)

    def _wanted(self, path: HoldingPath, kinds: dict[Key, LockKind]) -> Nest:
        kind, attribute = self._of(path.wants, kinds)
        return nest(kind, path.wants, attribute, wanted=True, comment=_where(path))

    # --- Writers ----------------------------------------------------------------------------------

    def _writers(self) -> Iterator[ModelThread]:
        real = _needs_writer(self.cycle.waits)
        drawn = _needs_writer(self.cycle.as_drawn)
        keys = list(dict.fromkeys([*real, *drawn]))
        for key in keys:
            attribute, printed = self.attributes[key], self.parties[key][0].lock.name
            name = "writer" if len(keys) == 1 else f"writer_of_{attribute}"
            as_it_is, as_drawn = self.kinds[key], self.drawn[key]
            if key in real and key in drawn and as_it_is == as_drawn:
                yield _writer(name, as_it_is, attribute, printed, WRITERS)
                continue
            if key in real and as_it_is.shared:
                yield _writer(name, as_it_is, attribute, printed, "real_writers")
            if key in drawn and as_drawn.shared:
                yield _writer(f"{name}_as_drawn", as_drawn, attribute, printed, "drawn_writers")

    def _notes(self) -> Iterator[str]:
        in_cycle = set(self.parties)
        gates = [lock.name for lock in self.report.held if _key(lock) not in in_cycle]
        if gates and len(self.cycle.paths) > 1:
            yield (
                f"The caught task also held {', '.join(gates[:4])}. If all other paths hold one of "
                "these too, the cycle cannot close: add it here and see."
            )
        yield (
            "All paths use the same objects here; a class may stand for many. The stack where the "
            "first lock of a path was taken is not in a report."
        )


def _in_turn(tasks: list[ModelThread]) -> Iterator[ModelThread]:
    """Number the tasks, so that each reading has all numbers from 0 on."""
    shared = sum(not task.count for task in tasks)
    after = {"": 0, "as_drawn": shared, "as_it_is": shared}
    for task in tasks:
        yield replace(task, turn=after[task.count])
        after[task.count] += 1


def _writer(name: str, kind: LockKind, attribute: str, printed: str, count: str) -> ModelThread:
    text = f"A writer of {printed}. It is not in the report: readers alone do not block each other."
    return ModelThread(name, text, (write(kind, attribute),), count, True)


def needs_writer(wait: CycleWait) -> bool:
    """True when both sides of *wait* read in the scenario, so that only a writer makes it one."""
    if wait.blocking is Blocking.NEVER:
        return not wait.wanted.how.trylock
    if wait.blocking is Blocking.MAYBE:
        return (
            wait.held.how.mode is not AcquireMode.UNKNOWN
        )  # what is not known is held for write here
    return wait.blocking is Blocking.NEEDS_WRITER


def _needs_writer(waits: tuple[CycleWait, ...]) -> list[Key]:
    return [_key(wait.wanted.lock) for wait in waits if needs_writer(wait)]


def _two_objects(report: PrintedReport, cycle: Cycle) -> ScenarioModel:
    """Two locks of one class: the caught task, and one that takes them in the other order."""
    path = cycle.paths[0]
    kind, names = kind_of((path.holds, path.wants)), AttributeNames()
    first = names.new(path.holds.lock.base)
    second = names.new(f"{first}_b")
    held, wanted = path.holds.lock, path.wants.lock
    body = (
        nest(kind, path.holds, first, wanted=False, comment="The lock that is held."),
        nest(kind, path.wants, second, wanted=True, comment=_where(path)),
    )
    opposite = (
        nest(kind, path.holds, second, wanted=False),
        nest(kind, path.wants, first, wanted=True),
    )
    writers = []
    if kind.shared and any(wait.blocking is not Blocking.BLOCKS for wait in cycle.waits):
        writers = [
            _writer(f"writer_of_{name}", kind, name, held.name, WRITERS) for name in (first, second)
        ]
    parameters = [OTHER_ORDER, WRITERS] if writers else [OTHER_ORDER]
    return ScenarioModel(
        title=_title(report),
        notes=("The report prints two addresses: these are two locks of one class.",),
        locks=(
            ModelLock(first, held.name, kind.constructor, comment=f"The one at {held.address}."),
            ModelLock(
                second, wanted.name, kind.constructor, comment=f"The one at {wanted.address}."
            ),
        ),
        threads=(
            ModelThread("task", _path_text(report, cycle, path), body),
            ModelThread(
                "other_task",
                "A task that takes the two in the opposite order. It is not in the report.",
                opposite,
                OTHER_ORDER,
                True,
            ),
            *writers,
        ),
        parameters=tuple(parameters),
        attributes=tuple(f"{name} = {name}" for name in parameters),
    )


def _title(report: PrintedReport) -> str:
    facts = [report.title]
    if report.kernel:
        facts.append(f"kernel {report.kernel}")
    if report.task:
        facts.append(report.task)
    return ", ".join(facts)


def _path_text(report: PrintedReport, cycle: Cycle, path: HoldingPath) -> str:
    who = f" It is what lockdep caught: {report.task}." if path.current and report.task else ""
    if cycle.on_itself:
        return f"Holds {path.holds.lock.name} and wants one of the same class.{who}"
    return (
        f"Link #{path.number}: with {path.holds.lock.name} held, on to {path.wants.lock.name}.{who}"
    )


def _where(path: HoldingPath) -> str:
    caller = path.wants.how.caller
    return f"In {caller.function}()." if caller is not None and caller.function else ""


def _listed(paths: tuple[HoldingPath, ...]) -> str:
    numbers = [f"#{path.number}" for path in paths]
    return f"{', '.join(numbers[:-1])} and {numbers[-1]}"
