# SPDX-License-Identifier: Apache-2.0
"""Versions, and the snapshots that follow them."""

from __future__ import annotations

import ast

from quiesce.compiler.ir import Binary, Bump, Expr, Load, Local, VersionRead
from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.shorthand import ZERO, negated
from quiesce.compiler.read.typing_rules import coerce, type_of
from quiesce.compiler.read.values import Dynamic, Static, Value, VariablePlace, VersionPlace
from quiesce.compiler.types import BoolType, SnapshotType, describe, join


def snapshot(b: Builder, place: VariablePlace, value: Value, node: ast.AST) -> Expr:
    """Return what is stored in a Snapshot variable; note which version it follows: only one."""
    if value == Static(None):
        return ZERO  # no look: like one that is out of date
    given = type_of(b, value, node)
    if not isinstance(given, SnapshotType):
        b.refuse(
            node, "snapshot", f"a Snapshot keeps a look at a Version, not {describe(given)}",
            "what is kept is whether the version changed since", "self.seen = self.seq",
        )  # fmt: skip
    follow_version(b, Load(place.address, place.marked), given.version, node)
    return coerce(b, value, given, node, "the variable")


def follow_version(b: Builder, cell: Load, version: int, node: ast.AST) -> None:
    """Note that the Snapshot variables which *cell* may name follow *version*."""
    cells = {cell.address.base}
    for term in cell.address.terms:
        cells = {base + i * term.stride for base in cells for i in range(term.length)}
    for number in cells:
        both = join(b.layout.cells[number].type, SnapshotType(version))
        if both is None:
            b.refuse(
                node, "snapshot", "this Snapshot already follows another Version",
                "one bit is kept: whether that version changed", "declare a Snapshot for each",
            )  # fmt: skip
        b.layout.cells[number].type = both


def compare_version(b: Builder, left: Value, symbol: str, right: Value, node: ast.AST) -> Dynamic:
    """Return ``left == right`` or ``left != right``, of which one is a version."""
    version, holder = (left, right) if isinstance(left, VersionPlace) else (right, left)
    assert isinstance(version, VersionPlace)
    if symbol not in ("==", "!=") or not (
        isinstance(holder, Dynamic) and isinstance(holder.type, SnapshotType)
    ):
        b.refuse(
            node, "version-compare", "a version is compared with something else than a snapshot of it",
            "what is kept of it is whether it changed since a look at it",
            "seen = self.seq ... if self.seq != seen",
        )  # fmt: skip
    if holder.type.version not in (-1, version.version):
        b.refuse(
            node, "version-compare", "this is a snapshot of another version",
            "what is kept of a version is whether it changed since a look at it",
            "compare it with the version that it was taken of",
        )  # fmt: skip
    if holder.type.version == -1 and isinstance(holder.expr, Load):
        follow_version(b, holder.expr, version.version, node)
    marked = b.marks_access(version.marked)
    same: Expr = Binary("and", VersionRead(version.version, marked), holder.expr)
    if marked and not b.atomic_depth:
        same = Local(b.temporary(same, BoolType()))
    return Dynamic(same if symbol == "==" else negated(same), BoolType())


def bump(b: Builder, place: VersionPlace, node: ast.AugAssign) -> None:
    """Increment a version: ``self.seq += 1``."""
    b.refuse_in_property(node, "change a variable")
    amount = b.read(node.value)
    grows = isinstance(amount, Static) and isinstance(amount.object, int) and amount.object > 0
    if not isinstance(node.op, ast.Add) or not grows:
        b.refuse(
            node, "version-store", "a Version is only incremented",
            "what is kept of it is whether it changed since a look at it", "self.seq += 1",
        )  # fmt: skip
    marked = b.marks_access(place.marked)
    b.emit(Bump(place.version, marked, **b.at))
