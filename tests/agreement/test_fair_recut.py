# SPDX-License-Identifier: Apache-2.0
"""Starvation that a cut of a fair cycle's component leaves, with every engine and every reduction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from quiesce.compiler.program import compile_scenario
from quiesce.explorer import Options, check
from quiesce.explorer.native.options import NativeOptions
from quiesce.primitives import Lock, RwLock, RwSem, SpinLock
from quiesce.protocol import Bool, Scenario, choose, thread
from quiesce.verdict import Verdict


class Stays(Scenario):
    """One thread may stay inside the lock as long as it likes; the other wants in once.

    Where it stays, the lock is never free, so that no queue helps. In the larger component, where it
    also comes out, the lock is free again and again and the queue does help: only what is left of the
    component without those states starves the other.

    :param rounds: how often it looks around inside the lock; 0: as often as it likes.
    :param nested: it looks around inside a second lock, within the first.
    """

    seen = Bool(marked=True)

    def __init__(self, lock: type[Lock] = SpinLock, rounds: int = 0, nested: bool = False) -> None:
        self.lock = lock()
        self.inner = SpinLock()
        self.rounds = rounds
        self.nested = nested

    def look_around(self) -> None:
        if self.rounds:
            for _ in range(self.rounds):
                self.seen = not self.seen
        else:
            while choose(True, False):
                self.seen = not self.seen

    @thread()
    def owner(self) -> None:
        while True:
            self.lock.lock()
            if self.nested:
                with self.inner:
                    self.look_around()
            else:
                self.look_around()
            self.lock.unlock()

    @thread()
    def visitor(self) -> None:
        self.lock.lock()
        self.lock.unlock()


def every_way() -> Iterator[tuple[bool, NativeOptions]]:
    """Yield whether to fuse steps, and how to explore: both engines, all reductions, 1 and 2 cores."""
    for fuse in (True, False):
        yield fuse, NativeOptions("reference")
        for symmetry, partial_order, cores in itertools.product(
            (True, False), (True, False), (1, 2)
        ):
            yield fuse, NativeOptions("native", symmetry, partial_order, cores)


@pytest.mark.parametrize("lock", [SpinLock, RwSem, RwLock])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_only_a_thread_that_stays_inside_starves_the_other(
    lock: type[Lock], nested: bool, rounds: int
) -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    expected = Verdict.HOLDS if rounds else Verdict.VIOLATION
    for fuse, native in every_way():
        program = compile_scenario(Stays(lock, rounds, nested), fuse=fuse)
        result = check(program, Options(keep_going=True), native)
        assert result.complete
        assert result.property("no_starvation").verdict is expected, (fuse, native)
        # Without strong fairness a lock that is free again and again may be missed every time.
        weak = check(program, Options(keep_going=True, fairness="weak"), native)
        assert weak.property("no_starvation").verdict is Verdict.VIOLATION, (fuse, native)
