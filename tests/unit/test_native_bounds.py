# SPDX-License-Identifier: Apache-2.0
"""Bounds, interruption and checkpoints: an incomplete search never passes, a continued one is the same."""

from __future__ import annotations

import pytest
from native_protocols import Everything, LockPair

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer.reference.checker import Options
from quiesce.explorer.reference.graph import Bounds
from quiesce.verdict import Verdict

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native import search as native_search
from quiesce.explorer.native.check import check_native
from quiesce.explorer.native.kernels.stored import words_at
from quiesce.explorer.native.liveness import StepGraph
from quiesce.explorer.native.memory import memory_at_hand
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.search import Search, SearchOptions
from quiesce.explorer.native.table import VisitedTable


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_scenario(Everything(loops=2))


def whole(program: Program, cores: int = 1) -> Search:
    search = Search(program, SearchOptions(cores=cores, keep_going=True))
    search.run()
    assert not search.incomplete
    return search


@pytest.mark.parametrize("cores", [1, 2])
def test_too_many_states_are_incomplete(cores: int, shared_levels: None) -> None:
    result = check_native(
        compile_scenario(LockPair(threads=3)),
        Options(bounds=Bounds(max_states=10)),
        NativeOptions(cores=cores, symmetry=False),
    )
    assert result.verdict is Verdict.INCOMPLETE
    assert "10 states" in result.incomplete
    assert all(p.verdict is Verdict.INCOMPLETE for p in result.properties)
    assert result.states > 10


def test_too_little_memory_is_incomplete(program: Program) -> None:
    result = check_native(program, Options(bounds=Bounds(max_memory=1000)))
    assert result.verdict is Verdict.INCOMPLETE
    assert "memory" in result.incomplete


def test_the_memory_of_the_machine_is_a_bound(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``--max-memory`` a search ends before the system would kill it."""
    monkeypatch.setattr(native_search, "memory_at_hand", lambda: 1000)
    result = check_native(program, Options())
    assert result.verdict is Verdict.INCOMPLETE
    assert "memory that were free" in result.incomplete


def test_no_address_space_is_no_verdict(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table cannot grow: what was found so far is kept."""

    def refuse(*_: object) -> None:
        raise MemoryError("there is no address space left")

    monkeypatch.setattr(VisitedTable, "make_room", refuse)
    result = check_native(program, Options(keep_going=True), NativeOptions(symmetry=False))
    assert result.verdict is not Verdict.HOLDS
    assert result.incomplete == "there is no address space left"


def test_a_graph_that_has_no_room_is_not_built() -> None:
    """The search fits; the graph of all steps, which starvation needs, does not."""
    # It has a data race: with fusion nothing would be decided.
    program = compile_scenario(Everything(loops=1), fuse=False)
    needed = StepGraph.bytes_for(whole(program)) + whole(program).bytes
    native = NativeOptions(symmetry=False, partial_order=False)
    options = Options(keep_going=True, bounds=Bounds(max_memory=needed - 1))
    result = check_native(program, options, native)
    assert result.property("assertions").verdict is not Verdict.INCOMPLETE
    assert result.property("no_starvation").verdict is Verdict.INCOMPLETE
    assert "graph of all steps" in result.incomplete
    options = Options(keep_going=True, bounds=Bounds(max_memory=2 * needed))
    assert not check_native(program, options, native).incomplete


def test_free_memory_is_known() -> None:
    assert 1 << 26 < memory_at_hand() < 1 << 50


def test_starvation_of_identical_threads_needs_no_more_states_than_the_search() -> None:
    """One of them is followed in the states that symmetry has left."""
    program = compile_scenario(LockPair(threads=3))
    reduced = check_native(program, Options())
    result = check_native(program, Options(bounds=Bounds(max_states=reduced.states)))
    assert result.property("no_starvation").verdict is Verdict.HOLDS
    assert result.verdict is reduced.verdict is Verdict.HOLDS
    less = check_native(program, Options(bounds=Bounds(max_states=reduced.states - 1)))
    assert less.property("no_starvation").verdict is Verdict.INCOMPLETE


def states_at(search: Search, depth: int) -> set[bytes]:
    return {
        words_at(search.workers[owner].states.array, place, search.compiled.shape).tobytes()
        for owner, lo, hi in search.level(depth)
        for place in range(lo, hi)
    }
