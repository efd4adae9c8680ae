# SPDX-License-Identifier: Apache-2.0
"""Scenarios: which threads run on which components, and what must be true of every run.

A scenario is a component whose ``@thread`` methods are started side by side. Its constructor's
parameters are what ``--set name=value`` sets, so each needs a default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from quiesce.errors import UsageError
from quiesce.properties import ALWAYS, EVENTUALLY, SOMETIMES, DeclaredKind
from quiesce.protocol.component import Protocol
from quiesce.protocol.marks import hidden_method, require_method
from quiesce.protocol.reserved import reserve
from quiesce.protocol.task import Task

F = TypeVar("F", bound=Callable[..., Any])

_MARKS = ("__quiesce_thread__", "__quiesce_property__")

MOST_THREADS = 1_000
"""Of one kind: far more than can be explored."""


@dataclass(frozen=True)
class ThreadMark:
    """What ``@thread`` says of a method.

    :param count: how many such threads run: a number, or the name of an attribute that holds it.
    :param daemon: the thread may wait forever without that being a deadlock: a worker, say.
    """

    count: int | str
    daemon: bool


@dataclass(frozen=True)
class PropertyMark:
    """What ``@always``, ``@sometimes`` or ``@eventually`` says of a method."""

    kind: DeclaredKind
    informational: bool


def thread(count: int | str = 1, *, daemon: bool = False) -> Callable[[F], F]:
    """Make a scenario's method the body of *count* identical threads (see :class:`ThreadMark`)."""

    if callable(count):
        raise TypeError("@thread is written with parentheses: @thread()")

    def mark(method: F) -> F:
        _require_unmarked("thread", method)
        method.__quiesce_thread__ = ThreadMark(count, daemon)  # type: ignore[attr-defined]
        return method

    return mark


def _property(kind: DeclaredKind, method: F, informational: bool | None = None) -> F:
    """Mark *method* as a property; *informational* as the kind has it unless it is given."""
    _require_unmarked(kind.word, method)
    if informational is None:
        informational = kind.informational
    method.__quiesce_property__ = PropertyMark(kind, informational)  # type: ignore[attr-defined]
    return method


def _require_unmarked(word: str, method: Callable[..., Any]) -> None:
    """Refuse to mark what is not a method, or a method that is marked already."""
    require_method(word, method)
    for attribute in _MARKS:
        if hasattr(method, attribute):
            raise TypeError(
                f"@{word}: {method.__qualname__} is marked already as a thread or as a property; "
                "write a method for each, and let both call a third"
            )


_NO_METHOD: Any = None
"""What a decorator is given that is written with parentheses though it takes none."""


def _require_no_parentheses(word: str, method: object) -> None:
    if method is None:
        raise TypeError(f"@{word} is written without parentheses: @{word}")


def always(method: F = _NO_METHOD) -> F:
    """The method is true in every reachable state: an invariant."""
    _require_no_parentheses("always", method)
    return _property(ALWAYS, method)


def sometimes(method: F = _NO_METHOD) -> F:
    """The method is true in some reachable state; if in none, the scenario proves nothing."""
    _require_no_parentheses("sometimes", method)
    return _property(SOMETIMES, method)


def eventually(method: None = None, /, *, informational: bool = False) -> Callable[[F], F]:
    """From wherever a fair run has got to, the method will be true (again): ``[]<>`` of it.

    :param informational: check and show it, but let it decide nothing.
    """

    if method is not None:
        raise TypeError("@eventually is written with parentheses: @eventually()")

    def mark(method: F) -> F:
        return _property(EVENTUALLY, method, informational)

    return mark


@dataclass(frozen=True)
class ThreadSpec:
    """One thread of an elaborated scenario.

    :param name: ``notifier/0``.
    :param kind: name of the method; threads of one kind run the same code.
    :param method: the method's function, unbound.
    :param task: the thread's ``current()``.
    :param number: what the thread is given as its number, from 0; None if its method takes none.
    """

    name: str
    kind: str
    method: Callable[..., None]
    task: Task
    daemon: bool
    number: int | None = None

    @property
    def code_name(self) -> str:
        """The name of the code that it runs: a numbered thread has code of its own."""
        return self.kind if self.number is None else self.name

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the method is called with, after the scenario."""
        return () if self.number is None else (self.number,)


@dataclass(frozen=True)
class PropertySpec:
    """One property of an elaborated scenario, on the component that declares it."""

    name: str
    kind: DeclaredKind
    component: Protocol
    method: Callable[..., bool]
    informational: bool


@reserve
class Scenario(Protocol):
    """Base of all scenarios."""

    tasks: tuple[Task, ...]

    def start(self) -> list[ThreadSpec]:
        """Create the tasks, give all variables their initial values, and return the threads."""
        marked: list[tuple[str, Callable[..., None], ThreadMark, int]] = []
        for name, method in _methods(type(self)):
            mark = getattr(method, "__quiesce_thread__", None)
            if mark is not None:
                marked.append((name, method, mark, self._count(name, mark.count)))
        total = sum(count for *_, count in marked)
        object.__setattr__(self, "tasks", tuple(Task() for _ in range(total)))
        self.elaborate(total)
        self._refuse_threads_elsewhere()
        specs: list[ThreadSpec] = []
        for name, method, mark, count in marked:
            for i in range(count):
                task = self.tasks[len(specs)]
                object.__setattr__(task, "tid", len(specs))
                object.__setattr__(task, "name", f"{name}/{i}")
                number = i if _takes_number(name, method) else None
                specs.append(ThreadSpec(task.name, name, method, task, mark.daemon, number))
        return specs

    def _refuse_threads_elsewhere(self) -> None:
        """Refuse a ``@thread`` method of a component: it would never be started."""
        for component in self.tree():
            if component is self:
                continue
            for name, method in _methods(type(component)):
                if hasattr(method, "__quiesce_thread__"):
                    raise UsageError(
                        f"{type(component).__name__}.{name}: @thread marks a method of the scenario, "
                        f"and {component.path} is a component of it",
                        f"a method of {type(self).__name__} with @thread() that calls "
                        f"`self.{component.path}.{name}()`",
                    )

    def _count(self, thread: str, count: int | str) -> int:
        """Return how many threads run *thread*; *count* is a number, or the attribute that holds it."""
        number = getattr(self, count, None) if isinstance(count, str) else count
        if not isinstance(number, int) or not 0 <= number <= MOST_THREADS:
            raise UsageError(
                f"{type(self).__name__}.{thread}: the count of its threads is {count!r}"
                + (f", which is {number!r}" if isinstance(count, str) else ""),
                f"@thread({count})"
                if isinstance(count, str) and count.isdecimal()
                else f"a number from 0 to {MOST_THREADS}, or the name of an attribute that holds one",
            )
        return number

    def properties(self) -> list[PropertySpec]:
        """Return the properties of the scenario and of every component in it."""
        found = []
        for component in self.tree():
            for name, method in _methods(type(component)):
                mark = getattr(method, "__quiesce_property__", None)
                if mark is not None:
                    found.append(
                        PropertySpec(name, mark.kind, component, method, mark.informational)
                    )
        names = [spec.name for spec in found]
        return [
            PropertySpec(
                f"{s.component.path}.{s.name}", s.kind, s.component, s.method, s.informational
            )
            if names.count(s.name) > 1
            else s
            for s in found
        ]


def _takes_number(name: str, method: Callable[..., Any]) -> bool:
    """Return True if a thread's method has a parameter for the thread's number.

    :raises UsageError: it has more than that.
    """
    parameters = list(inspect.signature(method).parameters.values())
    needed = [p for p in parameters[1:] if p.default is inspect.Parameter.empty]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(needed) > 1 or any(p.kind not in positional for p in needed):
        raise UsageError(
            f"the thread `{name}` takes {', '.join(f'`{p.name}`' for p in needed)}",
            f"`def {name}(self)`, or `def {name}(self, me: int)` for threads that know their number",
        )
    return len(needed) == 1


def _methods(klass: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the methods of *klass* by name in the order of definition, overridden ones once.

    :raises UsageError: a thread or a property hides below another decorator, `@property` for instance.
    """
    seen: dict[str, Callable[..., Any]] = {}
    for base in reversed(klass.__mro__):
        for name, value in vars(base).items():
            if callable(value) and not isinstance(value, type):
                seen[name] = value
            elif any(hasattr(hidden_method(value), mark) for mark in _MARKS):
                raise UsageError(
                    f"{base.__name__}.{name} is marked as a thread or as a property, and is a "
                    f"{type(value).__name__} object",
                    f"leave out the decorator `@{type(value).__name__}`",
                )
    yield from seen.items()
