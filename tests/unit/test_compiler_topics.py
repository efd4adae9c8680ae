# SPDX-License-Identifier: Apache-2.0
"""Topics of the front end, each read alone: a builder made by hand, one node, what it emits."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import pytest

from quiesce.compiler.ir import Address, Binary, Code, Const, Load, Local, SetLocal, Term
from quiesce.compiler.ir_text import dump
from quiesce.compiler.layout import Layout
from quiesce.compiler.read.accesses import load, store
from quiesce.compiler.read.arithmetic import read_binary, read_sign
from quiesce.compiler.read.assignments import read_assign
from quiesce.compiler.read.builder import Builder, Readers, Refused, resolve_labels
from quiesce.compiler.read.comparisons import read_comparison
from quiesce.compiler.read.conditions import condition, read_boolean
from quiesce.compiler.read.elements import element
from quiesce.compiler.read.evaluation import before, frozen, settled
from quiesce.compiler.read.inlined_call import InlinedCall
from quiesce.compiler.read.language_actions import reader_of
from quiesce.compiler.read.local_names import count_stores, names_bound
from quiesce.compiler.read.loop_statements import read_while
from quiesce.compiler.read.members import member
from quiesce.compiler.read.reader import READERS
from quiesce.compiler.read.source import function_node
from quiesce.compiler.read.typing_rules import coerce, type_of
from quiesce.compiler.read.values import (
    Component,
    ComponentArray,
    Dynamic,
    Static,
    Value,
    VariablePlace,
)
from quiesce.compiler.read.waiting import read_wait_until
from quiesce.compiler.read.words import words
from quiesce.compiler.types import BoolType, IntType, TaskType
from quiesce.protocol import Array, Int, Protocol, Scenario, Set, actions, thread


class Slot(Protocol):
    users = Int(0, high=5)


class Bench(Scenario):
    total = Int(0, high=9)
    marks = Set(4)
    slots = Array(Slot(), 2)

    @thread()
    def user(self) -> None:
        pass


NUMBER = IntType(0, 9)


def only_names(b: Builder, node: ast.expr) -> Value:
    """Read what a test puts into the frame, and constants: nothing of the language."""
    if isinstance(node, ast.Constant):
        return Static(node.value)
    assert isinstance(node, ast.Name), "the topic asks for more than its operands"
    return b.frame.env[node.id]


def no_block(b: Builder, nodes: Sequence[ast.stmt]) -> None:
    """Read a block as one operation that a test can see."""
    b.emit(SetLocal(99, Const(len(nodes)), **b.at))


ALONE = Readers(only_names, only_names, no_block)


def builder(readers: Readers = ALONE, **names: Value) -> Builder:
    """Return a builder in the middle of the method ``user`` of :class:`Bench`."""
    scenario = Bench()
    scenario.start()
    b = Builder(Layout(scenario), set(), readers)
    node = function_node(Bench.user)
    assert isinstance(node, ast.FunctionDef)
    self = Component(scenario)
    frame = InlinedCall(Bench.user, node, __file__, Bench, self, {"self": self, **names})
    frame.assigned |= {"self", *names}
    b.frames.append(frame)
    b.begin_statement(node)
    return b


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def statement(text: str) -> ast.stmt:
    return ast.parse(text).body[0]


def emitted(b: Builder) -> list[str]:
    """Return the operations as text, without their numbers and places."""
    lines = dump(Code("bench", resolve_labels(b.ops))).splitlines()[1:]
    return [line[6:].rpartition(";")[0].strip() for line in lines]


def codes(b: Builder) -> set[str]:
    return {d.code for d in b.diagnostics}


SHARED = Dynamic(Load(Address(0), False), NUMBER)


# --- Operands only: nothing else of the language is there ---------------------------------------------


def test_constants_are_folded_and_emit_nothing() -> None:
    b = builder()
    node = expression("2 + 3")
    assert isinstance(node, ast.BinOp)
    assert read_binary(b, node) == Static(5)
    assert b.ops == []


def test_arithmetic_on_a_shared_variable_is_an_expression() -> None:
    b = builder(x=SHARED)
    node = expression("x - 1")
    assert isinstance(node, ast.BinOp)
    value = read_binary(b, node)
    assert isinstance(value, Dynamic)
    assert value.expr == Binary("-", SHARED.expr, Const(1))


def test_the_sign_of_a_constant_is_folded() -> None:
    node = expression("-3")
    assert isinstance(node, ast.UnaryOp)
    assert read_sign(builder(), node) == Static(-3)


def test_arithmetic_with_a_component_is_refused() -> None:
    b = builder()
    node = expression("self * 2")
    assert isinstance(node, ast.BinOp)
    with pytest.raises(Refused):
        read_binary(b, node)
    assert codes(b) == {"type"}


@pytest.mark.parametrize(("text", "value"), [("1 < 2 < 3", True), ("1 < 2 > 3", False)])
def test_a_chain_of_comparisons_of_constants_is_known(text: str, value: bool) -> None:
    node = expression(text)
    assert isinstance(node, ast.Compare)
    assert read_comparison(builder(), node) == Static(value)


def test_a_condition_reads_no_operand_that_a_constant_hides() -> None:
    assert condition(builder(), expression("0 and absent")) == Static(False)
    with pytest.raises(KeyError):
        condition(builder(), expression("1 and absent"))


def test_an_operand_that_emits_operations_is_guarded() -> None:
    def accesses(b: Builder, node: ast.expr) -> Value:
        assert isinstance(node, ast.Name)
        return Dynamic(Local(b.temporary(SHARED.expr, BoolType())), BoolType())

    node = expression("x and y")
    assert isinstance(node, ast.BoolOp)
    b = builder(Readers(accesses, accesses, no_block))
    value = read_boolean(b, node)
    assert value == Dynamic(Local(2), BoolType())
    assert emitted(b) == [
        "%0 = load[0]",
        "%2 = %0",
        "unless %2 goto @5",
        "%1 = load[0]",
        "%2 = %1",
    ]


def test_a_loop_tests_its_condition_before_each_round() -> None:
    b = builder(x=Dynamic(Local(0), BoolType()))
    node = statement("while x:\n    pass\n    pass")
    assert isinstance(node, ast.While)
    read_while(b, node)
    assert emitted(b) == ["unless %0 goto @3", "%99 = 2", "goto @0"]
    assert len(b.marks.loops) == 1


def test_a_loop_whose_condition_is_false_emits_nothing() -> None:
    b = builder()
    node = statement("while False:\n    pass")
    assert isinstance(node, ast.While)
    read_while(b, node)
    assert emitted(b) == []


def test_a_wait_is_an_atomic_region_of_its_own() -> None:
    b = builder(x=Dynamic(Local(0), BoolType()))
    node = expression("wait_until(lambda: x)")
    assert isinstance(node, ast.Call)
    assert read_wait_until(b, node) == Static(None)
    assert emitted(b) == ["begin wait_until(lambda: x)", "await %0", "end"]
    assert b.atomic_depth == 0


def test_a_property_does_not_wait() -> None:
    b = builder(x=Dynamic(Local(0), BoolType()))
    b.in_property = True
    node = expression("wait_until(lambda: x)")
    assert isinstance(node, ast.Call)
    with pytest.raises(Refused):
        read_wait_until(b, node)
    assert codes(b) == {"property"}


# --- When a value is evaluated --------------------------------------------------------------------------


def test_settled_keeps_locals_and_frozen_keeps_those_that_never_change() -> None:
    b = builder()
    once, often = b.new_slot("once", NUMBER), b.new_slot("often", NUMBER)
    b.reassigned.add(often)
    assert settled(b, Dynamic(Local(often), NUMBER)) == Dynamic(Local(often), NUMBER)
    assert frozen(b, Dynamic(Local(once), NUMBER)) == Dynamic(Local(once), NUMBER)
    assert emitted(b) == []
    assert frozen(b, Dynamic(Local(often), NUMBER)) == Dynamic(Local(2), NUMBER)
    assert settled(b, SHARED) == Dynamic(Local(3), NUMBER)
    assert emitted(b) == ["%2 = %1", "%3 = load[0]"]


def test_what_was_read_before_is_evaluated_before_what_is_emitted() -> None:
    b = builder()
    values, slot = before(b, [SHARED], lambda: b.temporary(Const(7), NUMBER))
    assert emitted(b) == ["%1 = load[0]", "%0 = 7"]
    assert (values, slot) == ([Dynamic(Local(1), NUMBER)], 0)
    values, _ = before(b, [SHARED], lambda: None)
    assert values == [SHARED]


# --- Components, variables, elements --------------------------------------------------------------------


def test_a_member_is_a_place_and_reading_it_is_a_load() -> None:
    b = builder()
    place = member(b, b.frame.env["self"], "total", b.frame.node)
    assert isinstance(place, VariablePlace)
    assert load(b, place) == SHARED
    store(b, place, Static(3), b.frame.node)
    assert emitted(b) == ["store[0] = 3"]


def test_what_a_component_has_not_is_refused_with_its_place() -> None:
    b = builder()
    with pytest.raises(Refused):
        member(b, b.frame.env["self"], "missing", b.frame.node)
    (diagnostic,) = b.diagnostics
    assert diagnostic.code == "attribute"
    assert diagnostic.loc.file == __file__


def test_an_index_known_now_names_the_element_and_another_becomes_a_term() -> None:
    b = builder()
    slots = member(b, b.frame.env["self"], "slots", b.frame.node)
    assert isinstance(slots, ComponentArray)
    known = element(b, slots, Static(1), b.frame.node)
    assert known == Component(slots.elements[1])
    chosen = element(b, slots, Dynamic(Local(0), NUMBER), b.frame.node)
    assert chosen == Component(slots.elements[0], (Term(Local(0), 2, 1, 1),))
    with pytest.raises(Refused):
        element(b, slots, Static(2), b.frame.node)
    assert codes(b) == {"index"}


def test_a_value_has_one_type_and_is_coerced_to_it() -> None:
    b = builder()
    assert type_of(b, Static(True), b.frame.node) == BoolType()
    assert type_of(b, SHARED, b.frame.node) == NUMBER
    assert coerce(b, Static(None), TaskType(), b.frame.node) == Const(0)
    with pytest.raises(Refused):
        coerce(b, Static(1), TaskType(), b.frame.node)
    assert words(Static("a" * 60)) == "a str"


# --- Names and tables -----------------------------------------------------------------------------------


def test_names_that_a_statement_binds_and_how_often() -> None:
    node = statement("for i in range(3):\n    a, b = i, 0\n    b += 1")
    assert names_bound(node) == {"i", "a", "b"}
    assert count_stores([node]) == {"i": 2, "a": 2, "b": 5}
    assert count_stores([statement("x = 1")]) == {"x": 1}


def test_only_actions_of_the_language_have_a_reader() -> None:
    assert reader_of(actions.wait_until) is read_wait_until
    assert reader_of(range) is not None
    assert reader_of(print) is None
    assert reader_of([]) is None


# --- The whole language, one node -----------------------------------------------------------------------


def test_one_assignment_read_with_the_language() -> None:
    b = builder(READERS)
    node = statement("self.total = self.slots[1].users + 2")
    assert isinstance(node, ast.Assign)
    read_assign(b, node)
    assert isinstance(b.layout.scenario, Bench)
    cell = b.layout.first_cell(b.layout.scenario.slots[1])
    assert emitted(b) == [f"store[0] = (load[{cell}] + 2)"]


def test_one_call_read_with_the_language() -> None:
    b = builder(READERS)
    assert b.read(expression("self.marks.add(2)")) == Static(None)
    assert emitted(b) == ["store[1] = (load[1] | (1 << 2))"]
