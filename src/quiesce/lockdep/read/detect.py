# SPDX-License-Identifier: Apache-2.0
"""Which format a file has, reading it, and what two of them differ in."""

from __future__ import annotations

from quiesce.errors import UsageError
from quiesce.lockdep.read import counters, proc_lockdep, trace
from quiesce.lockdep.read.export import Export, cycle_lines, cycles

_FORMATS = (
    (counters.is_stats, counters.read_stats),
    (counters.is_lock_stat, counters.read_lock_stat),
    (proc_lockdep.is_chains, proc_lockdep.read_chains),
    (proc_lockdep.is_classes, proc_lockdep.read_classes),
    (trace.is_trace, trace.read_trace),
)


def read_export(text: str, name: str) -> Export:
    """Read *text*, whatever its format is.

    :param name: of the file, for the error.
    :raises UsageError: it is none that a kernel exports.
    """
    for fits, read in _FORMATS:
        if fits(text):
            return read(text)
    raise UsageError(
        f"{name} is nothing that a kernel exports about its locks\n"
        "  help: /proc/lockdep, /proc/lockdep_chains, /proc/lockdep_stats, /proc/lock_stat, or lock events\n"
        "  as `perf script` or `trace-cmd report` print them"
    )


def difference(before: Export, after: Export) -> Export:
    """Return what two exports of lock orders differ in; classes are matched by name.

    :raises UsageError: one of them has no lock orders.
    """
    for one in (before, after):
        if not one.edges:
            raise UsageError(
                f"there are no lock orders in {one.kind}, so that two cannot be compared"
            )
    new, gone = after.edges - before.edges, before.edges - after.edges
    lines = [f"{len(new)} orders are new, {len(gone)} are gone"]
    lines += [f"+ {near} -> {far}" for near, far in sorted(new)]
    lines += [f"- {near} -> {far}" for near, far in sorted(gone)]
    known = {frozenset(path) for path in cycles(before.edges)}
    found = [path for path in cycles(after.edges) if frozenset(path) not in known]
    if found:
        lines += ["cycles that the new orders close:", *cycle_lines(found)]
    together = cycles(before.edges | after.edges)
    across = [p for p in together if frozenset(p) not in known and p not in found]
    if across and not found:
        lines += ["cycles of orders of both, which neither has by itself:", *cycle_lines(across)]
    data = {"new": sorted(new), "gone": sorted(gone), "cycles": found, "cycles_of_both": across}
    return Export("difference", lines, data, new, bool(found or across))
