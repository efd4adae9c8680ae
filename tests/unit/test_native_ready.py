# SPDX-License-Identifier: Apache-2.0
"""When the native explorer takes over, and compiling its kernels beside the reference explorer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from native_protocols import LockPair

from quiesce.explorer import Bounds, check, engine
from quiesce.explorer.native import ready
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.reference.checker import Options

pytest.importorskip("numba", reason="the native explorer needs numba")


class Compiler:
    """Stands for the process that compiles; it is asked *looks* times before it has ended."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def works(self) -> bool:
        self.looks -= 1
        return self.looks > 0


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """Let no kernel be compiled yet, as far as the engine can tell."""
    compiler = Compiler(3)
    monkeypatch.setattr(engine, "kernels_are_ready", lambda: False)
    monkeypatch.setattr(engine, "background_compiler", lambda: compiler)
    return compiler


def test_the_native_explorer_takes_over_once_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([False] * 10 + [True] * 1000)
    monkeypatch.setattr(engine, "kernels_are_ready", lambda: next(looks))
    monkeypatch.setattr(engine, "background_compiler", lambda: Compiler(3))
    result = check(LockPair(threads=3), None, NativeOptions(first=5))
    assert result.engine == "native"
    assert next(looks), "it was asked more than ten times"


def test_the_reference_goes_on_while_kernels_are_compiled(compiler: Compiler) -> None:
    result = check(LockPair(threads=3), None, NativeOptions(first=5))
    assert result.engine == "reference"
    assert compiler.looks == 3, "nobody waits for it"


def test_at_its_bound_it_waits_for_the_kernels(compiler: Compiler) -> None:
    result = check(LockPair(threads=3), None, NativeOptions(first=5, small=8))
    assert result.engine == "native"
    assert compiler.looks <= 0


def test_waiting_ends_with_the_time(compiler: Compiler) -> None:
    compiler.looks = sys.maxsize
    options = Options(True, bounds=Bounds(max_seconds=0.2))
    result = check(LockPair(threads=3), options, NativeOptions(first=5, small=8))
    assert result.incomplete == "the bound of 0.2 s was hit"
    assert result.states > 8


def test_both_explorers_report_the_same_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "kernels_are_ready", lambda: True)
    ours, plain = (
        check(LockPair(threads=3), Options(True), NativeOptions(explorer, first=5))
        for explorer in ("auto", "reference")
    )
    assert ours.engine == "native"
    assert (ours.states, ours.transitions, ours.depth) == (
        plain.states, plain.transitions, plain.depth,
    )  # fmt: skip
    assert [(p.name, p.verdict) for p in ours.properties] == [
        (p.name, p.verdict) for p in plain.properties
    ]
    assert ours.never_executed == plain.never_executed


def test_all_kernels_are_compiled() -> None:
    """A kernel that is compiled at its first use would be compiled again in every process."""
    from quiesce.explorer.native.compile_kernels import compile_all

    compile_all()
    kernels = {
        f"{name}.{each}": value
        for name, module in list(sys.modules.items())
        if name.startswith("quiesce.explorer.native.")
        for each, value in vars(module).items()
        if hasattr(value, "signatures") and value.py_func.__module__ == name
        and not value.targetoptions.get("forceinline")
    }  # fmt: skip
    assert len(kernels) > 20
    assert [name for name, value in kernels.items() if not value.signatures] == []
    assert [name for name, value in kernels.items() if len(value.signatures) > 1] == []


def test_what_is_compiled_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quiesce.explorer.native import compile_kernels

    calls: list[bool] = []
    file = tmp_path / "compiled-0"
    for module in (ready, compile_kernels):
        monkeypatch.setattr(module, "marker", lambda: file)
    monkeypatch.setattr(compile_kernels, "compile_all", lambda: calls.append(file.exists()))
    assert not ready.kernels_are_ready()
    compile_kernels.main()
    assert ready.kernels_are_ready()
    compile_kernels.main()
    assert calls == [False], "once, and noted only afterwards"


def test_kernels_that_cannot_be_kept_are_not_compiled_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ready, "marker", lambda: None)
    assert not ready.kernels_are_ready()
    assert not ready.BackgroundCompiler().works
