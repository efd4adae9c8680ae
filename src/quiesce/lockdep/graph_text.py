# SPDX-License-Identifier: Apache-2.0
"""The lock classes and their dependencies as a graph: text, Graphviz DOT, Mermaid.

An edge ``A -> B`` says that a lock of B was waited for with one of A held. Its label lists the kinds
that were seen: first how A was held, E exclusively or S as a reader, then how B was waited for, N or
R as a recursive reader (see :mod:`quiesce.lockdep.search`). A star marks a dependency that Linux
would not have recorded.
"""

from __future__ import annotations

from quiesce.harmless import one_line
from quiesce.lockdep.classes import Dependency, LockClass
from quiesce.lockdep.search import EN, ER, SN, SR
from quiesce.lockdep.snapshot import class_info
from quiesce.lockdep.validator import Validator

_KINDS = ((EN, "EN"), (SN, "SN"), (ER, "ER"), (SR, "SR"))


def as_text(validator: Validator) -> str:
    """Return the graph as text: each class with its usage, and below it what was taken under it."""
    lines = []
    for cls in validator.classes:
        lines.append(_name(cls))
        lines += [f"  -> {one_line(edge.far.short_name)} {_label(edge)}" for edge in _edges(cls)]
    return "\n".join(lines) + "\n" if lines else ""


def as_dot(validator: Validator) -> str:
    """Return the graph for Graphviz; dashed where only recursive readers wait."""
    lines = ["digraph lockdep {", "  node [shape=box];"]
    for cls in validator.classes:
        lines.append(f'  c{cls.index} [label="{escape(_name(cls))}"];')
    for cls in validator.classes:
        for edge in _edges(cls):
            style = "" if edge.dep & (EN | SN) else ", style=dashed"
            arrow = f"  c{cls.index} -> c{edge.far.index}"
            lines.append(f'{arrow} [label="{_label(edge)}"{style}];')
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(validator: Validator) -> str:
    """Return the graph for Mermaid; dotted where only recursive readers wait."""
    lines = ["graph LR"]
    for cls in validator.classes:
        lines.append(f'  c{cls.index}["{mermaid_entities(_name(cls))}"]')
    for cls in validator.classes:
        for edge in _edges(cls):
            arrow = "-->" if edge.dep & (EN | SN) else "-.->"
            lines.append(f'  c{cls.index} {arrow}|"{_label(edge)}"| c{edge.far.index}')
    return "\n".join(lines) + "\n"


def _name(cls: LockClass) -> str:
    return one_line(class_info(cls).full().strip())


def _edges(cls: LockClass) -> list[Dependency]:
    return sorted(cls.after.values(), key=lambda edge: edge.far.index)


def _label(edge: Dependency) -> str:
    kinds = " ".join(name for kind, name in _KINDS if edge.dep & kind)
    return kinds if edge.linux_dep else f"{kinds}*"


def escape(text: str) -> str:
    """Return *text* as it stands between the quotes of a DOT label."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def mermaid_entities(text: str) -> str:
    """Spell what Mermaid would read as its own, or as HTML."""
    for char, name in ("#", "35"), ('"', "quot"), ("<", "lt"), ("`", "96"):
        text = text.replace(char, f"#{name};")
    return text
