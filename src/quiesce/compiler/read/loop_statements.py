# SPDX-License-Identifier: Apache-2.0
"""``while``, ``for``, ``break`` and ``continue``."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from quiesce.compiler.ir import (
    Binary,
    Branch,
    ConditionSpan,
    Const,
    Jump,
    Label,
    Local,
    LoopSpan,
    SetLocal,
)
from quiesce.compiler.read.assignments import assign_one
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.conditions import condition
from quiesce.compiler.read.evaluation import frozen
from quiesce.compiler.read.inlined_call import Known, Loop
from quiesce.compiler.read.local_names import (
    count_stores,
    enter_loop,
    join_ways,
    known,
    names_bound,
    next_round,
    ways_here,
)
from quiesce.compiler.read.python_objects import static
from quiesce.compiler.read.typing_rules import integer
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Range,
    Static,
    Tuple,
    Value,
)
from quiesce.compiler.read.with_blocks import leave_blocks
from quiesce.compiler.types import IntType


def read_while(b: Builder, node: ast.While) -> None:
    """Read ``while``."""
    if node.orelse:
        _refuse_else(b, node)
    start, end = Label(), Label()
    span = LoopSpan(start, end, b.where(node))
    b.place_label(start)
    names = names_bound(*node.body)
    slots = enter_loop(b, names)
    test = condition(b, node.test)
    if isinstance(test, Static) and not test.object:
        return
    ways: list[Known] = []
    if not isinstance(test, Static):
        b.emit(Branch(test.expr, end, **b.at))
        body = Label()
        b.place_label(body)
        b.marks.conditions.append(ConditionSpan(start, body, end, b.where(node)))
        ways = [known(b, names)]
    loop = Loop(start, end, len(b.frame.cleanups), names)
    _loop_body(b, node.body, loop)
    next_round(b, slots, node)
    b.emit(Jump(start, **b.at))
    b.place_label(end)
    b.marks.loops.append(span)
    join_ways(b, names, [*ways, *loop.at_break])


def _refuse_else(b: Builder, node: ast.While | ast.For) -> None:
    b.refuse(
        node, "loop-else", "`else` after a loop is outside the language",
        "few readers know that it runs when there was no `break`",
        "a flag that is set before `break`",
    )  # fmt: skip


def _loop_body(b: Builder, body: Sequence[ast.stmt], loop: Loop) -> None:
    b.frame.loops.append(loop)
    b.block(body)
    b.frame.loops.pop()


def read_for(b: Builder, node: ast.For) -> None:
    """Read ``for``: over a range a loop, over a tuple the body once for each item."""
    if node.orelse:
        _refuse_else(b, node)
    over = b.read(node.iter)
    match over:
        case Range():
            _for_range(b, node, over)
        case ComponentArray(elements=elements, terms=terms):
            _unrolled(b, node, [Component(e, terms) for e in elements])
        case Tuple(items=items):
            _unrolled(b, node, [frozen(b, v) for v in items])
        case Static(object=tuple() as objects):
            _unrolled(b, node, [static(b, o) for o in objects])
        case _:
            b.refuse(
                node.iter, "for", "a loop goes over range(...) or over a tuple of the object",
                "its length must be known, or be a range", "for i in range(n):",
            )  # fmt: skip


def _unrolled(b: Builder, node: ast.For, items: list[Value]) -> None:
    """Read the body once for each item."""
    end = Label()
    frame = b.frame
    ways: list[Known] = []
    # A name that this loop alone binds is bound once in each round.
    here, once = count_stores([node]), count_stores(node.body)
    targets = names_bound(node.target)
    names = names_bound(node.target, *node.body)
    rounds = {
        name: once.get(name, 0) + (name in targets)
        for name, count in here.items()
        if frame.stores.get(name) == count
    }
    if len(items) > 1:
        frame.rebound |= here.keys()
    for item in items:
        following = Label()
        frame.stores.update({n: c for n, c in rounds.items() if n not in frame.slots})
        loop = Loop(following, end, len(frame.cleanups), names)
        b.begin_statement(node)
        assign_one(b, node.target, item)
        _loop_body(b, node.body, loop)
        ways += loop.at_break
        this_round = [*ways_here(b, names), *loop.at_next]
        b.place_label(following)
        join_ways(b, names, this_round)
    ways += ways_here(b, names)
    b.place_label(end)
    join_ways(b, names, ways)
    frame.stores.update({name: here[name] for name in rounds})


def _for_range(b: Builder, node: ast.For, over: Range) -> None:
    """Read a loop over a range, with a counter of its own."""
    fixed = frozen(b, over)
    assert isinstance(fixed, Range)
    start, stop = integer(b, fixed.start, node), integer(b, fixed.stop, node)
    head, following, end = Label(), Label(), Label()
    type_ = IntType(0, 0)
    counter = b.temporary(start, type_, "")
    here = Local(counter)
    b.place_label(head)
    names = names_bound(node.target, *node.body)
    slots = enter_loop(b, names)
    before = known(b, names)
    b.begin_statement(node)
    b.emit(Branch(Binary("<" if over.step > 0 else ">", here, stop), end, **b.at))
    body = Label()
    b.place_label(body)
    b.marks.conditions.append(ConditionSpan(head, body, end, b.where(node)))
    assign_one(b, node.target, Dynamic(here, type_))
    loop = Loop(following, end, len(b.frame.cleanups), names)
    _loop_body(b, node.body, loop)
    next_round(b, slots, node)
    round_ = [*loop.at_next, *ways_here(b, names)]
    b.place_label(following)
    b.begin_statement(node)
    b.emit(SetLocal(counter, Binary("+", here, Const(over.step)), **b.at))
    b.emit(Jump(head, **b.at))
    b.place_label(end)
    b.marks.loops.append(LoopSpan(head, end, b.where(node)))
    if isinstance(start, Const) and isinstance(stop, Const):
        if len(range(start.value, stop.value, over.step)):
            join_ways(b, names, [*round_, *loop.at_break])
            return
    join_ways(b, names, [before, *loop.at_break])


def read_break(b: Builder, node: ast.Break) -> None:
    """Read ``break``."""
    loop = b.frame.loops[-1]
    leave_blocks(b, loop.cleanups)
    loop.at_break += ways_here(b, loop.names)
    b.emit(Jump(loop.end, **b.at))


def read_continue(b: Builder, node: ast.Continue) -> None:
    """Read ``continue``."""
    loop = b.frame.loops[-1]
    leave_blocks(b, loop.cleanups)
    loop.at_next += ways_here(b, loop.names)
    b.emit(Jump(loop.start, **b.at))
