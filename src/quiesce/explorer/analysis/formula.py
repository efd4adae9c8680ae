# SPDX-License-Identifier: Apache-2.0
"""Whether a property is symmetric in threads: its formula, with two of them exchanged, is the same one.

A property's code is unrolled into one expression (it is a tree of branches without loops once the
``for`` over tasks is unrolled), which is brought into a form in which the order of operands that does not
matter is sorted away. Whatever is not understood counts as not symmetric.
"""

from __future__ import annotations

from itertools import pairwise
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
    SetLocal,
    Store,
    Unary,
    VersionRead,
    walk,
)
from quiesce.compiler.program import Program
from quiesce.compiler.types import SetType, TaskType

_LIMIT = 4000
"""Operations after which unrolling a property is given up."""

Form = tuple[object, ...]


class _NotUnderstood(Exception):
    """The property is not a tree of branches, or too large."""


def is_symmetric(program: Program, code: Code, members: list[int]) -> bool:
    """Return whether the property *code* is symmetric in the threads *members*."""
    try:
        formula = _Unroller(code).unroll()
        plain = _normal(program, formula, {})
        return all(_normal(program, formula, {a: b, b: a}) == plain for a, b in pairwise(members))
    except (_NotUnderstood, RecursionError):
        return False


class _Unroller:
    """Turns the code of a property into one expression."""

    def __init__(self, code: Code) -> None:
        self.ops = code.ops
        self.budget = _LIMIT

    def unroll(self) -> Expr:
        return self._from(0, {})

    def _from(self, position: int, env: dict[int, Expr]) -> Expr:
        while True:
            self.budget -= 1
            if self.budget < 0:
                raise _NotUnderstood
            if position == len(self.ops) - 1:
                return env[0]
            op = self.ops[position]
            match op:
                case SetLocal(slot=slot, value=value):
                    env = {**env, slot: self._substituted(value, env)}
                case Jump(target=target):
                    position = target.position
                    continue
                case Branch(condition=condition, target=target):
                    test = self._substituted(condition, env)
                    then = self._from(position + 1, env)
                    return IfElse(test, then, self._from(target.position, env))
                case Begin() | End() | LockEvent() | Halt():
                    pass
                case Store() | Bump() | Await() | Choose() | Check():
                    raise _NotUnderstood
                case _:
                    assert_never(op)
            position += 1

    def _substituted(self, expr: Expr, env: dict[int, Expr]) -> Expr:
        match expr:
            case Local(slot=slot):
                if slot not in env:
                    raise _NotUnderstood
                return env[slot]
            case Unary(op=op, operand=operand):
                return Unary(op, self._substituted(operand, env))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self._substituted(left, env), self._substituted(right, env))
            case IfElse(condition=condition, then=then, otherwise=otherwise):
                return IfElse(
                    self._substituted(condition, env),
                    self._substituted(then, env),
                    self._substituted(otherwise, env),
                )
            case Load(address=address):
                if any(isinstance(e, Local) for t in address.terms for e in walk(t.index)):
                    raise _NotUnderstood
                return expr
            case Const() | Current() | VersionRead():
                return expr
            case _:
                assert_never(expr)


def _normal(program: Program, expr: Expr, swap: dict[int, int]) -> Form:
    """Return the normal form of *expr* with the threads of *swap* exchanged."""
    match expr:
        case Const(value=value):
            return ("const", value)
        case VersionRead(version=version):
            return ("version", version)
        case Load(address=address):
            cell = _known_cell(address)
            if cell is None:
                return ("load", address.base, _terms(program, expr, swap))
            return ("load", _swapped_cell(program, cell, swap))
        case Unary(op="not", operand=operand):
            return _negated(_normal(program, operand, swap))
        case Unary(op=op, operand=operand):
            return (op, _normal(program, operand, swap))
        case IfElse(condition=condition, then=then, otherwise=otherwise):
            return _choice(
                _normal(program, condition, swap),
                _normal(program, then, swap),
                _normal(program, otherwise, swap),
            )
        case Binary(op=op, left=left, right=right):
            return _operator(program, op, left, right, swap)
        case Local() | Current():
            raise _NotUnderstood
        case _:
            assert_never(expr)


def _operator(program: Program, op: str, left: Expr, right: Expr, swap: dict[int, int]) -> Form:
    a, b = _normal(program, left, swap), _normal(program, right, swap)
    if op in ("==", "!="):
        if _is_set(program, left) or _is_set(program, right):
            raise _NotUnderstood
        if _is_task(program, left):
            b = _swapped_task(b, swap)
        elif _is_task(program, right):
            a = _swapped_task(a, swap)
        equal = ("==", *sorted([a, b], key=repr))
        return equal if op == "==" else _negated(equal)
    if op == "bit" and _is_set(program, left):
        if b[0] != "const" or not isinstance(b[1], int):
            raise _NotUnderstood
        b = ("const", swap.get(b[1], b[1]))
        return ("bit", a, b)
    if _is_task(program, left) or _is_task(program, right):
        raise _NotUnderstood
    if op in ("and", "or", "+", "*", "&", "|", "^"):
        return _gathered(op, [a, b])
    return (op, a, b)


def _terms(program: Program, expr: Load, swap: dict[int, int]) -> Form:
    """The indices of a load, which must not reach what belongs to tasks."""
    from quiesce.compiler.atomic_steps import cells_of

    reached = cells_of(expr.address.base, expr.address.terms)
    if any(program.cells[c].task >= 0 for c in reached):
        raise _NotUnderstood
    return tuple((_normal(program, t.index, swap), t.length, t.stride) for t in expr.address.terms)


def _known_cell(address: Address) -> int | None:
    """Return the cell that *address* names, if all its indices are constants in range."""
    cell = address.base
    for term in address.terms:
        if not isinstance(term.index, Const) or not 0 <= term.index.value < term.length:
            return None
        cell += term.index.value * term.stride
    return cell


def _swapped_cell(program: Program, cell: int, swap: dict[int, int]) -> int:
    """Return the cell of the exchanged thread that is at the same place among its thread's cells."""
    owner = program.cells[cell].task
    if owner not in swap:
        return cell
    mine = [i for i, c in enumerate(program.cells) if c.task == owner]
    other = [i for i, c in enumerate(program.cells) if c.task == swap[owner]]
    return other[mine.index(cell)]


def _swapped_task(form: Form, swap: dict[int, int]) -> Form:
    if form[0] == "const" and isinstance(form[1], int) and form[1] > 0:
        return ("const", swap.get(form[1] - 1, form[1] - 1) + 1)
    return form


def _is_task(program: Program, expr: Expr) -> bool:
    return isinstance(expr, Load) and isinstance(program.cells[expr.address.base].type, TaskType)


def _is_set(program: Program, expr: Expr) -> bool:
    if isinstance(expr, Load):
        type_ = program.cells[expr.address.base].type
        return isinstance(type_, SetType) and type_.of_tasks
    return False


def _gathered(op: str, parts: list[Form]) -> Form:
    """Flatten an operator whose operands' order and grouping do not matter, and sort them."""
    flat: list[Form] = []
    for part in parts:
        if part[0] == op:
            flat += [p for p in part[1:] if isinstance(p, tuple)]
        else:
            flat.append(part)
    if op in ("and", "or"):
        flat = list(dict.fromkeys(flat))
    return (op, *sorted(flat, key=repr))


def _negated(form: Form) -> Form:
    if form[0] == "not" and isinstance(form[1], tuple):
        return form[1]
    if form[0] in ("and", "or"):
        other = "or" if form[0] == "and" else "and"
        return _gathered(other, [_negated(p) for p in form[1:] if isinstance(p, tuple)])
    if form[0] == "const":
        return ("const", int(not form[1]))
    return ("not", form)


def _choice(test: Form, then: Form, otherwise: Form) -> Form:
    """``then if test else otherwise``, as ``and``/``or`` where one side is a constant."""
    if test[0] == "const":
        return then if test[1] else otherwise
    if then == otherwise:
        return then
    if otherwise == ("const", 0):
        return test if then == ("const", 1) else _gathered("and", [test, then])
    if then == ("const", 0):
        return _gathered("and", [_negated(test), otherwise])
    if then == ("const", 1):
        return _gathered("or", [test, otherwise])
    if otherwise == ("const", 1):
        return _gathered("or", [_negated(test), then])
    return ("if", test, then, otherwise)
