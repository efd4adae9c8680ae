# SPDX-License-Identifier: Apache-2.0
"""Which locks are of one class, what classes are called, and the order among the locks of one class."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import pytest
from watching import run_python

from quiesce.watch import Watch, watch
from quiesce.watch.instances import InstanceOrder


@pytest.fixture
def watched() -> Iterator[Watch]:
    with watch(quiet=True) as one:
        yield one


class Server:
    def __init__(self) -> None:
        self.pool = threading.Lock()
        self.stats = threading.Condition()


class OwnLock:
    """A lock class of a program."""

    def __init__(self) -> None:
        self._inner = threading.Lock()

    def acquire(self) -> None:
        self._inner.acquire()

    def release(self) -> None:
        self._inner.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class NamedLock(OwnLock):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def make_lock() -> threading.Lock:
    lock = threading.Lock()
    return lock  # noqa: RET504


@dataclass
class Account:
    lock: Any = field(default_factory=threading.Lock)


@dataclass
class Bank:
    lock: Any = field(default_factory=threading.Lock)


def name_of(lock: Any) -> str:
    return str(getattr(lock, "_lock", lock).cls.name if not hasattr(lock, "cls") else lock.cls.name)


def test_names_come_from_what_the_lock_is_assigned_to(watched: Watch) -> None:
    server = Server()
    alone = threading.Lock()
    left, right = threading.Lock(), threading.RLock()
    many = [threading.Lock() for _ in range(2)]
    server.extra = threading.Condition(threading.Lock())  # type: ignore[attr-defined]
    assert name_of(server.pool) == "Server.pool"
    assert name_of(server.stats) == "Server.stats"
    assert name_of(alone) == "alone"
    assert [name_of(left), name_of(right)] == ["left", "right"]
    assert {name_of(one) for one in many} == {"many"}
    assert name_of(server.extra) == "extra"  # type: ignore[attr-defined]


def one_class(a: Any, b: Any) -> bool:
    return bool(a.cls is b.cls)


def test_objects_of_one_kind_are_one_class(watched: Watch) -> None:
    one = Server()
    another = Server()
    assert one_class(one.pool, another.pool)
    assert not one_class(one.pool, one.stats._lock)  # type: ignore[attr-defined]


def test_a_lock_of_the_programs_own_is_a_class_for_each_maker(watched: Watch) -> None:
    pool, stats = OwnLock(), OwnLock()
    named, other = NamedLock("a"), NamedLock("b")
    assert not one_class(pool._inner, stats._inner)
    assert not one_class(named._inner, other._inner)
    assert name_of(pool._inner) == "pool"
    assert one_class(*(NamedLock(name)._inner for name in "ab"))


def test_a_factory_is_a_class_for_each_caller(watched: Watch) -> None:
    pool = make_lock()
    stats = make_lock()
    assert not one_class(pool, stats)
    assert name_of(pool) == "pool"


def test_generated_code_is_told_apart_by_its_class() -> None:
    code = (
        "import threading\n"
        "from dataclasses import dataclass, field\n"
        "from quiesce.watch import watch\n"
        "with watch(quiet=True):\n"
        "    @dataclass\n"
        "    class A:\n"
        "        lock: object = field(default_factory=threading.Lock)\n"
        "    @dataclass\n"
        "    class B:\n"
        "        lock: object = field(default_factory=threading.Lock)\n"
        "    print(A().lock.cls is A().lock.cls, A().lock.cls is B().lock.cls, A().lock.cls.name)\n"
    )
    assert run_python("-c", code).stdout.split() == ["True", "False", "A.lock"]


def test_program_with_one_order_behind_wrappers_is_silent() -> None:
    assert run_python("06_lock_wrapper_false.py").stdout.endswith("0 []\n")


def test_gate_lock_makes_both_orders_harmless(watched: Watch) -> None:
    gate, a, b = threading.Lock(), threading.Lock(), threading.Lock()
    for one, other in ((a, b), (b, a)):
        with gate, one, other:
            pass
    assert watched.reports == []
    with a, b:
        pass
    # One side is enough: the other one still holds the gate, and this one does not.
    assert [one.kind for one in watched.reports] == ["circular"]


def test_two_gates_are_no_gate(watched: Watch) -> None:
    gates = [threading.Lock() for _ in range(2)]
    a, b = threading.Lock(), threading.Lock()
    with gates[0], a, b:
        pass
    with gates[1], b, a:
        pass
    assert [one.kind for one in watched.reports] == ["circular"]


def test_cycle_of_three_is_one_report(watched: Watch) -> None:
    a, b, c = threading.Lock(), threading.Lock(), threading.Lock()
    for one, other in ((a, b), (b, c), (c, a)):
        with one, other:
            pass
    (report,) = watched.reports
    assert [name for name, _ in report.locks] == ["a", "b", "c"]
    assert len(report.steps) == 3


def test_report_is_twelve_lines(watched: Watch) -> None:
    a, b = threading.Lock(), threading.Lock()
    for one, other in ((a, b), (b, a)):
        thread = threading.Thread(
            target=lambda x=one, y=other: (x.acquire(), y.acquire(), y.release(), x.release())
        )
        thread.start()
        thread.join()
    (report,) = watched.reports
    assert len(report.lines()) <= 12
    assert sum("test_watch_classes.py:" in line for line in report.lines()) >= 5


class _Ranked:
    def __init__(self) -> None:
        self.rank = 0
        self.me: Any = ref(self)
        self.later: dict[Any, Any] | None = None
        self.earlier: set[Any] | None = None
        self.prune_at = 0


@pytest.mark.parametrize("seed", range(20))
def test_order_of_objects_equals_reachability(seed: int) -> None:
    """An order is refused exactly if the opposite one follows from those before."""
    chooser = random.Random(seed)
    locks = [_Ranked() for _ in range(12)]
    order = InstanceOrder()
    after: dict[int, set[int]] = {i: set() for i in range(12)}

    def reaches(source: int, target: int) -> bool:
        seen, stack = {source}, [source]
        while stack:
            for following in after[stack.pop()] - seen:
                seen.add(following)
                stack.append(following)
        return target in seen

    for _ in range(120):
        first, last = chooser.sample(range(12), 2)
        refused = order.add(locks[first], locks[last], (first, last)) is not None
        assert refused == reaches(last, first)
        if not refused:
            after[first].add(last)


def test_graph_in_every_style(watched: Watch) -> None:
    a, b = threading.Lock(), threading.Lock()
    with a, b:
        pass
    text = watched.graph()
    assert text.splitlines()[0].startswith("a (test_watch_classes.py:")
    assert text.splitlines()[1].startswith("  -> b (test_watch_classes.py:")
    assert "c0 -> c1 [label=" in watched.graph("dot")
    assert 'c0 -->|"test_watch_classes.py:' in watched.graph("mermaid")
    with pytest.raises(ValueError, match="no such style"):
        watched.graph("ascii")
