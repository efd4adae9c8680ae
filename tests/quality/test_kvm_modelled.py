# SPDX-License-Identifier: Apache-2.0
"""What docs/kvm.md calls modelled can be falsified: without it, some verdict is another.

Most of it is taken away by a planted bug (``test_kvm_planted_bugs.py``). Here is what has to go for a
finding to vanish, and that the coarse steps of the model hide nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import quiesce.kvm
from quiesce.commands.lockdep import lockdep_of
from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Bounds, CheckResult, Options, check
from quiesce.kvm import GATES, Kvm, MemslotUpdates
from quiesce.kvm.memslots import Memslots
from quiesce.kvm.mm import Mm, Operation
from quiesce.kvm.mmu_notifier import MmuNotifier
from quiesce.kvm.planted import PLANTED
from quiesce.kvm.scenarios import Parts
from quiesce.lockdep import Report
from quiesce.protocol import Mode, Protocol, Scenario, Task, atomic, thread
from quiesce.threads import run

DOCS = Path(__file__).parents[2] / "docs" / "kvm.md"


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the table below *heading*, without its head."""
    section = DOCS.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_modelled_behavior_has_a_mutant_that_is_caught() -> None:
    rows = rows_of("What is modelled, and what would be seen without it")
    tests = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text(encoding="utf-8"), re.M))
    named: set[str] = set()
    for behavior, commit, _, mutants in rows:
        names = re.findall(r"`(\w+)`", mutants)
        assert names, f"{behavior}: no mutant"
        assert set(names) <= PLANTED.keys() | tests, behavior
        assert commit, f"{behavior}: no commit"
        named |= set(names)
    assert PLANTED.keys() - named == set()


def test_the_table_of_names_speaks_of_what_exists() -> None:
    modules = [
        importlib.import_module(f"quiesce.kvm.{info.name}")
        for info in pkgutil.iter_modules(quiesce.kvm.__path__)
        if not info.ispkg
    ]
    names = [
        re.findall(r"`(\w+)\.(\w+)`", row[1]) for row in rows_of("Names: the kernel's and ours")
    ]
    assert all(names)
    for owner, member in itertools.chain.from_iterable(names):
        classes = [vars(m)[owner] for m in modules if owner in vars(m)]
        assert classes, owner
        assert hasattr(classes[0], member), f"{owner}.{member}"


# --- What makes a finding possible ----------------------------------------------------------------


class Replaced(MemslotUpdates):
    """The scenario with some classes replaced."""

    def __init__(self, replaced: dict[str, Any], **settings: Any) -> None:
        self.replaced = tuple(replaced.items())
        super().__init__(**settings)

    def parts(self, design: str) -> Parts:
        return dataclasses.replace(super().parts(design), **dict(self.replaced))


class MapNotTakenInEnd(MmuNotifier):
    def invalidate_range_end(self, hva: int, ticket: int) -> None:
        self.kvm.invalidate_range_end(hva, True, ticket)


def lockdep_report(mmu_notifier: type[MmuNotifier]) -> Report | None:
    replaced = {"mmu_notifier": mmu_notifier}
    program = compile_scenario(Replaced(replaced, design="rwsem", operations="copy_on_write"))
    return lockdep_of(program, Bounds()).report


def test_lockdep_sees_the_cycle_by_the_map_around_both_calls() -> None:
    report = lockdep_report(MmuNotifier)
    assert report is not None
    assert report.kind == "circular"
    assert lockdep_report(MapNotTakenInEnd) is None


class NonBlockForgotten(MmuNotifier):
    def invalidate_range_start_nonblock(self, hva: int) -> tuple[bool, int]:
        with self.invalidate_range_start_map:
            ticket = self.kvm.invalidate_range_start(hva, False)
        return True, ticket

    def invalidate_range_end_nonblock(self, hva: int, ticket: int) -> None:
        with self.invalidate_range_start_map:
            self.kvm.invalidate_range_end(hva, False, ticket)


RT = {"rounds": 1, "operations": "reap", "vcpus": 0, "rt": True, "notifiers": 1}


@pytest.mark.parametrize(
    ("mmu_notifier", "found"), [(MmuNotifier, "failed assert"), (NonBlockForgotten, None)]
)
def test_non_blockable_sections_must_not_sleep(
    mmu_notifier: type[MmuNotifier], found: str | None
) -> None:
    finding = check(Replaced({"mmu_notifier": mmu_notifier}, **RT)).finding
    assert (None if finding is None else finding.kind) == found


class ZapWithoutSplit(Mm):
    def zap(self, hva: int) -> None:
        self.copy_on_write(hva)


class MigrateWithoutRmapLock(Mm):
    def migrate(self, hva: int) -> None:
        self._invalidate_and_change(hva)


class ProtectWithoutRmapLock(Mm):
    def protect_hugetlb(self, hva: int) -> None:
        self.copy_on_write(hva)


CROSSING = "migrate,protect_hugetlb"


@pytest.mark.parametrize(
    ("mm", "operations", "deadlocks"),
    [
        (Mm, "zap", True),
        (ZapWithoutSplit, "zap", False),
        (Mm, CROSSING, True),
        (MigrateWithoutRmapLock, CROSSING, False),
        (ProtectWithoutRmapLock, CROSSING, False),
    ],
)
def test_the_rwsem_deadlocks_by_nesting_and_by_crossing(
    mm: type[Mm], operations: str, deadlocks: bool
) -> None:
    scenario = Replaced({"mm": mm}, design="rwsem", operations=operations, rounds=1, vcpus=0)
    finding = check(scenario).finding
    assert (finding is not None and finding.kind == "deadlock") == deadlocks


class Alone(Scenario):
    """One operation to one page."""

    def __init__(self, operation: Operation) -> None:
        system = MemslotUpdates("always_lock")
        self.kvm, self.mm = system.kvm, system.mm
        self.operation = operation.value

    @thread()
    def task(self) -> None:
        getattr(self.mm, self.operation)(0)


class Heard:
    def __init__(self) -> None:
        self.locks: list[str] = []

    def waits(self, task: Task, lock: Protocol, mode: Mode) -> None:
        raise AssertionError("a task alone does not wait")

    def acquires(self, task: Task, lock: Protocol, mode: Mode, trylock: bool) -> None:
        how = {Mode.EXCLUSIVE: "write", Mode.SHARED: "read"}.get(mode, "")
        if lock.path.endswith(("mmap_lock", "i_mmap_rwsem", "range_start_map")):
            self.locks.append(f"{'try ' if trylock else ''}{how} {lock.path.rpartition('.')[2]}")

    def releases(self, task: Task, lock: Protocol) -> None:
        if lock.path.endswith(("mmap_lock", "i_mmap_rwsem")):
            self.locks.append(f"drop {lock.path.rpartition('.')[2]}")


START = END = "write invalidate_range_start_map"
READ, WRITE, DROP = "read mmap_lock", "write mmap_lock", "drop mmap_lock"
LOCKS = {
    Operation.COPY_ON_WRITE: [READ, START, END, DROP],
    Operation.REMAP: [WRITE, START, END, DROP],
    Operation.MIGRATE: ["read i_mmap_rwsem", START, END, "drop i_mmap_rwsem"],
    Operation.PROTECT_HUGETLB: [
        READ, START, "write i_mmap_rwsem", "drop i_mmap_rwsem", END, DROP,
    ],
    Operation.REAP: [f"try {READ}", START, END, DROP],
}  # fmt: skip


@pytest.mark.parametrize("operation", Operation)
def test_each_operation_takes_the_locks_that_its_caller_holds(operation: Operation) -> None:
    heard = Heard()
    result = run(Alone(operation), 0.05, listener=heard)
    assert result.findings == ()
    if operation is Operation.ZAP:
        one, split = [READ, START, END, DROP], [READ, START, START, END, END, DROP]
        assert " ".join(one) in " ".join(heard.locks)
        assert " ".join(split) in " ".join(heard.locks)
    else:
        expected = LOCKS[operation]
        assert heard.locks[: len(expected)] == expected


# --- The coarse steps ------------------------------------------------------------------------------


class SplitKvm(Kvm):
    """start and end in the steps of the kernel, for one address space.

    An SRCU read section; in it the look at the memslots, then the section under ``mmu_lock``.
    """

    def handle_hva_range_begin(self, hva: int, ticket: int, blockable: bool) -> None:
        index = self.srcu.srcu_read_lock()
        slots, locked = self.look(hva, ticket, blockable)
        self.section_of_start(slots, hva, blockable, locked)
        self.srcu.srcu_read_unlock(index)

    def handle_hva_range_end(self, hva: int, ticket: int, blockable: bool) -> None:
        index = self.srcu.srcu_read_lock()
        _, locked = self.look(hva, ticket, blockable)
        self.section_of_end(hva, locked)
        self.srcu.srcu_read_unlock(index)

    @atomic(label="kvm_for_each_memslot_in_hva_range")
    def look(self, hva: int, ticket: int, blockable: bool) -> tuple[Memslots, bool]:
        slots = self.gate.memslots(self.spaces[0], ticket)
        return slots, slots.overlaps(hva) or self.gate.must_lock(blockable)

    @atomic(label="kvm_mmu_invalidate_begin")
    def section_of_start(self, slots: Memslots, hva: int, blockable: bool, locked: bool) -> None:
        if self.gate.must_lock(blockable):
            # Without elision the memslots are walked with mmu_lock held.
            self.lock_and_begin(hva, 0, blockable)
        elif locked:
            with self.mmu.mmu_lock:
                self.mmu.invalidate_begin()
                self.mmu.unmap_gfn_range(self.spaces[0], slots.hva_to_gfn(hva))
        self.ledger.start(hva, locked)

    @atomic(label="kvm_mmu_invalidate_end")
    def section_of_end(self, hva: int, locked: bool) -> None:
        if locked:
            self.lock_and_end()
        self.ledger.end(hva, locked)


def verdicts(result: CheckResult) -> dict[str, str]:
    return {p.name: p.verdict.value for p in result.properties}


@pytest.mark.parametrize("changes", ["delete", "delete,move"])
@pytest.mark.parametrize("design", GATES)
def test_start_and_end_in_the_steps_of_the_kernel_change_no_verdict(
    design: str, changes: str
) -> None:
    settings = {"design": design, "notifiers": 1, "changes": changes}
    coarse = check(MemslotUpdates(**settings), Options(keep_going=True))  # type: ignore[arg-type]
    fine = check(Replaced({"kvm": SplitKvm}, **settings), Options(keep_going=True))
    assert fine.states > coarse.states
    # Without a gate the count leaves its range, which ends a run.
    assert fine.complete == coarse.complete == (design != "elide_unguarded")
    assert verdicts(fine) == verdicts(coarse)
