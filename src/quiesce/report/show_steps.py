# SPDX-License-Identifier: Apache-2.0
"""The source of a protocol with its step boundaries marked: where other threads can come in."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from quiesce.compiler.program import Program
from quiesce.errors import file_text
from quiesce.harmless import one_line


def render_steps(program: Program) -> str:
    """Return the source of every function that the threads run, `>` before each line that begins a step."""
    marked: dict[str, set[int]] = {}
    touched: dict[str, set[int]] = {}
    for kind in program.kinds:
        for op in kind.code.ops:
            touched.setdefault(op.loc.file, set()).add(op.loc.line)
        for location in kind.locations[1:]:
            op = kind.code.ops[location.position]
            if not location.final:
                marked.setdefault(op.loc.file, set()).add(op.loc.line)
    lines = [
        "A `>` marks where a step begins: another thread can come in before it. "
        + ("Plain accesses\nride along with the event after them." if program.fuse else "")
    ]
    for file in sorted(touched):
        lines += ["", one_line(file)]
        text = file_text(file).splitlines()
        for first, last in _functions(file, touched[file]):
            for number in range(first, last + 1):
                mark = ">" if number in marked.get(file, ()) else " "
                lines.append(f" {mark} {number:4d}  {text[number - 1]}".rstrip())
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _functions(file: str, lines: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last line of each function of *file* that has one of *lines*."""
    found = []
    for node in ast.walk(ast.parse(file_text(file))):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            last = node.end_lineno or node.lineno
            if any(first <= line <= last for line in lines):
                found.append((first, last))
    yield from sorted(found)
