# SPDX-License-Identifier: Apache-2.0
"""A protocol file that was damaged gives a program, or complaints; never anything else."""

from __future__ import annotations

import ast
import random
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from test_language_refusals import file_of

from quiesce.compiler.program import compile_scenario
from quiesce.errors import QuiesceError
from quiesce.explorer import Bounds, Options, check_reference
from quiesce.loading import load_scenario

SEED = file_of(
    """\
class Counter(Protocol):
    lock = SpinLock()
    users = Int(0, high=4)
    seq = Version()
    seen = Snapshot()
    waiting = TaskSet()
    mine = PerTask(Bool())

    @property
    def busy(self) -> bool:
        return self.users > 0

    def enter(self, limit: int = 3) -> bool:
        with self.lock:
            self.users += 1
            self.mine[current()] = True
            for i in range(limit):
                if self.users > i and not self.busy:
                    return False
        return True

    @atomic(label="leave", queued=True)
    def leave(self) -> tuple[int, bool]:
        wait_until(self.users > 0)
        self.users -= 1
        self.waiting.discard(current())
        return self.users, current() in self.waiting


class Example(Scenario):
    counter = Counter()
    slots = Array(Slot(), 2)
    chosen = Ref(slots)
    total = Int(0)

    def __init__(self, rounds: int = 1) -> None:
        self.rounds = rounds

    @thread(count=2)
    def user(self) -> None:
        for _ in range(self.rounds):
            before = self.counter.seq
            ok = self.counter.enter()
            x, y = choose(0, 1), 2
            self.chosen = self.slots[x]
            if ok and READ_ONCE(self.total) == x and self.chosen is not None:
                WRITE_ONCE(self).total = min(x + y, 3)
                self.chosen.take()
            while before != self.counter.seq:
                before = self.counter.seq
            left, again = self.counter.leave()
            assert left >= 0 or again, "fewer than none"
        wait_until(lambda: not self.counter.users)

    @always
    def few(self) -> bool:
        return self.counter.users < 5 and all_of(self.total)


def all_of(n: int) -> bool:
    return n in (0, 1, 2, 3)
"""
)

fuzzed = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def survives(text: str, folder: Path) -> bool:
    """Load, compile and explore *text* a little; whether it was accepted."""
    path = folder / "idea.py"
    path.write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        # Python's own remarks on the damaged text (`is` with a literal, an escape).
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            program = compile_scenario(load_scenario(f"{path}:Example", []))
        except QuiesceError as error:
            assert str(error)
            return False
    check_reference(program, Options(bounds=Bounds(max_states=300)))
    return True


def test_the_seed_is_accepted(folder: Path) -> None:
    assert survives(SEED, folder)


@fuzzed
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
def test_lines(seed: int, count: int, folder: Path) -> None:
    """Lines dropped, doubled, exchanged, moved in or out."""
    rng = random.Random(seed)
    lines = SEED.splitlines()
    for _ in range(count):
        i, j = rng.randrange(12, len(lines)), rng.randrange(12, len(lines))
        match rng.randrange(5):
            case 0:
                del lines[i]
            case 1:
                lines.insert(i, lines[j])
            case 2:
                lines[i], lines[j] = lines[j], lines[i]
            case 3:
                lines[i] = "    " + lines[i]
            case 4:
                lines[i] = lines[i].removeprefix("    ")
    text = "\n".join(lines) + "\n"
    note(text)
    survives(text, folder)


@fuzzed
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3))
def test_nodes(seed: int, count: int, folder: Path) -> None:
    """Parts of the syntax tree replaced by other parts of it, or by what is outside the language."""
    rng = random.Random(seed)
    tree = ast.parse(SEED)
    for _ in range(count):
        _replace_one(tree, rng)
    try:
        text = ast.unparse(ast.fix_missing_locations(tree))
    except (ValueError, RecursionError):
        return
    note(text)
    survives(text, folder)


STRANGE = [
    "None", "[]", "{}", "{1}", "lambda: 1", "f'{x}'", "(yield)", "x := 1", "*x", "...", "'text'", "1.5",
    "self", "super()", "current()", "self.counter", "self.counter.lock", "range(3)", "choose", "self.slots",
    "self.slots[self.total]", "(1, (2, 3))", "print", "int", "Slot", "x[1:2]", "not self", "-self.total",
    "self.counter.seq", "READ_ONCE(self.counter.users)", "WRITE_ONCE(self)", "wait_until(lambda: False)",
    "self.counter.waiting", "self.chosen", "self.user()", "self.few()", "__name__", "len(self.slots)",
    "all_of(all_of(1))", "1 if self.total else None", "State.IDLE", "State", "b''", "1j", "10**30", "await x",
]  # fmt: skip


def _replace_one(tree: ast.Module, rng: random.Random) -> None:
    places = []
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                places.append((node, name, -1))
            elif isinstance(value, list):
                places += [
                    (node, name, i)
                    for i, v in enumerate(value)
                    if isinstance(v, ast.expr | ast.stmt)
                ]
    node, name, index = rng.choice(places)
    value = getattr(node, name)
    old = value if index < 0 else value[index]
    if isinstance(old, ast.stmt) and index >= 0:
        others = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and not _holds(n, node)]
        new: ast.AST = rng.choice(others)
    elif rng.random() < 0.5:
        new = ast.parse(f"({rng.choice(STRANGE)})".replace("(*x)", "(*x,)"), mode="eval").body
    else:
        others_ = [n for n in ast.walk(tree) if isinstance(n, ast.expr) and not _holds(n, node)]
        new = rng.choice(others_)
    if isinstance(getattr(old, "ctx", None), ast.Store) and hasattr(new, "ctx"):
        new = ast.parse(ast.unparse(new), mode="eval").body
        new.ctx = ast.Store()  # type: ignore[attr-defined]
    if index < 0:
        setattr(node, name, new)
    else:
        value[index] = new


def _holds(outer: ast.AST, inner: ast.AST) -> bool:
    """Whether *inner* is in *outer*: a tree that holds itself has no text."""
    return any(n is inner for n in ast.walk(outer))


@fuzzed
@given(seed=st.integers(0, 2**32))
def test_letters(seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    text = list(SEED)
    for _ in range(rng.randint(1, 3)):
        text[rng.randrange(400, len(text))] = rng.choice("()[]{}:,.=+-*/ \n\t0aé'\"#@\\")
    note("".join(text))
    survives("".join(text), folder)
