# SPDX-License-Identifier: Apache-2.0
"""What newcomers write first, and the help that they get: each message names what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quiesce.cli import main

HEAD = """\
import collections
import random
import threading
import time

from quiesce.primitives import CondVar, Mutex, SpinLock
from quiesce.protocol import Int, Scenario, always, eventually, sometimes, thread


class Idea(Scenario):
    m = Mutex()
    c = CondVar()
    x = Int(0)
    y = Int(0)

    def __init__(self) -> None:
        self.python_lock = threading.Lock()
        self.items = [1]
        self.late = collections.deque()

"""

THREAD = "    @thread()\n    def user(self) -> None:\n        {}\n"


def body(line: str) -> str:
    return HEAD + THREAD.format(line)


REFUSED = [
    (
        body("self.m.acquire()"),
        "`lock()`, or `with` the lock; Mutex has `lock()`, `trylock()`, `unlock()`",
    ),
    (body("self.m.release()"), "`unlock()`, or `with` the lock"),
    (body("self.m.locked()"), "a lock says nothing about itself"),
    (body("self.m.unlok()"), "help: `unlock`"),
    (body("self.m.frobnicate()"), "help: Mutex has `lock()`"),
    (body("self.c.notify_all()"), "`broadcast()` of a CondVar"),
    (body("self.z = self.w"), "declare it on the class: `w = Int(0)`"),
    (body("time.sleep(1)"), "every thread may be slow at any step"),
    (body("print(self.x)"), "a trace shows every value"),
    (body("self.x = random.randint(0, 3)"), "choose(0, 1, 2)"),
    (body("self.items.append(2)"), "`Queue(n)`"),
    (body("self.late.append(2)"), "`Queue(n)`"),
    (body("self.python_lock.acquire()"), "`Mutex()`, `SpinLock()`"),
    (body("with self.python_lock: pass"), "a lock of Python is not part of the protocol"),
    (
        HEAD + "    @thread\n    def user(self) -> None:\n        pass\n",
        "@thread is written with parentheses",
    ),
    (
        HEAD + '    @thread("3")\n    def user(self) -> None:\n        pass\n',
        "help: @thread(3)",
    ),
    (
        body("pass") + "\n    @always()\n    def p(self) -> bool:\n        return True\n",
        "@always is written without parentheses",
    ),
    (
        body("pass") + "\n    @sometimes()\n    def p(self) -> bool:\n        return True\n",
        "@sometimes is written without parentheses",
    ),
    (
        body("pass") + "\n    @eventually\n    def p(self) -> bool:\n        return True\n",
        "@eventually is written with parentheses",
    ),
    (
        body("self.x = 1") + "\n    @always\n    def p(self) -> bool:\n        self.x == 0\n",
        "the property `p` returns nothing",
    ),
]
"""A file, and words of the message about it."""


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    def run(text: str) -> tuple[int, str]:
        file = tmp_path / "idea.py"
        file.write_text(text, encoding="utf-8")
        code = main(["check", str(file), "--quiet"])
        out, err = capsys.readouterr()
        return code, out + err

    return run


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_the_help_says_what_to_write(
    check: Callable[[str], tuple[int, str]], text: str, words: str
) -> None:
    code, said = check(text)
    assert code == 2, said
    assert words in said


def test_what_fails_in_a_primitive_points_at_the_users_line(
    check: Callable[[str], tuple[int, str]],
) -> None:
    code, said = check(body("self.m.unlock()"))
    assert code == 1
    assert "user/0 at idea.py:23 (in mutex.py:" in said


def test_an_invariant_that_is_false_under_a_lock_gets_a_hint(
    check: Callable[[str], tuple[int, str]],
) -> None:
    stores = "with self.m:\n            self.x += 1\n            self.y += 1"
    invariant = "\n    @always\n    def same(self) -> bool:\n        return self.x == self.y\n"
    code, said = check(body(stores) + invariant)
    assert code == 1
    assert "user/0 holds &idea->m here" in said
    # Without a lock there is nothing to say.
    code, said = check(body("self.x += 1") + invariant)
    assert code == 1
    assert "only while no thread holds" not in said
