# SPDX-License-Identifier: Apache-2.0
"""What would break a cycle, most promising first.

The verbs are those that commits use: allocate outside, GFP_NOFS, move the flush out of the lock,
make the readers recursive, drop the lock before the call, reverse the order, annotate the nesting.
"""

from __future__ import annotations

from collections.abc import Iterator

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Blocking, Cycle, Path
from quiesce.explain.judge.modes import Mode
from quiesce.explain.read.model import Report


def fixes(report: Report, cycle: Cycle) -> list[str]:
    """Return the remedies for *cycle*, each an instruction, without repetition."""
    found: list[str] = []
    for text in _all(report, cycle):
        if text not in found:
            found.append(text)
    return found


def _all(report: Report, cycle: Cycle) -> Iterator[str]:
    if cycle.on_itself:
        yield from _nesting(report, cycle)
    yield from _readers(cycle)
    for path in cycle.paths:
        yield from _contexts(cycle, path)
    for path in cycle.paths:
        yield from _waits(path)
    if cycle.on_itself:
        return
    yield from _order(cycle)
    yield from _same_class(cycle)


def _readers(cycle: Cycle) -> Iterator[str]:
    for wait in cycle.waits:
        if wait.blocking is not Blocking.NEEDS_WRITER or wait.wanted.how.primitive != "rwsem":
            continue
        name = wait.wanted.lock.name
        yield (
            f"Take the fairness out of {name}: a count of readers under a spinlock, for whose zero "
            "the writer waits. Then a reader never waits behind a writer, and the writer may "
            "starve (KVM did this for the memslots, 52ac8b358b0c)."
        )


def _contexts(cycle: Cycle, path: Path) -> Iterator[str]:
    if path.wants.note.nature is not Nature.CONTEXT:
        return
    holds, name = path.holds.lock.name, path.wants.lock.base
    place = _place(path)
    if name == "fs_reclaim":
        io = any("q_usage_counter" in p.wants.lock.base for p in cycle.paths)
        scope = "memalloc_noio_save()" if io else "memalloc_nofs_save()"
        yield (
            f"Allocate before {holds} is taken{place}, or keep the allocation out of that reclaim: "
            f"{scope} around the section."
        )
    elif "mmu_notifier" in name:
        yield (
            f"Do not hold {holds} from the start to the end of an invalidation, nor around "
            f"anything that can start one (an allocation that may reclaim){place}."
        )
    else:
        yield f"Do not enter {path.wants.lock.name} with {holds} held{place}."


def _waits(path: Path) -> Iterator[str]:
    if path.passes or path.wants.note.nature is not Nature.WAIT:
        return
    if path.holds.note.nature is Nature.CONTEXT:
        return  # what holds the context is the task that enters it; that path has its own remedy
    holds, lock, place = path.holds.lock.name, path.wants.lock, _place(path)
    name = lock.name
    if holds == name:
        yield f"Do not wait for {name} from inside it{place}: cancel without waiting, or elsewhere."
    elif path.wants.how.primitive == "work item":
        yield f"Flush or cancel {name} after {holds} has been dropped{place}, or without waiting."
        if lock.base.startswith("(wq_completion)"):
            yield f"Give the work a queue of its own, so that waiting for {name} waits for less."
    elif "q_usage_counter" in lock.base:
        yield f"Do not wait for the queue with {holds} held{place}: freeze it first, or drop it."
    elif lock.base in ("kn->active", "s_active"):
        if path.wants.how.mode is Mode.EXCLUSIVE:
            yield f"Remove the sysfs file without {holds} held{place}."
    elif path.wants.how.mode is Mode.SYNC:
        yield f"Drop {holds} before the grace period{place}, or use call_srcu()."
    else:
        yield f"Do not wait for {name} with {holds} held{place}."


def _order(cycle: Cycle) -> Iterator[str]:
    """Reverse one path, the caught one first: it is the one with a full stack."""
    ordered = [p for p in cycle.paths if not p.passes and p.wants.note.nature is not Nature.WAIT]
    for path in ordered[:3]:
        holds, wants = path.holds.lock.name, path.wants.lock.name
        if path.holds.note.nature.is_annotation:
            yield f"Do not take {wants} inside {holds}{_place(path)}."
        else:
            yield f"Take {wants} before {holds}{_place(path)}, or drop {holds} first."


def _same_class(cycle: Cycle) -> Iterator[str]:
    bases = [p.wants.lock.base for p in cycle.paths]
    for base in sorted({b for b in bases if bases.count(b) > 1}):
        yield (
            f"If the {base} of the cycle are different objects in a fixed order: give them classes "
            "of their own (lockdep_set_class(), a subclass)."
        )


def _nesting(report: Report, cycle: Cycle) -> Iterator[str]:
    lock = cycle.paths[0].wants.lock
    place = _place(cycle.paths[0])
    if cycle.paths[0].wants.note.nature is Nature.WAIT:
        return  # waiting for itself; the remedy for the wait says it
    wanted, holding = report.wanted, report.holding
    same = wanted is None or holding is None or wanted.address == holding.address
    drop = (
        f"Do not take {lock.name} again{place}: drop it first, or call a variant that expects it."
    )
    nest = (
        f"If the two are different objects in a fixed order (parent and child, by address): say so "
        f"with a subclass (*_nested()), a nest lock, or a class of its own{place}."
    )
    yield from (drop, nest) if same else (nest, drop)


def _place(path: Path) -> str:
    caller = path.wants.how.caller
    return f" in {caller.function}()" if caller is not None and caller.function else ""
