# SPDX-License-Identifier: Apache-2.0
"""What the reader keeps for each inlined call, and the place where operations and complaints go."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from quiesce.compiler.ir import (
    Address,
    Branch,
    Const,
    Expr,
    Jump,
    Label,
    Marks,
    Op,
    Operation,
    SetLocal,
    Slot,
    Term,
)
from quiesce.compiler.layout import Layout
from quiesce.compiler.read.source import loc_of
from quiesce.compiler.read.values import Component, Value
from quiesce.compiler.types import Type
from quiesce.errors import Diagnostic, Loc


class Refused(Exception):
    """A statement was refused; the complaint is recorded, reading goes on with the next one."""


@dataclass(slots=True)
class Known:
    """What is known of some local names at one place: see :class:`Frame`."""

    assigned: set[str]
    env: dict[str, Value]


@dataclass(slots=True)
class Loop:
    """A loop being read: where ``break`` and ``continue`` go, and its condition if it has a pure one.

    :param names: the local names that it assigns.
    :param at_break: what is known of the local names at each ``break``.
    :param at_next: the same for each ``continue``.
    """

    start: Label
    end: Label
    condition: Expr | None
    cleanups: int
    names: set[str]
    at_break: list[Known] = field(default_factory=list)
    at_next: list[Known] = field(default_factory=list)


@dataclass(slots=True)
class Frame:
    """One inlined call.

    :param env: what each local name stands for; a name with a slot stands for ``Dynamic(Local(slot))``.
    :param stores: how often each name is assigned; a parameter's argument counts as once.
    :param assigned: the names that have a value on every way to the place being read.
    :param homes: the slots that each name has had, on this way or on others; a tuple has several. A
        name that is assigned on two ways has one slot, so that it has one value where they meet.
    :param rebound: the names that more than one round of an unrolled loop assigns.
    :param cleanups: the components of the ``with`` blocks that are open, to be left on ``return``.
    :param returns: the slots that the returned value goes to, once the first ``return`` was read.
    """

    function: Callable[..., Any]
    node: ast.FunctionDef
    file: str
    defining: type | None
    receiver: Component | None
    env: dict[str, Value] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    stores: dict[str, int] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    homes: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    rebound: set[str] = field(default_factory=set)
    cleanups: list[tuple[Component, ast.AST]] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    end: Label = field(default_factory=Label)
    returned: Value | None = None
    single_return: bool = False
    returns_value: bool = False
    refused: bool = False

    @property
    def name(self) -> str:
        """The function's name, as errors show it."""
        return self.node.name

    def global_value(self, name: str) -> tuple[bool, Any]:
        """Look *name* up in the function's closure, module and builtins."""
        function = inspect.unwrap(self.function)
        code = function.__code__
        if name in code.co_freevars:
            cell = (function.__closure__ or ())[code.co_freevars.index(name)]
            try:
                return True, cell.cell_contents
            except ValueError:  # not assigned yet
                return False, None
        if name in function.__globals__:
            return True, function.__globals__[name]
        return hasattr(builtins, name), getattr(builtins, name, None)

    def attribute_name(self, name: str) -> str:
        """Return *name* as Python knows it: ``__x`` in a class ``C`` is ``_C__x``."""
        if name.startswith("__") and not name.endswith("__") and self.defining is not None:
            return f"_{self.defining.__name__.lstrip('_')}{name}"
        return name


class Emitter:
    """Collects the operations of one thread kind, and the complaints of all."""

    def __init__(self, layout: Layout, diagnostics: set[Diagnostic]) -> None:
        self.layout = layout
        self.diagnostics = diagnostics
        self.ops: list[Op | Mark] = []
        self.slots: list[Slot] = []
        self.marks = Marks()
        self.frames: list[Frame] = []
        self.call_sites: list[Loc] = []
        self.statement = 0
        self.emitted = 0
        """How many operations there are, marks not counted."""
        self.atomic_depth = 0
        self.in_property = False
        self._statements = 0
        self.loc = Loc("", 0)
        self.reachable = True
        """Whether control can come to the place being read."""
        self.reassigned: set[int] = set()
        """The slots of local variables that are assigned more than once."""
        self._jumped_to: set[Label] = set()

    @property
    def frame(self) -> Frame:
        """The innermost call being read."""
        return self.frames[-1]

    def where(self, node: ast.AST) -> Loc:
        """Return the place of *node* in the function being read."""
        return loc_of(node, self.frame.file, self.frame.name)

    def begin_statement(self, node: ast.AST) -> None:
        """Operations emitted from here on belong to the statement *node*."""
        self._statements += 1
        self.statement = self._statements
        self.loc = self.where(node)

    def emit(self, op: Op) -> None:
        """Append *op*."""
        self.ops.append(op)
        self.emitted += 1
        if isinstance(op, Jump | Branch) and self.reachable:
            self._jumped_to.add(op.target)
        if isinstance(op, Jump):
            self.reachable = False

    @property
    def at(self) -> dict[str, Any]:
        """The keyword arguments that every operation needs: where it comes from."""
        return {"loc": self.loc, "statement": self.statement}

    def place_label(self, label: Label) -> None:
        """Let *label* name the next operation."""
        self.ops.append(Mark(label, **self.at))
        self.reachable = self.reachable or label in self._jumped_to

    def new_slot(self, name: str, type_: Type) -> int:
        """Return the number of a new local variable."""
        self.slots.append(Slot(name, type_))
        return len(self.slots) - 1

    def temporary(self, value: Expr, type_: Type, name: str = "") -> int:
        """Evaluate *value* here and now; return the slot that keeps it."""
        slot = self.new_slot(name, type_)
        self.emit(SetLocal(slot, value, **self.at))
        return slot

    def refuse(
        self, node: ast.AST, code: str, message: str, why: str = "", help: str = ""
    ) -> NoReturn:
        """Record a complaint about *node* and give the statement up."""
        self.diagnostics.add(
            Diagnostic(self.where(node), code, message, why, help, tuple(self.call_sites))
        )
        raise Refused


class Mark(Operation):
    """A label's position, until :func:`resolve_labels` removes it."""

    __slots__ = ("label",)

    def __init__(self, label: Label, *, loc: Loc, statement: int) -> None:
        super().__init__(loc=loc, statement=statement)
        self.label = label


def resolve_labels(ops: list[Op | Mark]) -> list[Op]:
    """Return *ops* without the marks, every label knowing its position."""
    kept: list[Op] = []
    for op in ops:
        if isinstance(op, Mark):
            op.label.position = len(kept)
        else:
            kept.append(op)
    return kept


ZERO = Const(0)
ONE = Const(1)


def component_address(layout: Layout, component: Component) -> Address:
    """Return the number of *component* as an address in the space of components."""
    terms = tuple(
        Term(t.index, t.length, t.component_stride, t.component_stride, t.deref)
        for t in component.terms
    )
    return Address(layout.number(component.template), terms)
