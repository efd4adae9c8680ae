# SPDX-License-Identifier: Apache-2.0
"""From Python statements to IR: branches, loops, ``with``, ``return``.

A statement that is refused is left out and reading goes on, so that all complaints come at once;
the names that it would have assigned are poisoned, so that one mistake gives one message.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

from quiesce.compiler.assignments import AssignmentReader
from quiesce.compiler.calls import count_stores
from quiesce.compiler.frames import Frame, Known, Loop, Refused
from quiesce.compiler.ir import (
    Binary,
    Branch,
    Check,
    Code,
    Const,
    Expr,
    Halt,
    Jump,
    Label,
    Local,
    SetLocal,
)
from quiesce.compiler.language import REFUSED
from quiesce.compiler.types import BoolType, IntType, RefType, join
from quiesce.compiler.values import (
    Ambiguous,
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


class Reader(AssignmentReader):
    """Reads one thread kind, or one property, from its method down."""

    def read_thread(self, method: Method) -> Code:
        """Return the operations of a thread whose body is *method*."""
        frame = self._enter(method)
        if frame is not None:
            # A first operation of its own, so that no loop leads back to where the thread starts.
            first = Label()
            self.emit(Jump(first, **self.at))
            self.place_label(first)
            self.statements(frame.node.body)
            self.place_label(frame.end)
            self.frames.pop()
        self.emit(Halt(**self.at))
        return Code(method.function.__name__, self.ops, self.slots)

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
        return Code(method.function.__name__, self.ops, self.slots)

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
            self._keep_returned(Static(None), callee.node)
        self.place_label(callee.end)
        if callee.returned is None:
            return Static(None)
        return self.settled(callee.returned) if settle else callee.returned

    def _return(self, node: ast.Return) -> None:
        frame = self.frame
        value: Value = Static(None) if node.value is None else self.read(node.value)
        if frame.single_return:
            frame.returned = value
            return
        if frame.returns_value and (self.in_property or len(self.frames) > 1):
            self._keep_returned(value, node)
        self._leave_blocks(0)
        self.emit(Jump(frame.end, **self.at))

    def _keep_returned(self, value: Value, node: ast.AST) -> None:
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

    # --- Statements -----------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        """Read statements one after the other."""
        for node in nodes:
            self.begin_statement(node)
            try:
                self.statement_(node)
            except Refused:
                self.frame.refused = True
                self._poison(node)
                self._read_inside(node)

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
        for name in _names_bound(node):
            self.frame.env.setdefault(name, Poison())
            self.frame.assigned.add(name)

    def _read_inside(self, node: ast.stmt) -> None:
        """Read the statements inside a refused one, for what is wrong in them too."""
        loop = Loop(Label(), Label(), None, len(self.frame.cleanups))
        self.frame.loops.append(loop)
        for block in _blocks(node):
            self.statements(block)
        self.frame.loops.pop()
        self.reachable = True

    # --- Control flow ---------------------------------------------------------------------------

    def _if_statement(self, node: ast.If) -> None:
        condition = self.condition(node.test)
        if isinstance(condition, Static):
            self.statements(node.body if condition.object else node.orelse)
            return
        otherwise, end = Label(), Label()
        self.emit(Branch(condition.expr, otherwise, **self.at))
        before = self._known()
        self.statements(node.body)
        ways = self._ways_here()
        if node.orelse:
            self.emit(Jump(end, **self.at))
        self.place_label(otherwise)
        self._join([before])
        self.statements(node.orelse)
        ways += self._ways_here()
        self.place_label(end)
        self._join(ways)

    # --- What is known of the local names -----------------------------------------------------------

    def _known(self) -> Known:
        return Known(set(self.frame.assigned), dict(self.frame.env))

    def _ways_here(self) -> list[Known]:
        """Return what is known here, if control can come here at all."""
        return [self._known()] if self.reachable else []

    def _join(self, ways: Sequence[Known]) -> None:
        """Go on where several ways come together; nothing changes if there is none.

        Only what all of them assigned has a value, and a name stands for something only if it does on
        all of them.
        """
        if not ways:
            return
        frame = self.frame
        frame.assigned = set.intersection(*(w.assigned for w in ways))
        env = dict(ways[0].env)
        for way in ways[1:]:
            for name, value in way.env.items():
                env[name] = self._both(env.get(name, value), value)
        frame.env = env
        frame.slots = {
            name: value.expr.slot
            for name, value in env.items()
            if isinstance(value, Dynamic) and isinstance(value.expr, Local) and name in frame.slots
        }

    def _both(self, one: Value, other: Value) -> Value:
        """Return what a name stands for that is *one* on one way and *other* on another."""
        if one == other:
            return one
        if isinstance(one, Dynamic) and isinstance(other, Dynamic) and one.expr == other.expr:
            if isinstance(one.expr, Local):
                # The type has grown on one of them.
                return Dynamic(one.expr, self.slot_type(one.expr.slot))
        return Ambiguous()

    def _enter_loop(self, bodies: Iterable[ast.AST]) -> dict[str, int]:
        """Prepare to read a loop's body: a name that it binds may stand for what it bound last time.

        :return: the slots of the local variables, for :meth:`_next_round`.
        """
        frame = self.frame
        bound = {name for body in bodies for name in _names_bound(body)}
        for name in bound & frame.env.keys() - frame.slots.keys():
            if not _has_slots(frame.env[name]):
                frame.env[name] = Ambiguous()
        return dict(frame.slots)

    def _next_round(self, slots: dict[str, int], node: ast.AST) -> None:
        """Refuse a name that stands for something else in the next round than in the first."""
        for name, slot in self.frame.slots.items():
            if slots.get(name, slot) != slot:
                self.refuse(
                    node, "alias", f"`{name}` stands for an element of another array after each round",
                    "a local name for a component or a constant is replaced by it where it stands",
                    "use two names",
                )  # fmt: skip

    def _while(self, node: ast.While) -> None:
        if node.orelse:
            self._refuse_else(node)
        start, end = Label(), Label()
        self.place_label(start)
        slots = self._enter_loop(node.body)
        before = len(self.ops)
        condition = self.condition(node.test)
        if isinstance(condition, Static) and not condition.object:
            return
        test: Expr | None = None
        ways: list[Known] = []
        if not isinstance(condition, Static):
            test = condition.expr if len(self.ops) == before else None
            self.emit(Branch(condition.expr, end, **self.at))
            ways = [self._known()]
        loop = Loop(start, end, test, len(self.frame.cleanups))
        self._loop_body(node.body, loop)
        self._next_round(slots, node)
        self.emit(Jump(start, **self.at))
        self.place_label(end)
        self._join([*ways, *loop.at_break])

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
        targets = _names_bound(node.target)
        rounds = {
            name: once.get(name, 0) + (name in targets)
            for name, count in here.items()
            if frame.stores.get(name) == count
        }
        for item in items:
            following = Label()
            frame.stores.update({n: c for n, c in rounds.items() if n not in frame.slots})
            loop = Loop(following, end, None, len(frame.cleanups))
            self.begin_statement(node)
            self.assign_one(node.target, item)
            self._loop_body(node.body, loop)
            ways += loop.at_break
            this_round = [*self._ways_here(), *loop.at_next]
            self.place_label(following)
            self._join(this_round)
        ways += self._ways_here()
        self.place_label(end)
        self._join(ways)
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
        slots = self._enter_loop([node.target, *node.body])
        before = self._known()
        self.begin_statement(node)
        self.emit(Branch(Binary("<" if over.step > 0 else ">", here, stop), end, **self.at))
        self.assign_one(node.target, Dynamic(here, type_))
        loop = Loop(following, end, None, len(self.frame.cleanups))
        self._loop_body(node.body, loop)
        self._next_round(slots, node)
        round_ = [*loop.at_next, *self._ways_here()]
        self.place_label(following)
        self.begin_statement(node)
        self.emit(SetLocal(counter, Binary("+", here, Const(over.step)), **self.at))
        self.emit(Jump(head, **self.at))
        self.place_label(end)
        if isinstance(start, Const) and isinstance(stop, Const):
            if len(range(start.value, stop.value, over.step)):
                self._join([*round_, *loop.at_break])
                return
        self._join([before, *loop.at_break])

    def _leave_loop(self, node: ast.Break | ast.Continue, where: Callable[[Loop], Label]) -> None:
        loop = self.frame.loops[-1]
        self._leave_blocks(loop.cleanups)
        if self.reachable:
            kept = loop.at_break if isinstance(node, ast.Break) else loop.at_next
            kept.append(self._known())
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


def _has_slots(value: Value) -> bool:
    """Whether *value* is a tuple whose items are kept in slots of their own."""
    return isinstance(value, Tuple) and all(
        isinstance(v, Dynamic) and isinstance(v.expr, Local) for v in value.items
    )


def _names_bound(node: ast.AST) -> set[str]:
    """Return the names that *node* binds, by whichever construct."""
    names: set[str] = set()
    for inner in ast.walk(node):
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
