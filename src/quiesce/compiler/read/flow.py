# SPDX-License-Identifier: Apache-2.0
"""What is known of the local names at the place being read, and what a call returns.

The reader follows the control flow: where several ways come together, a name has a value only if it has
one on all of them, and stands for a component or a constant only if that is the same on all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from quiesce.compiler.ir import Local, SetLocal
from quiesce.compiler.read.assignments import AssignmentReader
from quiesce.compiler.read.frames import Frame, Known
from quiesce.compiler.read.values import Ambiguous, Component, Dynamic, Static, Tuple, Value
from quiesce.compiler.types import join


class FlowReader(AssignmentReader):
    """Keeps track of local names and of returned values along the control flow."""

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        """Read statements one after the other. See :mod:`quiesce.compiler.read.statements`."""
        raise NotImplementedError

    # --- Functions ------------------------------------------------------------------------------

    def function_body(self, callee: Frame, settle: bool) -> Value:
        """Read the body of an inlined function and return its value."""
        body = callee.node.body
        returns = [n for n in ast.walk(callee.node) if isinstance(n, ast.Return)]
        callee.single_return = len(returns) == 1 and body[-1] is returns[0]
        callee.returns_value = any(r.value is not None for r in returns)
        self.statements(body)
        if callee.returns_value and not callee.single_return and self.reachable:
            # Python returns None where control falls off the end.
            self.begin_statement(callee.node)
            self.keep_returned(Static(None), callee.node)
        self.place_label(callee.end)
        if callee.returned is None:
            return Static(None)
        return self.settled(callee.returned) if settle else callee.returned

    def keep_returned(self, value: Value, node: ast.AST) -> None:
        """Let *value* be what the function being read returns, on this path."""
        if isinstance(value, Static) and isinstance(value.object, tuple):
            value = Tuple(tuple(self.static(o) for o in value.object))
        if self.frame.returned is None:
            self.frame.returned = self._return_slots(value, node)
        self._store_returned(self.frame.returned, value, node)

    def _return_slots(self, value: Value, node: ast.AST) -> Value:
        if isinstance(value, Tuple):
            return Tuple(tuple(self._return_slots(v, node) for v in value.items))
        if isinstance(value, Component) and not self._has_type(value):
            return value
        type_ = self.type_of(value, node)
        name = f"{self.frame.name}()"
        return Dynamic(Local(self.new_slot(name, type_)), type_)

    def _store_returned(self, target: Value, value: Value, node: ast.AST) -> None:
        match target, value:
            case Tuple(items=slots), Tuple(items=items) if len(slots) == len(items):
                for slot, item in zip(slots, [self.settled(i) for i in items], strict=True):
                    self._store_returned(slot, item, node)
                return
            case Component(), _ if target == value:
                return
            case Dynamic(expr=Local(slot=slot)), _ if self._goes_with(slot, value, node):
                self.join_slot(slot, value, node, f"what `{self.frame.name}` returns")
                self.emit(SetLocal(slot, self.for_slot(slot, value, node), **self.at))
                # The type may have grown since the first `return`.
                self.frame.returned = self._retyped(self.frame.returned)
                return
        self.refuse(
            node, "return", f"the values that `{self.frame.name}` returns do not go together",
            "what a call stands for has one type; where control falls off the end, that is None",
            "return as many values, of the same types, on every path",
        )  # fmt: skip

    def _goes_with(self, slot: int, value: Value, node: ast.AST) -> bool:
        return join(self.slot_type(slot), self.type_of(value, node)) is not None

    def _retyped(self, value: Value | None) -> Value | None:
        match value:
            case Dynamic(expr=Local(slot=slot)):
                return Dynamic(Local(slot), self.slot_type(slot))
            case Tuple(items=items):
                return Tuple(tuple(v for v in (self._retyped(i) for i in items) if v is not None))
        return value

    # --- What is known of the local names -----------------------------------------------------------

    def known(self, names: set[str]) -> Known:
        """Return what is known of *names* here."""
        frame = self.frame
        return Known(names & frame.assigned, {n: frame.env[n] for n in names if n in frame.env})

    def ways_here(self, names: set[str]) -> list[Known]:
        """Return what is known of *names* here, if control can come here at all."""
        return [self.known(names)] if self.reachable else []

    def join_ways(self, names: set[str], ways: Sequence[Known]) -> None:
        """Go on where several ways come together; nothing changes if there is none.

        Only what all of them assigned has a value, and a name stands for something only if it does on
        all of them.

        :param names: those that are assigned on some way since it left the others.
        """
        if not ways:
            return
        frame = self.frame
        frame.assigned -= names
        frame.assigned |= set.intersection(*(w.assigned for w in ways))
        env = dict(ways[0].env)
        for way in ways[1:]:
            for name, value in way.env.items():
                env[name] = self._both(env.get(name, value), value)
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

    def _both(self, one: Value, other: Value) -> Value:
        """Return what a name stands for that is *one* on one way and *other* on another."""
        if one == other:
            return one
        if isinstance(one, Dynamic) and isinstance(other, Dynamic) and one.expr == other.expr:
            if isinstance(one.expr, Local):
                # The type has grown on one of them.
                return Dynamic(one.expr, self.slot_type(one.expr.slot))
        if isinstance(one, Tuple) and isinstance(other, Tuple):
            pairs = zip(one.items, other.items, strict=False)
            items = tuple(self._both(a, b) for a, b in pairs)
            if len(one.items) == len(other.items) and Ambiguous() not in items:
                return Tuple(items)
        return Ambiguous()

    def enter_loop(self, names: set[str]) -> dict[str, int]:
        """Prepare to read a loop's body: a name that it binds may stand for what it bound last time.

        :param names: the names that the body binds.
        :return: the slots of those that are local variables, for :meth:`next_round`.
        """
        frame = self.frame
        for name in names:
            if name in frame.env and name not in frame.slots and not _has_slots(frame.env[name]):
                frame.env[name] = Ambiguous()
        return {name: frame.slots[name] for name in names if name in frame.slots}

    def next_round(self, slots: dict[str, int], node: ast.AST) -> None:
        """Refuse a name that stands for something else in the next round than in the first."""
        for name, slot in sorted(slots.items(), key=lambda item: item[1]):
            if self.frame.slots.get(name, slot) != slot:
                self.refuse(
                    node, "alias", f"`{name}` stands for an element of another array after each round",
                    "a local name for a component or a constant is replaced by it where it stands",
                    "use two names",
                )  # fmt: skip


def _has_slots(value: Value) -> bool:
    """Whether *value* is a tuple whose items are kept in slots of their own."""
    return isinstance(value, Tuple) and all(
        isinstance(v, Dynamic) and isinstance(v.expr, Local) for v in value.items
    )


def names_bound(*nodes: ast.AST) -> set[str]:
    """Return the names that *nodes* bind, by whichever construct."""
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
    return names
