# SPDX-License-Identifier: Apache-2.0
"""From Python expressions to IR: constants folded, shared accesses made explicit, calls inlined.

The reader is one class in layers, each in a file of its own: ``settle`` (when a value is evaluated),
``typing_rules`` (what may stand where), ``members`` (attributes and indices), ``operators``, this file
(which node is read by what), ``language_actions`` and ``calls``, ``assignments``, ``statements``.

Evaluation order is Python's. When a later operand emits operations (an inlined call, a marked
access), what was evaluated before it is first put into temporaries; so an expression never observes
memory later than its source says.
"""

from __future__ import annotations

import ast

from quiesce.compiler.read.frames import Refused
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.operators import OperatorReader, negated
from quiesce.compiler.read.values import Ambiguous, Place, Poison, Static, Tuple, Value
from quiesce.protocol import Protocol

__all__ = ["ExpressionReader", "negated"]


class ExpressionReader(OperatorReader):
    """Reads expressions; calls are left to :class:`calls.CallReader`."""

    def read(self, node: ast.expr) -> Value:
        """Return what *node* stands for, emitting what has to happen first."""
        match node:
            case ast.Constant():
                return Static(node.value)
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self.attribute(self.read(node.value), node.attr, node)
            case ast.Subscript():
                found = self.place(node)
                return self.load(found) if isinstance(found, Place) else found
            case ast.BinOp():
                return self.binary(node)
            case ast.UnaryOp():
                return self.unary(node)
            case ast.BoolOp():
                return self.boolean(node)
            case ast.Compare():
                return self.comparison(node)
            case ast.IfExp():
                return self.conditional(node)
            case ast.Tuple():
                return Tuple(tuple(self.read_in_order(node.elts)))
            case ast.Call():
                return self.call(node)
            case ast.Starred():
                self.refuse(
                    node, "starred", "`*` is only understood in a call's arguments",
                    "how many values there are must be known when the scenario is built",
                    "write the values out",
                )  # fmt: skip
        refusal = REFUSED.get(type(node))
        if refusal is not None:
            self.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)
        self.refuse(node, "syntax", f"`{type(node).__name__}` is outside the language")

    def call(self, node: ast.Call) -> Value:
        """Inline a call. See :mod:`quiesce.compiler.read.calls`."""
        raise NotImplementedError

    def place(self, node: ast.expr) -> Place | Value:
        """Read *node* as something that can be written: a shared variable stays a place."""
        match node:
            case ast.Attribute():
                return self.member(self.read(node.value), node.attr, node)
            case ast.Subscript():
                base, index = self.read_in_order([node.value, node.slice])
                return self.element(base, index, node)
        return self.read(node)

    def _name(self, node: ast.Name) -> Value:
        frame = self.frame
        value = frame.env.get(node.id)
        if isinstance(value, Poison):
            raise Refused
        if isinstance(value, Ambiguous) and node.id in frame.assigned:
            self.refuse(
                node, "alias", f"`{node.id}` may stand for two different things here",
                "a local name for a component or a constant is replaced by it where it stands",
                "use two names, or keep a reference: `Array(Component(), n)` and its elements",
            )  # fmt: skip
        if value is not None and (node.id in frame.assigned or not self.reachable):
            return value
        if node.id in frame.stores:
            self.refuse(
                node, "unassigned", f"`{node.id}` may have no value yet here",
                "a local variable is assigned before it is used, on every path",
                f"{node.id} = 0 before it",
            )  # fmt: skip
        found, value_object = frame.global_value(node.id)
        if not found:
            self.refuse(
                node, "unknown-name", f"`{node.id}` is not defined",
                "it is no local variable, and nothing of the module or of Python has that name",
            )  # fmt: skip
        if isinstance(value_object, Protocol) and not self.layout.contains(value_object):
            self.refuse_stranger(value_object, node)
        return self.static(value_object)
