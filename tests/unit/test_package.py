# SPDX-License-Identifier: Apache-2.0
"""What is importable from ``quiesce`` itself, and that importing it costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import quiesce
from quiesce import Int, Protocol, Scenario, SpinLock, always, check, primitives, protocol, thread

STUB = Path(quiesce.__file__).with_suffix(".pyi")


class Counter(Protocol):
    lock = SpinLock()
    users = Int(0, high=4)

    def enter(self) -> None:
        with self.lock:
            self.users += 1


class TwoUsers(Scenario):
    counter = Counter()

    @thread(count=2)
    def user(self) -> None:
        self.counter.enter()

    @always
    def never_three(self) -> bool:
        return self.counter.users < 3


def test_a_protocol_needs_one_import() -> None:
    assert check(TwoUsers()).verdict.value == "holds"


@pytest.mark.parametrize("module", [protocol, primitives])
def test_what_a_protocol_file_imports_is_offered(module: object) -> None:
    names = vars(module)["__all__"]
    assert set(names) <= set(quiesce.__all__)
    assert all(getattr(quiesce, name) is getattr(module, name) for name in names)


def test_everything_offered_can_be_had_and_is_shown() -> None:
    assert all(getattr(quiesce, name) is not None for name in quiesce.__all__)
    assert set(quiesce.__all__) <= set(dir(quiesce))
    with pytest.raises(AttributeError, match="has no attribute 'Locks'"):
        _ = quiesce.Locks  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names() -> None:
    seen: set[str] = set()
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            seen |= set(vars(import_module(str(node.module)))["__all__"])
        elif isinstance(node, ast.ImportFrom):
            seen |= {alias.asname for alias in node.names if alias.asname is not None}
        elif isinstance(node, ast.FunctionDef):
            seen.add(node.name)
    assert seen == set(quiesce.__all__)


def test_a_module_of_the_package_is_not_looked_for_among_the_names() -> None:
    script = "import sys\nfrom quiesce import stopping\nprint('quiesce.protocol' in sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_importing_it_imports_nothing_else() -> None:
    script = (
        "import sys, time\n"
        "known, begin = set(sys.modules), time.process_time()\n"
        "import quiesce\n"
        "print(time.process_time() - begin, *sorted(set(sys.modules) - known))\n"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
        )
        used, *imported = done.stdout.split()
        assert set(imported) <= {"__future__", "quiesce"}
        seconds.append(float(used))
    assert min(seconds) < 0.03
