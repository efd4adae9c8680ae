# SPDX-License-Identifier: Apache-2.0
"""What makes a cycle a real deadlock or a false one.

The letters are those of the reasons that kernel people give in threads about such reports: (a) all
readers recursive; (b) all readers, but the lock is fair, so it can happen; (c) different instances
of one class; (d) a gate lock held on all paths; (e) the object is not shared yet, or no longer; (f)
reclaim cannot reach an object in use; (g) the context excludes it; (h) trylock or wound/wait; (i)
the annotation is too coarse; (j) lockdep's own data is corrupted. What the report proves is said to
be certain, the rest is a question to the reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quiesce.explain.judge.annotations import Nature, look_up
from quiesce.explain.judge.cycle import Blocking, Cycle, Path, Task, Wait
from quiesce.explain.judge.explanation import Reason
from quiesce.explain.judge.modes import Mode, plain_name, seen
from quiesce.explain.judge.table import call, letter
from quiesce.explain.read.model import Report

_BOOT = ("kernel_init_freeable", "start_kernel", "do_one_initcall", "do_initcalls")
_LIFETIME = (
    "fill_super", "_mount", "mount_", "kill_sb", "put_super", "_probe", "_remove", "_init_one",
    "_destroy", "_release", "evict", "_exit", "disconnect", "teardown", "_unregister", "_register",
)  # fmt: skip
_EVICTION = ("evict", "prune_", "shrink_", "reclaim_inode", "xfs_icwalk", "dispose_list")


def assess(report: Report, cycle: Cycle) -> tuple[str, str]:
    """Return (assessment, sentence): ``real``, ``only-if`` or ``artefact`` and why."""
    if not cycle.tasks:
        return "artefact", "Nobody waits: every path of the cycle only enters a context."
    never = [w for w in cycle.waits if w.blocking is Blocking.NEVER]
    if never:
        return "artefact", f"{_never(never[0])} So the circle is not closed."
    conditions = [*_two_objects(report, cycle), *_conditions(cycle)]
    if conditions:
        return "only-if", "Real only if " + "; and if ".join(conditions) + "."
    count = len(cycle.tasks)
    if count == 1:
        return "real", "Real: the task waits for itself, if it is the same object both times."
    return "real", (
        f"Real, if these {count} paths can run at the same time on the same objects: every wait is "
        "for a lock that the other task holds."
    )


def _two_objects(report: Report, cycle: Cycle) -> Iterator[str]:
    """Two locks of one class at two addresses: one task alone does not hang on them."""
    wanted, holding = report.wanted, report.holding
    if wanted is None or holding is None:
        return
    if two_addresses(report, cycle):
        yield (
            f"another task takes the two objects ({holding.address} and {wanted.address}) in the "
            "other order at the same time"
        )


def _addresses(report: Report) -> tuple[str, str] | None:
    """The two addresses of a recursive report where they tell objects apart.

    Those of a work item do not: the worker holds a copy of its map on the stack.
    """
    wanted, holding = report.wanted, report.holding
    if wanted is None or holding is None or look_up(wanted).nature.is_annotation:
        return None
    one, other = wanted.address, holding.address
    return None if not one or not other or "ptrval" in one else (one, other)


def two_addresses(report: Report, cycle: Cycle) -> bool:
    """True when a task wants another object of the class it holds, as far as addresses tell."""
    if not cycle.on_itself:
        return False
    addresses = _addresses(report)
    return addresses is not None and addresses[0] != addresses[1]


def _never(wait: Wait) -> str:
    name = wait.wanted.lock.name
    if wait.wanted.how.trylock:
        return f"{name} is only tried ({wait.wanted.how.function}()): nobody waits for it."
    return f"Both sides read {name} and its readers are recursive: they never wait for each other."


def _conditions(cycle: Cycle) -> Iterator[str]:
    yield from context_conditions(cycle)
    yield from writer_conditions(cycle.waits)


def context_conditions(cycle: Cycle) -> Iterator[str]:
    """Yield which contexts the tasks of *cycle* must enter, as clauses after "if"."""
    for task in cycle.tasks:
        yield from _entered(task)


def writer_conditions(waits: Iterable[Wait]) -> Iterator[str]:
    """Yield which writers *waits* need that are not in the report, as clauses after "if"."""
    for wait in waits:
        name = wait.wanted.lock.name
        needed = wait.blocking in (Blocking.NEEDS_WRITER, Blocking.MAYBE)
        if needed and wait.wanted.note.nature is Nature.WAIT:
            yield f"somebody freezes {name}, or waits for all who are inside"
        elif wait.blocking is Blocking.NEEDS_WRITER:
            yet = "" if seen(wait.wanted.lock.usage).wrote else " (lockdep has seen none so far)"
            yield f"a writer of {name} waits in between{yet}"
        elif wait.blocking is Blocking.MAYBE:
            yield f"{name} is held for write, or a writer of it waits in between"


def refutations(waits: Iterable[Wait]) -> Iterator[str]:
    """Yield why one of *waits* never has to wait, with the letter of the reason."""
    for wait in waits:
        if wait.blocking is Blocking.NEVER:
            yield f"({'h' if wait.wanted.how.trylock else 'a'}) {_never(wait)}"


def _entered(task: Task) -> Iterator[str]:
    """The contexts that *task* must enter, as conditions."""
    first = task.holds.lock.name
    wants = call(task.wants)
    for party in task.through:
        if party.note.nature is not Nature.CONTEXT:
            continue
        name = party.lock.base
        if name == "fs_reclaim":
            yield f"an allocation with {first} held goes into reclaim and gets to {wants} there"
        elif "mmu_notifier" in name:
            yield (
                f"one task, with {first} held, gets into notifier callbacks again (a nested "
                f"invalidation) and to {wants} there"
            )
        else:
            yield f"a task enters {name} with {first} held and gets to {wants} there"


def reasons_for(report: Report, cycle: Cycle) -> Iterator[Reason]:
    """Yield what speaks for a real deadlock."""
    for wait in cycle.waits:
        name = wait.wanted.lock.name
        if wait.blocking is Blocking.NEEDS_WRITER:
            yield Reason(
                "b",
                f"Both sides read {name}, which does not make it harmless: its readers are fair. "
                "Once a writer waits, later readers wait behind it, and it waits for the first.",
                True,
            )
        elif wait.blocking is Blocking.MAYBE:
            yield Reason(
                "b",
                f"One side reads {name}; how the other has it, the report does not show. If it "
                "reads too, a writer in between is needed, and enough.",
                False,
            )
    if two_addresses(report, cycle):
        return
    sure = [w for w in cycle.waits if w.blocking is Blocking.BLOCKS]
    for wait in sure:
        who, owner = letter(wait.waiter), letter(wait.holder)
        whom = "itself" if who == owner else owner
        if wait.wanted.note.nature is Nature.WAIT:
            text = f"{who} must wait for {whom}: {wait.wanted.note.blocks}"
        else:
            text = f"{who} must wait for {whom}: {call(wait.wanted)} excludes the other."
        yield Reason("", text, True)


def reasons_against(report: Report, cycle: Cycle) -> Iterator[Reason]:
    """Yield what would make the report a false one: proved points first, then questions."""
    yield from _annotations(cycle)
    for wait in cycle.waits:
        if wait.blocking is Blocking.NEVER:
            yield Reason("h" if wait.wanted.how.trylock else "a", _never(wait), True)
    yield from _instances(report, cycle)
    yield from _gates(report, cycle)
    yield from _contexts(cycle)


def _annotations(cycle: Cycle) -> Iterator[Reason]:
    seen_names: set[str] = set()
    for path in cycle.paths:
        lock, note = path.wants.lock, path.wants.note
        if lock.name in seen_names or not note.nature.is_annotation:
            continue
        seen_names.add(lock.name)
        if note.nature is Nature.CONTEXT:
            yield Reason("i", f"{lock.name} is no lock. {note.blocks}", True)
        elif lock.base.startswith("(wq_completion)"):
            yield Reason(
                "i",
                f"{lock.name} is shared by all items of the queue: is the item that is waited for "
                "one of those that want the lock?",
                False,
            )
        elif note.nature is Nature.WAIT:
            yield Reason("i", f"{lock.name} is no lock but a wait. {note.blocks}", True)
        elif note.nature is Nature.UNKNOWN_MAP:
            yield Reason("i", f"{lock.name} is {note.stands_for}. {note.blocks}", False)


def _instances(report: Report, cycle: Cycle) -> Iterator[Reason]:
    wanted, holding = report.wanted, report.holding
    if cycle.on_itself and wanted is not None and holding is not None:
        if look_up(wanted).nature.is_annotation:
            return
        if _addresses(report) is None:
            yield Reason("c", "Is it the same object both times? No address is printed.", False)
        elif two_addresses(report, cycle):
            yield Reason(
                "c",
                f"Two objects of one class: {holding.address} is held, {wanted.address} is wanted. "
                "It hangs only if somebody takes the two in the other order.",
                True,
            )
        return
    shared = sorted({p.wants.lock.name for p in cycle.paths if _may_be_many(p)})
    if shared:
        names = ", ".join(shared[:4]) + (" ..." if len(shared) > 4 else "")
        yield Reason(
            "c",
            f"Is it the same object on all paths? A class stands for all locks of its kind: {names}.",
            False,
        )


def _may_be_many(path: Path) -> bool:
    name = path.wants.lock.name
    return name.startswith(("&", "(&", "sb_", "sk_lock", "slock", "kn->", "s_active")) or (
        "->" in name or "[" in name
    )


def _gates(report: Report, cycle: Cycle) -> Iterator[Reason]:
    in_cycle = {p.wants.lock.name for p in cycle.paths} | {p.holds.lock.name for p in cycle.paths}
    others = [h.name for h in report.held if h.name not in in_cycle and h.base != "rcu_read_lock"]
    if others and len(cycle.paths) > 1:
        yield Reason(
            "d",
            f"The caught task also holds {', '.join(others)}. If every other path runs with one of "
            "these held exclusively, the cycle cannot happen.",
            False,
        )


def _contexts(cycle: Cycle) -> Iterator[Reason]:
    for path in cycle.paths:
        names = [plain_name(f.function) for f in path.frames if f.reliable]
        where = "the caught path" if path.current else f"link #{path.number}"
        if any(name in _BOOT for name in names):
            yield Reason(
                "g", f"{where} ran while the kernel or a module started: only then?", False
            )
        lifetime = next((n for n in names if any(mark in n for mark in _LIFETIME)), "")
        if lifetime:
            yield Reason(
                "e", f"{where} runs in {lifetime}(): can others reach the object then?", False
            )
        in_reclaim = any(p.lock.base == "fs_reclaim" for p in (path.holds, path.wants))
        if in_reclaim and any(name.startswith(_EVICTION) for name in names):
            yield Reason(
                "f",
                f"{where} is reclaim that gives up an unused object: the one whose lock is held on "
                "the other paths is in use, and reclaim does not reach it.",
                False,
            )
        if path.wants.how.primitive == "ww_mutex":
            yield Reason(
                "h", f"{where} takes a wound/wait mutex: it backs off among its own.", True
            )


def not_shown(report: Report, cycle: Cycle | None) -> Iterator[str]:
    """Yield what the report cannot tell."""
    if cycle is not None and len(cycle.paths) > 1:
        unknown = [p.holds.lock.name for p in cycle.paths if p.holds.how.mode is Mode.UNKNOWN]
        yield (
            "Where the first lock of each path was taken: only the stack of the second is printed."
            + (f" So how these are held is not known: {', '.join(unknown)}." if unknown else "")
        )
        yield (
            "Other places with the same order: lockdep keeps one stack for each pair, the first "
            "since boot. Mending that place may not be enough."
        )
        yield (
            "Who ran the other paths, and on which objects: only the caught task is named, and "
            "addresses only for what it holds and wants."
        )
        for wait in cycle.waits:
            if wait.blocking is Blocking.NEEDS_WRITER:
                yield f"The writer of {wait.wanted.lock.name}: the cycle needs one, none is in it."
    for missing in report.missing:
        yield f"Not in this text: {missing.what}."
