# SPDX-License-Identifier: Apache-2.0
"""The oracle by itself: the verdicts that follow from ``docs/language.md`` for small protocols."""

from __future__ import annotations

import itertools
import random

import pytest
from oracle import Options, judge
from oracle.fixpoints import Demand, again_and_again, cyclic
from oracle.space import Edge

HEAD = """\
class Tas(Protocol):
    held = Bool()

    @atomic
    def trylock(self) -> bool:
        before = self.held
        self.held = True
        return not before

    def lock(self) -> None:
        while not self.trylock():
            pass

    @atomic
    def unlock(self) -> None:
        self.held = False


class Generated(Scenario):
    a = SpinLock()
    b = SpinLock()
    s = Tas()
    t = Tas()
    n = Int(0, high=3)
    m = Int(0, high=3, marked=True)
    flag = Bool(False, marked=True)
    wq = WaitQueue()

    @atomic
    def step(self) -> None:
        self.n = (self.n + 1) % 3

"""


def file_of(*threads: str, properties: str = "") -> str:
    """Return a protocol with these threads: ``name: statement; statement`` or lines of a body."""
    text = HEAD
    for thread in threads:
        name, _, body = thread.partition(": ")
        daemon = "daemon=True" if name.endswith("!") else ""
        lines = body.split("; ") if "\n" not in body else body.strip("\n").split("\n")
        text += f"    @thread({daemon})\n    def {name.rstrip('!')}(self) -> None:\n"
        text += "".join(f"        {line}\n" for line in lines) + "\n"
    return text + properties


def found(text: str, fairness: str = "strong") -> set[str]:
    """Return the kinds of all findings."""
    verdicts = judge(text, Options(fairness)).verdicts.values()
    return {kind for v in verdicts for kind in v.kinds}


ABBA = ("x: self.{0}.lock(); self.{1}.lock(); self.{1}.unlock(); self.{0}.unlock()",
        "y: self.{1}.lock(); self.{0}.lock(); self.{0}.unlock(); self.{1}.unlock()")  # fmt: skip
FOREVER = "r: \nwhile True:\n    self.step()"
SPIN = "x: \nwhile not self.flag:\n    pass"
HOLDS_AGAIN = "y: \nwhile True:\n    with self.{0}:\n        self.step()"
ANNOUNCE, SLEEP = "self.wq.prepare_to_wait()", "self.wq.schedule()"
WAKE = "y: self.flag = True; self.wq.wake_up_all()"
POLITE = "{0}: \nself.{1} = {2}\nwhile {3}:\n    self.{1} = {4}\n    self.{1} = {2}\nself.{1} = {4}"


@pytest.mark.parametrize(
    ("threads", "kinds"),
    [
        ((ABBA[0].format("a", "b"), ABBA[1].format("a", "b")), {"deadlock"}),
        ((ABBA[0].format("a", "b"), ABBA[1].format("b", "a")), set()),
        # Acquired by a loop: the same deadlock, and the threads spin.
        ((ABBA[0].format("s", "t"), ABBA[1].format("s", "t")), {"deadlock", "livelock"}),
        ((SPIN,), {"deadlock", "livelock"}),
        ((SPIN, "y: self.flag = True"), set()),
        ((SPIN, "y: self.flag = choose(True, False)"), {"deadlock", "livelock"}),
        # One thread is stuck, and another runs on; or only a daemon does, getting on or not.
        ((SPIN, FOREVER), {"stuck thread"}),
        (("x: wait_until(lambda: self.flag)", FOREVER), {"stuck thread"}),
        (("x: wait_until(lambda: self.flag)", FOREVER.replace("r:", "r!:")), {"stuck thread"}),
        (("x: wait_until(lambda: self.flag)", SPIN.replace("x:", "d!:")), {"deadlock"}),
        ((SPIN.replace("x:", "d!:"),), set()),
        # Two polite threads: each steps back forever, and neither is stuck.
        ((POLITE.format("x", "m", 1, "self.flag", 0), POLITE.format("y", "flag", True, "self.m == 1", False)),
         {"livelock", "starvation"}),
        # A loop without an exit is how a thread lives; a choice of its own leads out of the second.
        ((FOREVER,), set()),
        (("x: \nwhile True:\n    self.step()\n    if choose(True, False):\n        break",), set()),
        (("x: \nwhile True:\n    with self.a:\n        if choose(True, False):\n            break",), set()),
        (("x: \nwhile choose(True, False):\n    self.step()",), set()),
        # The environment's choices are not fair.
        ((SPIN, "e: \nwhile True:\n    self.flag = choose(True, False)"), {"starvation"}),
        # A lock whose waiters queue does not starve, the same lock acquired by a loop does.
        (("x: self.a.lock(); self.a.unlock()", HOLDS_AGAIN.format("a")), set()),
        (("x: self.s.lock(); self.s.unlock()", HOLDS_AGAIN.format("s")), {"starvation"}),
        # Sleeping: the look at the condition comes after the announcement, or before it.
        ((f"x: \n{ANNOUNCE}\nwhile not self.flag:\n    {SLEEP}\n    {ANNOUNCE}", WAKE), set()),
        ((f"x: \nwhile not self.flag:\n    {ANNOUNCE}\n    {SLEEP}", WAKE), {"lost wakeup"}),
        (("x: \nself.n = 1", "y: \nself.n = 2"), {"data race"}),
        (("x: \nwith self.a:\n    self.n = 1", "y: \nwith self.a:\n    self.n = 2"), set()),
        (("x: \nx = READ_ONCE(self.n)", "y: \nself.n = 2"), {"data race"}),
        (("x: \nx = READ_ONCE(self.n)", "y: \nWRITE_ONCE(self).n = 2"), set()),
        (("x: \nassert self.m == 0",), set()),
        (("x: \nassert self.m == 0", "y: self.m = 1"), {"failed assert"}),
        (("x: \nself.m = self.m + 3", "y: self.m = 1"), {"out of range"}),
        (("x: \ny = self.m\nwhile y == 0:\n    pass",), {"endless step"}),
        (("x: \ny = self.m\nwhile choose(True, False):\n    pass",), {"endless step"}),
    ],
)  # fmt: skip
def test_findings(threads: tuple[str, ...], kinds: set[str]) -> None:
    assert found(file_of(*threads)) == kinds


def test_fairness() -> None:
    lock = ("x: self.a.lock(); self.a.unlock()", HOLDS_AGAIN.format("a"))
    assert found(file_of(*lock), "strong") == set()
    assert found(file_of(*lock), "weak") == {"starvation"}
    free = ("x: wait_until(lambda: self.m == 0)", FOREVER)
    assert found(file_of(*free), "weak") == set()
    assert found(file_of(*free), "none") == {"starvation"}


PROPERTIES = """\
    @always
    def never_two(self) -> bool:
        return self.m != 2

    @sometimes
    def three(self) -> bool:
        return self.m == 3

    @sometimes
    def one(self) -> bool:
        return self.m == 1

    @eventually()
    def zero(self) -> bool:
        return self.m == 0
"""


def verdicts(*threads: str) -> dict[str, str]:
    judgement = judge(file_of(*threads, properties=PROPERTIES))
    return {name: v.verdict for name, v in judgement.verdicts.items()}


def test_a_false_invariant_ends_nothing() -> None:
    got = verdicts("x: self.m = 1; self.m = 2; self.m = 3")
    assert got["never_two"] == "violation"
    assert got["three"] == got["one"] == got["no_deadlock"] == "holds"
    assert got["zero"] == "violation"


def test_a_failed_step_leaves_the_rest_undecided() -> None:
    got = verdicts("x: self.m = 1; assert self.m == 0; self.m = 3")
    assert got["assertions"] == "violation"
    assert got["one"] == "holds"
    assert {got[n] for n in ("three", "never_two", "ranges", "no_deadlock", "zero")} == {
        "incomplete"
    }


def test_never_executed() -> None:
    x = "x: \nif self.m == 1:\n    self.step()\nself.m = 2"
    text = file_of(x, "y: wait_until(lambda: self.m == 1)")
    lines = text.splitlines()
    inside = lines.index("            self.step()") + 1
    step = lines.index("        self.n = (self.n + 1) % 3") + 1
    never = judge(text).never_executed
    assert f"line {inside - 1} is never true" in never
    assert {f"line {inside}", f"line {step}", "y/0 never ends"} <= never
    assert "x/0 never ends" not in never and f"line {inside + 1}" not in never


# --- The fixpoints against their definition ---------------------------------------------------------------


def connected(edges: tuple[Edge, ...]) -> bool:
    """Return whether a run can take exactly these edges again and again."""
    states = {e.source for e in edges}
    if states != {e.target for e in edges}:
        return False
    for start in states:
        reached = {start}
        for _ in states:
            reached |= {e.target for e in edges if e.source in reached}
        if reached != states:
            return False
    return True


def test_again_and_again_is_what_it_says() -> None:
    """Every set of edges of a small graph is tried: can it be what a run takes endlessly often?"""
    rng = random.Random(1)
    outcomes = set()
    for _ in range(300):
        states = rng.randint(1, 4)
        pairs = itertools.product(range(states), range(states), range(2))
        chosen = rng.sample(list(pairs), k=min(rng.randint(1, 8), 2 * states * states))
        edges = [Edge(a, b, t, (), False) for a, b, t in chosen]
        wanted = [{e for e in edges if rng.random() < 0.4} for _ in range(rng.randint(0, 2))]
        demands: list[Demand] = [w.__contains__ for w in wanted]
        options = {}
        if rng.random() < 0.5:
            for s in range(states):
                steps = [e for e in edges if (e.source, e.thread) == (s, 0)]
                options[s, 0] = steps if rng.random() < 0.8 else None
        expected = any(
            connected(subset)
            and all(any(demand(e) for e in subset) for demand in demands)
            and not any(_unfair(subset, key, steps) for key, steps in options.items())
            for size in range(1, len(edges) + 1)
            for subset in itertools.combinations(edges, size)
        )
        outcomes.add(expected)
        assert bool(again_and_again(cyclic(edges), demands, options)) == expected
    assert outcomes == {True, False}


def _unfair(subset: tuple[Edge, ...], key: tuple[int, int], steps: list[Edge] | None) -> bool:
    """Return whether the thread moves in this state, and not all of its options are in *subset*."""
    moves = any((e.source, e.thread) == key for e in subset)
    return moves and (steps is None or not set(steps) <= set(subset))
