# SPDX-License-Identifier: Apache-2.0
"""A user's test file, which pytest is run on by ``test_testing.py``: each name says what must come out."""

from quiesce import check
from quiesce.primitives import SpinLock
from quiesce.protocol import Bool, Int, Scenario, always, thread


class Forks(Scenario):
    first = SpinLock()
    second = SpinLock()
    eaten = Int(0, high=3)

    def __init__(self, crossed: bool = False) -> None:
        self.crossed = crossed

    @thread(1)
    def left(self) -> None:
        with self.first, self.second:
            self.eaten += 1

    @thread(1)
    def right(self) -> None:
        if self.crossed:
            with self.second, self.first:
                self.eaten += 1
        else:
            with self.first, self.second:
                self.eaten += 1


class ExpectedDeadlock(Forks):
    expect = {"no_deadlock": "violated"}


class TestClassHolds(Forks):
    pass


class TestClassIsWrong(Scenario):
    done = Bool()

    @thread(2)
    def user(self) -> None:
        print(self.done)


class Unreached(Scenario):
    ready = Bool(marked=True)

    @thread(2)
    def user(self) -> None:
        self.ready = True

    @always
    def few(self) -> bool:
        return True


test_object_holds = Forks()
test_object_deadlocks = Forks(crossed=True)
test_object_deadlocks_as_expected = ExpectedDeadlock(crossed=True)
test_object_should_have_deadlocked = ExpectedDeadlock(crossed=False)


def test_function_holds() -> None:
    check(Forks()).assert_holds()


def test_function_fails() -> None:
    check(Forks(crossed=True)).assert_holds()
