# SPDX-License-Identifier: Apache-2.0
"""``acquires`` and ``releases``: what lockdep is told."""

from __future__ import annotations

import ast
import inspect
from types import CodeType

from quiesce.compiler.ir import LockEvent
from quiesce.compiler.read.arguments import arguments
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.members import pointee
from quiesce.compiler.read.values import Component, Dynamic, Static, Value
from quiesce.compiler.types import RefType
from quiesce.protocol import Mode, actions


def read_acquires(b: Builder, node: ast.Call) -> Value:
    """Read ``acquires(lock)``."""
    return _lock_event(b, node, "acquire")


def read_releases(b: Builder, node: ast.Call) -> Value:
    """Read ``releases(lock)``."""
    return _lock_event(b, node, "release")


def _lock_event(b: Builder, node: ast.Call, action: str) -> Value:
    b.refuse_in_property(node, "take or release a lock")
    args, kwargs = arguments(b, node)
    lock = args[0] if args else None
    if isinstance(lock, Dynamic) and isinstance(lock.type, RefType):
        lock = pointee(b, lock.expr, lock.type)
    mode = args[1] if len(args) > 1 else kwargs.get("mode", Static(Mode.EXCLUSIVE))
    trylock = kwargs.get("trylock", Static(False))
    if not isinstance(lock, Component):
        b.refuse(
            node, "lock", f"{action}s() needs the component that is the lock",
            "reports name it", f"{action}s(self)",
        )  # fmt: skip
    if (
        not isinstance(mode, Static)
        or not isinstance(mode.object, Mode)
        or not isinstance(trylock, Static)
        or len(args) > 2
        or kwargs.keys() - {"mode", "trylock"}
    ):
        b.refuse(
            node, "lock", "how a lock is taken must be known when the scenario is built",
            "lockdep keeps one kind of acquisition for each place",
            "acquires(self, SHARED), or acquires(self, trylock=True)",
        )  # fmt: skip
    address = b.layout.component_address(lock.template, lock.terms)
    read: int = mode.object.value
    b.emit(LockEvent(action, address, read, bool(trylock.object), _stack(b), **b.at))
    return Static(None)


def _stack(b: Builder) -> tuple[str, ...]:
    """Return the names of the functions around this place, innermost first.

    Functions that serve `with`, and those that a primitive is made of, are left out: `spin_lock` is followed
    by the function that has the `with` statement.
    """
    codes: list[CodeType] = []
    for frame in reversed(b.frames):
        inner = frame.is_with_method or frame.in_primitives
        if not inner or getattr(frame.function, "__quiesce_atomic__", None) is not None:
            codes.append(inspect.unwrap(frame.function).__code__)
    return tuple(actions.kernel_stack(codes))
