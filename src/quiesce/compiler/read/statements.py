# SPDX-License-Identifier: Apache-2.0
"""From Python statements to IR: branches, loops, ``with``, ``return``.

A statement that is refused is left out and reading goes on, so that all complaints come at once;
the names that it would have assigned are poisoned, so that one mistake gives one message.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from quiesce.compiler.ir import (
    Binary,
    Branch,
    Check,
    Code,
    ConditionSpan,
    Const,
    End,
    Expr,
    Halt,
    Jump,
    Label,
    Local,
    LoopSpan,
    SetLocal,
    StatementMark,
)
from quiesce.compiler.read.calls import atomic_mark, count_stores
from quiesce.compiler.read.flow import FlowReader, names_bound
from quiesce.compiler.read.frames import Frame, Known, Loop, Refused, resolve_labels
from quiesce.compiler.read.language import REFUSED
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Method,
    Poison,
    Range,
    Static,
    Tuple,
    Value,
)
from quiesce.compiler.types import BoolType, IntType, RefType


class Reader(FlowReader):
    """Reads one thread kind, or one property, from its method down."""

    def read_thread(self, method: Method) -> Code:
        """Return the operations of a thread whose body is *method*: one step if that is atomic."""
        frame = self._enter(method)
        if frame is not None:
            # A first operation of its own, so that no loop leads back to where the thread starts.
            first = Label()
            self.emit(Jump(first, **self.at))
            self.place_label(first)
            mark = atomic_mark(method)
            if mark is not None:
                self.begin_region(frame, mark)
                self.atomic_depth += 1
            self.statements(frame.node.body)
            self.place_label(frame.end)
            if mark is not None:
                self.atomic_depth -= 1
                self.emit(End(**self.at))
            self.frames.pop()
        self.emit(Halt(**self.at))
        return Code(method.function.__name__, resolve_labels(self.ops), self.slots, self.marks)

    def read_property(self, method: Method) -> Code:
        """Return the operations of a property: all atomic, the answer in slot 0, which is named."""
        answer = self.new_slot("answer", BoolType())
        self.atomic_depth = 1
        self.in_property = True
        frame = self._enter(method)
        if frame is not None:
            try:
                value = self.function_body(frame, settle=False)
                self.emit(SetLocal(answer, self.truth(value, frame.node), **self.at))
            except Refused:
                pass
            self.frames.pop()
        self.emit(Halt(**self.at))
        return Code(method.function.__name__, resolve_labels(self.ops), self.slots, self.marks)

    def _enter(self, method: Method) -> Frame | None:
        """Begin to read *method*, which is called by nobody; None if it cannot be."""
        try:
            frame = self.frame_of(method, None)
        except Refused:
            return None
        self.frames.append(frame)
        self.begin_statement(frame.node)
        try:
            self.bind(frame, [], {}, frame.node)
        except Refused:
            self.frames.pop()
            return None
        return frame

    # --- Statements -----------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        """Read statements one after the other."""
        for node in nodes:
            self.begin_statement(node)
            try:
                with self.marked(node):
                    self.statement_(node)
            except Refused:
                self.frame.refused = True
                self._poison(node)
                self._read_inside(node)

    @contextmanager
    def marked(self, node: ast.stmt) -> Iterator[None]:
        """Mark where the operations of the statement *node* begin, if it has any."""
        start = Label()
        self.place_label(start)
        before = self.emitted
        yield
        if self.emitted > before:
            self.marks.statements.append(StatementMark(start, self.where(node)))

    def statement_(self, node: ast.stmt) -> None:
        """Read one statement."""
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Expr():
                self.settled(self.read(node.value))
            case ast.Assign():
                self.assign(node)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign_one(node.target, self.read(node.value))
            case ast.AugAssign():
                self.augmented(node)
            case ast.If():
                self._if_statement(node)
            case ast.While():
                self._while(node)
            case ast.For():
                self._for(node)
            case ast.With():
                self._with(node)
            case ast.Return():
                self._return(node)
            case ast.Assert():
                self._assert(node)
            case ast.Break():
                self._leave_loop(node, lambda loop: loop.end)
            case ast.Continue():
                self._leave_loop(node, lambda loop: loop.start)
            case _:
                refusal = REFUSED.get(type(node))
                if refusal is None:
                    self.refuse(node, "syntax", f"`{type(node).__name__}` is outside the language")
                self.refuse(node, refusal.code, refusal.message, refusal.why, refusal.help)

    def _poison(self, node: ast.stmt) -> None:
        """Let the names that a refused statement would have assigned cause no further complaint."""
        for name in names_bound(node):
            self.frame.env.setdefault(name, Poison())
            self.frame.assigned.add(name)

    def _read_inside(self, node: ast.stmt) -> None:
        """Read the statements inside a refused one, for what is wrong in them too."""
        loop = Loop(Label(), Label(), None, len(self.frame.cleanups), set())
        self.frame.loops.append(loop)
        for block in _blocks(node):
            self.statements(block)
        self.frame.loops.pop()
        self.reachable = True

    def _return(self, node: ast.Return) -> None:
        frame = self.frame
        value: Value = Static(None) if node.value is None else self.read(node.value)
        if frame.single_return:
            frame.returned = value
            return
        if frame.returns_value and (self.in_property or len(self.frames) > 1):
            self.keep_returned(value, node)
        self._leave_blocks(0)
        self.emit(Jump(frame.end, **self.at))

    # --- Control flow ---------------------------------------------------------------------------

    def _if_statement(self, node: ast.If) -> None:
        start, body = Label(), Label()
        self.place_label(start)
        condition = self.condition(node.test)
        if isinstance(condition, Static):
            self.statements(node.body if condition.object else node.orelse)
            return
        otherwise, end = Label(), Label()
        self.emit(Branch(condition.expr, otherwise, **self.at))
        self.place_label(body)
        self.marks.conditions.append(ConditionSpan(start, body, otherwise, self.where(node)))
        names = names_bound(*node.body, *node.orelse)
        before = self.known(names)
        self.statements(node.body)
        ways = self.ways_here(names)
        if node.orelse:
            self.emit(Jump(end, **self.at))
        self.place_label(otherwise)
        self.join_ways(names, [before])
        self.statements(node.orelse)
        ways += self.ways_here(names)
        self.place_label(end)
        self.join_ways(names, ways)

    def _while(self, node: ast.While) -> None:
        if node.orelse:
            self._refuse_else(node)
        start, end = Label(), Label()
        span = LoopSpan(start, end, self.where(node))
        self.place_label(start)
        names = names_bound(*node.body)
        slots = self.enter_loop(names)
        before = len(self.ops)
        condition = self.condition(node.test)
        if isinstance(condition, Static) and not condition.object:
            return
        test: Expr | None = None
        ways: list[Known] = []
        if not isinstance(condition, Static):
            test = condition.expr if len(self.ops) == before else None
            self.emit(Branch(condition.expr, end, **self.at))
            body = Label()
            self.place_label(body)
            self.marks.conditions.append(ConditionSpan(start, body, end, self.where(node)))
            ways = [self.known(names)]
        loop = Loop(start, end, test, len(self.frame.cleanups), names)
        self._loop_body(node.body, loop)
        self.next_round(slots, node)
        self.emit(Jump(start, **self.at))
        self.place_label(end)
        self.marks.loops.append(span)
        self.join_ways(names, [*ways, *loop.at_break])

    def _refuse_else(self, node: ast.While | ast.For) -> None:
        self.refuse(
            node, "loop-else", "`else` after a loop is outside the language",
            "few readers know that it runs when there was no `break`",
            "a flag that is set before `break`",
        )  # fmt: skip

    def _loop_body(self, body: Sequence[ast.stmt], loop: Loop) -> None:
        self.frame.loops.append(loop)
        self.statements(body)
        self.frame.loops.pop()

    def _for(self, node: ast.For) -> None:
        if node.orelse:
            self._refuse_else(node)
        over = self.read(node.iter)
        match over:
            case Range():
                self._for_range(node, over)
            case ComponentArray(elements=elements, terms=terms):
                self._unrolled(node, [Component(e, terms) for e in elements])
            case Tuple(items=items):
                self._unrolled(node, [self.frozen(v) for v in items])
            case Static(object=tuple() as objects):
                self._unrolled(node, [self.static(o) for o in objects])
            case _:
                self.refuse(
                    node.iter, "for", "a loop goes over range(...) or over a tuple of the object",
                    "its length must be known, or be a range", "for i in range(n):",
                )  # fmt: skip

    def _unrolled(self, node: ast.For, items: list[Value]) -> None:
        """Read the body once for each item."""
        end = Label()
        frame = self.frame
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
            loop = Loop(following, end, None, len(frame.cleanups), names)
            self.begin_statement(node)
            self.assign_one(node.target, item)
            self._loop_body(node.body, loop)
            ways += loop.at_break
            this_round = [*self.ways_here(names), *loop.at_next]
            self.place_label(following)
            self.join_ways(names, this_round)
        ways += self.ways_here(names)
        self.place_label(end)
        self.join_ways(names, ways)
        frame.stores.update({name: here[name] for name in rounds})

    def _for_range(self, node: ast.For, over: Range) -> None:
        frozen = self.frozen(over)
        assert isinstance(frozen, Range)
        start, stop = self.integer(frozen.start, node), self.integer(frozen.stop, node)
        head, following, end = Label(), Label(), Label()
        type_ = IntType(0, 0)
        counter = self.temporary(start, type_, "")
        here = Local(counter)
        self.place_label(head)
        names = names_bound(node.target, *node.body)
        slots = self.enter_loop(names)
        before = self.known(names)
        self.begin_statement(node)
        self.emit(Branch(Binary("<" if over.step > 0 else ">", here, stop), end, **self.at))
        body = Label()
        self.place_label(body)
        self.marks.conditions.append(ConditionSpan(head, body, end, self.where(node)))
        self.assign_one(node.target, Dynamic(here, type_))
        loop = Loop(following, end, None, len(self.frame.cleanups), names)
        self._loop_body(node.body, loop)
        self.next_round(slots, node)
        round_ = [*loop.at_next, *self.ways_here(names)]
        self.place_label(following)
        self.begin_statement(node)
        self.emit(SetLocal(counter, Binary("+", here, Const(over.step)), **self.at))
        self.emit(Jump(head, **self.at))
        self.place_label(end)
        self.marks.loops.append(LoopSpan(head, end, self.where(node)))
        if isinstance(start, Const) and isinstance(stop, Const):
            if len(range(start.value, stop.value, over.step)):
                self.join_ways(names, [*round_, *loop.at_break])
                return
        self.join_ways(names, [before, *loop.at_break])

    def _leave_loop(self, node: ast.Break | ast.Continue, where: Callable[[Loop], Label]) -> None:
        loop = self.frame.loops[-1]
        self._leave_blocks(loop.cleanups)
        if self.reachable:
            kept = loop.at_break if isinstance(node, ast.Break) else loop.at_next
            kept.append(self.known(loop.names))
        self.emit(Jump(where(loop), **self.at))

    def _with(self, node: ast.With) -> None:
        entered = 0
        for item in node.items:
            manager = self.frozen(self.read(item.context_expr))
            if isinstance(manager, Dynamic):
                manager = self._pointed_to(manager)
            if not isinstance(manager, Component) or not self._is_manager(manager):
                self.refuse(
                    item.context_expr, "with", "`with` needs a lock of the protocol",
                    f"this is {self.words(manager)}, and has no `__enter__` and `__exit__` to inline",
                    "with self.lock:",
                )  # fmt: skip
            value = self._call_method(manager, "__enter__", item.context_expr)
            if item.optional_vars is not None:
                self.assign_one(item.optional_vars, value)
            self.frame.cleanups.append((manager, item.context_expr))
            entered += 1
        self.statements(node.body)
        for _ in range(entered):
            manager, where = self.frame.cleanups.pop()
            self.begin_statement(where)
            self._call_method(manager, "__exit__", where)

    def _pointed_to(self, reference: Dynamic) -> Value:
        if isinstance(reference.type, RefType):
            return self.pointee(reference.expr, reference.type)
        return reference

    def _is_manager(self, component: Component) -> bool:
        class_ = type(component.template)
        return hasattr(class_, "__enter__") and hasattr(class_, "__exit__")

    def _leave_blocks(self, keep: int) -> None:
        """Release what the open ``with`` blocks hold, innermost first, without closing them."""
        blocks = self.frame.cleanups
        open_blocks = list(blocks)
        while len(blocks) > keep:
            manager, where = blocks.pop()
            self._call_method(manager, "__exit__", where)
        blocks[:] = open_blocks

    def _call_method(self, component: Component, name: str, node: ast.AST) -> Value:
        method = self.member(component, name, node)
        assert isinstance(method, Method)
        arguments: list[Value] = [Static(None)] * 3 if name == "__exit__" else []
        return self.inline(method, arguments, {}, node)

    def _assert(self, node: ast.Assert) -> None:
        condition = self.condition(node.test)
        message = ast.unparse(node.test)
        if node.msg is not None:
            value = self.read(node.msg)
            if not isinstance(value, Static):
                self.refuse(
                    node.msg, "string", f"the message of an assert is a constant, not {self.words(value)}",
                    "a state holds no text", "a plain string",
                )  # fmt: skip
            message = str(value.object)
        expr = (
            Const(int(bool(condition.object))) if isinstance(condition, Static) else condition.expr
        )
        self.emit(Check(expr, message, **self.at))


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
