# SPDX-License-Identifier: Apache-2.0
"""Which mutations are made: a selection of Cosmic Ray's operators, and one of ours.

Cosmic Ray replaces each operator by every other one. One neighbor of each kind finds the same gaps in
the tests in a tenth of the time. Mutations of annotations change nothing, and are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
import parso
from cosmic_ray.operators.operator import Example, Operator

Position = tuple[int, int]

_CORE = re.compile(
    r"core/(?:"
    r"ReplaceComparisonOperator_(?:Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE"
    r"|GtE_Gt|GtE_Lt|Is_IsNot|IsNot_Is)"
    r"|ReplaceBinaryOperator_(?:Add_Sub|Sub_Add|Mul_Add|FloorDiv_Mul|Mod_Mul|Pow_Mul|LShift_RShift"
    r"|RShift_LShift|BitOr_BitAnd|BitAnd_BitOr|BitXor_BitOr)"
    r"|ReplaceUnaryOperator_Delete_(?:USub|Invert|Not)"
    r"|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd"
    r"|ReplaceBreakWithContinue|ReplaceContinueWithBreak|ExceptionReplacer|NumberReplacer"
    r"|RemoveDecorator|ZeroIterationForLoop)"
)


class RemoveStatement(Operator):  # type: ignore[misc]
    """Replace an assignment or a call, as a statement of a function, by ``pass``."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if self._is_statement(node) and node.search_ancestor("funcdef"):
            yield node.start_pos, node.end_pos

    def _is_statement(self, node: Any) -> bool:
        if node.parent is None or node.parent.type != "simple_stmt":
            return False
        if node.type == "expr_stmt":
            # An annotation without a value does nothing.
            return len(node.children) > 2 or len(node.children[1].children) > 2
        return bool(node.type in ("atom_expr", "power", "assert_stmt", "del_stmt"))

    def mutate(self, node: Any, index: int) -> Any:
        first = node.get_first_leaf()
        return parso.python.tree.Keyword("pass", first.start_pos, first.prefix)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("def f():\n    g()\n", "def f():\n    pass\n"),)


class _Ours:
    """A provider of operators, as Cosmic Ray finds them."""

    _operators = {"RemoveStatement": RemoveStatement}

    def __iter__(self) -> Iterator[str]:
        return iter(self._operators)

    def __getitem__(self, name: str) -> type[Operator]:
        return self._operators[name]


def register() -> None:
    """Tell Cosmic Ray about our operator."""
    cosmic_ray.plugins.OPERATOR_PROVIDERS["quiesce"] = _Ours()


def is_used(operator: str) -> bool:
    """Return True if the operator of this name is one of the selection."""
    return operator.startswith("quiesce/") or _CORE.fullmatch(operator) is not None


class Uninteresting:
    """The parts of a module in which a mutation means nothing: annotations, ``__repr__``."""

    def __init__(self, path: Path) -> None:
        self._ranges: list[tuple[Position, Position]] = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name="__repr__"):
                    self._add(node)
                case ast.FunctionDef(returns=ast.expr() as annotation):
                    self._add(annotation)
                case ast.arg(annotation=ast.expr() as annotation):
                    self._add(annotation)
                case ast.AnnAssign(annotation=annotation):
                    self._add(annotation)
                case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                    self._add(node)

    def _add(self, node: ast.stmt | ast.expr) -> None:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        self._ranges.append((start, end))

    def __contains__(self, position: Position) -> bool:
        return any(start <= position < end for start, end in self._ranges)
