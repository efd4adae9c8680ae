# SPDX-License-Identifier: Apache-2.0
"""The library: used rightly each primitive holds, on threads too; used wrongly, what is wrong is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from protocols import library

from quiesce import check, primitives
from quiesce.protocol import Scenario
from quiesce.threads.run import run

RIGHT: list[tuple[type[Scenario], str]] = [
    (library.Room, "right"),
    (library.Buffer, "right"),
    (library.Buffer, "spurious"),
    (library.Rounds, "right"),
    (library.Signal, "right"),
    (library.Pipe, "right"),
    (library.Locked, "futex"),
    (library.Locked, "ticket"),
    (library.Locked, "mcs"),
    (library.Readers, "right"),
    (library.Lookup, "right"),
    (library.Cache, "right"),
    (library.Device, "right"),
    (library.Watchdog, "right"),
    (library.Stopping, "right"),
]
"""Scenarios that hold."""

WRONG: list[tuple[type[Scenario], str, str]] = [
    (library.Room, "three", "two_at_most"),
    (library.Room, "twice", "two_at_most"),
    (library.Buffer, "if", "out of range"),
    (library.Buffer, "one condition", "deadlock"),
    (library.Buffer, "spurious if", "out of range"),
    (library.Rounds, "four", "deadlock"),
    (library.Signal, "auto", "deadlock"),
    (library.Signal, "never", "deadlock"),
    (library.Signal, "cleared", "deadlock"),
    (library.Pipe, "two", "out of order"),
    (library.Locked, "futex one", "deadlock"),
    (library.Locked, "few tickets", "alone"),
    (library.Locked, "mcs hasty", "deadlock"),
    (library.Readers, "nested", "deadlock"),
    (library.Lookup, "get", "addition on 0"),
    (library.Lookup, "no grace", "use after free"),
    (library.Cache, "unlocked", "addition on 0"),
    (library.Device, "flush under lock", "deadlock"),
    (library.Device, "no cancel", "use after free"),
    (library.Device, "cancel first", "use after free"),
    (library.Watchdog, "delete", "use after free"),
    (library.Watchdog, "rearm", "use after free"),
    (library.Watchdog, "under lock", "deadlock"),
    (library.Stopping, "late", "deadlock"),
]
"""Scenarios with what must be found in each."""


@pytest.mark.parametrize(("scenario", "how"), RIGHT)
def test_what_is_right_holds(scenario: type[Scenario], how: str) -> None:
    check(scenario(how)).assert_holds()


@pytest.mark.parametrize(("scenario", "how", "words"), WRONG)
def test_what_is_wrong_is_found(scenario: type[Scenario], how: str, words: str) -> None:
    check(scenario(how)).assert_violates(words)


@pytest.mark.parametrize(("scenario", "how"), RIGHT)
def test_what_is_right_holds_on_threads(scenario: type[Scenario], how: str) -> None:
    result = run(scenario(how), 0.3)
    assert result.findings == ()
    assert result.rounds > 0


@pytest.mark.parametrize("how", ["futex", "ticket", "mcs", "few tickets"])
def test_the_engines_agree_on_the_locks(how: str) -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    reference = check(library.Locked(how), explorer="reference")
    native = check(library.Locked(how), explorer="native")
    assert [p.verdict for p in reference.result.properties] == [
        p.verdict for p in native.result.properties
    ]


def test_no_task_starves_for_a_lock() -> None:
    for how in ("ticket", "mcs"):
        checked = check(library.Locked(how, users=2))
        assert checked.result.property("no_starvation").finding is None


PAGE = (Path(__file__).parents[2] / "docs" / "primitives.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [n for n in primitives.__all__ if n != "WaitType"])
def test_the_page_lists_every_primitive_with_its_methods(name: str) -> None:
    assert f"`{name}" in PAGE
    found = getattr(primitives, name)
    methods = [m for m in vars(found) if not m.startswith("_") and callable(getattr(found, m))]
    for method in methods if isinstance(found, type) else []:
        assert f"`{method}(" in PAGE, f"{name}.{method}"
