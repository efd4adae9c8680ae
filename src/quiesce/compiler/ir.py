# SPDX-License-Identifier: Apache-2.0
"""The intermediate representation: what a protocol's Python becomes before it is cut into steps.

All values are integers. A boolean is 0 or 1, an enum member its position, a task its number plus
one and a reference its index plus one (0 is ``None``), a set a bit mask, and a snapshot of a version
one bit: "the version has not changed since".

Expressions are pure. Operations form one flat list per thread kind, in which branches and jumps name
positions. ``BEGIN`` and ``END`` bracket what is atomic. Shared memory is a vector of *cells*; an
:class:`Address` names one, with a term for each array that it goes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeGuard, assert_never

from quiesce.compiler.types import Type
from quiesce.errors import Loc

# --- Expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """An integer constant."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Local:
    """The value of a thread's local variable, by slot number."""

    slot: int

    def __str__(self) -> str:
        return f"%{self.slot}"


@dataclass(frozen=True, slots=True)
class Current:
    """The running task: its number plus one."""

    def __str__(self) -> str:
        return "current"


@dataclass(frozen=True, slots=True)
class Term:
    """One array index on the way to a cell.

    :param index: which element; for a dereference, a reference's value minus one.
    :param length: number of elements; an index outside 0..length-1 is a violation.
    :param stride: cells from one element to the next.
    :param component_stride: components from one element to the next.
    :param deref: the index comes from a reference, so -1 is a null pointer.
    """

    index: Expr
    length: int
    stride: int
    component_stride: int = 0
    deref: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """A cell: *base* plus index times stride for each of *terms*."""

    base: int
    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return f"[{self.base}" + "".join(f" + {t.index}*{t.stride}" for t in self.terms) + "]"


@dataclass(frozen=True, slots=True)
class Load:
    """The value of a shared cell. *marked*: the access takes no part in data races."""

    address: Address
    marked: bool

    def __str__(self) -> str:
        return f"load{'!' if self.marked else ''}{self.address}"


@dataclass(frozen=True, slots=True)
class VersionRead:
    """A look at a version: always 1, "unchanged", but an access to shared memory."""

    version: int
    marked: bool

    def __str__(self) -> str:
        return f"version{'!' if self.marked else ''}({self.version})"


@dataclass(frozen=True, slots=True)
class Unary:
    """``not``, ``-``, ``~``, or ``count`` (how many bits are set)."""

    op: str
    operand: Expr

    def __str__(self) -> str:
        return f"{self.op}({self.operand})"


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, a comparison, short-circuit ``and``/``or``, or ``bit`` (is bit *right* of *left* set)."""

    op: str
    left: Expr
    right: Expr

    def __str__(self) -> str:
        return f"({self.left} {self.op} {self.right})"


@dataclass(frozen=True, slots=True)
class IfElse:
    """``then if condition else otherwise``; only the chosen side is evaluated."""

    condition: Expr
    then: Expr
    otherwise: Expr

    def __str__(self) -> str:
        return f"({self.then} if {self.condition} else {self.otherwise})"


Expr = Const | Local | Current | Load | VersionRead | Unary | Binary | IfElse


# --- Operations ----------------------------------------------------------------------------------


class Label:
    """A position in the operations that is not known yet."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = -1

    def __repr__(self) -> str:
        return f"@{self.position}"


@dataclass(slots=True, kw_only=True)
class OpBase:
    """What all operations have.

    :param loc: the statement it comes from.
    :param statement: number of the (inlined) statement; operations of one statement share it.
    """

    loc: Loc
    statement: int


@dataclass(slots=True)
class SetLocal(OpBase):
    """``%slot = value``"""

    slot: int
    value: Expr


@dataclass(slots=True)
class Store(OpBase):
    """Write a shared cell; a value outside *low*..*high* is a violation."""

    address: Address
    value: Expr
    low: int
    high: int
    marked: bool


@dataclass(slots=True)
class Bump(OpBase):
    """Increment a version: no holder's snapshot is the current one any more."""

    version: int
    marked: bool


@dataclass(slots=True)
class Await(OpBase):
    """The step has not happened unless *condition* is true."""

    condition: Expr


@dataclass(slots=True)
class Choose(OpBase):
    """``%slot = any of options``: the environment decides."""

    slot: int
    options: tuple[Expr, ...]


@dataclass(slots=True)
class Check(OpBase):
    """A violation unless *condition* is true: an ``assert``."""

    condition: Expr
    message: str


@dataclass(slots=True)
class Jump(OpBase):
    """Go on at *target*."""

    target: Label


@dataclass(slots=True)
class Branch(OpBase):
    """Go on at *target* unless *condition* is true."""

    condition: Expr
    target: Label


@dataclass(frozen=True, slots=True)
class Shown:
    """A value that only traces show: an expression of constants and local variables, and its type."""

    expr: Expr
    type: Type


@dataclass(slots=True)
class Begin(OpBase):
    """An atomic region begins.

    :param label: what it is called, ``spin_lock(&kvm->mn_invalidate_lock)``.
    :param queued: strong fairness.
    :param receiver: component number of the object whose method it is, or None.
    :param arguments: for traces, what is passed besides: a value, a component, or a text; None: *label* is
        complete. No part of the meaning: a local variable in it may be dead, and then has no value.
    """

    label: str
    queued: bool
    receiver: Address | None
    arguments: tuple[Shown | Address | str, ...] | None = ()


@dataclass(slots=True)
class End(OpBase):
    """The atomic region ends.

    :param results: for traces, what it returns.
    """

    results: tuple[Shown | str, ...] = ()


@dataclass(slots=True)
class LockEvent(OpBase):
    """What lockdep is told: *action* is ``acquire`` or ``release``; *read* 0, 1 or 2.

    :param stack: the names of the functions around it, innermost first, the thread's own last.
    """

    action: str
    lock: Address
    read: int = 0
    trylock: bool = False
    stack: tuple[str, ...] = ()


@dataclass(slots=True)
class Halt(OpBase):
    """The thread has finished."""


Op = (
    SetLocal
    | Store
    | Bump
    | Await
    | Choose
    | Check
    | Jump
    | Branch
    | Begin
    | End
    | LockEvent
    | Halt
)
"""An operation. Whatever tells operations apart ends in ``assert_never``, so that one that was forgotten is
an error of types."""


@dataclass(frozen=True, slots=True)
class LoopSpan:
    """The operations of a loop in the source: from *start* to just before *stop*."""

    start: Label
    stop: Label
    loc: Loc


@dataclass(frozen=True, slots=True)
class StatementMark:
    """Where the operations of a statement of the source begin."""

    start: Label
    loc: Loc


@dataclass(frozen=True, slots=True)
class ConditionSpan:
    """The condition of an ``if``, a ``while`` or a ``for``, whose operations lie from *start* to *body*.

    It is true if control comes from there to *body*, and false if it comes to *otherwise*.
    """

    start: Label
    body: Label
    otherwise: Label
    loc: Loc


@dataclass(slots=True)
class Marks:
    """What is known of the source of some operations."""

    loops: list[LoopSpan] = field(default_factory=list)
    statements: list[StatementMark] = field(default_factory=list)
    conditions: list[ConditionSpan] = field(default_factory=list)


@dataclass(slots=True)
class Code:
    """The operations of one thread kind or property, its local variables, and marks of its source."""

    name: str
    ops: list[Op]
    slots: list[LocalSlot] = field(default_factory=list)
    marks: Marks = field(default_factory=Marks)


@dataclass(slots=True)
class LocalSlot:
    """A local variable; *name* for traces."""

    name: str
    type: Type


def operands(op: Op) -> tuple[Expr, ...]:
    """Return the expressions that *op* evaluates, in order."""
    match op:
        case SetLocal(value=value):
            return (value,)
        case Store(address=address, value=value):
            return (value, *(t.index for t in address.terms))
        case Await(condition=condition) | Check(condition=condition) | Branch(condition=condition):
            return (condition,)
        case Choose(options=options):
            return options
        case LockEvent(lock=lock):
            return tuple(t.index for t in lock.terms)
        case Begin(receiver=receiver):
            return () if receiver is None else tuple(t.index for t in receiver.terms)
        case Bump() | Jump() | End() | Halt():
            return ()
        case _:
            assert_never(op)


def assigned(op: Op) -> int | None:
    """Return the slot of the local variable that *op* assigns, if it assigns one."""
    match op:
        case SetLocal(slot=slot) | Choose(slot=slot):
            return slot
        case (
            Store() | Bump() | Await() | Check() | Jump() | Branch() | Begin() | End() | LockEvent() | Halt()
        ):  # fmt: skip
            return None
        case _:
            assert_never(op)


def writes_memory(op: Op) -> TypeGuard[Store | Bump]:
    """Whether *op* writes shared memory."""
    match op:
        case Store() | Bump():
            return True
        case (
            SetLocal() | Choose() | Await() | Check() | Jump() | Branch() | Begin() | End() | LockEvent()
            | Halt()
        ):  # fmt: skip
            return False
        case _:
            assert_never(op)


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the expressions that *expr* is made of."""
    match expr:
        case Load(address=address):
            return tuple(term.index for term in address.terms)
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return left, right
        case IfElse(condition=condition, then=then, otherwise=otherwise):
            return condition, then, otherwise
        case Const() | Local() | Current() | VersionRead():
            return ()
        case _:
            assert_never(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield *expr* and all below it."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def reads_memory(expr: Expr) -> TypeGuard[Load | VersionRead]:
    """Whether *expr* itself, not a part of it, reads shared memory."""
    match expr:
        case Load() | VersionRead():
            return True
        case Const() | Local() | Current() | Unary() | Binary() | IfElse():
            return False
        case _:
            assert_never(expr)


def reads_of(op: Op) -> Iterator[Load | VersionRead]:
    """Yield the reads of shared memory in what *op* evaluates."""
    for expr in operands(op):
        yield from (e for e in walk(expr) if reads_memory(e))


def touches_memory(expr: Expr) -> bool:
    """Whether evaluating *expr* reads shared memory."""
    return any(reads_memory(e) for e in walk(expr))


def accesses_memory(op: Op) -> bool:
    """Whether *op* reads or writes shared memory."""
    return writes_memory(op) or any(True for _ in reads_of(op))


def successors(ops: list[Op], position: int) -> tuple[int, ...]:
    """Return the positions that control may go to after ``ops[position]``."""
    op = ops[position]
    match op:
        case Halt():
            return ()
        case Jump(target=target):
            return (target.position,)
        case Branch(target=target):
            return (position + 1, target.position)
        case (
            SetLocal() | Store() | Bump() | Await() | Choose() | Check() | Begin() | End() | LockEvent()
        ):  # fmt: skip
            return (position + 1,)
        case _:
            assert_never(op)


def reachable(ops: list[Op]) -> list[bool]:
    """Return for each operation whether control can come to it."""
    reached = [False] * len(ops)
    todo = [0]
    while todo:
        i = todo.pop()
        if not reached[i]:
            reached[i] = True
            todo += successors(ops, i)
    return reached


def inside_atomic(ops: list[Op]) -> list[bool]:
    """Return for each operation whether it lies in an atomic region; ``Begin`` itself does not.

    Regions are contiguous in the list: an inlined call lies between its ``Begin`` and its ``End``.
    """
    inside = []
    open_ = False
    for op in ops:
        inside.append(open_)
        if isinstance(op, Begin):
            open_ = True
        elif isinstance(op, End):
            open_ = False
    return inside
