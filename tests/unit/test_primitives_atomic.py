# SPDX-License-Identifier: Apache-2.0
"""atomic_t: each operation is one step, and does what the kernel's does."""

from __future__ import annotations

import pytest

from quiesce.explorer import CheckResult, Options, check
from quiesce.explorer.native.options import NativeOptions
from quiesce.primitives import Atomic
from quiesce.protocol import Bool, Int, Scenario, always, atomic, sometimes, thread
from quiesce.verdict import Verdict


def kinds(result: CheckResult) -> set[str]:
    return {p.finding.kind for p in result.properties if p.finding and not p.informational}


class Winner(Scenario):
    """Threads compete for one flag.

    :param how: by ``cmpxchg``, by ``xchg``, or by looking first and storing then.
    """

    wins = Int(0, high=3)

    def __init__(self, how: str = "cmpxchg") -> None:
        self.taken = Atomic(high=1)
        self.how = how

    def won(self) -> bool:
        if self.how == "cmpxchg":
            return self.taken.cmpxchg(0, 1) == 0
        if self.how == "xchg":
            return self.taken.xchg(1) == 0
        seen = self.taken.read()
        self.taken.set(1)
        return seen == 0

    @atomic
    def celebrate(self) -> None:
        self.wins += 1

    @thread(count=3)
    def competitor(self) -> None:
        if self.won():
            self.celebrate()

    @always
    def one_winner(self) -> bool:
        return self.wins <= 1

    @sometimes
    def a_winner(self) -> bool:
        return self.wins == 1


@pytest.mark.parametrize("explorer", ["reference", "native"])
@pytest.mark.parametrize("how", ["cmpxchg", "xchg", "read, then set"])
def test_one_thread_wins(how: str, explorer: str) -> None:
    if explorer == "native":
        pytest.importorskip("numba", reason="the native explorer needs numba")
    native = NativeOptions(explorer=explorer, symmetry=False, partial_order=False)
    result = check(Winner(how), Options(keep_going=True), native)
    if how == "read, then set":
        assert result.property("one_winner").verdict is Verdict.VIOLATION
        return
    assert result.verdict is Verdict.HOLDS
    # One has won and not celebrated yet, while any of the others have tried; or any number have ended.
    assert result.states == 3 * 2**2 + 2**3


class Object(Scenario):
    """References to an object that the last one frees; a look-up takes one if there is any left.

    :param careful: the look-up refuses an object without references.
    """

    freed = Bool(marked=True)

    def __init__(self, careful: bool = True) -> None:
        self.careful = careful
        self.references = Atomic(1, high=3)

    def put(self) -> None:
        if self.references.dec_and_test():
            self.freed = True

    def get(self) -> bool:
        if self.careful:
            return self.references.inc_not_zero()
        self.references.inc()
        return True

    @thread()
    def owner(self) -> None:
        self.put()

    @thread(count=2)
    def looker(self) -> None:
        if self.get():
            assert not self.freed, "used after it was freed"
            self.put()

    @sometimes
    def goes_away(self) -> bool:
        return self.freed


def test_reference_counts() -> None:
    assert check(Object()).verdict is Verdict.HOLDS
    assert kinds(check(Object(careful=False), Options(keep_going=True))) == {"failed assert"}


class Arithmetic(Scenario):
    """What each operation returns and leaves behind."""

    def __init__(self) -> None:
        self.number = Atomic(2, low=-3, high=9)

    @thread()
    def calculator(self) -> None:
        assert self.number.fetch_add(3) == 2 and self.number.read() == 5
        assert self.number.xchg(1) == 5 and self.number.read() == 1
        assert self.number.cmpxchg(2, 7) == 1 and self.number.read() == 1
        assert self.number.cmpxchg(1, 7) == 1 and self.number.read() == 7
        self.number.set(1)
        self.number.inc()
        assert not self.number.dec_and_test() and self.number.read() == 1
        assert self.number.inc_not_zero() and self.number.read() == 2
        self.number.dec()
        assert self.number.dec_and_test() and self.number.read() == 0
        assert not self.number.inc_not_zero() and self.number.read() == 0
        assert self.number.fetch_add(-3) == 0 and self.number.read() == -3


def test_arithmetic() -> None:
    assert check(Arithmetic()).verdict is Verdict.HOLDS


class Overflow(Scenario):
    def __init__(self, high: int) -> None:
        self.number = Atomic(high=high)

    @thread(count=2)
    def counter(self) -> None:
        self.number.inc()


def test_the_range_is_watched() -> None:
    assert kinds(check(Overflow(1))) == {"out of range"}
    assert check(Overflow(2)).verdict is Verdict.HOLDS
