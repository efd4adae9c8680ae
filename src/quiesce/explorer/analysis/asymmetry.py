# SPDX-License-Identifier: Apache-2.0
"""What tells threads of one kind apart: their names in code, their variables reached by number.

Values that name tasks are followed through the IR by their types. They may be copied, compared with each
other or with None, kept in variables for tasks, and used to index what belongs to tasks. A constant that
names a task tells that task from the others; so does an index that reaches a task's variable other
than through the task. Anything that cannot be followed tells all tasks apart.
"""

from __future__ import annotations

from typing import assert_never

from quiesce.compiler.ir import (
    Address,
    Await,
    Begin,
    Binary,
    Branch,
    Bump,
    Check,
    Choose,
    Code,
    Const,
    Current,
    End,
    Expr,
    Halt,
    IfElse,
    Jump,
    Load,
    Local,
    LockEvent,
    Op,
    SetLocal,
    Store,
    Unary,
    VersionRead,
    walk,
)
from quiesce.compiler.program import Program
from quiesce.compiler.types import SetType, TaskType, Type
from quiesce.explorer.analysis.formula import is_symmetric


class _Untracked(Exception):
    """A value that names tasks is used in a way that is not understood."""


def told_apart(program: Program) -> set[int]:
    """Return the threads that something in *program* tells from others of their kind."""
    everyone = set(range(len(program.threads)))
    found: set[int] = set()
    try:
        for kind in program.kinds:
            found |= _TaskFollower(program, kind.code).follow()
    except _Untracked:
        return everyone
    for prop in program.properties:
        try:
            named = _TaskFollower(program, prop.code, in_property=True).follow()
        except _Untracked:
            return everyone
        if named:
            found |= _asymmetric_threads(program, prop.code)
    return found


def _asymmetric_threads(program: Program, code: Code) -> set[int]:
    """Return the threads of each kind that the property *code* tells apart."""
    found: set[int] = set()
    for kind in program.kinds:
        members = [i for i, t in enumerate(program.threads) if t.kind is kind]
        if len(members) > 1 and not is_symmetric(program, code, members):
            found |= set(members)
    return found


class _TaskFollower:
    """Follows task values through one piece of code."""

    def __init__(self, program: Program, code: Code, in_property: bool = False) -> None:
        self.program = program
        self.code = code
        self.in_property = in_property
        self.named: set[int] = set()

    def follow(self) -> set[int]:
        """Return the threads that the code names.

        :raises _Untracked: a use of a task value is not understood.
        """
        for op in self.code.ops:
            self._operation(op)
        return self.named

    def _operation(self, op: Op) -> None:
        match op:
            case SetLocal(slot=slot, value=value):
                self._assign(self.code.slots[slot].type, value)
            case Choose(slot=slot, options=options):
                for option in options:
                    self._assign(self.code.slots[slot].type, option)
            case Store(address=address, value=value):
                self._address(address)
                self._assign(self._cell_type(address), value)
            case Await(condition=condition) | Check(condition=condition):
                self._plain(condition)
            case Branch(condition=condition):
                self._plain(condition)
            case LockEvent() | Bump() | Jump() | Begin() | End() | Halt():
                # They assign nothing that could be a task; what lockdep is told is not part of a state.
                pass
            case _:
                assert_never(op)

    def _assign(self, type_: object, value: Expr) -> None:
        if isinstance(type_, TaskType):
            self._task(value)
        elif isinstance(type_, SetType) and type_.of_tasks:
            self._set(value)
        else:
            self._plain(value)

    def _kind(self, expr: Expr) -> str:
        """Return ``task``, ``set`` or ``plain`` for what *expr* is by its form."""
        match expr:
            case Current():
                return "task"
            case Local(slot=slot):
                return _of_type(self.code.slots[slot].type)
            case Load(address=address):
                return _of_type(self._cell_type(address))
            case IfElse(then=then, otherwise=otherwise):
                kinds = {self._kind(then), self._kind(otherwise)} - {"plain"}
                return kinds.pop() if len(kinds) == 1 else "plain"
            case Binary(op="|" | "&", left=left, right=right):
                return "set" if "set" in (self._kind(left), self._kind(right)) else "plain"
            case Const() | VersionRead() | Unary() | Binary():
                return "plain"
            case _:
                assert_never(expr)

    def _cell_type(self, address: Address) -> Type:
        return self.program.cells[address.base].type

    # --- By what is expected ----------------------------------------------------------------------

    def _task(self, expr: Expr) -> None:
        """A task or None is expected."""
        match expr:
            case Const(value=value):
                if value:
                    self.named.add(value - 1)
            case Current():
                pass
            case Local() if self._kind(expr) == "task":
                pass
            case Load(address=address) if self._kind(expr) == "task":
                self._address(address)
            case IfElse(condition=condition, then=then, otherwise=otherwise):
                self._plain(condition)
                self._task(then)
                self._task(otherwise)
            case Local() | Load() | VersionRead() | Unary() | Binary():
                raise _Untracked
            case _:
                assert_never(expr)

    def _set(self, expr: Expr) -> None:
        """A set of tasks is expected."""
        match expr:
            case Const(value=value):
                everyone = (1 << len(self.program.threads)) - 1
                if value not in (0, everyone, -1):
                    self.named |= {t for t in range(value.bit_length()) if value >> t & 1}
            case Local() if self._kind(expr) == "set":
                pass
            case Load(address=address) if self._kind(expr) == "set":
                self._address(address)
            case Binary(op="|" | "&", left=left, right=right):
                self._set(left)
                self._set(right)
            case Unary(op="~", operand=operand):
                self._set(operand)
            case Binary(op="<<", left=Const(value=1), right=Binary(op="-", left=task, right=one)):
                if one != Const(1):
                    raise _Untracked
                self._task(task)
            case IfElse(condition=condition, then=then, otherwise=otherwise):
                self._plain(condition)
                self._set(then)
                self._set(otherwise)
            case Current() | Local() | Load() | VersionRead() | Unary() | Binary():
                raise _Untracked
            case _:
                assert_never(expr)

    def _plain(self, expr: Expr) -> None:
        """A value that names no thread is expected."""
        match expr:
            case Load(address=address):
                if self._kind(expr) != "plain":
                    # As a truth value: is there one at all.
                    self._address(address)
                    return
                self._address(address)
            case Current():
                pass
            case Local() | Const():
                pass
            case Binary(op="==" | "!=", left=left, right=right):
                kinds = {self._kind(left), self._kind(right)}
                expected = self._task if "task" in kinds else self._plain
                if "set" in kinds:
                    expected = self._set
                expected(left)
                expected(right)
            case Binary(op="bit", left=left, right=right) if self._kind(left) == "set":
                self._set(left)
                match right:
                    case Binary(op="-", left=task, right=Const(value=1)):
                        self._task(task)
                    case Const(value=number):
                        self.named.add(number)
                    case _:
                        raise _Untracked
            case Binary(op="and" | "or", left=left, right=right):
                self._plain(left)
                self._plain(right)
            case Binary(left=left, right=right):
                if {self._kind(left), self._kind(right)} != {"plain"}:
                    raise _Untracked
                self._plain(left)
                self._plain(right)
            case Unary(op="not", operand=operand):
                self._plain(operand)
            case Unary(op="count", operand=operand) if self._kind(operand) == "set":
                self._set(operand)
            case Unary(operand=operand):
                if self._kind(operand) != "plain":
                    raise _Untracked
                self._plain(operand)
            case IfElse(condition=condition, then=then, otherwise=otherwise):
                self._plain(condition)
                self._plain(then)
                self._plain(otherwise)
            case VersionRead():
                pass
            case _:
                assert_never(expr)

    # --- Addresses --------------------------------------------------------------------------------

    def _address(self, address: Address) -> None:
        """Follow the indices of *address*; what belongs to tasks is only reached through them."""
        cells = self.program.cells
        owned = [t for t in address.terms if self._walks_over_tasks(address, t.length, t.stride)]
        for term in address.terms:
            if term in owned:
                match term.index:
                    case Const(value=value):
                        self.named.add(value)
                    case Binary(op="-", left=task, right=Const(value=1)):
                        self._task(task)
                    case _:
                        raise _Untracked
            else:
                if any(self._names(e) for e in walk(term.index)):
                    raise _Untracked
                self._plain(term.index)
        if not owned and cells[address.base].task >= 0:
            self.named.add(cells[address.base].task)
        if not owned and len(address.terms) and self._reaches_tasks(address):
            raise _Untracked

    def _names(self, expr: Expr) -> bool:
        return self._kind(expr) in ("task", "set")

    def _walks_over_tasks(self, address: Address, length: int, stride: int) -> bool:
        cells = self.program.cells
        return length == len(self.program.threads) and all(
            cells[address.base + i * stride].task == i for i in range(length)
        )

    def _reaches_tasks(self, address: Address) -> bool:
        from quiesce.compiler.atomic_steps import cells_of

        reached = cells_of(address.base, address.terms)
        return any(self.program.cells[c].task >= 0 for c in reached)


def _of_type(type_: object) -> str:
    if isinstance(type_, TaskType):
        return "task"
    if isinstance(type_, SetType) and type_.of_tasks:
        return "set"
    return "plain"
