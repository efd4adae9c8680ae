# SPDX-License-Identifier: Apache-2.0
"""Which expression is read by what.

Constants are folded, shared accesses become explicit, and calls are inlined.
"""

from __future__ import annotations

import ast

from quiesce.compiler.read.accesses import load
from quiesce.compiler.read.arithmetic import read_binary, read_sign
from quiesce.compiler.read.builder import Builder, Refused
from quiesce.compiler.read.calls import read_call
from quiesce.compiler.read.comparisons import read_comparison
from quiesce.compiler.read.conditions import read_boolean, read_conditional, read_not
from quiesce.compiler.read.elements import element
from quiesce.compiler.read.evaluation import read_in_order
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.members import attribute, member
from quiesce.compiler.read.python_objects import refuse_stranger, static
from quiesce.compiler.read.values import Ambiguous, Poison, Static, Tuple, Value, VariablePlace
from quiesce.protocol import Protocol


def read_expression(b: Builder, node: ast.expr) -> Value:
    """Return what *node* stands for, emitting what must happen first."""
    match node:
        case ast.Constant():
            return Static(node.value)
        case ast.Name():
            return read_name(b, node)
        case ast.Attribute():
            return attribute(b, b.read(node.value), node.attr, node)
        case ast.Subscript():
            found = b.place(node)
            return load(b, found) if isinstance(found, VariablePlace) else found
        case ast.BinOp():
            return read_binary(b, node)
        case ast.UnaryOp(op=ast.Not()):
            return read_not(b, node)
        case ast.UnaryOp():
            return read_sign(b, node)
        case ast.BoolOp():
            return read_boolean(b, node)
        case ast.Compare():
            return read_comparison(b, node)
        case ast.IfExp():
            return read_conditional(b, node)
        case ast.Tuple():
            return Tuple(tuple(read_in_order(b, node.elts)))
        case ast.Call():
            return read_call(b, node)
        case ast.Starred():
            b.refuse(
                node, "starred", "`*` is only understood in a call's arguments",
                "how many values there are must be known when the scenario is built",
                "write the values out",
            )  # fmt: skip
    refusal = REFUSED.get(type(node))
    if refusal is not None:
        b.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)
    b.refuse(node, "syntax", f"`{type(node).__name__}` is outside the language")


def read_place(b: Builder, node: ast.expr) -> Value:
    """Read *node* as something that can be written: a shared variable stays a place."""
    match node:
        case ast.Attribute():
            return member(b, b.read(node.value), node.attr, node)
        case ast.Subscript():
            base, index = read_in_order(b, [node.value, node.slice])
            return element(b, base, index, node)
    return b.read(node)


def read_name(b: Builder, node: ast.Name) -> Value:
    """Return what a local name stands for, or one of the closure, the module or Python."""
    frame = b.frame
    value = frame.env.get(node.id)
    if isinstance(value, Poison):
        raise Refused
    if isinstance(value, Ambiguous) and node.id in frame.assigned:
        b.refuse(
            node, "alias", f"`{node.id}` may stand for two different things here",
            "a local name for a component or a constant is replaced by it where it stands",
            "use two names, or keep a reference: `Array(Component(), n)` and its elements",
        )  # fmt: skip
    if value is not None and (node.id in frame.assigned or not b.reachable):
        return value
    if node.id in frame.stores:
        b.refuse(
            node, "unassigned", f"`{node.id}` may have no value yet here",
            "a local variable is assigned before it is used, on every path",
            f"{node.id} = 0 before it",
        )  # fmt: skip
    found, value_object = frame.global_value(node.id)
    if not found:
        b.refuse(
            node, "unknown-name", f"`{node.id}` is not defined",
            "it is no local variable, and nothing of the module or of Python has that name",
        )  # fmt: skip
    if isinstance(value_object, Protocol) and not b.layout.contains(value_object):
        refuse_stranger(b, value_object, node)
    return static(b, value_object)
