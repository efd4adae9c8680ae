# SPDX-License-Identifier: Apache-2.0
"""A mutex out of a futex: 0 free, 1 held, 2 held and perhaps waited for.

quiesce compare examples/kernel/futex_mutex.py --over how

U. Drepper, *Futexes Are Tricky* (2011), the second mutex. A task that was woken must take the lock
as "perhaps waited for": others may still sleep, and only that value lets the next unlock wake one.
"""

from typing import Literal

from quiesce.primitives import Futex
from quiesce.protocol import Int, Protocol, Scenario, always, atomic, thread


class FutexMutex(Protocol):
    word = Futex(high=2)

    def __init__(self, how: str) -> None:
        self.how = how

    def lock(self) -> None:
        if self.word.cmpxchg(0, 1) == 0:
            return
        if self.how == "takes_it_as_1":
            while self.word.cmpxchg(0, 1) != 0:
                self.word.xchg(2)
                self.word.wait(2)
        else:
            while self.word.xchg(2) != 0:
                self.word.wait(2)

    def unlock(self) -> None:
        if self.word.xchg(0) == 2:
            self.word.wake(1)


class ThreeUsers(Scenario):
    inside = Int(0, high=3)

    def __init__(self, how: Literal["right", "takes_it_as_1"] = "right") -> None:
        self.mutex = FutexMutex(how)
        self.expect = {} if how == "right" else {"no_deadlock": "violated"}

    @atomic
    def enter(self) -> None:
        self.inside += 1

    @atomic
    def leave(self) -> None:
        self.inside -= 1

    @thread(3)
    def user(self) -> None:
        self.mutex.lock()
        self.enter()
        self.leave()
        self.mutex.unlock()

    @always
    def one_at_a_time(self) -> bool:
        return self.inside <= 1
