# SPDX-License-Identifier: Apache-2.0
"""Which statement is read by what; the statements that are one operation; ``if``, ``return``.

A statement that is refused is left out and reading continues, so that all diagnostics come together; the
names that it would have assigned are poisoned, so that one mistake gives one message.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quiesce.compiler.ir import Branch, Check, ConditionSpan, Const, Jump, Label, StatementMark
from quiesce.compiler.read.assignments import assign_one, read_assign, read_augmented
from quiesce.compiler.read.builder import Builder, Refused
from quiesce.compiler.read.conditions import condition
from quiesce.compiler.read.evaluation import settled
from quiesce.compiler.read.inlined_call import Loop
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.local_names import join_ways, known, names_bound, ways_here
from quiesce.compiler.read.loop_statements import read_break, read_continue, read_for, read_while
from quiesce.compiler.read.returns import keep_returned
from quiesce.compiler.read.values import Poison, Static, Value
from quiesce.compiler.read.with_blocks import leave_blocks, read_with
from quiesce.compiler.read.words import words


def read_block(b: Builder, nodes: Sequence[ast.stmt]) -> None:
    """Read statements one after the other."""
    for node in nodes:
        b.begin_statement(node)
        try:
            with _marked(b, node):
                read_statement(b, node)
        except Refused:
            b.frame.refused = True
            _poison(b, node)
            _read_inside(b, node)


@contextmanager
def _marked(b: Builder, node: ast.stmt) -> Iterator[None]:
    """Mark where the operations of the statement *node* begin, if it has any."""
    start = Label()
    b.place_label(start)
    before = b.emitted
    yield
    if b.emitted > before:
        b.marks.statements.append(StatementMark(start, b.where(node)))


def read_statement(b: Builder, node: ast.stmt) -> None:
    """Read one statement."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            pass
        case ast.Expr():
            settled(b, b.read(node.value))
        case ast.Assign():
            read_assign(b, node)
        case ast.AnnAssign():
            if node.value is not None:
                assign_one(b, node.target, b.read(node.value))
        case ast.AugAssign():
            read_augmented(b, node)
        case ast.If():
            read_if(b, node)
        case ast.While():
            read_while(b, node)
        case ast.For():
            read_for(b, node)
        case ast.With():
            read_with(b, node)
        case ast.Return():
            read_return(b, node)
        case ast.Assert():
            read_assert(b, node)
        case ast.Break():
            read_break(b, node)
        case ast.Continue():
            read_continue(b, node)
        case _:
            refusal = REFUSED.get(type(node))
            if refusal is None:
                b.refuse(node, "syntax", f"`{type(node).__name__}` is outside the language")
            b.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)


def _poison(b: Builder, node: ast.stmt) -> None:
    """Let the names that a refused statement would have assigned cause no further diagnostic."""
    for name in names_bound(node):
        b.frame.env.setdefault(name, Poison())
        b.frame.assigned.add(name)


def _read_inside(b: Builder, node: ast.stmt) -> None:
    """Read the statements inside a refused one, for what is wrong in them too."""
    loop = Loop(Label(), Label(), len(b.frame.cleanups), set())
    b.frame.loops.append(loop)
    for block in _blocks(node):
        b.block(block)
    b.frame.loops.pop()
    b.reachable = True


def read_return(b: Builder, node: ast.Return) -> None:
    """Read ``return``, which leaves the open ``with`` blocks first."""
    frame = b.frame
    value: Value = Static(None) if node.value is None else b.read(node.value)
    if frame.single_return:
        frame.returned = value
        return
    if frame.returns_value and (b.in_property or len(b.frames) > 1):
        keep_returned(b, value, node)
    leave_blocks(b, 0)
    b.emit(Jump(frame.end, **b.at))


def read_assert(b: Builder, node: ast.Assert) -> None:
    """Read ``assert condition, message``."""
    value = condition(b, node.test)
    message = ast.unparse(node.test)
    if node.msg is not None:
        text = b.read(node.msg)
        if not isinstance(text, Static):
            b.refuse(
                node.msg, "string", f"the message of an assert is a constant, not {words(text)}",
                "a state holds no text", "a plain string",
            )  # fmt: skip
        message = str(text.object)
    expr = Const(int(bool(value.object))) if isinstance(value, Static) else value.expr
    b.emit(Check(expr, message, **b.at))


def read_if(b: Builder, node: ast.If) -> None:
    """Read ``if``; of a condition that is known now, only the branch that is taken."""
    start, body = Label(), Label()
    b.place_label(start)
    test = condition(b, node.test)
    if isinstance(test, Static):
        b.block(node.body if test.object else node.orelse)
        return
    otherwise, end = Label(), Label()
    b.emit(Branch(test.expr, otherwise, **b.at))
    b.place_label(body)
    b.marks.conditions.append(ConditionSpan(start, body, otherwise, b.where(node)))
    names = names_bound(*node.body, *node.orelse)
    before = known(b, names)
    b.block(node.body)
    ways = ways_here(b, names)
    if node.orelse:
        b.emit(Jump(end, **b.at))
    b.place_label(otherwise)
    join_ways(b, names, [before])
    b.block(node.orelse)
    ways += ways_here(b, names)
    b.place_label(end)
    join_ways(b, names, ways)


def _blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """Return the statements inside *node*, block by block; those of a function are its own."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return []
    found: list[list[ast.stmt]] = []
    for part in [node, *getattr(node, "handlers", []), *getattr(node, "cases", [])]:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(part, name, None)
            if isinstance(block, list):
                found.append(block)
    return found
