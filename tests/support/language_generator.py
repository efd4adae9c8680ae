# SPDX-License-Identifier: Apache-2.0
"""Methods that nobody wrote: random bodies for one thread, in the whole of the language's statements.

What is generated may fail (an index, a range, a division), since failing is a part of the meaning. It
always ends: loops have bounds, and helpers call no helpers.
"""

from __future__ import annotations

from hypothesis import strategies as st

HEAD = """\
import enum
from quiesce.primitives import SpinLock
from quiesce.protocol import (
    READ_ONCE, WRITE_ONCE, Array, Bool, Enum, Int, Protocol, Ref, Scenario, Set, Snapshot, Version, atomic,
    choose, thread, wait_until,
)


class Color(enum.Enum):
    RED = 0
    GREEN = 1


class Cell(Protocol):
    v = Int(0, low=-99, high=99)
    w = Array(Int(1, low=-99, high=99), 2)

    def grow(self, by: int) -> int:
        self.v += by
        if self.v > 5:
            return self.v
        self.w[1] += 1
        return by


class Generated(Scenario):
    a = Int(0, low=-99, high=99)
    b = Int(2, low=-99, high=99)
    m = Int(1, low=-99, high=99, marked=True)
    f = Bool()
    g = Bool(True)
    c = Enum(Color.RED)
    arr = Array(Int(3, low=-99, high=99), 3)
    cells = Array(Cell(), 2)
    ref = Ref(cells, 0)
    s = Set(4, (1,))
    seq = Version()
    seen = Snapshot()
    lock = SpinLock()
"""

_INDENT = "    "
_LOCALS = ("p", "q")
_LOOPS = ("i", "j")


@st.composite
def integers(draw: st.DrawFn, depth: int = 2, pure: bool = False) -> str:
    """Return an integer expression; a *pure* one calls nothing."""
    plain = [
        "0", "1", "2", "7", "-3", "p", "q", "self.a", "self.b", "self.arr[1]", "self.cells[1].v",
        "self.ref.v", "len(self.s)", "self.cells[0].w[0]",
    ]  # fmt: skip
    if depth == 0:
        return draw(st.sampled_from(plain))
    kind = draw(st.integers(0, 11))
    x = draw(integers(depth - 1, pure))
    y = draw(integers(depth - 1, pure))
    if kind <= 2:
        return draw(st.sampled_from(plain))
    if kind <= 5:
        return f"({x} {draw(st.sampled_from(['+', '-', '*', '&', '|', '^']))} {y})"
    if kind == 6:
        return f"({x} {draw(st.sampled_from(['//', '%']))} {draw(st.sampled_from(['2', '3', y]))})"
    if kind == 7:
        return f"self.arr[{x} % 3]"
    if kind == 8:
        return f"({x} if {draw(booleans(depth - 1, pure))} else {y})"
    if kind == 9:
        return f"({x} {draw(st.sampled_from(['and', 'or']))} {y})"
    if pure:
        return f"min({x}, {y})"
    if kind == 10:
        return draw(st.sampled_from([f"self.helper({x}, {y})", f"self.one({x})", "self.m"]))
    return draw(
        st.sampled_from(
            [
                f"choose({x}, {y})",
                "READ_ONCE(self.a)",
                f"self.cells[{x} % 2].grow({y})",
                f"max({x}, {y})",
            ]
        )
    )


@st.composite
def booleans(draw: st.DrawFn, depth: int = 2, pure: bool = False) -> str:
    """Return a boolean expression."""
    plain = [
        "self.f", "self.g", "self.ref is None", "self.c == Color.RED", "1 in self.s", "self.seq == self.seen",
        "self.ref is self.cells[1]",
    ]  # fmt: skip
    if depth == 0:
        return draw(st.sampled_from(plain))
    kind = draw(st.integers(0, 6))
    if kind <= 1:
        return draw(st.sampled_from(plain))
    if kind == 2:
        return f"(not {draw(booleans(depth - 1, pure))})"
    if kind == 3:
        word = draw(st.sampled_from(["and", "or"]))
        return f"({draw(booleans(depth - 1, pure))} {word} {draw(booleans(depth - 1, pure))})"
    x, y = draw(integers(depth - 1, pure)), draw(integers(depth - 1, True))
    if kind == 4:
        return f"({x} in ({y}, 1, 4))"
    if kind == 5:
        return f"({x} < {y} <= 6)"
    return f"({x} {draw(st.sampled_from(['==', '!=', '<', '<=', '>', '>=']))} {y})"


@st.composite
def simple(draw: st.DrawFn) -> str:
    """Return a statement of one line."""
    x, y = draw(integers()), draw(integers())
    flag = draw(booleans())
    target = draw(
        st.sampled_from(
            [
                "self.a",
                "self.b",
                "self.m",
                "p",
                "q",
                "self.arr[p % 3]",
                "self.cells[q % 2].v",
                "self.ref.v",
            ]
        )
    )
    other = draw(st.sampled_from(["self.a", "self.b", "p", "q", "self.cells[0].w[p % 2]"]))
    op = draw(st.sampled_from(["+=", "-=", "*=", "|=", "&=", "^="]))
    return draw(
        st.sampled_from(
            [
                f"{target} = {x}",
                f"{target} {op} {x}",
                f"{target}, {other} = {x}, {y}",
                f"{target} = {other} = {x}",
                f"p, q = q, {x}",
                f"self.f = {flag}",
                f"self.g, self.f = self.f, {flag}",
                f"self.c = Color.GREEN if {flag} else self.c",
                f"self.ref = choose(None, self.cells[{x} % 2])",
                f"self.ref = self.cells[{x} % 2]",
                f"self.s.add({x} % 4)",
                f"self.s.discard({x})",
                "self.seq += 1",
                "self.seen = self.seq",
                f"WRITE_ONCE(self).a = {x}",
                f"assert {flag} or {x} > 3",
                f"p, q = self.pair({x})",
                f"self.helper({x}, q={y})",
                f"wait_until(lambda: {draw(booleans(1, True))} or self.a < 50)",
            ]
        )
    )


def _block(lines: list[str]) -> list[str]:
    return [_INDENT + line for line in lines]


@st.composite
def statements(draw: st.DrawFn, depth: int, loops: int = 0, returns: str = "") -> list[str]:
    """Return the lines of a block."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 9)) if depth else 0
        inner = statements(depth - 1, loops, returns) if depth else None
        if kind <= 3 or inner is None:
            lines.append(draw(simple()))
        elif kind <= 5:
            lines += [f"if {draw(booleans())}:", *_block(draw(inner))]
            if draw(st.booleans()):
                lines += ["else:", *_block(draw(inner))]
        elif kind == 6 and loops < len(_LOOPS):
            name = _LOOPS[loops]
            over = draw(
                st.sampled_from(["range(3)", "range(p % 3, -1, -1)", "(1, 5)", "range(1, q % 4)"])
            )
            body = draw(statements(depth - 1, loops + 1, returns))
            lines += [f"for {name} in {over}:", *_block([f"p += {name}", *body])]
        elif kind == 7 and loops < len(_LOOPS):
            body = draw(statements(depth - 1, loops + 1, returns))
            name = _LOOPS[loops]
            lines += [f"{name} = 0", f"while {name} < 2 and {draw(booleans(1))}:"]
            lines += _block([f"{name} += 1", *body])
        elif kind == 8:
            # Nothing in here calls a helper, which takes the same lock.
            lines += ["with self.lock:", *_block([f"self.b = {draw(integers(1, True))}"])]
        elif loops and draw(st.booleans()):
            lines += [
                f"if {draw(booleans(1))}:",
                _INDENT + draw(st.sampled_from(["break", "continue"])),
            ]
        elif returns:
            lines += [f"if {draw(booleans(1))}:", _INDENT + returns]
        else:
            lines.append(draw(simple()))
    return lines


def _without_calls(lines: list[str]) -> list[str]:
    """Return *lines* as a helper's: helpers call no helpers, so that everything ends."""
    calls = ("self.helper(", "self.one(", "self.pair(")
    return [line if not any(c in line for c in calls) else _lead(line) + "pass" for line in lines]


def _lead(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Return a file with a scenario ``Generated`` of one thread."""
    helper = _simple_lines(draw, "return p - q")
    pair = _simple_lines(draw, "return q, 4")
    body = draw(statements(3, 0, "return"))
    methods = [
        "def helper(self, p: int, q: int) -> int:",
        *_block([*helper, "return p"]),
        "",
        "@atomic",
        "def one(self, p: int) -> int:",
        *_block(["q = self.a", f"if {draw(booleans(1, True))}:", "    return q"]),
        *_block(["self.a = p", "return p + q"]),
        "",
        "def pair(self, p: int) -> tuple[int, int]:",
        *_block(["q = p", *pair, "return p, q"]),
        "",
        "@thread()",
        "def run(self) -> None:",
        *_block(["p = 1", "q = choose(0, 2)", *body, "self.arr[0] = p", "self.arr[1] = q"]),
    ]
    return HEAD + "\n" + "\n".join(_INDENT + m if m else "" for m in methods) + "\n"


def _simple_lines(draw: st.DrawFn, returns: str) -> list[str]:
    """Return the lines of a helper: statements, and a way out in the middle."""
    first = _without_calls([draw(simple()) for _ in range(2)])
    test = draw(booleans(1, True))
    return [*first, f"if {test}:", _INDENT + returns]
