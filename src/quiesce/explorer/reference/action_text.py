# SPDX-License-Identifier: Apache-2.0
"""What a step did, as a line of text: the call or the statement, and the values that it read and wrote.

``cmpxchg(&stack->top, 2, 0) = True   [top: 2 -> 0]``: what was passed, what came back, what was written.
``x += 1   [loads x = 1]`` and ``x += 1   [stores x = 2]``: a statement whose load and store are two steps.
Of a primitive of ours only its own variables are shown, and of a lock none: that it is taken says it all.
"""

from __future__ import annotations

import contextlib
import io
import os
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from quiesce.compiler.ir import (
    Address,
    Begin,
    Bump,
    Check,
    Const,
    End,
    Expr,
    Local,
    LockEvent,
    Op,
    SetLocal,
    Shown,
    Store,
    assigned,
    operands,
    touches_memory,
    walk,
)
from quiesce.compiler.names import instance_names
from quiesce.compiler.program import Program
from quiesce.compiler.types import SetType, TaskType, Type, show
from quiesce.errors import Loc, source_lines
from quiesce.explorer.reference.evaluate import StepFailure, kind_evaluator
from quiesce.explorer.reference.record import Record, Seen
from quiesce.explorer.reference.stepper import State

MOST_VALUES = 5
"""Values that a line shows: a scan of an array would fill the page."""

LONGEST_TEXT = 160
"""Characters of a statement that a line shows."""

_PRIMITIVES = "quiesce.primitives"
_FOLDER = os.path.join("quiesce", "primitives", "")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a step did: a primitive, or a statement that touched shared memory.

    :param text: the call or the statement.
    :param shown: the same with what was passed, what came back, what was read and written.
    """

    text: str
    loc: Loc
    shown: str


@dataclass(slots=True)
class _Part:
    """The operations of a step that are one action: an atomic region, or a statement.

    :param begin: the region's first operation; None for a statement.
    :param body: the first operation inside the region.
    """

    begin: Begin | None
    op: Op
    seen: list[Seen] = field(default_factory=list)
    passed: dict[int, int] = field(default_factory=dict)
    returned: dict[int, int] = field(default_factory=dict)
    end: End | None = None
    body: Op | None = None
    is_lock: bool = False
    first: int = 0


class Teller:
    """Puts the steps of *program* into words.

    :ivar names: the name of each component.
    :ivar locks: the components that some thread declares to acquire.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = instance_names(program.layout.components)
        self.locks = _locks(program)
        self._evaluators = {
            id(kind): kind_evaluator(program, kind, Record()) for kind in program.kinds
        }

    # --- A step that was taken --------------------------------------------------------------------

    def actions(self, thread: int, before: State, record: Record) -> list[Action]:
        """Return the primitives and the statements with shared accesses, each once, in order."""
        parts = self._parts(record)
        valid = self._live(thread, before)
        found = []
        for part in parts:
            so_far = valid | {slot for op in record.ops[: part.first] if (slot := _slot(op)) >= 0}
            found.append(self._action(part, so_far, thread))
        if not found and record.ops:
            op = next((o for o in record.ops if isinstance(o, SetLocal)), record.ops[0])
            text = statement_text(op.loc)
            found.append(Action(text, op.loc, text))
        return found

    def _parts(self, record: Record) -> list[_Part]:
        parts: list[_Part] = []
        of_statement: dict[int, _Part] = {}
        at: dict[int, _Part] = {}
        region: _Part | None = None
        for number, op in enumerate(record.ops):
            if isinstance(op, Begin):
                region = _Part(op, op, first=number)
                parts.append(region)
            if region is not None:
                at[number] = region
                if region.body is None and op is not region.begin:
                    region.body = op
                region.is_lock = region.is_lock or isinstance(op, LockEvent)
                if isinstance(op, End):
                    region.end = op
                    region = None
                continue
            touches = isinstance(op, Store) or any(touches_memory(x) for x in operands(op))
            if touches or isinstance(op, Bump | Check):
                part = of_statement.get(op.statement)
                if part is None:
                    part = of_statement[op.statement] = _Part(None, op, first=number)
                    parts.append(part)
                at[number] = part
        for seen in record.values or ():
            if seen.at in at:
                part = at[seen.at]
                if seen.cell is not None:
                    part.seen.append(seen)
                elif isinstance(record.ops[seen.at], End):
                    part.returned[seen.index] = seen.old
                else:
                    part.passed[seen.index] = seen.old
        return parts

    def _action(self, part: _Part, valid: set[int], thread: int) -> Action:
        if part.begin is None:
            text = statement_text(part.op.loc)
            return Action(text, part.op.loc, text + _bracket(self._of_statement(part, thread)))
        call = self._call(part.begin, part.passed, valid)
        if part.end is not None and part.end.results:
            back = [
                self._value(item, part.returned.get(index))
                for index, item in enumerate(part.end.results)
            ]
            call += f" = {back[0]}" if len(back) == 1 else f" = ({', '.join(back)})"
        return Action(part.begin.label, part.begin.loc, call + _bracket(self._of_region(part)))

    def _value(self, item: Shown | str, value: int | None) -> str:
        if isinstance(item, str):
            return item
        return "?" if value is None else str(shown(self.program, item.type, value))

    def _call(self, begin: Begin, passed: dict[int, int], valid: set[int]) -> str:
        """Return the call with its receiver and its arguments; those that are not known are left out."""
        name, parenthesis, _ = begin.label.partition("(")
        if (
            begin.arguments is None
            or not parenthesis
            or (begin.receiver is None and not begin.arguments)
        ):
            return begin.label
        words = []
        if begin.receiver is not None:
            number = passed.get(-1)
            if number is None or not _known(_indexes(begin.receiver), valid):
                return begin.label
            words.append(self.names[number])
        for index, item in enumerate(begin.arguments):
            if isinstance(item, str):
                words.append(item)
            elif index in passed and isinstance(item, Address):
                if _known(_indexes(item), valid):
                    words.append(self.names[passed[index]])
            elif index in passed and isinstance(item, Shown) and _known([item.expr], valid):
                words.append(str(shown(self.program, item.type, passed[index])))
        return f"{name}({', '.join(words)})"

    def _of_region(self, part: _Part) -> list[str]:
        """Return what a region wrote; if it neither wrote nor returned anything, what it read."""
        assert part.begin is not None
        receiver = part.passed.get(-1)
        if part.is_lock or receiver in self.locks:
            return []
        ours = self._is_ours(part, receiver)
        cells = {seen.cell for seen in part.seen if seen.cell is not None}
        if ours:
            own = self._cells_of(receiver)
            cells = {c for c in cells & own if not isinstance(self.program.cells[c].type, TaskType)}
            cells = {c for c in cells if not _of_tasks(self.program.cells[c].type)}
        names = self._short(cells)
        written = _written(part.seen)
        texts = [
            f"{names[cell]}: {self._show(cell, old)} -> {self._show(cell, new)}"
            for cell, (old, new) in written.items()
            if cell in cells and old != new
        ]
        if not texts and not ours and not (part.end is not None and part.end.results):
            texts = self._reads(part.seen, names, cells - written.keys())
        return texts

    def _of_statement(self, part: _Part, thread: int) -> list[str]:
        """Return what a statement read and wrote in this step."""
        cells = {seen.cell for seen in part.seen if seen.cell is not None}
        names = self._short(cells)
        written = _written(part.seen)
        reads = self._reads(part.seen, names, cells - written.keys())
        of_statement = [
            op
            for op in self.program.threads[thread].kind.code.ops
            if op.statement == part.op.statement
        ]
        if not written:
            stores_later = any(isinstance(op, Store) for op in of_statement)
            return [f"loads {text}" if stores_later else text for text in reads]
        read = {seen.cell for seen in part.seen if seen.new is None}
        texts = []
        for cell, (old, new) in written.items():
            loads = any(touches_memory(x) for op in of_statement for x in operands(op))
            if loads and cell not in read and not reads:
                texts.append(f"stores {names[cell]} = {self._show(cell, new)}")
            elif not _is_constant(of_statement):
                texts.append(f"{names[cell]}: {self._show(cell, old)} -> {self._show(cell, new)}")
        return [*reads, *texts]

    def _reads(
        self, seen: Iterable[Seen], names: dict[int, str], cells: Iterable[int]
    ) -> list[str]:
        """Return the first value that was read of each of *cells*, in the order of reading."""
        values: dict[int, int] = {}
        wanted = set(cells)
        for one in seen:
            if one.cell in wanted and one.new is None:
                values.setdefault(one.cell, one.old)
        return [f"{names[cell]} = {self._show(cell, value)}" for cell, value in values.items()]

    def _show(self, cell: int, value: int) -> str:
        found = shown(self.program, self.program.cells[cell].type, value)
        return f"{{{', '.join(map(str, found))}}}" if isinstance(found, list) else str(found)

    def _is_ours(self, part: _Part, receiver: int | None) -> bool:
        """True if the region is a primitive of ours: its class, or the file of its code, says so."""
        if receiver is not None:
            return type(self.program.layout.components[receiver]).__module__.startswith(_PRIMITIVES)
        return part.body is not None and _FOLDER in part.body.loc.file

    def _cells_of(self, component: int | None) -> set[int]:
        if component is None:
            return set()
        path = self.program.layout.components[component].path
        return {n for n, c in enumerate(self.program.cells) if c.name.startswith(f"{path}.")}

    def _short(self, cells: Iterable[int]) -> dict[int, str]:
        """Return names for *cells* that are short and differ: leading parts without an index are left out."""
        paths = {cell: self.program.cells[cell].name.split(".") for cell in cells}
        least = {
            cell: min(
                [i for i, part in enumerate(path) if "[" in part and i < len(path) - 1],
                default=len(path) - 1,
            )
            for cell, path in paths.items()
        }
        names = {cell: ".".join(path[least[cell] :]) for cell, path in paths.items()}
        if len(set(names.values())) < len(names):
            return {cell: ".".join(path) for cell, path in paths.items()}
        return names

    # --- A step that waits ------------------------------------------------------------------------

    def receiver(self, thread: int, state: State) -> int | None:
        """Return the component whose step *thread* waits in; None if that is not known, or there is none."""
        begin = self._event(thread, state)
        return None if begin is None else self._evaluate(thread, state, begin).get(-1)

    def waiting(self, thread: int, state: State) -> str:
        """Return the call that *thread* waits in."""
        begin = self._event(thread, state)
        if begin is None:
            kind = self.program.threads[thread].kind
            return kind.locations[state[self.program.threads[thread].base]].label
        passed = self._evaluate(thread, state, begin)
        return self._call(begin, passed, self._live(thread, state))

    def _event(self, thread: int, state: State) -> Begin | None:
        declared = self.program.threads[thread]
        location = declared.kind.locations[state[declared.base]]
        op = declared.kind.code.ops[location.event] if location.event >= 0 else None
        return op if isinstance(op, Begin) else None

    def _evaluate(self, thread: int, state: State, begin: Begin) -> dict[int, int]:
        """Return what is passed to *begin* by number, as far as it is known before the step."""
        declared, valid = self.program.threads[thread], self._live(thread, state)
        evaluator = self._evaluators[id(declared.kind)]
        vector = [*state, thread + 1, *[0] * len(declared.kind.code.slots)]
        items: list[tuple[int, Shown | Address | str | None]] = [(-1, begin.receiver)]
        items += list(enumerate(begin.arguments or ()))
        found = {}
        for index, item in items:
            with contextlib.suppress(StepFailure):
                if isinstance(item, Address) and _known(_indexes(item), valid):
                    found[index] = evaluator.address(item, begin)(vector, declared.base)
                elif isinstance(item, Shown) and _known([item.expr], valid):
                    found[index] = evaluator.expression(item.expr, begin)(vector, declared.base)
        return found

    def _live(self, thread: int, state: State) -> set[int]:
        """Return the slots of the local variables that have a value in *state*."""
        declared = self.program.threads[thread]
        return set(declared.kind.live[state[declared.base]].values())


def _locks(program: Program) -> set[int]:
    """Return the numbers of the components that any thread declares to acquire, whole arrays of them."""
    found: set[int] = set()
    for kind in program.kinds:
        for op in kind.code.ops:
            if isinstance(op, LockEvent) and op.action == "acquire":
                numbers = {op.lock.base}
                for term in op.lock.terms:
                    numbers = {n + i * term.stride for n in numbers for i in range(term.length)}
                found |= numbers
    return found


def _slot(op: Op) -> int:
    slot = assigned(op)
    return -1 if slot is None else slot


def _indexes(address: Address) -> list[Expr]:
    return [term.index for term in address.terms]


def _known(expressions: Sequence[Expr], valid: set[int]) -> bool:
    """Return True if every local variable in *expressions* has a value."""
    return all(e.slot in valid for x in expressions for e in walk(x) if isinstance(e, Local))


def _written(seen: Iterable[Seen]) -> dict[int, tuple[int, int]]:
    """Return for each cell that was written what was there before and after."""
    found: dict[int, tuple[int, int]] = {}
    for one in seen:
        if one.cell is not None and one.new is not None:
            first = found.get(one.cell, (one.old, 0))[0]
            found[one.cell] = first, one.new
    return found


def _is_constant(ops: Sequence[Op]) -> bool:
    """Return True if a statement only stores constants, which its text says already."""
    return all(isinstance(op.value, Const) for op in ops if isinstance(op, Store))


def _of_tasks(type_: Type) -> bool:
    return isinstance(type_, SetType) and type_.of_tasks


def _bracket(texts: list[str]) -> str:
    if not texts:
        return ""
    kept = texts if len(texts) <= MOST_VALUES else [*texts[:MOST_VALUES], "..."]
    return f"   [{', '.join(kept)}]"


def shown(program: Program, type_: Type, value: int) -> object:
    """Return a value as people read it."""
    return show(value, type_, program.task_names)


def statement_text(loc: Loc) -> str:
    """Return the statement at *loc*, of a compound one its head: on one line, without comments."""
    try:
        lines = source_lines(loc.file)[loc.line - 1 : max(loc.line, loc.end_line)]
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""
    if lines and loc.end_column and loc.end_line == loc.line:
        lines[0] = lines[0][: loc.end_column]
    if lines and len(lines[0]) > loc.column:
        lines[0] = lines[0][loc.column :]
    text = _first_statement("\n".join(lines)).rstrip(":").replace("self.", "")
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


@lru_cache(maxsize=1024)
def _first_statement(source: str) -> str:
    """Return the first logical line of *source*, its parts joined by blanks and its comments left out."""
    parts: list[str] = []
    row, column = 1, 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
                break
            if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
                continue
            if parts and token.start[0] != row:
                # A line break in brackets reads as a blank, but not next to a bracket.
                parts.append("" if parts[-1] in "([{" or token.string in ")]}" else " ")
            elif parts and token.start[1] > column:
                parts.append(" ")
            parts.append(token.string)
            row, column = token.end
    except (tokenize.TokenError, SyntaxError):
        pass  # a part of a statement, as an expression within brackets is
    text = "".join(parts)
    return text or source.partition("\n")[0].strip()
