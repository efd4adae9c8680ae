# SPDX-License-Identifier: Apache-2.0
"""Makes a protocol smaller for as long as something stays true of it."""

from __future__ import annotations

import ast
import copy
import time
from collections.abc import Callable, Iterator

Test = Callable[[str], bool]


def shrink(
    text: str, interesting: Test, tries: int = 1500, deadline: float = float("inf")
) -> Iterator[str]:
    """Yield smaller and smaller texts of which *interesting* is still true; it is true of *text*.

    *interesting* must answer False for a text that is not a protocol. At most *tries* texts are tried.

    :param deadline: the time of ``time.monotonic()`` after which no further text is tried.
    """
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(text):
            tries -= 1
            if tries < 0 or time.monotonic() >= deadline:
                return
            if len(smaller) < len(text) and interesting(smaller):
                text, changed = smaller, True
                yield text
                break


def _smaller(text: str) -> Iterator[str]:
    """Yield texts with something taken out: large parts first."""
    tree = ast.parse(text)
    parts = sorted(_changes(tree), key=lambda c: -c[0])
    for _, number in parts:
        changed = copy.deepcopy(tree)
        list(_changes(changed, number))
        try:
            yield ast.unparse(ast.fix_missing_locations(changed)) + "\n"
        except (ValueError, AttributeError):
            continue


def _changes(tree: ast.Module, wanted: int = -1) -> Iterator[tuple[int, int]]:
    """Yield (size, number) of every change that can be made; make the one with number *wanted*."""
    number = 0
    for node in list(ast.walk(tree)):
        for change, size in _of_node(node):
            if number == wanted:
                change()
                return
            yield size, number
            number += 1


def _of_node(node: ast.AST) -> Iterator[tuple[Callable[[], None], int]]:
    """Yield the changes of one node's fields, and how much each takes out."""
    for name, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            for i, statement in enumerate(value):
                yield _replace(value, i, _empty(value, node)), _size(statement)
                inner = getattr(statement, "body", None)
                if isinstance(statement, ast.If | ast.While | ast.For | ast.With):
                    assert isinstance(inner, list)
                    yield _replace(value, i, inner), _size(statement) - sum(_size(s) for s in inner)
                    if getattr(statement, "orelse", None):
                        yield _clear(statement), 1
        elif isinstance(value, list):
            for i, part in enumerate(value):
                if isinstance(part, ast.keyword):
                    yield _replace(value, i, []), 1
        if isinstance(value, ast.BoolOp | ast.UnaryOp | ast.BinOp | ast.Compare):
            for child in ast.iter_child_nodes(value):
                if isinstance(child, ast.expr):
                    yield _set(node, name, child), _size(value) - _size(child)


def _empty(body: list[ast.stmt], owner: ast.AST) -> list[ast.stmt]:
    return [ast.Pass()] if len(body) == 1 and not isinstance(owner, ast.Module) else []


def _replace(values: list[ast.stmt], i: int, by: list[ast.stmt]) -> Callable[[], None]:
    def change() -> None:
        values[i : i + 1] = by

    return change


def _clear(statement: ast.stmt) -> Callable[[], None]:
    def change() -> None:
        statement.orelse = []  # type: ignore[attr-defined]

    return change


def _set(node: ast.AST, name: str, value: ast.expr) -> Callable[[], None]:
    return lambda: setattr(node, name, value)


def _size(node: ast.AST) -> int:
    return sum(1 for _ in ast.walk(node))
