# SPDX-License-Identifier: Apache-2.0
"""The same scenario run by plain Python and by the compiled program: what both end in.

A scenario of one thread needs no schedule. So CPython itself is the definition of what its method
means: it is run once for every sequence of choices, and the values that the shared variables end with
(or the way it fails) are compared with what the reference stepper reaches.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from quiesce.compiler.layout import Layout, encode
from quiesce.compiler.program import Program, compile_scenario
from quiesce.compiler.types import SnapshotType
from quiesce.explorer.reference.stepper import State, Stepper
from quiesce.protocol import Mode, Protocol, Scenario, Task
from quiesce.protocol.actions import NotYet, _here, install_runner
from quiesce.protocol.declarations import RangeViolation

R = TypeVar("R")
Outcome = tuple[str, tuple[int, ...]]
"""``("end", values of the cells)``, or how it failed and nothing."""

_numbers = itertools.count()


class Waits(Exception):
    """A wait that nobody will ever end."""


class ScriptedRunner:
    """Runs one thread on the calling thread, its choices made by a script."""

    def __init__(self, task: Task, script: list[int]) -> None:
        self.task = task
        self.script = script
        self.widths: list[int] = []

    def atomically(self, body: Callable[[], R], label: str, queued: bool) -> R:
        try:
            return body()
        except NotYet:
            raise Waits from None

    def wait_until(self, condition: Callable[[], bool]) -> None:
        if not condition():
            raise Waits

    def choose(self, options: tuple[Any, ...]) -> Any:
        number = len(self.widths)
        self.widths.append(len(options))
        return options[self.script[number] if number < len(self.script) else 0]

    def current(self) -> Task:
        return self.task

    def marked_access(self) -> None:
        pass

    def acquires(self, lock: Protocol, mode: Mode, trylock: bool) -> None:
        pass

    def releases(self, lock: Protocol) -> None:
        pass


def native_outcomes(build: Callable[[], Scenario]) -> set[Outcome]:
    """Return every outcome of the scenario's one thread when CPython runs it."""
    found: set[Outcome] = set()
    saved = _here.runner
    script: list[int] | None = []
    try:
        while script is not None:
            scenario = build()
            (spec,) = scenario.start()
            runner = ScriptedRunner(spec.task, script)
            install_runner(runner)
            found.add(_run(scenario, spec.method))
            script = _next_script(script, runner.widths)
    finally:
        install_runner(saved)
    return found


def _run(scenario: Scenario, method: Callable[..., None]) -> Outcome:
    try:
        method(scenario)
    except RangeViolation as error:
        return ("index" if "index" in str(error) else "range"), ()
    except AssertionError:
        return "assertion", ()
    except IndexError:
        return "index", ()
    except ZeroDivisionError:
        return "division", ()
    except AttributeError as error:
        assert "NoneType" in str(error)
        return "null", ()
    except Waits:
        return "waits", ()
    return "end", _encoded(scenario)


def _next_script(script: list[int], widths: list[int]) -> list[int] | None:
    """Return the next sequence of choices, as an odometer counts; None after the last."""
    done = script[: len(widths)] + [0] * (len(widths) - len(script))
    while done and done[-1] + 1 >= widths[len(done) - 1]:
        done.pop()
    if not done:
        return None
    done[-1] += 1
    return done


def _encoded(scenario: Scenario) -> tuple[int, ...]:
    """Return the run-time values of all variables as a compiled state has them."""
    layout = Layout(scenario)
    return tuple(0 if isinstance(c.type, SnapshotType) else c.initial for c in layout.cells)


def compiled_outcomes(program: Program) -> set[Outcome]:
    """Return every outcome of the scenario's one thread when the stepper runs it."""
    stepper = Stepper(program)
    found: set[Outcome] = set()
    todo: list[State] = stepper.initial_states()
    seen = set(todo)
    while todo:
        state = todo.pop()
        steps = stepper.successors(state)
        if not steps:
            done = stepper.finished(state, 0)
            found.add(("end", _cells(program, state)) if done else ("waits", ()))
        for step in steps:
            if step.failure is not None:
                found.add((step.failure.kind, ()))
            elif step.target not in seen:
                seen.add(step.target)
                todo.append(step.target)
    return found


def _cells(program: Program, state: State) -> tuple[int, ...]:
    """Return the shared cells, those that keep a snapshot left out: natively they are numbers."""
    return tuple(
        0 if isinstance(cell.type, SnapshotType) else state[i]
        for i, cell in enumerate(program.cells)
    )


def assert_same(build: Callable[[], Scenario]) -> set[Outcome]:
    """Hold CPython, the fused and the unfused program against each other; return the outcomes."""
    native = native_outcomes(build)
    for fuse in (False, True):
        compiled = compiled_outcomes(compile_scenario(build(), fuse=fuse))
        assert compiled == native, f"fuse={fuse}: compiled {compiled}, CPython {native}"
    return native


def load(tmp_path: Path, text: str) -> ModuleType:
    """Write *text* to a file of its own and import it: the compiler reads files."""
    name = f"protocol_under_test_{next(_numbers)}"
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def scenarios(module: ModuleType) -> Iterator[type[Scenario]]:
    """Yield the scenarios that *module* defines."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Scenario):
            if value.__module__ == module.__name__:
                yield value


__all__ = ["assert_same", "compiled_outcomes", "encode", "load", "native_outcomes", "scenarios"]
