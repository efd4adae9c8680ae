# SPDX-License-Identifier: Apache-2.0
"""From Python statements to IR: assignments, branches, loops, ``with``, ``return``.

A statement that is refused is left out and reading goes on, so that all complaints come at once;
the names that it would have assigned are poisoned, so that one mistake gives one message.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from quiesce.compiler.calls import CallReader, count_stores
from quiesce.compiler.frames import ZERO, Frame, Loop, Refused
from quiesce.compiler.ir import (
    Binary,
    Branch,
    Bump,
    Check,
    Code,
    Const,
    Expr,
    Halt,
    Jump,
    Label,
    Local,
    SetLocal,
    Store,
)
from quiesce.compiler.language import REFUSED
from quiesce.compiler.types import (
    BoolType,
    EnumType,
    IntType,
    NoneType,
    RefType,
    SetType,
    SnapshotType,
    TaskType,
    Type,
    describe,
    join,
)
from quiesce.compiler.values import (
    Component,
    ComponentArray,
    Dynamic,
    Method,
    Place,
    Poison,
    Range,
    Static,
    Tuple,
    Value,
    VersionPlace,
)


class Reader(CallReader):
    """Reads one thread kind, or one property, from its method down."""

    def read_thread(self, method: Method) -> Code:
        """Return the operations of a thread whose body is *method*."""
        frame = self._enter(method)
        # A first operation of its own, so that no loop leads back to where the thread starts.
        first = Label()
        self.emit(Jump(first, **self.at))
        self.place_label(first)
        self.statements(frame.node.body)
        self.place_label(frame.end)
        self.emit(Halt(**self.at))
        self.frames.pop()
        return Code(method.function.__name__, self.ops, self.slots)

    def read_property(self, method: Method) -> Code:
        """Return the operations of a property: all atomic, the answer in slot 0, which is named."""
        answer = self.new_slot("answer", BoolType())
        self.atomic_depth = 1
        frame = self._enter(method)
        try:
            value = self.function_body(frame, settle=False)
            self.emit(SetLocal(answer, self.truth(value, frame.node), **self.at))
        except Refused:
            pass
        self.emit(Halt(**self.at))
        self.frames.pop()
        return Code(method.function.__name__, self.ops, self.slots)

    def _enter(self, method: Method) -> Frame:
        import inspect

        from quiesce.compiler.source import function_node

        function = inspect.unwrap(method.function)
        node = function_node(function)
        frame = Frame(
            method.function, node, function.__code__.co_filename, method.defining, method.receiver
        )
        self.frames.append(frame)
        self.begin_statement(node)
        try:
            self._bind(frame, [], {}, node)
        except Refused:
            frame.env[node.args.args[0].arg] = method.receiver
        frame.stores = count_stores(node)
        return frame

    # --- Functions ------------------------------------------------------------------------------

    def function_body(self, callee: Frame, settle: bool) -> Value:
        """Read the body of an inlined function and return its value."""
        callee.stores = count_stores(callee.node)
        body = callee.node.body
        returns = [n for n in ast.walk(callee.node) if isinstance(n, ast.Return)]
        callee.single_return = len(returns) == 1 and body[-1] is returns[0]
        self.statements(body)
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
        if node.value is not None:
            if frame.returned is None:
                frame.returned = self._return_slots(value, node)
            self._store_returned(frame.returned, value, node)
        self._leave_blocks(0)
        self.emit(Jump(frame.end, **self.at))

    def _return_slots(self, value: Value, node: ast.AST) -> Value:
        if isinstance(value, Tuple):
            return Tuple(tuple(self._return_slots(v, node) for v in value.items))
        if isinstance(value, Component) and self._is_plain_component(value):
            return value
        type_ = self.type_of(value, node)
        name = f"{self.frame.name}()"
        return Dynamic(Local(self.new_slot(name, type_)), type_)

    def _is_plain_component(self, value: Component) -> bool:
        from quiesce.protocol import Task

        return not isinstance(value.template, Task) and self.array_of(value) is None

    def _store_returned(self, target: Value, value: Value, node: ast.AST) -> None:
        match target, value:
            case Tuple(items=slots), Tuple(items=items) if len(slots) == len(items):
                for slot, item in zip(slots, [self.settled(i) for i in items], strict=True):
                    self._store_returned(slot, item, node)
                return
            case Component(), _ if target == value:
                return
            case Dynamic(expr=Local(slot=slot)), _:
                self._join_slot(slot, value, node, "the values returned here")
                self.emit(SetLocal(slot, self._for_slot(slot, value, node), **self.at))
                # The type may have grown since the first `return`.
                self.frame.returned = self._retyped(self.frame.returned)
                return
        self.refuse(node, "return", "the values returned on different paths do not go together")

    def _retyped(self, value: Value | None) -> Value | None:
        match value:
            case Dynamic(expr=Local(slot=slot)):
                return Dynamic(Local(slot), self._slot_type(slot))
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
                self._poison(node)

    def statement_(self, node: ast.stmt) -> None:
        """Read one statement."""
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Expr():
                self.read(node.value)
            case ast.Assign():
                self._assign(node)
            case ast.AnnAssign():
                if node.value is not None:
                    self._assign_one(node.target, self.read(node.value))
            case ast.AugAssign():
                self._augmented(node)
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
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.frame.env.setdefault(inner.id, Poison())

    # --- Assignment -----------------------------------------------------------------------------

    def _assign(self, node: ast.Assign) -> None:
        value = self.read(node.value)
        if len(node.targets) > 1:
            value = self.settled(value)
        for target in node.targets:
            self._assign_one(target, value)

    def _assign_one(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Tuple):
            if not isinstance(value, Tuple) or len(value.items) != len(target.elts):
                self.refuse(target, "unpack", f"this needs {len(target.elts)} values")
            items = [self.settled(v) for v in value.items]
            for inner, item in zip(target.elts, items, strict=True):
                self._assign_one(inner, item)
        elif isinstance(target, ast.Name):
            self._assign_local(target, value)
        else:
            self._store(self.place(target), value, target)

    def _store(self, place: Place | Value, value: Value, node: ast.AST) -> None:
        if isinstance(place, VersionPlace):
            self.refuse(
                node, "version-store", "a Version is only incremented",
                "what is kept of it is whether it changed since a look at it", "self.seq += 1",
            )  # fmt: skip
        if not isinstance(place, Place):
            self.refuse(
                node, "store", "this is no shared variable",
                "attributes that are not declared are constants of the scenario",
                "declare it on the class: `name = Int(0)`, or `Bool()`, `TaskRef()`, ...",
            )  # fmt: skip
        type_ = place.type
        if isinstance(type_, SnapshotType) and value == Static(None):
            expr: Expr = ZERO  # no look: like one that is out of date
        elif isinstance(type_, SnapshotType):
            expr = self.coerce(value, self._snapshot_cell(place, value, node), node, "the variable")
        else:
            expr = self.coerce(value, type_, node, "the variable")
        marked = place.marked or self.atomic_depth > 0
        self.emit(Store(place.address, expr, place.low, place.high, marked, **self.at))

    def _snapshot_cell(self, place: Place, value: Value, node: ast.AST) -> Type:
        """Note which version a Snapshot variable follows; it follows only one."""
        given = self.type_of(value, node)
        if not isinstance(given, SnapshotType):
            self.refuse(
                node, "snapshot", f"a Snapshot keeps a look at a Version, not {describe(given)}"
            )
        cells = {place.address.base}
        for term in place.address.terms:
            cells = {base + i * term.stride for base in cells for i in range(term.length)}
        for cell in cells:
            known = self.layout.cells[cell].type
            both = join(known, given)
            if both is None:
                self.refuse(node, "snapshot", "this Snapshot already follows another Version")
            self.layout.cells[cell].type = both
        return given

    def _assign_local(self, target: ast.Name, value: Value) -> None:
        frame, name = self.frame, target.id
        once = frame.stores.get(name, 0) == 1 and name not in frame.slots
        match value:
            case Static(object=obj) if not isinstance(obj, int | None) and not _is_member(obj):
                self._alias(target, value)
                return
            case Static() if once:
                frame.env[name] = value
                return
            case Component() if not once and self._has_type(value):
                pass
            case Component():
                self._alias(target, Component(value.template, self.settled_terms(value.terms)))
                return
            case ComponentArray() | Method() | Range():
                self._alias(target, value)
                return
            case Tuple() if once:
                frame.env[name] = self.settled(value)
                return
            case Poison():
                frame.env[name] = value
                return
        slot = frame.slots.get(name)
        if slot is None:
            slot = frame.slots[name] = self.new_slot(name, self.type_of(value, target))
        else:
            self._join_slot(slot, value, target, f"`{name}`")
        if isinstance(self._slot_type(slot), SetType):
            self.refuse(
                target, "set-local", "a set cannot be kept in a local variable",
                "in Python the name would stand for the variable itself, not for its value now",
                "use the variable where it is needed, or copy it into another Set variable",
            )  # fmt: skip
        self.emit(SetLocal(slot, self._for_slot(slot, value, target), **self.at))
        frame.env[name] = Dynamic(Local(slot), self._slot_type(slot))

    def _has_type(self, value: Component) -> bool:
        from quiesce.protocol import Task

        return isinstance(value.template, Task) or self.array_of(value) is not None

    def _alias(self, target: ast.Name, value: Value) -> None:
        frame = self.frame
        old = frame.env.get(target.id)
        if old is not None and old != value and not isinstance(old, Poison):
            self.refuse(
                target, "alias", f"`{target.id}` stands for two different things",
                "a local name for a component or a constant stands for the same one throughout",
                "use another name",
            )  # fmt: skip
        frame.env[target.id] = value

    def _slot_type(self, slot: int) -> Type:
        type_ = self.slots[slot].type
        assert isinstance(
            type_,
            IntType | BoolType | EnumType | TaskType | RefType | SetType | SnapshotType | NoneType,
        )
        return type_

    def _join_slot(self, slot: int, value: Value, node: ast.AST, what: str) -> None:
        old, new = self._slot_type(slot), self.type_of(value, node)
        both = join(old, new)
        if both is None:
            self.refuse(node, "type", f"{what} would hold {describe(old)} and {describe(new)}")
        self.slots[slot].type = both

    def _for_slot(self, slot: int, value: Value, node: ast.AST) -> Expr:
        return self.coerce(value, self._slot_type(slot), node)

    def _augmented(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            left = self.read(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target))
            right = self.read(node.value)
            self._assign_local(node.target, self.arithmetic(left, node.op, right, node))
            return
        place = self.place(node.target)
        if isinstance(place, VersionPlace):
            amount = self.read(node.value)
            if not isinstance(node.op, ast.Add) or not isinstance(amount, Static):
                self.refuse(
                    node, "version-store", "a Version is only incremented", "", "self.seq += 1"
                )
            marked = place.marked or self.atomic_depth > 0
            self.emit(Bump(place.version, marked, **self.at))
            return
        if not isinstance(place, Place):
            self._store(place, Static(None), node.target)
            return
        left = self.load(place)
        right = self.read(node.value)
        self._store(place, self.arithmetic(left, node.op, right, node), node.target)

    # --- Control flow ---------------------------------------------------------------------------

    def _if_statement(self, node: ast.If) -> None:
        condition = self.read(node.test)
        if isinstance(condition, Static):
            self.statements(node.body if condition.object else node.orelse)
            return
        otherwise, end = Label(), Label()
        self.emit(Branch(self.truth(condition, node.test), otherwise, **self.at))
        self.statements(node.body)
        if node.orelse:
            self.emit(Jump(end, **self.at))
        self.place_label(otherwise)
        self.statements(node.orelse)
        self.place_label(end)

    def _while(self, node: ast.While) -> None:
        if node.orelse:
            self.refuse(node, "loop-else", "`else` after a loop is outside the language")
        start, end = Label(), Label()
        self.place_label(start)
        before = len(self.ops)
        condition = self.read(node.test)
        if isinstance(condition, Static) and not condition.object:
            return
        test: Expr | None = None
        if not isinstance(condition, Static):
            test = self.truth(condition, node.test)
            pure = test if len(self.ops) == before else None
            self.emit(Branch(test, end, **self.at))
            test = pure
        self._loop_body(node.body, Loop(start, end, test, len(self.frame.cleanups)))
        self.emit(Jump(start, **self.at))
        self.place_label(end)

    def _loop_body(self, body: Sequence[ast.stmt], loop: Loop) -> None:
        self.frame.loops.append(loop)
        self.statements(body)
        self.frame.loops.pop()

    def _for(self, node: ast.For) -> None:
        if node.orelse:
            self.refuse(node, "loop-else", "`else` after a loop is outside the language")
        over = self.read(node.iter)
        match over:
            case Range():
                self._for_range(node, over)
            case ComponentArray(elements=elements, terms=terms):
                self._unrolled(node, [Component(e, terms) for e in elements])
            case Tuple(items=items):
                self._unrolled(node, list(items))
            case Static(object=tuple() as objects):
                self._unrolled(node, [self.static(o) for o in objects])
            case _:
                self.refuse(
                    node.iter, "for", "a loop goes over range(...) or over a tuple of the object",
                    "its length must be known, or be a range", "for i in range(n):",
                )  # fmt: skip

    def _unrolled(self, node: ast.For, items: list[Value]) -> None:
        end = Label()
        for item in items:
            following = Label()
            for name in ast.walk(node.target):
                if isinstance(name, ast.Name):
                    self.frame.env.pop(name.id, None)
                    self.frame.stores[name.id] = 1
            self.begin_statement(node)
            self._assign_one(node.target, item)
            self._loop_body(node.body, Loop(following, end, None, len(self.frame.cleanups)))
            self.place_label(following)
        self.place_label(end)

    def _for_range(self, node: ast.For, over: Range) -> None:
        start, stop = self.integer(over.start, node), self.integer(over.stop, node)
        head, following, end = Label(), Label(), Label()
        type_ = IntType(0, 0)
        counter = self.temporary(start, type_, "")
        here = Local(counter)
        self.place_label(head)
        self.begin_statement(node)
        self.emit(Branch(Binary("<" if over.step > 0 else ">", here, stop), end, **self.at))
        self._assign_one(node.target, Dynamic(here, type_))
        self._loop_body(node.body, Loop(following, end, None, len(self.frame.cleanups)))
        self.place_label(following)
        self.begin_statement(node)
        self.emit(SetLocal(counter, Binary("+", here, Const(over.step)), **self.at))
        self.emit(Jump(head, **self.at))
        self.place_label(end)

    def _leave_loop(self, node: ast.stmt, where: Callable[[Loop], Label]) -> None:
        if not self.frame.loops:
            self.refuse(node, "loop", "this is not in a loop")
        loop = self.frame.loops[-1]
        self._leave_blocks(loop.cleanups)
        self.emit(Jump(where(loop), **self.at))

    def _with(self, node: ast.With) -> None:
        entered = 0
        for item in node.items:
            manager = self.read(item.context_expr)
            if not isinstance(manager, Component):
                self.refuse(item.context_expr, "with", "`with` needs a lock of the protocol")
            value = self._call_method(manager, "__enter__", item.context_expr)
            if item.optional_vars is not None:
                self._assign_one(item.optional_vars, value)
            self.frame.cleanups.append((manager, item.context_expr))
            entered += 1
        self.statements(node.body)
        for _ in range(entered):
            manager, where = self.frame.cleanups.pop()
            self.begin_statement(where)
            self._call_method(manager, "__exit__", where)

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
        condition = self.truth(self.read(node.test), node.test)
        message = ast.unparse(node.test)
        if node.msg is not None:
            value = self.read(node.msg)
            if isinstance(value, Static):
                message = str(value.object)
        self.emit(Check(condition, message, **self.at))


def _is_member(value: object) -> bool:
    import enum

    return isinstance(value, enum.Enum)
