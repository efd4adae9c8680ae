# SPDX-License-Identifier: Apache-2.0
"""Money goes from one account to another, and back: docs/tutorial.md goes through it.

quiesce check examples/transfer.py
quiesce compare examples/transfer.py --over fix
"""

from typing import Literal

from quiesce.primitives import Mutex
from quiesce.protocol import Array, Int, Protocol, Scenario, always, thread


class Account(Protocol):
    lock = Mutex()
    balance = Int(2, low=-4, high=8)


class Transfer(Scenario):
    accounts = Array(Account(), 2)

    def __init__(self, fix: Literal["none", "one", "order"] = "none") -> None:
        self.fix = fix
        wrong = {"none": "no_deadlock", "one": "no_data_race"}
        self.expect = {wrong[fix]: "violated"} if fix in wrong else {}

    @thread(2)
    def clerk(self, me: int) -> None:
        self.transfer(me, 1 - me)

    def transfer(self, source: int, target: int) -> None:
        if self.fix == "one":
            with self.accounts[source].lock:
                self.move(source, target)
        else:
            first, second = source, target
            if self.fix == "order":
                first, second = min(source, target), max(source, target)
            with self.accounts[first].lock:
                with self.accounts[second].lock:
                    self.move(source, target)

    def move(self, source: int, target: int) -> None:
        self.accounts[source].balance -= 1
        self.accounts[target].balance += 1

    def busy(self) -> bool:
        return any_held(self.accounts[0]) or any_held(self.accounts[1])

    @always
    def nothing_is_lost(self) -> bool:
        # While a clerk holds a lock, the money is on its way.
        return self.busy() or self.accounts[0].balance + self.accounts[1].balance == 4


def any_held(account: Account) -> bool:
    return account.lock.owner is not None
