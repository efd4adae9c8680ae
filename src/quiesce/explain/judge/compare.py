# SPDX-License-Identifier: Apache-2.0
"""Whether two reports show the same bug, and why.

Two cycles are the same if they consist of the same lock classes in the same order, from whichever edge
each was caught, and at least one edge was made in the same function. Cycles that share an edge are
related: without it neither can hang. Of other kinds what names a problem is compared (the locks, the
place in the source, where the root of a hang waits).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from quiesce.explain.judge.call_path import waiter
from quiesce.explain.judge.fingerprint import stable_name
from quiesce.explain.judge.kind import Shape
from quiesce.explain.judge.kinds import judge_of
from quiesce.explain.judge.ladder import function_of
from quiesce.explain.judge.stuck import core_of
from quiesce.explain.judge.wait_graph import build_graph
from quiesce.explain.judge.words import short_name
from quiesce.explain.read.model import PrintedLock, PrintedReport

_MOST_REASONS = 6


class Likeness(Enum):
    """What two reports have to do with each other."""

    SAME = "same"
    RELATED = "related"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Comparison:
    """What two reports have to do with each other, in a sentence, and why."""

    likeness: Likeness
    text: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _OrderEdge:
    """*inner* is taken in *function* with *outer* held."""

    outer: PrintedLock
    inner: PrintedLock
    function: str
    new: bool

    @property
    def key(self) -> tuple[str, str]:
        return stable_name(self.outer), stable_name(self.inner)

    @property
    def words(self) -> str:
        return f"{_name(self.outer)} -> {_name(self.inner)}"

    def same(self, other: _OrderEdge) -> bool:
        """True if *other* was made in the same function, of the same classes."""
        return self.key == other.key and self.function == other.function


def compare(first: PrintedReport, second: PrintedReport) -> Comparison:
    """Return what *first* and *second* have to do with each other."""
    for report, which in ((first, "first"), (second, "second")):
        if "mixed" in report.facts:
            text = f"Cannot be told: the {which} report is mixed with another one."
            return Comparison(Likeness.UNKNOWN, text)
    if first.kind != second.kind:
        return _other_kinds(first, second)
    if judge_of(first).shape is Shape.TASKS:
        one, other = _edges(first), _edges(second)
        if one and other:
            return _cycles(first, second, one, other)
    return _identities(first, second)


def _name(lock: PrintedLock) -> str:
    name = short_name(lock.base)
    return f"{name}/{lock.subclass}" if lock.subclass else name


# --- Cycles -------------------------------------------------------------------------------------------


def _edges(report: PrintedReport) -> list[_OrderEdge]:
    """Return the edges of the cycle, the new one first; of a cut chain those that are there."""
    cycle = judge_of(report).cycle(report)
    if cycle is not None:
        return [
            _OrderEdge(p.holds.lock, p.wants.lock, function_of(p), p.current) for p in cycle.paths
        ]
    edges = []
    if report.holding is not None and report.wanted is not None:
        function = waiter(report.backtrace) or waiter(report.wanted.at)
        edges.append(_OrderEdge(report.holding, report.wanted, function, True))
    locks = {link.number: link.lock for link in report.links}
    if report.wanted is not None:
        locks.setdefault(0, report.wanted)
    for link in report.links:
        if link.number and link.number - 1 in locks:
            outer = locks[link.number - 1]
            edges.append(_OrderEdge(outer, link.lock, waiter(link.frames), False))
    return edges


def _whole(report: PrintedReport) -> bool:
    return judge_of(report).cycle(report) is not None


def _cycles(
    first: PrintedReport, second: PrintedReport, one: list[_OrderEdge], other: list[_OrderEdge]
) -> Comparison:
    keys, other_keys = {edge.key for edge in one}, {edge.key for edge in other}
    pairs = [(a, b) for a in one for b in other if a.key == b.key]
    shared = [a for a, b in pairs if a.same(b)]
    whole = _whole(first), _whole(second)
    if all(whole) and judge_of(first).identity(first) == judge_of(second).identity(second):
        return _same_cycle(one, other, pairs, bool(shared))
    if not all(whole):
        # A cut chain is a part of the other cycle, or it is another cycle.
        parts = (whole[0] or keys <= other_keys) and (whole[1] or other_keys <= keys)
        if shared and parts:
            which = " and ".join(
                n for n, w in zip(("first", "second"), whole, strict=True) if not w
            )
            text = (
                f"Cannot be told: all edges that are left of the {which} report are in the other one, but "
                "its chain is cut."
            )
            return Comparison(Likeness.UNKNOWN, text, tuple(_shared(shared)))
    if shared:
        words = shared[0].words
        where = f" in {shared[0].function}()" if shared[0].function else ""
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        text = f"Related: two cycles that share the edge {words}{where}{more}. Without it neither can hang."
        return Comparison(Likeness.RELATED, text, tuple(_only(one, other)))
    if pairs:
        a, b = pairs[0]
        text = (
            f"Not the same bug: both cycles have {a.words}, but made in {a.function or '?'}() in the first "
            f"and in {b.function or '?'}() in the second."
        )
        return Comparison(Likeness.DIFFERENT, text, tuple(_only(one, other)))
    return Comparison(
        Likeness.DIFFERENT,
        "Not the same bug: the two cycles share no edge.",
        tuple(_only(one, other)),
    )


def _same_cycle(
    one: list[_OrderEdge],
    other: list[_OrderEdge],
    pairs: list[tuple[_OrderEdge, _OrderEdge]],
    shared: bool,
) -> Comparison:
    names = " -> ".join(_name(edge.inner) for edge in one)
    many = "lock" if len(one) == 1 else f"{len(one)} locks"
    if not shared:
        text = f"Related: the same {many}, {names}, but no edge is made in the same function."
        return Comparison(Likeness.RELATED, text, tuple(_places(pairs)))
    text = f"The same bug: the same cycle of {many}, {names}."
    reasons = [*_new_edges(one, other), *_places([(a, b) for a, b in pairs if not a.same(b)])]
    return Comparison(Likeness.SAME, text, tuple(reasons))


def _new_edges(one: list[_OrderEdge], other: list[_OrderEdge]) -> Iterator[str]:
    a = next((edge for edge in one if edge.new), None)
    b = next((edge for edge in other if edge.new), None)
    if a is None or b is None:
        return
    if a.same(b):
        yield f"New edge in both: {a.words} in {a.function}()."
    else:
        yield (
            f"New edge: {a.words} in {a.function}() in the first, {b.words} in {b.function}() in the second."
        )


def _places(pairs: list[tuple[_OrderEdge, _OrderEdge]]) -> Iterator[str]:
    for a, b in pairs[:_MOST_REASONS]:
        yield f"{a.words}: in {a.function or '?'}() in the first, in {b.function or '?'}() in the second."


def _shared(edges: list[_OrderEdge]) -> Iterator[str]:
    for edge in edges[:_MOST_REASONS]:
        yield f"In both: {edge.words} in {edge.function}()."


def _only(one: list[_OrderEdge], other: list[_OrderEdge]) -> Iterator[str]:
    """Yield the edges that only one of the two cycles has."""
    for which, mine, theirs in (("first", one, other), ("second", other, one)):
        keys = {edge.key for edge in theirs}
        words = [f"{e.words} in {e.function}()" for e in mine if e.key not in keys]
        if words:
            rest = f" and {len(words) - 3} more" if len(words) > 3 else ""
            yield f"Only in the {which}: {', '.join(words[:3])}{rest}."


# --- Other kinds --------------------------------------------------------------------------------------


def _identities(first: PrintedReport, second: PrintedReport) -> Comparison:
    one, other = judge_of(first).identity(first), judge_of(second).identity(second)
    if one == other:
        parts = [part for part in one if part]
        about = f": {', '.join(parts)}" if parts else ""
        return Comparison(Likeness.SAME, f"The same bug{about}.", tuple(_where(first, second)))
    reasons = tuple(
        f"Only in the {which}: {', '.join(rest)}."
        for which, mine, theirs in (("first", one, other), ("second", other, one))
        if (rest := [part for part in mine if part and part not in theirs])
    )
    common = _common(first, second)
    text = "Not the same bug" + (f", though both name {common}." if common else ".")
    return Comparison(Likeness.DIFFERENT, text, reasons)


def _where(first: PrintedReport, second: PrintedReport) -> Iterator[str]:
    one, other = waiter(first.backtrace), waiter(second.backtrace)
    if one and one == other:
        yield f"Both times in {one}()."
    elif one and other:
        yield f"In {one}() in the first, in {other}() in the second."


def _other_kinds(first: PrintedReport, second: PrintedReport) -> Comparison:
    text = f"Not the same kind of report: {first.kind} and {second.kind}."
    shared = _classes(first) & _classes(second)
    if len(shared) >= 2:
        names = ", ".join(sorted(shared)[:4])
        return Comparison(
            Likeness.RELATED,
            f"Related: {first.kind} and {second.kind} reports about the same locks, {names}.",
        )
    common = _common(first, second)
    return Comparison(Likeness.DIFFERENT, text, (f"Both name {common}.",) if common else ())


def _common(first: PrintedReport, second: PrintedReport) -> str:
    return ", ".join(sorted(_classes(first) & _classes(second))[:4])


def _classes(report: PrintedReport) -> set[str]:
    """Return the names of the locks that *report* is about."""
    locks = [lock for lock in (report.wanted, report.holding) if lock is not None]
    locks += [*(link.lock for link in report.links), *report.subjects.values()]
    names = {_name(lock) for lock in locks}
    for node in core_of(build_graph(report.tasks)):
        names |= {node.wanted.name} if node.wanted.name else set()
        names |= {_name(lock) for lock in node.task.held}
    return names
