# SPDX-License-Identifier: Apache-2.0
"""The builder: what has been read of one thread kind or one property so far.

Every ``read_*`` function is handed the builder first and the node second. The builder holds the operations
emitted so far, the local variables, the inlined calls that are open, and the diagnostics. It knows no
topic of the language: the functions that read an expression, a place and a block of statements are handed
to it (:class:`Readers`). So a topic module reads the parts of its node through the builder, and imports
neither the module that dispatches nor another topic that might import it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypedDict, TypeVar

from quiesce.compiler.ir import Branch, Expr, Jump, Label, LocalSlot, Marks, Op, OpBase, SetLocal
from quiesce.compiler.layout import Layout
from quiesce.compiler.read.inlined_call import InlinedCall
from quiesce.compiler.read.source import loc_of
from quiesce.compiler.read.values import Value
from quiesce.compiler.types import Type
from quiesce.errors import Diagnostic, Loc

T = TypeVar("T")


class Refused(Exception):
    """A statement was refused; the diagnostic is recorded, and reading continues with the next one."""


@dataclass(frozen=True, slots=True)
class Readers:
    """The functions that dispatch over the nodes of ``ast``.

    :param expression: returns what an expression stands for; a shared variable is read.
    :param place: the same, but a shared variable stays a place that can be written.
    :param block: reads statements one after the other.
    """

    expression: Callable[[Builder, ast.expr], Value]
    place: Callable[[Builder, ast.expr], Value]
    block: Callable[[Builder, Sequence[ast.stmt]], None]


class OperationOrigin(TypedDict):
    """Where an operation comes from: the arguments that all operations take."""

    loc: Loc
    statement: int


class Builder:
    """The operations of one thread kind or property while they are read.

    :param layout: the cells and components of the scenario.
    :param diagnostics: what is refused is added to it; all builders of a scenario share it.
    :param readers: what reads the nodes inside a node.
    :ivar ops: the operations emitted so far, and marks where labels are.
    :ivar emitted: the number of operations emitted so far, those held back included, marks not counted.
    :ivar frames: the inlined calls that are open, the thread's own method first.
    :ivar call_sites: the places of the calls that opened them.
    :ivar atomic_depth: the number of open atomic calls; 0 outside an atomic region.
    :ivar in_property: True while a property is read.
    :ivar reachable: True if control can reach the place being read.
    :ivar reassigned: the slots of local variables that are assigned more than once.
    """

    def __init__(self, layout: Layout, diagnostics: set[Diagnostic], readers: Readers) -> None:
        self.layout = layout
        self.diagnostics = diagnostics
        self.ops: list[Op | Mark] = []
        self.emitted = 0
        self.slots: list[LocalSlot] = []
        self.marks = Marks()
        self.frames: list[InlinedCall] = []
        self.call_sites: list[Loc] = []
        self.loc = Loc("", 0)
        self.statement = 0
        self.atomic_depth = 0
        self.in_property = False
        self.reachable = True
        self.reassigned: set[int] = set()
        self._readers = readers
        self._statements = 0
        self._jumped_to: set[Label] = set()

    # --- Nodes inside a node ----------------------------------------------------------------------

    def read(self, node: ast.expr) -> Value:
        """Return what *node* stands for, emitting what must happen first."""
        return self._readers.expression(self, node)

    def place(self, node: ast.expr) -> Value:
        """Return what *node* stands for; a shared variable as a place that can be written."""
        return self._readers.place(self, node)

    def block(self, nodes: Sequence[ast.stmt]) -> None:
        """Read statements one after the other."""
        self._readers.block(self, nodes)

    # --- Where it reads ---------------------------------------------------------------------------

    @property
    def frame(self) -> InlinedCall:
        """The innermost call being read."""
        return self.frames[-1]

    def where(self, node: ast.AST) -> Loc:
        """Return the place of *node* in the function being read."""
        return loc_of(node, self.frame.file, self.frame.name)

    def begin_statement(self, node: ast.AST) -> None:
        """Let the operations emitted from here on belong to the statement *node*."""
        self._statements += 1
        self.statement = self._statements
        self.loc = self.where(node)

    # --- Operations -------------------------------------------------------------------------------

    @property
    def at(self) -> OperationOrigin:
        """The keyword arguments that every operation needs: where it comes from."""
        return {"loc": self.loc, "statement": self.statement}

    def emit(self, op: Op) -> None:
        """Append *op*."""
        self.ops.append(op)
        self.emitted += 1
        if isinstance(op, Jump | Branch) and self.reachable:
            self._jumped_to.add(op.target)
        if isinstance(op, Jump):
            self.reachable = False

    def place_label(self, label: Label) -> None:
        """Let *label* name the next operation."""
        self.ops.append(Mark(label, **self.at))
        self.reachable = self.reachable or label in self._jumped_to

    def apart(self, read: Callable[[], T]) -> tuple[T, list[Op | Mark]]:
        """Call *read*; return its result, and the operations that it emitted, which are held back."""
        outer, self.ops = self.ops, []
        try:
            result = read()
            return result, self.ops
        finally:
            self.ops = outer

    def new_slot(self, name: str, type_: Type) -> int:
        """Return the number of a new local variable."""
        self.slots.append(LocalSlot(name, type_))
        return len(self.slots) - 1

    def temporary(self, value: Expr, type_: Type, name: str = "") -> int:
        """Evaluate *value* here and now; return the slot that keeps it."""
        slot = self.new_slot(name, type_)
        self.emit(SetLocal(slot, value, **self.at))
        return slot

    def marks_access(self, marked: bool) -> bool:
        """Return whether an access is marked here: in an atomic region all are.

        :param marked: True if the source marks it.
        """
        return marked or self.atomic_depth > 0

    # --- Refusals ---------------------------------------------------------------------------------

    def refuse(
        self, node: ast.AST, code: str, message: str, why: str = "", help: str = ""
    ) -> NoReturn:
        """Record a diagnostic about *node* and abandon the statement.

        :raises Refused: always.
        """
        self.diagnostics.add(
            Diagnostic(self.where(node), code, message, why, help, tuple(self.call_sites))
        )
        raise Refused

    def refuse_in_property(self, node: ast.AST, what: str) -> None:
        """Refuse *node* if a property is being read."""
        if self.in_property:
            self.refuse(
                node, "property", f"a property cannot {what}",
                "it is evaluated between steps, and only looks", "return what is to be true",
            )  # fmt: skip


class Mark(OpBase):
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
