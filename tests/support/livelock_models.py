# SPDX-License-Identifier: Apache-2.0
"""A dozen small models, each written in Promela and as a protocol, for Spin's non-progress cycles.

In Promela a ``progress`` label stands where a thread gets on by our definition: at the head of a loop that
has no exit. Spin looks for a weakly fair cycle without progress; ours is ``no_livelock``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocols.spinning import Backoff, Flag, Polite, TwoLocks, Unfair

from quiesce.protocol import (
    Array,
    Bool,
    Int,
    Protocol,
    Scenario,
    atomic,
    thread,
    wait_until,
)


@dataclass(frozen=True)
class Model:
    """One model in both languages; *livelock*: what both must say of it."""

    name: str
    scenario: Callable[[], Scenario]
    promela: str
    livelock: bool


class Peterson(Scenario):
    """G. L. Peterson's algorithm (1981), once round; or without its turn: both can be polite forever."""

    flag = Array(Bool(), 2)
    turn = Int(0, high=1)

    def __init__(self, with_turn: bool = True) -> None:
        self.with_turn = with_turn

    @atomic
    def raise_flag(self, me: int) -> None:
        self.flag[me] = True

    @atomic
    def give_turn(self, me: int) -> None:
        self.turn = 1 - me

    @atomic
    def must_wait(self, me: int) -> bool:
        if self.with_turn:
            return self.flag[1 - me] and self.turn != me
        return self.flag[1 - me]

    @atomic
    def lower_flag(self, me: int) -> None:
        self.flag[me] = False

    def once(self, me: int) -> None:
        self.raise_flag(me)
        self.give_turn(me)
        while self.must_wait(me):
            pass
        self.lower_flag(me)

    @thread()
    def a(self) -> None:
        self.once(0)

    @thread()
    def b(self) -> None:
        self.once(1)


class Ticket(Scenario):
    """A ticket lock, taken by two threads forever."""

    next = Int(0, high=1)
    owner = Int(0, high=1)

    @atomic
    def take(self) -> int:
        mine = self.next
        self.next = 1 - self.next
        return mine

    @atomic
    def serving(self, mine: int) -> bool:
        return self.owner == mine

    @atomic
    def done(self) -> None:
        self.owner = 1 - self.owner

    @thread(count=2)
    def user(self) -> None:
        while True:
            mine = self.take()
            while not self.serving(mine):
                pass
            self.done()


class TryBoth(Scenario):
    """Two locks, the second one tried: a thread that fails gives the first one back and starts over."""

    def __init__(self, crossed: bool = True) -> None:
        self.held = (Fork(), Fork())
        self.order = (1, 0) if crossed else (0, 1)

    @thread()
    def a(self) -> None:
        self.both(self.held[0], self.held[1])

    @thread()
    def b(self) -> None:
        self.both(self.held[self.order[0]], self.held[self.order[1]])

    def both(self, first: Fork, second: Fork) -> None:
        done = False
        while not done:
            first.wait_and_take()
            if second.try_take():
                done = True
            else:
                first.put()
        second.put()
        first.put()


class Fork(Protocol):
    taken = Bool()

    @atomic
    def wait_and_take(self) -> None:
        wait_until(not self.taken)
        self.taken = True

    @atomic
    def try_take(self) -> bool:
        if self.taken:
            return False
        self.taken = True
        return True

    @atomic
    def put(self) -> None:
        self.taken = False


class PingPong(Scenario):
    """Each of two threads undoes what the other one does, until both see what they want at once."""

    x = Bool()

    def __init__(self, both: bool = True) -> None:
        self.both = both

    @atomic
    def is_set(self) -> bool:
        return self.x

    @atomic
    def store(self, value: bool) -> None:
        self.x = value

    @thread()
    def up(self) -> None:
        while not self.is_set():
            self.store(True)

    @thread()
    def down(self) -> None:
        if self.both:
            while self.is_set():
                self.store(False)


TAS = """
bool a, b;
inline lock(l) { atomic { w = l; l = true }
  do :: w -> atomic { w = l; l = true } :: else -> break od }
"""

MODELS = [
    Model("flag never set", lambda: Flag(), """
bool flag;
active proctype waiter() { do :: flag -> break :: else -> skip od }
""", True),
    Model("flag set", lambda: Flag(is_set=True), """
bool flag;
active proctype waiter() { do :: flag -> break :: else -> skip od }
active proctype setter() { flag = true }
""", False),
    Model("flag never set, another lives", lambda: Flag(others="live"), """
bool flag, busy;
active proctype waiter() { do :: flag -> break :: else -> skip od }
active proctype lives() { progress: do :: busy = !busy od }
""", False),
    Model("AB-BA, test and set", lambda: TwoLocks(), TAS + """
active proctype x() { bool w; lock(a); lock(b); b = false; a = false }
active proctype y() { bool w; lock(b); lock(a); a = false; b = false }
""", True),
    Model("AB-AB, test and set", lambda: TwoLocks(crossed=False), TAS + """
active proctype x() { bool w; lock(a); lock(b); b = false; a = false }
active proctype y() { bool w; lock(a); lock(b); b = false; a = false }
""", False),
    Model("AB-BA, waiting", lambda: TwoLocks(spins=False), """
bool a, b;
inline wait(l) { atomic { !l -> l = true } }
active proctype x() { wait(a); wait(b); b = false; a = false }
active proctype y() { wait(b); wait(a); a = false; b = false }
""", False),
    Model("after you, both", lambda: Polite(), """
bool want[2];
proctype p(bit me) { want[me] = true;
  do :: want[1 - me] -> want[me] = false; want[me] = true :: else -> break od;
  want[me] = false }
init { atomic { run p(0); run p(1) } }
""", True),
    Model("after you, one", lambda: Polite(both=False), """
bool want[2];
active proctype a() { want[0] = true;
  do :: want[1] -> want[0] = false; want[0] = true :: else -> break od;
  want[0] = false }
active proctype b() { want[1] = true; want[1] = false }
""", False),
    Model("unfair test and set", lambda: Unfair(), """
bool a;
inline lock(l) { atomic { w = l; l = true }
  do :: w -> atomic { w = l; l = true } :: else -> break od }
active [2] proctype hog() { bool w; progress: do :: lock(a); a = false od }
active proctype once() { bool w; lock(a); a = false }
""", False),
    Model("backoff, lock kept", lambda: Backoff(), TAS + """
bool act;
active proctype owner() { bool w; lock(a) }
active proctype user() { bool w;
  do :: atomic { w = a; a = true }
    if :: !w -> break :: else -> if :: true -> act = !act :: true -> skip fi fi od;
  a = false }
""", True),
    Model("Peterson", lambda: Peterson(), """
bool flag[2]; bit turn;
proctype p(bit me) { flag[me] = true; turn = 1 - me;
  do :: flag[1 - me] && turn != me -> skip :: else -> break od;
  flag[me] = false }
init { atomic { run p(0); run p(1) } }
""", False),
    Model("Peterson without its turn", lambda: Peterson(with_turn=False), """
bool flag[2];
proctype p(bit me) { flag[me] = true; skip;
  do :: flag[1 - me] -> skip :: else -> break od;
  flag[me] = false }
init { atomic { run p(0); run p(1) } }
""", True),
    Model("ticket lock", lambda: Ticket(), """
bit next, owner;
active [2] proctype user() { bit mine;
progress: do :: atomic { mine = next; next = 1 - next }
  do :: owner == mine -> break :: else -> skip od;
  owner = 1 - owner od }
""", False),
    Model("try both, crossed", lambda: TryBoth(), """
bool held[2];
proctype p(bit f; bit s) { bool got;
  do :: got -> break
     :: else -> atomic { !held[f] -> held[f] = true }
        atomic { got = !held[s]; held[s] = true }
        if :: got -> skip :: else -> held[f] = false fi od;
  held[s] = false; held[f] = false }
init { atomic { run p(0, 1); run p(1, 0) } }
""", True),
    Model("try both, in order", lambda: TryBoth(crossed=False), """
bool held[2];
proctype p(bit f; bit s) { bool got;
  do :: got -> break
     :: else -> atomic { !held[f] -> held[f] = true }
        atomic { got = !held[s]; held[s] = true }
        if :: got -> skip :: else -> held[f] = false fi od;
  held[s] = false; held[f] = false }
init { atomic { run p(0, 1); run p(0, 1) } }
""", False),
    Model("ping pong", lambda: PingPong(), """
bool x;
active proctype up() { do :: x -> break :: else -> x = true od }
active proctype down() { do :: !x -> break :: else -> x = false od }
""", True),
    Model("ping without pong", lambda: PingPong(both=False), """
bool x;
active proctype up() { do :: x -> break :: else -> x = true od }
""", False),
]  # fmt: skip
