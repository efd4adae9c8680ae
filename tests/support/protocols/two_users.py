# SPDX-License-Identifier: Apache-2.0
"""Two users of a counter, right or wrong as its parameters say: what the command line is tried on."""

import enum

from quiesce.primitives import SpinLock
from quiesce.protocol import Int, Protocol, Scenario, always, sometimes, thread


class Order(enum.Enum):
    SAME = "same"
    CROSSED = "crossed"


class Counter(Protocol):
    lock = SpinLock()
    other = SpinLock()
    users = Int(0, high=9)

    def enter(self, crossed: bool) -> None:
        if crossed:
            with self.other, self.lock:
                self.users += 1
        else:
            with self.lock, self.other:
                self.users += 1


class TwoUsers(Scenario):
    counter = Counter()

    def __init__(
        self,
        rounds: int = 1,
        order: Order = Order.SAME,
        limit: int = 9,
        label: str = "x",
        note: object = None,
    ) -> None:
        if rounds < 0:
            raise ValueError("rounds is negative")
        self.rounds = rounds
        self.crossed = order is Order.CROSSED
        self.limit = limit

    @thread()
    def first(self) -> None:
        for _ in range(self.rounds):
            self.counter.enter(False)

    @thread()
    def second(self) -> None:
        for _ in range(self.rounds):
            self.counter.enter(self.crossed)

    @always
    def below_limit(self) -> bool:
        return self.counter.users < self.limit

    @sometimes
    def somebody_entered(self) -> bool:
        return self.counter.users > 0


class Quiet(TwoUsers):
    @thread()
    def second(self) -> None:
        pass
