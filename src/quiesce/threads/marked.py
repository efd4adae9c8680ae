# SPDX-License-Identifier: Apache-2.0
"""Let the runner know of accesses to variables that are declared ``marked=True``.

``READ_ONCE`` and ``WRITE_ONCE`` are calls; reading a variable declared ``marked=True`` is not. But
it is a step all the same, and a loop may do nothing else (``while self.turn != me: pass``). So for
the time of a run, components with such variables get a class in which these names are properties.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quiesce.protocol import Protocol
from quiesce.protocol.actions import marked_access
from quiesce.protocol.arrays import Array, ArrayValue, PerTask, PerTaskValue
from quiesce.protocol.declarations import Variable


class _MarkedVariable:
    """A variable in the component's dictionary whose accesses are announced."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, component: Protocol | None, owner: type[object]) -> Any:
        if component is None:
            return self
        marked_access()
        return component.__dict__[self._name]

    def __set__(self, component: Protocol, value: Any) -> None:
        marked_access()
        component.__dict__[self._name] = value


class _MarkedArray(ArrayValue[Any]):
    """An array whose accesses are announced."""

    def __getitem__(self, index: int) -> Any:
        marked_access()
        return super().__getitem__(index)

    def __setitem__(self, index: int, value: Any) -> None:
        marked_access()
        super().__setitem__(index, value)


@contextmanager
def announced(scenario: Protocol) -> Iterator[None]:
    """Announce the accesses to all marked variables of a started scenario, while this is open."""
    changed: list[tuple[Protocol, type]] = []
    for component in scenario.tree():
        names = []
        for name, declaration in component.declarations().items():
            if isinstance(declaration, Variable):
                if declaration.marked:
                    names.append(name)
            elif isinstance(declaration, Array | PerTask):
                element = declaration.element
                if isinstance(element, Variable) and element.marked:
                    _announce_array(component.__dict__[name])
        if names:
            changed.append((component, type(component)))
            object.__setattr__(component, "__class__", _announcing(type(component), names))
    try:
        yield
    finally:
        for component, klass in changed:
            object.__setattr__(component, "__class__", klass)


def _announce_array(value: ArrayValue[Any] | PerTaskValue[Any]) -> None:
    # The value lives no longer than the round, so its class need not be given back.
    array = value._values if isinstance(value, PerTaskValue) else value
    array.__class__ = _MarkedArray


def _announcing(klass: type, names: list[str]) -> type:
    return type(klass.__name__, (klass,), {name: _MarkedVariable(name) for name in names})
