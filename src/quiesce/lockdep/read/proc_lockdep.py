# SPDX-License-Identifier: Apache-2.0
"""``/proc/lockdep`` and ``/proc/lockdep_chains``: the classes, their orders, and who fills the tables.

``l_show()`` and ``lc_show()`` of kernel/locking/lockdep_proc.c, Linux 4.9 to 6.18. The first prints the
direct dependencies, and not how the locks were held or waited for: so a cycle in it may be one of readers
that never wait for each other.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from quiesce.lockdep.read.export import Export, cycle_lines, cycles, largest

_CLASS = re.compile(
    r"(?P<key>[0-9a-fA-F]{4,16}) (OPS:\s*(?P<ops>\d+) )?FD:\s*(?P<fd>\d+) BD:\s*(?P<bd>\d+) "
    r"(?P<usage>[-+.?]{4,8}): (?P<name>.+)"
)
_EDGE = re.compile(r"\s*-> \[(?P<key>[0-9a-fA-F]{4,16})\] (?P<name>.+)")
_CHAIN_LOCK = re.compile(r"\[(?P<key>[0-9a-fA-F]{4,16})\] (?P<name>.+)")
_CONTEXT = re.compile(r"irq_context: (?P<context>.+)")
_VERSION = re.compile(r"(#\d+)?(/\d+)?$")


def is_classes(text: str) -> bool:
    """True if *text* is ``/proc/lockdep``."""
    return any(_CLASS.fullmatch(line.strip()) for line in text.splitlines()[:400])


def is_chains(text: str) -> bool:
    """True if *text* is ``/proc/lockdep_chains``."""
    return "all lock chains:" in text or any(map(_CONTEXT.fullmatch, text.splitlines()[:50]))


def read_classes(text: str) -> Export:
    """Read ``/proc/lockdep``."""
    classes: list[dict[str, object]] = []
    edges: set[tuple[str, str]] = set()
    out: Counter[str] = Counter()
    not_read = 0
    for line in text.splitlines():
        match = _CLASS.fullmatch(line.strip())
        edge = _EDGE.fullmatch(line)
        if match is not None:
            numbers = {key: int(match[key]) for key in ("fd", "bd")}
            classes.append({"name": match["name"], "usage": match["usage"], **numbers})
        elif edge is not None and classes:
            near = str(classes[-1]["name"])
            edges.add((near, edge["name"]))
            out[near] += 1
        elif line.strip() and line.strip() != "all lock classes:":
            not_read += 1
    found = cycles(edges)
    families = Counter(_family(str(one["name"])) for one in classes)
    lines = [f"/proc/lockdep: {len(classes)} classes, {len(edges)} direct dependencies"]
    if not_read:
        lines.append(f"{not_read} lines were not understood")
    lines += _table("most direct dependencies", largest(out))
    lines += _table("classes whose locks depend on most others (FD)",
                    largest({str(c["name"]): int(str(c["fd"])) for c in classes}, 5))  # fmt: skip
    lines += _table("names with more than one class",
                    [pair for pair in largest(families) if pair[1] > 1])  # fmt: skip
    lines += _cycles_text(found)
    return Export(
        "lockdep",
        lines,
        {"classes": classes, "dependencies": sorted(edges), "cycles": found, "not_read": not_read},
        edges,
        bool(found),
    )


def read_chains(text: str) -> Export:
    """Read ``/proc/lockdep_chains``."""
    contexts: Counter[str] = Counter()
    edges: set[tuple[str, str]] = set()
    longest: list[str] = []
    starts: Counter[str] = Counter()
    chain: list[str] = []

    def end() -> None:
        nonlocal longest
        if chain:
            starts[chain[0]] += 1
            edges.update(pairwise(chain))
            longest = max(longest, list(chain), key=len)
            chain.clear()

    for line in text.splitlines():
        context, lock = _CONTEXT.fullmatch(line.strip()), _CHAIN_LOCK.fullmatch(line.strip())
        if context is not None:
            end()
            contexts[context["context"]] += 1
        elif lock is not None:
            chain.append(lock["name"])
        elif not line.strip():
            end()
    end()
    found = cycles(edges)
    lines = [f"/proc/lockdep_chains: {sum(contexts.values())} chains"]
    lines += [f"  irq_context {name}: {count}" for name, count in sorted(contexts.items())]
    lines += _table("outermost locks with most chains", largest(starts))
    if longest:
        lines.append(f"longest chain, {len(longest)} locks: {' -> '.join(longest)}")
    lines += _cycles_text(found)
    data = {
        "chains": dict(contexts),
        "longest": longest,
        "dependencies": sorted(edges),
        "cycles": found,
    }
    return Export("lockdep_chains", lines, data, edges, bool(found))


def _family(name: str) -> str:
    """Return the name without what tells classes of one name apart: ``lock#2/1`` is ``lock``."""
    return _VERSION.sub("", name)


def _table(title: str, rows: list[tuple[str, int]]) -> list[str]:
    return [f"{title}:", *(f"  {count:6}  {name}" for name, count in rows)] if rows else []


def _cycles_text(found: list[list[str]]) -> list[str]:
    if not found:
        return ["no cycle among these dependencies"]
    return [
        "cycles; Linux reports one where the locks wait for each other, which this file does not say:",
        *cycle_lines(found),
    ]
