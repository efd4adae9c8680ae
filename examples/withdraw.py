# SPDX-License-Identifier: Apache-2.0
"""Two customers withdraw from one account: the check and the withdrawal are two steps, and three fixes.

quiesce compare examples/withdraw.py --over fix
"""

from typing import Literal

from quiesce.primitives import Mutex
from quiesce.protocol import Int, Protocol, Scenario, always, atomic, thread


class Account(Protocol):
    lock = Mutex()
    balance = Int(10, low=-10, high=10, marked=True)

    def unsafe(self) -> None:
        if self.balance >= 10:
            self.balance -= 10

    @atomic
    def in_one_step(self) -> None:
        if self.balance >= 10:
            self.balance -= 10


class Withdraw(Scenario):
    account = Account()

    def __init__(self, fix: Literal["none", "check_twice", "lock", "atomic"] = "none") -> None:
        self.fix = fix
        # Checking twice makes the bug rarer, and is no fix.
        self.expect = {"never_below_zero": "violated"} if fix in ("none", "check_twice") else {}

    @thread(2)
    def customer(self) -> None:
        if self.fix == "lock":
            with self.account.lock:
                self.account.unsafe()
        elif self.fix == "atomic":
            self.account.in_one_step()
        elif self.fix == "check_twice":
            if self.account.balance >= 10:
                self.account.unsafe()
        else:
            self.account.unsafe()

    @always
    def never_below_zero(self) -> bool:
        return self.account.balance >= 0
