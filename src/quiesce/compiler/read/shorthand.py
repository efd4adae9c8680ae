# SPDX-License-Identifier: Apache-2.0
"""Expressions of the IR that several topics build."""

from __future__ import annotations

from quiesce.compiler.ir import Binary, Const, Expr, Unary

ZERO = Const(0)
ONE = Const(1)


def negated(expr: Expr) -> Expr:
    """Return ``not expr``."""
    if isinstance(expr, Const):
        return Const(int(not expr.value))
    if isinstance(expr, Unary) and expr.op == "not":
        return expr.operand
    return Unary("not", expr)


def minus_one(expr: Expr) -> Expr:
    """Return ``expr - 1``: the index that a task or a reference stands for."""
    return Const(expr.value - 1) if isinstance(expr, Const) else Binary("-", expr, ONE)
