# SPDX-License-Identifier: Apache-2.0
"""Look-ups of an object under RCU, with reference counts, while its owner drops it.

quiesce compare examples/kernel/kref_lookup.py --over how

``Documentation/core-api/kref.rst``: a look-up must take its reference with
``kref_get_unless_zero()``, since the last one may be on its way out; and the object is freed after
a grace period, since a look-up may just have found it.
"""

from typing import Literal

from quiesce.primitives import Kref, Rcu
from quiesce.protocol import Bool, Scenario, thread


class Lookup(Scenario):
    rcu = Rcu()
    ref = Kref()
    listed = Bool(True, marked=True)
    freed = Bool(marked=True)

    def __init__(self, how: Literal["right", "kref_get", "no_grace_period"] = "right") -> None:
        self.how = how
        self.expect = {} if how == "right" else {"assertions": "violated"}

    def use(self) -> None:
        assert not self.freed, "use after free"

    def put(self) -> None:
        if self.ref.put():
            self.listed = False
            if self.how != "no_grace_period":
                self.rcu.synchronize_rcu()
            self.freed = True

    @thread(2)
    def looker(self) -> None:
        got = False
        with self.rcu:
            if self.listed:
                self.use()
                if self.how == "kref_get":
                    self.ref.get()
                    got = True
                else:
                    got = self.ref.get_unless_zero()
        if got:
            self.use()
            self.put()

    @thread()
    def owner(self) -> None:
        self.put()
