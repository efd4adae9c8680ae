# SPDX-License-Identifier: Apache-2.0
"""The hang as a table, one column a task, as kernel people draw it in commit messages.

Two tasks fit into 72 columns, more into 80 or a little over. Each line has one entry, which may run on
to the right; what does not fit is continued below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Blocking, CycleTask, CycleWait, Party
from quiesce.explain.judge.modes import AcquireMode
from quiesce.report import draw as drawing
from quiesce.report.document import InterleavingBlock, LaneText

WIDTH = 72
WIDE = 80
"""For more than two tasks."""

_VERBS: dict[tuple[str, AcquireMode], str] = {
    ("mutex", AcquireMode.EXCLUSIVE): "mutex_lock",
    ("ww_mutex", AcquireMode.EXCLUSIVE): "ww_mutex_lock",
    ("rt_mutex", AcquireMode.EXCLUSIVE): "rt_mutex_lock",
    ("rwsem", AcquireMode.READ): "down_read",
    ("rwsem", AcquireMode.EXCLUSIVE): "down_write",
    ("percpu_rwsem", AcquireMode.READ): "percpu_down_read",
    ("percpu_rwsem", AcquireMode.EXCLUSIVE): "percpu_down_write",
    ("rwlock", AcquireMode.READ): "read_lock",
    ("rwlock", AcquireMode.RECURSIVE_READ): "read_lock",
    ("rwlock", AcquireMode.EXCLUSIVE): "write_lock",
    ("spinlock", AcquireMode.EXCLUSIVE): "spin_lock",
    ("socket lock", AcquireMode.EXCLUSIVE): "lock_sock",
    ("srcu", AcquireMode.RECURSIVE_READ): "srcu_read_lock",
    ("srcu", AcquireMode.SYNC): "synchronize_srcu",
}
_READER = {
    "rwsem": "down_write",
    "percpu_rwsem": "percpu_down_write",
    "rwlock": "write_lock",
}


@dataclass(frozen=True)
class WaitTable:
    """A drawn table and the same in words, one sentence for each task that waits."""

    text: str
    waits: tuple[str, ...]


def call(party: Party, as_lock: bool = False) -> str:
    """Return how the source takes *party*'s lock: ``down_read(&slots_lock)``.

    :param as_lock: write an annotation as the lock that lockdep takes it for.
    """
    name, mode = party.lock.name, party.how.mode
    nature = party.note.nature
    if nature is Nature.CONTEXT and not as_lock:
        return f"enter {name}"
    if nature is Nature.WAIT and not as_lock and mode is not AcquireMode.SYNC:
        return f"wait for {name}"
    verb = _VERBS.get((party.how.primitive, mode))
    if verb is not None:
        return f"{verb}({name})"
    if mode is AcquireMode.SYNC:
        return f"sync({name})"
    return f"rlock({name})" if mode.reads else f"lock({name})"


def holding(party: Party, as_lock: bool = False) -> str:
    """Return how *party*'s lock came to be held: as :func:`call`, or "inside X" for an annotation."""
    if party.note.nature.is_annotation and party.how.mode is not AcquireMode.SYNC and not as_lock:
        return f"inside {party.lock.name}"
    return call(party, as_lock)


def letter(index: int) -> str:
    """Return the name of task *index*: A, B, ... Z, A1, B1, ..."""
    round_, place = divmod(index, 26)
    return chr(ord("A") + place) + (str(round_) if round_ else "")


def draw(
    tasks: Sequence[CycleTask], waits: Sequence[CycleWait], caught: str, as_drawn: bool
) -> WaitTable:
    """Return the table of *tasks* that wait for each other as *waits* say.

    Where both sides of a wait read a fair lock, the writer between them gets a column of its own.

    :param caught: name of the task that lockdep caught, for the head of its column.
    :param as_drawn: show annotations as locks, as lockdep's own table does.
    """
    writers = [wait for wait in waits if wait.blocking is Blocking.NEEDS_WRITER]
    heads = [_head(index, task, caught) for index, task in enumerate(tasks)]
    column_of = {id(wait): len(tasks) + number for number, wait in enumerate(writers)}
    heads += [f"{letter(column_of[id(w)])}: a writer" for w in writers]
    rows = [LaneText(index, holding(task.holds, as_drawn)) for index, task in enumerate(tasks)]
    sentences: list[str] = []
    for wait in writers:
        who, owner = letter(column_of[id(wait)]), letter(wait.holder)
        rows.append(LaneText(column_of[id(wait)], _writer_call(wait.wanted)))
        rows.append(LaneText(column_of[id(wait)], f"  waits for {owner}"))
        sentences.append(f"{who} waits in {_writer_call(wait.wanted)}: {owner} holds it for read.")
    for wait in waits:
        task = tasks[wait.waiter]
        rows += [LaneText(wait.waiter, _pass(party)) for party in task.through]
        target = column_of.get(id(wait), wait.holder)
        rows.append(LaneText(wait.waiter, call(wait.wanted, as_drawn)))
        rows.append(LaneText(wait.waiter, f"  waits for {letter(target)}"))
        sentences.append(_sentence(wait, column_of.get(id(wait)), as_drawn))
    return WaitTable(_layout(heads, rows), tuple(sorted(sentences)))


def draw_crossed(caught: str, verb: str, first: str, second: str) -> str:
    """Return the table of two tasks that take the objects *first* and *second* crosswise.

    :param verb: how both take their locks, the class in parentheses.
    """
    heads = [f"A: {caught.rpartition('/')[0] or caught}" if caught else "A", "B"]
    rows = [
        LaneText(0, verb),
        LaneText(0, f"  {first}"),
        LaneText(1, verb),
        LaneText(1, f"  {second}"),
        LaneText(0, verb),
        LaneText(0, f"  {second}, waits for B"),
        LaneText(1, verb),
        LaneText(1, f"  {first}, waits for A"),
    ]
    return _layout(heads, rows)


def _head(index: int, task: CycleTask, caught: str) -> str:
    name = letter(index)
    comm = caught.rpartition("/")[0] or caught
    return f"{name}: {comm}" if comm and any(path.current for path in task.paths) else name


def _pass(party: Party) -> str:
    return call(party) if party.note.nature is Nature.CONTEXT else holding(party)


def _writer_call(party: Party) -> str:
    verb = _READER.get(party.how.primitive, "write")
    return f"{verb}({party.lock.name})"


def _sentence(wait: CycleWait, writer: int | None, as_drawn: bool) -> str:
    who, owner = letter(wait.waiter), letter(wait.holder)
    caller = wait.wanted.how.caller
    place = f", in {caller.function}()," if caller is not None and caller.function else ""
    what = call(wait.wanted, as_drawn)
    if writer is not None:
        return f"{who}{place} {_waits(what)}: {letter(writer)} came first and the lock is fair."
    if who == owner:
        return f"{who}{place} {_waits(what)}, which it holds itself."
    doubt = ""
    if wait.blocking is Blocking.MAYBE:
        doubt = " (if one of the two has it for write, or a writer waits in between)"
    held = "is inside" if wait.wanted.note.nature.is_annotation and not as_drawn else "holds it"
    return f"{who}{place} {_waits(what)}: {owner} {held}{doubt}."


def _waits(what: str) -> str:
    return what.replace("wait for", "waits for", 1) if " " in what[:9] else f"waits in {what}"


def _layout(heads: Sequence[str], moves: Sequence[LaneText]) -> str:
    count = len(heads)
    if count == 1:
        step = 0
    elif count == 2:
        longest = max((len(m.text) for m in moves if m.lane == 1), default=0)
        step = min(36, max(12, WIDTH - 1 - max(longest, len(heads[1]))))
    else:
        # Room for the name of a lock in the last column.
        step = max(8, 66 // count)
    shown = [h if len(h) <= step - 2 or h is heads[-1] else h.partition(":")[0] for h in heads]
    starts = tuple(1 + step * lane for lane in range(count))
    return drawing.draw(
        InterleavingBlock(tuple(shown), tuple(moves), starts, WIDTH if count <= 2 else WIDE)
    )
