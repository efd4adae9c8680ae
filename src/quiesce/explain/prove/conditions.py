# SPDX-License-Identifier: Apache-2.0
"""On what the hang of a scenario depends, and why one may not hang, as clauses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quiesce.explain.judge.annotations import Nature
from quiesce.explain.judge.cycle import Blocking, Cycle, CycleTask, CycleWait
from quiesce.explain.judge.modes import seen
from quiesce.explain.judge.table import call


def context_conditions(cycle: Cycle) -> Iterator[str]:
    """Yield which contexts the tasks of *cycle* must enter, as clauses after "if"."""
    for task in cycle.tasks:
        yield from _entered(task)


def _entered(task: CycleTask) -> Iterator[str]:
    """The contexts that *task* must enter, as conditions."""
    first = task.holds.lock.name
    wants = call(task.wants)
    for party in task.through:
        if party.note.nature is not Nature.CONTEXT:
            continue
        name = party.lock.base
        if name == "fs_reclaim":
            yield f"an allocation with {first} held enters reclaim and gets to {wants} there"
        elif "mmu_notifier" in name:
            yield (
                f"one task, with {first} held, enters notifier callbacks again (a nested "
                f"invalidation) and to {wants} there"
            )
        else:
            yield f"a task enters {name} with {first} held and gets to {wants} there"


def writer_conditions(waits: Iterable[CycleWait]) -> Iterator[str]:
    """Yield which writers *waits* need that are not in the report, as clauses after "if"."""
    for wait in waits:
        name = wait.wanted.lock.name
        needed = wait.blocking in (Blocking.NEEDS_WRITER, Blocking.MAYBE)
        if needed and wait.wanted.note.nature is Nature.WAIT:
            yield f"another task freezes {name}, or waits for all that are inside"
        elif wait.blocking is Blocking.NEEDS_WRITER:
            yet = "" if seen(wait.wanted.lock.usage).wrote else " (lockdep has seen none so far)"
            yield f"a writer of {name} waits in between{yet}"
        elif wait.blocking is Blocking.MAYBE:
            yield f"{name} is held for write, or a writer of it waits in between"


def refutations(waits: Iterable[CycleWait]) -> Iterator[str]:
    """Yield why one of *waits* never has to wait, with the letter of the reason."""
    for wait in waits:
        if wait.blocking is Blocking.NEVER:
            yield f"({'h' if wait.wanted.how.trylock else 'a'}) {_never(wait)}"


def _never(wait: CycleWait) -> str:
    name = wait.wanted.lock.name
    if wait.wanted.how.trylock:
        return f"{name} is only tried ({wait.wanted.how.function}()): no task waits for it."
    return f"Both sides read {name} and its readers are recursive: they never wait for each other."
