# SPDX-License-Identifier: Apache-2.0
"""What random protocols are made of: variables, statements, conditions, locks."""

HEAD = '''\
# seed {seed}
from quiesce.primitives import *
from quiesce.protocol import *


class Node(Protocol):
    v = Int(0, low=0, high=2)


class Tas(Protocol):
    """A lock that is acquired by a loop."""

    held = Bool()

    @atomic
    def test_and_set(self) -> bool:
        before = self.held
        self.held = True
        return before

    def lock(self) -> None:
        while self.test_and_set():
            pass

    @atomic
    def trylock(self) -> bool:
        if self.held:
            return False
        self.held = True
        return True

    @atomic
    def unlock(self) -> None:
        self.held = False


class Ttas(Protocol):
    """Test, and then test-and-set."""

    held = Bool(marked=True)

    @atomic
    def trylock(self) -> bool:
        if self.held:
            return False
        self.held = True
        return True

    def lock(self) -> None:
        while True:
            if not self.held:
                if self.trylock():
                    break

    @atomic
    def unlock(self) -> None:
        self.held = False


class Plain(Protocol):
    """The same lock, acquired by waiting; waiters do not queue."""

    held = Bool()

    @atomic
    def trylock(self) -> bool:
        if self.held:
            return False
        self.held = True
        return True

    @atomic
    def lock(self) -> None:
        wait_until(not self.held)
        self.held = True

    @atomic
    def unlock(self) -> None:
        self.held = False


class Generated(Scenario):
'''

VARIABLES = {
    "a": "Int(0, low=-1, high=3)",
    "b": "Bool(False)",
    "ow": "TaskRef()",
    "mem": "TaskSet()",
    "pt": "PerTask(Int(0, high=2))",
    "arr": "Array(Int(1, low=0, high=3), 2)",
    "nodes": "Array(Node(), 2)",
    "ref": "Ref(nodes)",
    "pp": "Int(0, high=3)",
    "pq": "Int(0, high=3)",
    "ma": "Int(0, high=2, marked=True)",
    "mb": "Bool(False, marked=True)",
    "mine": "PerTask(Bool(False, marked=True))",
}

CONDITIONS = [
    "self.a == 2", "self.a > 0", "self.b", "not self.b", "self.ow is None", "self.ow is current()",
    "current() in self.mem", "current() not in self.mem and len(self.mem) < 2",
    "self.pt[current()] == 0", "self.arr[0] == self.arr[1]", "self.ma == 0", "self.mb", "not self.mb",
    "self.a != 1 or self.b", "self.ref is None", "self.ow is not None and self.pt[self.ow] == 0",
    "self.pp == 0", "self.ma < 2",
]  # fmt: skip

SAFE = [
    "self.a = (self.a + 1) % 3", "self.a = choose(0, 2)", "self.b = not self.b",
    "self.b = choose(True, False)", "self.ow = current()", "self.ow = None", "self.mem.add(current())",
    "self.mem.discard(current())", "self.pt[current()] = 1 - self.pt[current()] % 2", "self.arr[0] = 1",
    "self.arr[1] = self.arr[0]", "self.ref = choose(None, self.nodes[1])", "self.ref = self.nodes[0]",
    "self.nodes[0].v = 1", "self.ma = (self.ma + 1) % 3", "self.mb = not self.mb", "self.mb = True",
    "self.mb = False", "self.ma = 1", "self.mem.clear()",
]  # fmt: skip

RISKY = [
    "self.a += 1", "self.a -= 1", "self.pt[self.ow] = 1", "self.arr[self.a] = 0", "self.ref.v = 1",
    "assert self.a < 2", "assert not self.b", "assert self.ow is not current()",
    "self.a = 3 // self.arr[0]", "self.arr[0] = self.arr[1] - 1", "assert len(self.mem) < 2",
    "self.ma += 1", "self.nodes[1].v = self.a",
]  # fmt: skip

MARKED = [
    "x = READ_ONCE(self.a)", "x = self.ma", "WRITE_ONCE(self).a = 1", "WRITE_ONCE(self).b = True",
    "self.mb = True", "self.mb = False", "self.ma = 1", "self.ma = x % 2",
    "self.mine[current()] = True", "self.mine[current()] = False",
    "WRITE_ONCE(self).a = READ_ONCE(self.pp)", "self.ma = 1 - self.ma % 2",
]  # fmt: skip

PLAIN = [
    "self.pp = 1", "self.pq = 0", "x = self.pp", "self.pp = x % 2", "self.pq = 1 - self.pp % 2",
    "self.b = True", "self.arr[0] = 2", "self.pt[current()] = 1", "x = self.pq",
    "self.pp = (self.pp + 1) % 3",
]  # fmt: skip

TESTS = [
    "x == 0", "x == 1", "choose(True, False)", "self.ma == 0", "READ_ONCE(self.a) > 0", "self.mb",
    "not self.mb", "self.mine[current()]", "READ_ONCE(self.b) and x == 0", "self.mb or self.ma == 1",
    "self.pp == 0",
]  # fmt: skip

SPINS = [
    "self.ma == 0", "self.mb", "not self.mb", "READ_ONCE(self.a) != 2", "READ_ONCE(self.b)",
    "not READ_ONCE(self.b)", "self.ma != 1 and not self.mb", "choose(True, False)", "self.ma == 2",
]  # fmt: skip

AWAITED = ["self.ma == 1", "self.mb", "self.ma != 2", "not self.mb"]

CHANGES = [
    "self.ma = choose(0, 1, 2)", "self.mb = choose(True, False)",
    "WRITE_ONCE(self).a = choose(0, 1, 2)", "WRITE_ONCE(self).b = choose(True, False)", "self.ma = 1",
    "self.mb = True", "self.mb = False", "self.act0()",
]  # fmt: skip

PROPERTIES = [
    "self.a < 3", "self.a != 2", "len(self.mem) < 2", "not (self.b and self.a == 2)", "self.ow is None",
    "self.b", "not self.mb", "self.ma == 0", "self.mb", "self.ma != 2", "self.arr[0] == self.arr[1]",
    "self.ref is None", "self.a == 0", "self.nodes[0].v == 0", "self.pp == 0", "self.pq != 1",
    "self.pp != 2 or self.b",
]  # fmt: skip

LOCKS = [
    "SpinLock",
    "RawSpinLock",
    "Mutex",
    "RwSem",
    "RwLock",
    "RwSemUnfair",
    "Tas",
    "Ttas",
    "Plain",
    "Rcu",
]
READS = {
    "RwSem": ("down_read", "up_read"),
    "RwLock": ("read_lock", "read_unlock"),
    "RwSemUnfair": ("down_read", "up_read"),
    "Rcu": ("rcu_read_lock", "rcu_read_unlock"),
}
TRYLOCKS = ("SpinLock", "RawSpinLock", "Mutex", "Tas", "Ttas", "Plain")
