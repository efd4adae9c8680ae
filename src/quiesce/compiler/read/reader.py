# SPDX-License-Identifier: Apache-2.0
"""The way in: the code of one thread kind, or of one property, from its method down."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.compiler.ir import Code, End, Halt, Jump, Label, SetLocal
from quiesce.compiler.layout import Layout
from quiesce.compiler.read.builder import Builder, Readers, Refused, resolve_labels
from quiesce.compiler.read.expressions import read_expression, read_place
from quiesce.compiler.read.inlined_call import InlinedCall
from quiesce.compiler.read.inlining import atomic_mark, begin_region, frame_of
from quiesce.compiler.read.parameters import bind
from quiesce.compiler.read.returns import function_body
from quiesce.compiler.read.statements import read_block
from quiesce.compiler.read.typing_rules import truth
from quiesce.compiler.read.values import Method, Static
from quiesce.compiler.types import BoolType
from quiesce.errors import Diagnostic

READERS = Readers(read_expression, read_place, read_block)
"""What reads the nodes of the language."""


def read_thread(
    layout: Layout, diagnostics: set[Diagnostic], method: Method, arguments: Sequence[int] = ()
) -> Code:
    """Return the operations of a thread whose body is *method*: one step if that is atomic.

    :param diagnostics: what is refused is added to it.
    :param arguments: what the method is called with: the number of a numbered thread.
    """
    b = Builder(layout, diagnostics, READERS)
    frame = _enter(b, method, [Static(argument) for argument in arguments])
    if frame is not None:
        # A first operation of its own, so that no loop leads back to where the thread starts.
        first = Label()
        b.emit(Jump(first, **b.at))
        b.place_label(first)
        mark = atomic_mark(method)
        if mark is not None:
            begin_region(b, frame, mark)
            b.atomic_depth += 1
        b.block(frame.node.body)
        b.place_label(frame.end)
        if mark is not None:
            b.atomic_depth -= 1
            b.emit(End(**b.at))
        b.frames.pop()
    b.emit(Halt(**b.at))
    return Code(method.function.__name__, resolve_labels(b.ops), b.slots, b.marks)


def read_property(layout: Layout, diagnostics: set[Diagnostic], method: Method) -> Code:
    """Return the operations of a property: all atomic, the answer in slot 0, which is named.

    :param diagnostics: what is refused is added to it.
    """
    b = Builder(layout, diagnostics, READERS)
    answer = b.new_slot("answer", BoolType())
    b.atomic_depth = 1
    b.in_property = True
    frame = _enter(b, method)
    if frame is not None:
        try:
            value = function_body(b, frame, settle=False)
            if not frame.returns_value:
                b.refuse(
                    frame.node, "property", f"the property `{frame.name}` returns nothing",
                    "what it returns is what must be true; None would be false in every state",
                    "return the condition",
                )  # fmt: skip
            b.emit(SetLocal(answer, truth(b, value, frame.node), **b.at))
        except Refused:
            pass
        b.frames.pop()
    b.emit(Halt(**b.at))
    return Code(method.function.__name__, resolve_labels(b.ops), b.slots, b.marks)


def _enter(b: Builder, method: Method, arguments: Sequence[Static] = ()) -> InlinedCall | None:
    """Begin to read *method*, which no code calls; return None if it is refused."""
    try:
        frame = frame_of(b, method, None)
    except Refused:
        return None
    b.frames.append(frame)
    b.begin_statement(frame.node)
    try:
        bind(b, frame, list(arguments), {}, frame.node)
    except Refused:
        b.frames.pop()
        return None
    return frame
