# SPDX-License-Identifier: Apache-2.0
"""What is known of the local names at the place being read.

The control flow is followed: where several paths meet, a name has a value only if it has one on all of them,
and stands for a component or a constant only if that is the same on all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache

from quiesce.compiler.ir import Local
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.inlined_call import Known
from quiesce.compiler.read.values import Ambiguous, Dynamic, Tuple, Value


def known(b: Builder, names: set[str]) -> Known:
    """Return what is known of *names* here."""
    frame = b.frame
    return Known(names & frame.assigned, {n: frame.env[n] for n in names if n in frame.env})


def ways_here(b: Builder, names: set[str]) -> list[Known]:
    """Return what is known of *names* here, if control can reach this place."""
    return [known(b, names)] if b.reachable else []


def join_ways(b: Builder, names: set[str], ways: Sequence[Known]) -> None:
    """Continue where several paths meet; nothing changes if there is none.

    A name has a value only if all of them assigned one, and stands for something only if it does on all
    of them.

    :param names: those that are assigned on some path since it left the others.
    """
    if not ways:
        return
    frame = b.frame
    frame.assigned -= names
    frame.assigned |= set.intersection(*(w.assigned for w in ways))
    env = dict(ways[0].env)
    for way in ways[1:]:
        for name, value in way.env.items():
            env[name] = _both(b, env.get(name, value), value)
    for name in names:
        value_ = env.get(name)
        if value_ is None:
            frame.env.pop(name, None)
        else:
            frame.env[name] = value_
        if not isinstance(value_, Dynamic) or not isinstance(value_.expr, Local):
            frame.slots.pop(name, None)
        elif name in frame.slots:
            frame.slots[name] = value_.expr.slot


def _both(b: Builder, one: Value, other: Value) -> Value:
    """Return what a name stands for that is *one* on one path and *other* on another."""
    if one == other:
        return one
    if isinstance(one, Dynamic) and isinstance(other, Dynamic) and one.expr == other.expr:
        if isinstance(one.expr, Local):
            # The type has grown on one path.
            return Dynamic(one.expr, b.slots[one.expr.slot].type)
    if isinstance(one, Tuple) and isinstance(other, Tuple):
        pairs = zip(one.items, other.items, strict=False)
        items = tuple(_both(b, first, second) for first, second in pairs)
        if len(one.items) == len(other.items) and Ambiguous() not in items:
            return Tuple(items)
    return Ambiguous()


def enter_loop(b: Builder, names: set[str]) -> dict[str, int]:
    """Prepare to read a loop's body: a name that it binds may stand for what it bound last time.

    :param names: the names that the body binds.
    :return: the slots of those that are local variables, for :func:`next_round`.
    """
    frame = b.frame
    for name in names:
        if name in frame.env and name not in frame.slots and not _has_slots(frame.env[name]):
            frame.env[name] = Ambiguous()
    return {name: frame.slots[name] for name in names if name in frame.slots}


def next_round(b: Builder, slots: dict[str, int], node: ast.AST) -> None:
    """Refuse a name that stands for something else in the next round than in the first."""
    for name, slot in sorted(slots.items(), key=lambda item: item[1]):
        if b.frame.slots.get(name, slot) != slot:
            b.refuse(
                node, "alias", f"`{name}` stands for an element of another array after each round",
                "a local name for a component or a constant is replaced by it where it stands",
                "use two names",
            )  # fmt: skip


def _has_slots(value: Value) -> bool:
    """True if *value* is a tuple whose items are kept in slots of their own."""
    return isinstance(value, Tuple) and all(
        isinstance(v, Dynamic) and isinstance(v.expr, Local) for v in value.items
    )


def names_bound(*nodes: ast.AST) -> set[str]:
    """Return the names that *nodes* bind, by any construct."""
    return set(_names_bound(nodes))


@lru_cache(maxsize=4096)
def _names_bound(nodes: tuple[ast.AST, ...]) -> frozenset[str]:
    names: set[str] = set()
    for inner in (n for node in nodes for n in ast.walk(node)):
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            names.add(inner.id)
        elif isinstance(inner, ast.alias):
            names.add((inner.asname or inner.name).partition(".")[0])
        elif isinstance(inner, ast.Global | ast.Nonlocal):
            names.update(inner.names)
        else:
            name = getattr(inner, "name", None) or getattr(inner, "rest", None)
            if isinstance(name, str):
                names.add(name)
    return frozenset(names)


def count_stores(body: Sequence[ast.AST]) -> dict[str, int]:
    """Return how often each local name is assigned in *body*; in a loop or by ``+=``, twice."""
    counts: dict[str, int] = {}

    def visit(n: ast.AST, weight: int) -> None:
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            counts[n.id] = counts.get(n.id, 0) + weight
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name):
            counts[n.target.id] = counts.get(n.target.id, 0) + 1
        inner = 2 if isinstance(n, ast.For | ast.While) else weight
        for child in ast.iter_child_nodes(n):
            visit(child, inner)

    for statement in body:
        visit(statement, 1)
    return counts
