# SPDX-License-Identifier: Apache-2.0
"""Which threads must be checked one by one; most threads of a kind are interchangeable."""

from __future__ import annotations

from quiesce.compiler.program import Program
from quiesce.explorer.analysis.asymmetry import told_apart


def representatives(program: Program) -> list[int]:
    """Return one thread of each kind, and all that something tells from others of their kind.

    What can happen to a thread can happen to every other that is just like it. Daemons are left out.
    """
    apart = told_apart(program)
    found: list[int] = []
    kinds: set[int] = set()
    for number, thread in enumerate(program.threads):
        if thread.daemon or (id(thread.kind) in kinds and number not in apart):
            continue
        kinds.add(id(thread.kind))
        found.append(number)
    return found
