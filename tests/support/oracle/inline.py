# SPDX-License-Identifier: Apache-2.0
"""Writes the code of a thread: follows its source, and that of everything it calls."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from oracle.code import Code, Operation
from oracle.declared import Declared, Property, Unsupported, Value, decorator
from oracle.expressions import (
    Expression,
    Failed,
    Moment,
    Scope,
    augmented,
    change_set,
    expression,
    is_call,
    location,
    write,
)

SET_CHANGES = ("add", "discard", "clear")
NO_OPERATION = ("acquires", "releases", "might_sleep")
BUILT_IN = (
    "current",
    "choose",
    "len",
    "min",
    "max",
    "READ_ONCE",
    "WRITE_ONCE",
    "wait_until",
    "range",
)


def code_of(declared: Declared, number: int) -> Code:
    """Return the code of a thread."""
    thread = declared.threads[number]
    writer = _Writer(declared, Code(thread, number))
    writer.block(thread.method.body, Scope(declared, thread.method.name, ""))
    writer.mark(writer.returns[-1].end)
    for op, label in writer.jumps:
        op.target = label.at
    writer.code.finish()
    return writer.code


def property_of(declared: Declared, prop: Property) -> tuple[Expression, set[int]]:
    """Return the value of a property in a moment, and the slots that it reads.

    Its method is one ``return``.
    """
    body = [s for s in prop.method.body if not _is_docstring(s)]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        raise Unsupported(f"property {prop.name}")
    scope = Scope(declared, prop.name, "")
    return expression(body[0].value, scope), scope.used(body[0].value)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@dataclass
class _Label:
    at: int = -1


@dataclass
class _Exit:
    """A loop or a call that control can leave, and how many ``with`` were open when it began."""

    end: _Label
    opened: int
    again: _Label | None = None
    result: str | None = None


class _Writer:
    def __init__(self, declared: Declared, code: Code) -> None:
        self.declared = declared
        self.code = code
        self.depth = 0
        self.nest: tuple[int, ...] = ()
        self.line = 0
        self.count = 0
        self.returns = [_Exit(_Label(), 0)]
        self.loops: list[_Exit] = []
        self.opened: list[tuple[ast.expr, Scope]] = []
        self.jumps: list[tuple[Operation, _Label]] = []
        self.conditions: list[tuple[ast.expr, Scope]] = []
        self.calls: list[ast.FunctionDef] = []

    # --- Single operations ---------------------------------------------------------------------------

    def emit(
        self, kind: str, run: Expression, scope: Scope, *nodes: ast.AST, touches: bool = False
    ) -> Operation:
        """Append an operation that evaluates *nodes*."""
        uses = {
            scope.local(n.id)
            for node in nodes
            for n in ast.walk(node)
            if isinstance(n, ast.Name) and (n.id != "self" or scope.component is None)
        }
        touches = touches or any(scope.touches_shared(n) for n in nodes)
        plain = touches and self.depth == 0
        op = Operation(kind, run, self.line, self.nest, touches, plain, self.depth, frozenset(uses))
        self.code.operations.append(op)
        self.code.used.update(*(scope.used(node, self.code.number) for node in nodes))
        return op

    def mark(self, label: _Label) -> None:
        """Let *label* be the next operation."""
        label.at = len(self.code.operations)

    def jump(self, label: _Label, scope: Scope) -> None:
        """Append a jump; it is no statement."""
        op = self.emit("jump", _nothing, scope)
        op.line = 0
        self.jumps.append((op, label))

    def branch(self, test: ast.expr, label: _Label, scope: Scope, condition: bool = False) -> None:
        """Append a jump to *label* if *test* is false; a *test* that is written out is not a step."""
        op = self.emit("branch", expression(test, scope), scope, test)
        op.condition = condition
        self.jumps.append((op, label))

    def assign(self, name: str, value: ast.expr, scope: Scope, key: str = "") -> Operation:
        """Append ``name = value`` for a local variable; *key* is one of another call."""
        compute = expression(value, scope)
        place = key or scope.local(name)

        def action(m: Moment) -> Value:
            m.locals[place] = compute(m)

        op = self.emit("do", action, scope, value)
        op.defines = place
        return op

    def temporary(self) -> str:
        """Return a new name for a value in between."""
        self.count += 1
        return f"%{self.count}"

    def spill(self, node: ast.expr, scope: Scope) -> ast.expr:
        """Append the evaluation of *node*; return a name for its value."""
        name = self.temporary()
        self.assign(name, node, scope)
        return ast.Name(name, ast.Load())

    # --- Expressions: what is a step of its own is taken out -------------------------------------------

    def is_effect(self, node: ast.AST, scope: Scope) -> bool:
        """Return whether *node* itself (not a part of it) is a step of its own, or a call."""
        if is_call(node, "READ_ONCE") or scope.is_marked(node):
            return self.depth == 0
        if not isinstance(node, ast.Call):
            return False
        return not is_call(node, *BUILT_IN)

    def has_effect(self, node: ast.AST, scope: Scope) -> bool:
        """Return whether *node* or a part of it is a step of its own, or a call."""
        return any(self.is_effect(n, scope) for n in ast.walk(node))

    def lower(self, node: ast.expr, scope: Scope) -> ast.expr:
        """Append what *node* does in steps of its own; return the rest, which is one evaluation."""
        if not self.has_effect(node, scope):
            return node
        if self.is_effect(node, scope):
            if is_call(node, "READ_ONCE") or not isinstance(node, ast.Call):
                inner = node.args[0] if isinstance(node, ast.Call) else node
                name = self.temporary()
                self.assign(name, inner, scope).plain = False
                return ast.Name(name, ast.Load())
            return self.call(node, scope)
        match node:
            case ast.BoolOp(op=op, values=values):
                return self.shortcut(isinstance(op, ast.And), values, scope)
            case ast.UnaryOp(op=op, operand=operand):
                return ast.UnaryOp(op, self.lower(operand, scope))
            case ast.BinOp(left=left, op=op, right=right):
                x, y = self.operands([left, right], scope)
                return ast.BinOp(x, op, y)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                x, y = self.operands([left, right], scope)
                return ast.Compare(x, [op], [y])
        raise Unsupported(ast.unparse(node))

    def operands(self, nodes: list[ast.expr], scope: Scope) -> list[ast.expr]:
        """Append what *nodes* do in steps of their own, in Python's order."""
        done = []
        for i, node in enumerate(nodes):
            value = self.lower(node, scope)
            if any(self.has_effect(n, scope) for n in nodes[i + 1 :]):
                value = self.spill(value, scope)
            done.append(value)
        return done

    def shortcut(self, conjunction: bool, values: list[ast.expr], scope: Scope) -> ast.expr:
        """Append ``a and b`` or ``a or b`` with steps in it."""
        name, end = self.temporary(), _Label()
        result = ast.Name(name, ast.Load())
        for i, value in enumerate(values):
            self.assign(name, self.lower(value, scope), scope)
            if i + 1 < len(values):
                test: ast.expr = result if conjunction else ast.UnaryOp(ast.Not(), result)
                self.branch(test, end, scope)
        self.mark(end)
        return result

    # --- Calls ---------------------------------------------------------------------------------------

    def call(self, node: ast.Call, scope: Scope) -> ast.expr:
        """Append the body of the called function; return its value."""
        arguments = self.operands(node.args, scope)
        component: str | None = None
        function: ast.FunctionDef | None = None
        if isinstance(node.func, ast.Attribute):
            component = scope.static_path(node.func.value)
            if component is not None:
                function = self.declared.method(component, node.func.attr)
        elif isinstance(node.func, ast.Name):
            function = self.declared.functions.get(node.func.id)
        if function is None:
            raise Unsupported(ast.unparse(node))
        self.count += 1
        inner = Scope(self.declared, f"{function.name}@{self.count}", component)
        names = [a.arg for a in function.args.args if a.arg != "self"]
        for name, argument in zip(names, arguments, strict=True):
            self.assign(name, argument, scope, inner.local(name))
        return self.body(function, inner)

    def body(self, function: ast.FunctionDef, scope: Scope) -> ast.expr:
        """Append the body of *function*, as one step if it is atomic; return its value."""
        options = decorator(function, "atomic")
        atomic = options is not None and self.depth == 0
        result = self.temporary()
        line = self.line
        library = id(function) in self.declared.library
        if atomic:
            op = self.emit("begin", _nothing, scope, touches=True)
            op.queued = bool((options or {}).get("queued", False))
            op.waits = any(is_call(n, "wait_until") for n in ast.walk(function))
            if library and function.name == "schedule" and self.conditions:
                self.sleep(op, *self.conditions[-1])
            self.depth += 1
        else:
            self.emit("do", _nothing, scope)
        self.returns.append(_Exit(_Label(), len(self.opened), result=result))
        loops, self.loops = self.loops, []
        self.calls.append(function)
        self.assign(result, ast.Constant(None), scope)
        self.block(function.body, scope)
        self.calls.pop()
        self.mark(self.returns.pop().end)
        self.loops = loops
        self.line = line
        if atomic:
            self.emit("do", _nothing, scope)
            self.depth -= 1
        return ast.Name(result, ast.Load())

    def sleep(self, op: Operation, condition: ast.expr, scope: Scope) -> None:
        """Let *op* know the condition of the ``while`` that it sleeps in."""
        if not any(
            isinstance(n, ast.Call) and not is_call(n, *BUILT_IN) for n in ast.walk(condition)
        ):
            op.sleeps = expression(condition, scope)
            names = {scope.local(n.id) for n in ast.walk(condition) if isinstance(n, ast.Name)}
            op.uses |= names

    # --- Statements ----------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt], scope: Scope) -> None:
        """Append statements."""
        for statement in statements:
            if not _is_docstring(statement):
                inside = any(id(f) in self.declared.library for f in self.calls)
                jump = isinstance(statement, ast.Pass | ast.Break | ast.Continue | ast.Return)
                self.line = 0 if inside or jump else statement.lineno
                self.statement(statement, scope)

    def statement(self, node: ast.stmt, scope: Scope) -> None:
        """Append one statement."""
        match node:
            case ast.Expr(value=ast.Call() as call):
                self.action(call, scope)
            case ast.Assign(targets=[target], value=value):
                self.store(target, self.lower(value, scope), scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.store(target, self.lower(value, scope), scope)
            case ast.AugAssign():
                self.augment(node, scope)
            case ast.If():
                self.choice(node, scope)
            case ast.While():
                self.loop(node, scope)
            case ast.For():
                self.counted(node, scope)
            case ast.With(items=[item], body=body):
                self.locked(item.context_expr, body, scope)
            case ast.Assert(test=test):
                self.check(self.lower(test, scope), scope)
            case ast.Pass():
                self.emit("do", _nothing, scope)
            case ast.Break():
                self.leave(self.loops[-1].end, self.loops[-1].opened, scope)
            case ast.Continue():
                again = self.loops[-1].again
                assert again is not None
                self.leave(again, self.loops[-1].opened, scope)
            case ast.Return(value=value):
                self.give_back(value, scope)
            case _:
                raise Unsupported(ast.unparse(node))

    def action(self, call: ast.Call, scope: Scope) -> None:
        """Append a call that is a statement."""
        if is_call(call, *NO_OPERATION):
            return
        if is_call(call, "wait_until"):
            condition = call.args[0]
            inner = condition.body if isinstance(condition, ast.Lambda) else condition
            op = self.emit("wait", expression(inner, scope), scope, inner, touches=True)
            op.waits = True
        elif isinstance(call.func, ast.Attribute) and call.func.attr in SET_CHANGES:
            self.emit("do", change_set(call, scope), scope, call)
        else:
            self.lower(call, scope)

    def store(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        """Append an assignment."""
        if isinstance(target, ast.Name):
            self.assign(target.id, value, scope)
            return
        marked = scope.is_marked(target)
        if isinstance(target, ast.Attribute) and is_call(target.value, "WRITE_ONCE"):
            assert isinstance(target.value, ast.Call)
            target = ast.Attribute(target.value.args[0], target.attr, ast.Store())
            marked = True
        if marked and self.depth == 0 and scope.touches_shared(value):
            value = self.spill(value, scope)
        run = write(location(target, scope), expression(value, scope), scope)
        op = self.emit("do", run, scope, target, value)
        op.plain = op.plain and not marked

    def augment(self, node: ast.AugAssign, scope: Scope) -> None:
        """Append ``target op= value``."""
        target = node.target
        if isinstance(target, ast.Name) or (scope.is_marked(target) and self.depth == 0):
            load = ast.parse(ast.unparse(target), mode="eval").body
            self.store(target, self.lower(ast.BinOp(load, node.op, node.value), scope), scope)
            return
        value = self.lower(node.value, scope)
        changed = ast.AugAssign(target, node.op, value)
        self.emit("do", augmented(changed, scope), scope, target, value)

    def check(self, test: ast.expr, scope: Scope) -> None:
        """Append ``assert test``."""
        holds = expression(test, scope)

        def action(m: Moment) -> Value:
            if not holds(m):
                raise Failed("failed assert")

        self.emit("do", action, scope, test)

    def choice(self, node: ast.If, scope: Scope) -> None:
        """Append ``if``."""
        otherwise, end = _Label(), _Label()
        self.branch(self.lower(node.test, scope), otherwise, scope, condition=True)
        self.block(node.body, scope)
        if node.orelse:
            self.jump(end, scope)
        self.mark(otherwise)
        self.block(node.orelse, scope)
        self.mark(end)

    def loop(self, node: ast.While, scope: Scope) -> None:
        """Append ``while``."""
        forever = isinstance(node.test, ast.Constant) and bool(node.test.value)
        outside = self.enter_loop()
        again, end = _Label(), _Label()
        self.mark(again)
        if forever:
            self.emit("do", _nothing, scope)
        else:
            self.branch(self.lower(node.test, scope), end, scope, condition=True)
        self.loops.append(_Exit(end, len(self.opened), again=again))
        self.conditions = [*self.conditions, (node.test, scope)]
        self.block(node.body, scope)
        self.conditions = self.conditions[:-1]
        self.loops.pop()
        self.jump(again, scope)
        self.nest = outside
        self.mark(end)

    def counted(self, node: ast.For, scope: Scope) -> None:
        """Append ``for name in range(...)``."""
        if not is_call(node.iter, "range") or not isinstance(node.target, ast.Name):
            raise Unsupported(ast.unparse(node.iter))
        assert isinstance(node.iter, ast.Call)
        bounds = [self.spill(self.lower(a, scope), scope) for a in node.iter.args]
        if len(bounds) > 2:
            raise Unsupported(ast.unparse(node.iter))
        first = bounds[0] if len(bounds) == 2 else ast.Constant(0)
        counter = ast.Name(self.temporary(), ast.Load())
        self.assign(counter.id, first, scope)
        outside = self.enter_loop()
        again, more, end = _Label(), _Label(), _Label()
        self.mark(again)
        more_left = ast.Compare(counter, [ast.Lt()], [bounds[-1]])
        self.branch(more_left, end, scope, condition=True)
        self.assign(node.target.id, counter, scope)
        self.loops.append(_Exit(end, len(self.opened), again=more))
        self.block(node.body, scope)
        self.loops.pop()
        self.line = 0
        self.mark(more)
        self.assign(counter.id, ast.BinOp(counter, ast.Add(), ast.Constant(1)), scope)
        self.jump(again, scope)
        self.nest = outside
        self.mark(end)

    def enter_loop(self) -> tuple[int, ...]:
        """Begin a loop; return the loops around it. Inside a step no loop counts."""
        outside = self.nest
        if self.depth == 0:
            number = len(self.code.inside)
            self.code.inside.append((*outside, number))
            self.nest = self.code.inside[number]
        return outside

    def locked(self, lock: ast.expr, body: list[ast.stmt], scope: Scope) -> None:
        """Append ``with lock:``."""
        self.opened.append((lock, scope))
        self.lower(ast.Call(ast.Attribute(lock, "lock", ast.Load()), [], []), scope)
        self.block(body, scope)
        self.opened.pop()
        self.unlock(lock, scope)

    def unlock(self, lock: ast.expr, scope: Scope) -> None:
        """Append the end of a ``with``; it is no statement."""
        self.line = 0
        self.lower(ast.Call(ast.Attribute(lock, "unlock", ast.Load()), [], []), scope)

    def leave(self, label: _Label, opened: int, scope: Scope) -> None:
        """Append a jump out of a loop or a call: what ``with`` opened since is released."""
        self.emit("do", _nothing, scope)
        for lock, where in reversed(self.opened[opened:]):
            self.unlock(lock, where)
        self.jump(label, scope)

    def give_back(self, value: ast.expr | None, scope: Scope) -> None:
        """Append ``return``."""
        leaving = self.returns[-1]
        if value is not None and leaving.result is not None:
            self.assign(leaving.result, self.lower(value, scope), scope)
        self.leave(leaving.end, leaving.opened, scope)


def _nothing(m: Moment) -> Value:
    return None
