# SPDX-License-Identifier: Apache-2.0
"""``@atomic`` on a ``@thread`` method: the thread is one step, in either order of the decorators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer import Options, check
from quiesce.primitives import SpinLock
from quiesce.protocol import (
    READ_ONCE,
    WRITE_ONCE,
    Bool,
    Int,
    Scenario,
    always,
    atomic,
    eventually,
    sometimes,
    thread,
    wait_until,
)
from quiesce.threads import run

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

ORDERS: dict[str, Decorator] = {
    "thread above atomic": lambda f: thread(count=2)(atomic(f)),
    "atomic above thread": lambda f: atomic(thread(count=2)(f)),
    "with arguments": lambda f: atomic(label="step", queued=True)(thread(count=2)(f)),
}


def counting(decorate: Decorator) -> Scenario:
    class Counting(Scenario):
        n = Int(0)
        done = Int(0)

        @decorate
        def add(self) -> None:
            before = READ_ONCE(self.n)
            WRITE_ONCE(self).n = before + 1
            for _ in range(2):
                if self.done == 7:
                    return
            self.done += 1

        @always
        def no_update_is_lost(self) -> bool:
            return self.done <= self.n

        @sometimes
        def both_are_done(self) -> bool:
            return self.done == 2 and self.n == 2

    return Counting()


def failed(program: Program) -> set[str]:
    result = check(program, Options(keep_going=True))
    assert result.complete
    return {p.name for p in result.properties if p.finding is not None}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_an_atomic_thread_is_one_step(order: str, fuse: bool) -> None:
    program = compile_scenario(counting(ORDERS[order]), fuse=fuse)
    (kind,) = program.kinds
    assert len([at for at in kind.locations[1:] if not at.final]) == 1
    assert failed(program) == set()


def test_without_atomic_the_update_is_lost() -> None:
    """The twin: the same threads in steps."""
    assert "no_update_is_lost" in failed(compile_scenario(counting(thread(count=2))))


def test_label_and_fairness_are_the_decorators() -> None:
    (kind,) = compile_scenario(counting(ORDERS["with arguments"])).kinds
    (at,) = [at for at in kind.locations[1:] if not at.final]
    assert (at.label, at.queued, at.waits) == ("step(counting)", True, False)


class Opened(Scenario):
    """Two atomic threads wait; a third lets them in; a worker waits forever."""

    gate = Bool()
    n = Int(0)

    @thread(count=2)
    @atomic
    def user(self) -> None:
        wait_until(self.gate)
        self.n += 1

    @atomic
    @thread()
    def opener(self) -> None:
        self.gate = True

    @thread(daemon=True)
    @atomic
    def worker(self) -> None:
        wait_until(self.n > 2)
        self.n = 0

    @eventually()
    def both_come_in(self) -> bool:
        return self.n == 2


def test_an_atomic_thread_waits() -> None:
    assert failed(compile_scenario(Opened())) == set()


def test_an_atomic_thread_that_waits_forever_is_a_deadlock() -> None:
    class Closed(Opened):
        def opener(self) -> None:
            """No thread any more."""

    (finding,) = check(compile_scenario(Closed()), Options()).of_kind("deadlock")
    assert "user" in finding.message


def test_a_wait_after_a_write_is_refused() -> None:
    class Late(Scenario):
        n = Int(0)

        @thread()
        @atomic
        def run(self) -> None:
            self.n = 1
            wait_until(self.n == 1)

    with pytest.raises(Exception, match="wait-after-write"):
        compile_scenario(Late())


def test_a_primitive_in_an_atomic_thread_is_a_part_of_its_step() -> None:
    class Inner(Scenario):
        lock = SpinLock()
        n = Int(0)

        @thread(count=2)
        @atomic
        def run(self) -> None:
            with self.lock:
                self.n += 1

        @always
        def free_between_steps(self) -> bool:
            return self.lock.owner is None

    assert failed(compile_scenario(Inner())) == set()


@pytest.mark.parametrize("order", ORDERS)
def test_on_real_threads_it_is_one_step_too(order: str) -> None:
    result = run(counting(ORDERS[order]), seconds=0.2, seed=1)
    assert not result.findings


ATOMIC_PROPERTIES: dict[str, tuple[Decorator, Decorator]] = {
    "property above": (always, atomic),
    "atomic above": (atomic, always),
}


@pytest.mark.parametrize("order", ATOMIC_PROPERTIES)
@pytest.mark.parametrize("limit", [1, 2])
def test_a_property_may_be_atomic(order: str, limit: int) -> None:
    outer, inner = ATOMIC_PROPERTIES[order]

    class Watched(Scenario):
        n = Int(0)

        @thread(count=2)
        @atomic
        def add(self) -> None:
            self.n += 1

        @outer
        @inner
        def low(self) -> bool:
            return self.n <= limit

    assert failed(compile_scenario(Watched())) == ({"low"} if limit == 1 else set())
    if limit == 1:
        assert run(Watched(), seconds=5, seed=1).findings


def test_an_atomic_attribute_is_one_step() -> None:
    class Attribute(Scenario):
        n = Int(0)
        m = Int(0)

        @property
        @atomic
        def moved(self) -> int:
            self.n += 1
            self.m += 1
            return self.m

        @thread(count=2)
        def run(self) -> None:
            assert self.moved > 0

        @always
        def together(self) -> bool:
            return self.n == self.m

    assert failed(compile_scenario(Attribute())) == set()
