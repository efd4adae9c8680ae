# SPDX-License-Identifier: Apache-2.0
"""What "possible circular locking dependency detected" prints of its own: the chain.

``-> #N`` names lock N, and its trace is where lock N was taken while lock N-1 was held; ``#0`` is
the acquisition that made lockdep speak, with the highest lock held (``print_circular_bug`` in
kernel/locking/lockdep.c).
Where the outer lock of each pair was taken is not printed.
"""

from __future__ import annotations

from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.reader import Handler, ReportReader


def _chain_starts(reader: ReportReader, text: str, number: int) -> None:
    reader.close()


def chain_exists(reader: ReportReader, text: str, number: int) -> None:
    """Read "Chain exists of:", whose names may stand on the same line."""
    reader.close()
    rest = text.partition(":")[2].strip()
    if "-->" in rest:
        chain_names(reader, rest, number)


def chain_names(reader: ReportReader, text: str, number: int) -> None:
    """Read ``A --> B --> C``, which may be wrapped after an arrow."""
    if reader.chain_names:
        return
    text = reader.chain_so_far + text
    names = [name.strip() for name in text.split("-->")]
    if names[-1]:
        reader.chain_names = tuple(names)
    else:  # wrapped after an arrow
        reader.chain_so_far = text
        reader.await_text(chain_names)


_PHRASES: dict[str, Handler] = {
    "which lock already depends": _chain_starts,
    "the existing dependency chain": _chain_starts,
    "chain exists of": chain_exists,
    " -->": chain_names,
}


def _find_missing(reader: ReportReader) -> None:
    """Note which parts of the chain are not there."""
    links = {link.number: link for link in reader.links}
    if not links:
        reader.lack("the dependency chain")
        return
    top = max(links)
    holding, wanted = reader.subjects.get("holding"), reader.subjects.get("wanted")
    if holding is not None and not links[top].lock.same_class(holding):
        reader.lack(f"the links of the chain above #{top}", links[top].line)
    if wanted is not None and 0 in links and not links[0].lock.same_class(wanted):
        reader.lack("link #0 of the chain: it names another lock than the headline", links[0].line)
    numbers = sorted(links)
    for before, after in zip([-1, *numbers], numbers, strict=False):
        if after - before == 2:
            reader.lack(f"link #{after - 1} of the chain", reader.end_line)
        elif after - before > 2:
            reader.lack(f"links #{before + 1} to #{after - 1} of the chain", reader.end_line)
        if not links[after].frames:
            reader.lack(f"the stack of link #{after}", links[after].line)


register(
    ReportKind(
        "circular",
        titles=(r"possible circular locking(?: dependency(?: detected)?)?",),
        triggers=("possible circular locking",),
        whole_title="possible circular locking dependency detected",
        phrases=_PHRASES,
        find_missing=_find_missing,
        locks=2,
        has_table=True,
        headless=("dependency chain", "already depends", "-> #"),
    )
)
