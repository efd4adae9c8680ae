# SPDX-License-Identifier: Apache-2.0
"""What a protocol may do beside plain Python: be atomic, wait, choose, and declare what is a lock.

Each of these has two readings. The compiler recognises the call and never runs it. On real threads,
or in a plain unit test, the call is executed: it asks the *runner* of the current thread, which
``quiesce.threads`` installs. Without one, a wait that cannot be granted is an error instead of a
hang, since there is no other thread to grant it.

``@atomic`` and ``wait_until`` make every primitive. An atomic method is executed as if no other
thread existed; if a ``wait_until`` in it is false, the method has not happened at all and is tried
again when something changed. This is the ``retry`` of software transactional memory (Harris,
Marlow, Peyton Jones, Herlihy: "Composable memory transactions", PPoPP 2005), made simple by one rule:
an atomic method waits before it writes.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable
from enum import Enum
from types import CodeType
from typing import Any, ParamSpec, TypeVar, overload
from typing import Protocol as Shape

from quiesce.protocol.component import Protocol
from quiesce.protocol.marks import require_method
from quiesce.protocol.task import Task

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Mode(Enum):
    """How a lock is taken, as lockdep sees it (``lock_acquire``'s *read* argument)."""

    EXCLUSIVE = 0
    SHARED = 1
    """A reader that may block behind a waiting writer."""
    SHARED_RECURSIVE = 2
    """A reader that only ever waits for a writer that holds the lock."""


EXCLUSIVE = Mode.EXCLUSIVE
SHARED = Mode.SHARED
SHARED_RECURSIVE = Mode.SHARED_RECURSIVE


class Runner(Shape):
    """What runs a protocol's code for real: see ``quiesce.threads``."""

    def atomically(self, body: Callable[[], R], label: str, queued: bool) -> R: ...
    def wait_until(self, condition: Callable[[], bool]) -> None: ...
    def choose(self, options: tuple[Any, ...]) -> Any: ...
    def current(self) -> Task: ...
    def marked_access(self) -> None: ...
    def acquires(self, lock: Protocol, mode: Mode, trylock: bool) -> None: ...
    def releases(self, lock: Protocol) -> None: ...


class NotYet(BaseException):
    """Raised in an atomic method whose ``wait_until`` is false: nothing happened, try again."""


class _NoRunner:
    """Runs code on the calling thread alone, for unit tests of a component."""

    def __init__(self) -> None:
        self.task = Task()
        self.task.elaborate(1)
        object.__setattr__(self.task, "tid", 0)

    def atomically(self, body: Callable[[], R], label: str, queued: bool) -> R:
        try:
            return body()
        except NotYet:
            raise RuntimeError(f"{label} would wait forever: no other thread is running") from None

    def wait_until(self, condition: Callable[[], bool]) -> None:
        if not condition():
            raise RuntimeError("wait_until would wait forever: no other thread is running")

    def choose(self, options: tuple[Any, ...]) -> Any:
        return options[0]

    def current(self) -> Task:
        return self.task

    def marked_access(self) -> None:
        pass

    def acquires(self, lock: Protocol, mode: Mode, trylock: bool) -> None:
        pass

    def releases(self, lock: Protocol) -> None:
        pass


class _Here(threading.local):
    runner: Runner

    def __init__(self) -> None:
        self.runner = _NoRunner()
        self.depth = 0


_here = _Here()


def install_runner(runner: Runner) -> None:
    """Let *runner* execute the protocol actions of the calling thread."""
    _here.runner = runner
    _here.depth = 0


@overload
def atomic(method: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def atomic(
    *, label: str = "", queued: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def atomic(
    method: Callable[P, R] | None = None, /, *, label: str = "", queued: bool = False
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a method one step: no other thread runs between its first and its last statement.

    A ``wait_until`` in it must come before its first write; while it is false the thread waits.

    :param label: the name that traces show instead of the method's, ``spin_lock``.
    :param queued: waiters for this step queue up, so that one which can go again and again does go:
        strong fairness, as for the kernel's spinlocks, qrwlocks, mutexes and rwsems. Otherwise a
        thread is only promised to go when it can go all the time (weak fairness).
    """
    if not isinstance(label, str) or not isinstance(queued, bool):
        raise TypeError(
            "@atomic(label=..., queued=...): the label is a text, queued is True or False"
        )
    if method is None:
        return functools.partial(_atomic, label=label, queued=queued)
    return _atomic(method, label="", queued=False)


def _atomic(method: Callable[P, R], *, label: str, queued: bool) -> Callable[P, R]:
    require_method("atomic", method, "write @atomic below `@{}`")
    shown = label or method.__name__
    _LABELS[inspect.unwrap(method).__code__] = shown

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if _here.depth:
            return method(*args, **kwargs)

        def body() -> R:
            _here.depth += 1
            try:
                return method(*args, **kwargs)
            finally:
                _here.depth -= 1

        return _here.runner.atomically(body, shown, queued)

    run.__quiesce_atomic__ = (shown, queued)  # type: ignore[attr-defined]
    return run


_KNOWN_AS: dict[CodeType, str] = {}
_LABELS: dict[CodeType, str] = {}


def known_as(name: str) -> Callable[[F], F]:
    """Let reports call a function *name*: what it is in the kernel's source.

    Where a stack has functions with such names, lockdep's reports leave out those without: they are
    inlined in the kernel, or exist only here.
    """

    def mark(function: F) -> F:
        _KNOWN_AS[inspect.unwrap(function).__code__] = name
        return function

    return mark


def kernel_stack(functions: Iterable[CodeType]) -> list[str]:
    """Return the names of *functions*, innermost first, as reports show them.

    An atomic method goes by its label, a function by what :func:`known_as` says. A lockdep map has no
    function of its own, as in the kernel.
    """
    codes = [c for c in functions if not _LABELS.get(c, "").startswith("lock_map_")]
    named = any(code in _KNOWN_AS for code in codes)
    return [
        _KNOWN_AS.get(code) or _LABELS.get(code, code.co_name).partition("(")[0]
        for code in codes
        if not named or code in _KNOWN_AS or code in _LABELS
    ]


def wait_until(condition: bool | Callable[[], bool]) -> None:
    """Wait until *condition* is true.

    :param condition: in an ``@atomic`` method, the condition itself; elsewhere a ``lambda``, since
        it has to be looked at again: ``wait_until(lambda: self.ready)``.
    """
    if _here.depth:
        if not (condition() if callable(condition) else condition):
            raise NotYet
    elif callable(condition):
        _here.runner.wait_until(condition)
    else:
        raise TypeError(
            "outside an @atomic method, give wait_until a lambda, so that it can look again:\n"
            "    wait_until(self.ready)             # incorrect!\n"
            "    wait_until(lambda: self.ready)     # correct!"
        )


EMPTY_SET = "choose() from an empty set"
"""What is said of a choice that has no options."""


@overload
def choose(members: set[T], /) -> T: ...
@overload
def choose(*options: T) -> T: ...
def choose(*options: Any) -> Any:
    """Return one of *options*: the environment decides, and every choice is explored.

    Given a set alone, return one of its members; an empty one is a violation.
    """
    if len(options) == 1 and isinstance(options[0], set):
        assert options[0], EMPTY_SET
        options = tuple(sorted(options[0], key=lambda member: getattr(member, "tid", member)))
    choice: Any = _here.runner.choose(options)
    return choice


def current() -> Task:
    """Return the task of the calling thread, as the kernel's ``current``."""
    return _here.runner.current()


def marked_access() -> None:
    """Tell the runner that the calling thread stands at a marked access, a step of its own."""
    if not _here.depth:
        _here.runner.marked_access()


def READ_ONCE(value: T) -> T:
    """Read a shared variable with a marked access: ``READ_ONCE(self.count)``."""
    marked_access()
    return value


def WRITE_ONCE(component: T) -> T:
    """Write a shared variable with a marked access: ``WRITE_ONCE(self).count = 1``."""
    marked_access()
    return component


def acquires(lock: Protocol, mode: Mode = EXCLUSIVE, *, trylock: bool = False) -> None:
    """Declare, in an ``@atomic`` method, that it takes *lock*: lockdep and the reports listen.

    Put it first: a thread that waits in this step is then known to wait for *lock*.
    """
    _here.runner.acquires(lock, mode, trylock)


def releases(lock: Protocol) -> None:
    """Declare, in an ``@atomic`` method, that it releases *lock*."""
    _here.runner.releases(lock)
