# SPDX-License-Identifier: Apache-2.0
"""The lock order of a program: as text, Graphviz DOT or Mermaid.

An edge ``A -> B`` says that a lock of class B was acquired with one of A held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from quiesce.harmless import one_line
from quiesce.lockdep.graph_text import escape, mermaid_entities
from quiesce.watch.classes import ClassEdge, WatchClass, short


def render(classes: Sequence[WatchClass], style: str) -> str:
    """Return the graph of *classes* in *style*; classes without an edge are left out.

    :raises ValueError: there is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"no such style of graph: {style!r}; use one of {', '.join(STYLES)}")
    return STYLES[style](_edges(classes))


def style_of(path: str) -> str:
    """Return the style that the ending of a file name asks for: .dot, .mmd, any other for text."""
    return {".dot": "dot", ".gv": "dot", ".mmd": "mermaid"}.get(Path(path).suffix, "text")


_Edges = list[tuple[WatchClass, WatchClass, ClassEdge]]


def _edges(classes: Sequence[WatchClass]) -> _Edges:
    # Another thread may add to it meanwhile.
    return [(cls, far, edge) for cls in list(classes) for far, edge in list(cls.after.items())]


def _numbers(edges: _Edges) -> dict[WatchClass, int]:
    numbers: dict[WatchClass, int] = {}
    for near, far, _ in edges:
        numbers.setdefault(near, len(numbers))
        numbers.setdefault(far, len(numbers))
    return numbers


def _where(edge: ClassEdge) -> str:
    at = edge.witness.wanted_at
    return one_line(f"{short(at)} in {at.function}")


def as_text(edges: _Edges) -> str:
    """Return each class, and below it what was acquired with it held, and where first."""
    lines: list[str] = []
    last = None
    for near, far, edge in edges:
        if near is not last:
            lines.append(one_line(near.full_name))
            last = near
        lines.append(f"  -> {one_line(far.full_name)}   {_where(edge)}")
    return "\n".join(lines) + "\n" if lines else ""


def as_dot(edges: _Edges) -> str:
    """Return the graph for Graphviz."""
    numbers = _numbers(edges)
    lines = ["digraph locks {", "  node [shape=box];"]
    lines += [f'  c{n} [label="{escape(one_line(cls.full_name))}"];' for cls, n in numbers.items()]
    lines += [
        f'  c{numbers[near]} -> c{numbers[far]} [label="{escape(_where(edge))}"];'
        for near, far, edge in edges
    ]
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(edges: _Edges) -> str:
    """Return the graph for Mermaid."""
    numbers = _numbers(edges)
    lines = ["graph LR"]
    lines += [
        f'  c{n}["{mermaid_entities(one_line(cls.full_name))}"]' for cls, n in numbers.items()
    ]
    lines += [
        f'  c{numbers[near]} -->|"{mermaid_entities(_where(edge))}"| c{numbers[far]}'
        for near, far, edge in edges
    ]
    return "\n".join(lines) + "\n"


STYLES: dict[str, Callable[[_Edges], str]] = {
    "text": as_text,
    "dot": as_dot,
    "mermaid": as_mermaid,
}
