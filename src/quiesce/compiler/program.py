# SPDX-License-Identifier: Apache-2.0
"""The compiled protocol: what explorers run. From a scenario object to a :class:`Program`.

A state is a tuple of integers: the shared cells, then for each thread its location followed by its
local variables (those that are live at some location of its kind; a dead one is 0).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from quiesce.compiler.atomic_steps import (
    Location,
    expression_cells,
    expression_versions,
    find_locations,
)
from quiesce.compiler.ir import Bump, Code, operands
from quiesce.compiler.ir_text import dump
from quiesce.compiler.layout import Cell, Layout
from quiesce.compiler.liveness import live_slots, live_together
from quiesce.compiler.loops import LoopNest
from quiesce.compiler.ranges import find_ranges
from quiesce.compiler.read.reader import read_property, read_thread
from quiesce.compiler.read.values import Component, Method
from quiesce.compiler.types import IntType, SnapshotType, Type
from quiesce.compiler.verify_ir import check_waits_before_writes, verify
from quiesce.errors import Diagnostic, SourceErrors, UsageError, file_text
from quiesce.protocol import Protocol, Scenario
from quiesce.protocol.scenario import PropertySpec, ThreadSpec


@dataclass(slots=True)
class StoredLocal:
    """A place in a thread's block for local variables that are never live together.

    :param offset: its number in the block, from 1 (0 is the location).
    """

    offset: int
    type: Type
    low: int
    high: int


@dataclass(slots=True, eq=False)
class ThreadKind:
    """The code that threads of one kind run.

    :param live: for each location, the locals that are live there: offset in the block to slot.
    :param places: for each slot that is part of a state, its offset in the block.
    :param ranges: the (low, high) of every slot, stored or not.
    :param location_at: the number of the location at each position that has one.
    :param cleared: for the position of each ``Bump``, the slots that hold a snapshot of the version within
        a step and are no part of a state.
    :param nest: the loops of the source.
    :param loop_depth: for the two locations that a step lies between, the depth of the smallest loop that
        all of the step is in; 0 for no loop.
    """

    name: str
    code: Code
    locations: list[Location]
    stored: list[StoredLocal]
    live: list[dict[int, int]]
    places: dict[int, int]
    ranges: list[tuple[int, int]]
    location_at: dict[int, int]
    nest: LoopNest
    cleared: dict[int, list[int]]
    loop_depth: dict[tuple[int, int], int] = field(init=False)

    def __post_init__(self) -> None:
        depths = self.nest.steps(set(self.location_at))
        self.loop_depth = {
            (self.location_at[a], self.location_at[b]): depth for (a, b), depth in depths.items()
        }

    @property
    def block(self) -> int:
        """How many integers of a state a thread of this kind takes."""
        return 1 + len(self.stored)


@dataclass(slots=True)
class Thread:
    """One thread: its number is its place in :attr:`Program.threads`; *base* is where its block begins."""

    name: str
    kind: ThreadKind
    base: int
    daemon: bool


@dataclass(slots=True)
class CompiledProperty:
    """A property: all atomic, the answer in slot 0 of its code."""

    spec: PropertySpec
    code: Code

    @property
    def name(self) -> str:
        """The property's name, unique in the scenario."""
        return self.spec.name


@dataclass(slots=True, eq=False)
class Program:
    """A compiled scenario.

    :param digest: of all the source that was read, the parameters and the options: what a replay
        token is checked against.
    :param start: the states that runs begin in, if they are other than those of the scenario.
    """

    scenario: Scenario
    layout: Layout
    cells: list[Cell]
    threads: list[Thread]
    kinds: list[ThreadKind]
    properties: list[CompiledProperty]
    fuse: bool
    digest: str
    start: tuple[tuple[int, ...], ...] = ()
    _holders: dict[int, list[int]] | None = field(default=None, init=False, repr=False)

    @property
    def size(self) -> int:
        """How many integers a state has."""
        return len(self.cells) + sum(t.kind.block for t in self.threads)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the threads, by number."""
        return tuple(t.name for t in self.threads)

    def snapshot_holders(self, version: int) -> list[int]:
        """Return the places in a state that hold a snapshot of *version*."""
        if self._holders is None:
            self._holders = self._find_holders()
        return list(self._holders.get(version, ()))

    def _find_holders(self) -> dict[int, list[int]]:
        places = list(enumerate(cell.type for cell in self.cells))
        for thread in self.threads:
            places += [(thread.base + s.offset, s.type) for s in thread.kind.stored]
        holders: dict[int, list[int]] = {}
        for place, type_ in places:
            if isinstance(type_, SnapshotType):
                holders.setdefault(type_.version, []).append(place)
        return holders


def compile_scenario(scenario: Scenario, *, fuse: bool = True) -> Program:
    """Compile *scenario*, which is started by this.

    :param fuse: let plain accesses ride along with the event after them; see ``atomic_steps.py``.
    :raises SourceErrors: something in the source is outside the language.
    :raises UsageError: the scenario has no threads, or cannot be laid out.
    """
    specs = scenario.start()
    if not specs:
        raise UsageError(
            f"{type(scenario).__name__} has no threads",
            "mark at least one method with @thread() and let its count be 1 or more",
        )
    layout = Layout(scenario)
    try:
        codes, properties = _read_all(layout, scenario, specs)
        for code in codes.values():
            verify(code)
        kinds = _cut_into_steps(layout, codes, properties, fuse)
    except RecursionError:
        raise UsageError(
            f"an expression or a call of {type(scenario).__name__} is nested too deeply to be read",
            "give the parts names, or use a loop",
        ) from None
    return _assemble(scenario, layout, specs, kinds, properties, fuse)


def _read_all(
    layout: Layout, scenario: Scenario, specs: list[ThreadSpec]
) -> tuple[dict[str, Code], list[CompiledProperty]]:
    """Read all threads and properties, again if it was only found out which Version a Snapshot follows.

    :raises SourceErrors: something in the source is outside the language.
    """
    while True:
        known = [cell.type for cell in layout.cells]
        diagnostics: set[Diagnostic] = set()
        codes: dict[str, Code] = {}
        for spec in specs:
            if spec.code_name not in codes:
                codes[spec.code_name] = read_thread(
                    layout, diagnostics, _thread_method(scenario, spec), spec.arguments
                )
        properties = [
            CompiledProperty(spec, read_property(layout, diagnostics, _property_method(spec)))
            for spec in scenario.properties()
        ]
        for code in [*codes.values(), *(p.code for p in properties)]:
            diagnostics.update(check_waits_before_writes(code))
        if diagnostics:
            raise SourceErrors(list(diagnostics))
        if known == [cell.type for cell in layout.cells]:
            return codes, properties


def _thread_method(scenario: Scenario, spec: ThreadSpec) -> Method:
    return Method(spec.method, Component(scenario), _defining_class(scenario, spec.kind))


def _property_method(spec: PropertySpec) -> Method:
    defining = _defining_class(spec.component, spec.method.__name__)
    return Method(spec.method, Component(spec.component), defining)


def _defining_class(component: Protocol, name: str) -> type:
    return next((c for c in type(component).__mro__ if name in vars(c)), type(component))


def _cut_into_steps(
    layout: Layout, codes: dict[str, Code], properties: list[CompiledProperty], fuse: bool
) -> dict[str, ThreadKind]:
    exprs = [x for p in properties for op in p.code.ops for x in operands(op)]
    cells = frozenset(c for x in exprs for c in expression_cells(x))
    versions = frozenset(v for x in exprs for v in expression_versions(x))
    kinds = {}
    for name, code in codes.items():
        nest = LoopNest(code)
        locations = find_locations(
            code, nest, fuse=fuse, visible_cells=cells, visible_versions=versions
        )
        live = live_slots(code)
        ranges = find_ranges(code, layout)
        stored, offsets = _stored_locals(code, locations, live, ranges)
        kinds[name] = ThreadKind(
            name, code, locations, stored,
            [{offsets[s]: s for s in sorted(live[at.position])} for at in locations],
            offsets, ranges,
            {at.position: i for i, at in enumerate(locations)}, nest,
            _cleared(code, live, offsets),
        )  # fmt: skip
    return kinds


def _cleared(
    code: Code, live: list[frozenset[int]], stored: dict[int, int]
) -> dict[int, list[int]]:
    """Return, for each ``Bump``, the slots that must not match the version any more, those *stored* apart.

    Snapshots in other locals do not outlive their step; within it the same thread compares them.
    """
    return {
        i: [
            slot
            for slot in sorted(live[i + 1])
            if code.slots[slot].type == SnapshotType(op.version) and slot not in stored
        ]
        for i, op in enumerate(code.ops)
        if isinstance(op, Bump)
    }


def _stored_locals(
    code: Code,
    locations: list[Location],
    live: list[frozenset[int]],
    ranges: list[tuple[int, int]],
) -> tuple[list[StoredLocal], dict[int, int]]:
    """Give each local that is live at some location a place in the thread's block.

    Locals of one type that are never live at the same time share a place: fewer integers make a
    smaller state. Types are kept apart, since tasks are renamed with the threads and snapshots are
    cleared when their version moves on.
    """
    wanted = sorted({s for at in locations for s in live[at.position]})
    beside = live_together(code, live)
    stored: list[StoredLocal] = []
    sharing: list[set[int]] = []
    offsets: dict[int, int] = {}
    for slot in wanted:
        type_ = code.slots[slot].type
        low, high = ranges[slot]
        for place, sharers in zip(stored, sharing, strict=True):
            if _mergeable(place.type, type_) and sharers.isdisjoint(beside.get(slot, ())):
                sharers.add(slot)
                place.low, place.high = min(place.low, low), max(place.high, high)
                offsets[slot] = place.offset
                break
        else:
            offset = len(stored) + 1
            stored.append(StoredLocal(offset, type_, low, high))
            sharing.append({slot})
            offsets[slot] = offset
    return stored, offsets


def _mergeable(a: Type, b: Type) -> bool:
    return a == b or (isinstance(a, IntType) and isinstance(b, IntType))


def _assemble(
    scenario: Scenario,
    layout: Layout,
    specs: list[ThreadSpec],
    kinds: dict[str, ThreadKind],
    properties: list[CompiledProperty],
    fuse: bool,
) -> Program:
    threads = []
    base = len(layout.cells)
    for spec in specs:
        kind = kinds[spec.code_name]
        threads.append(Thread(spec.name, kind, base, spec.daemon))
        base += kind.block
    digest = _digest(scenario, layout, [k.code for k in kinds.values()], properties, fuse)
    return Program(
        scenario, layout, layout.cells, threads, list(kinds.values()), properties, fuse, digest
    )


def _digest(
    scenario: Scenario,
    layout: Layout,
    codes: list[Code],
    properties: list[CompiledProperty],
    fuse: bool,
) -> str:
    """Return a digest of the source text and of what it was compiled to.

    The text alone would miss a constant that comes from another module.
    """
    every = [*codes, *(p.code for p in properties)]
    hashed = hashlib.sha256(repr((type(scenario).__qualname__, fuse)).encode())
    for cell in layout.cells:
        hashed.update(f"{cell.name} {cell.low} {cell.high} {cell.initial} {cell.marked}\n".encode())
    for code in every:
        hashed.update(dump(code).encode())
    files = {op.loc.file for code in every for op in code.ops} - {""}
    for digest in sorted(hashlib.sha256(file_text(f).encode()).digest() for f in files):
        hashed.update(digest)
    return hashed.hexdigest()[:16]
