# SPDX-License-Identifier: Apache-2.0
"""A difference is shortened: fewer operations, then plainer ones, as long as the two sides still differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import Bench, Difference
from quiesce.kvm.real.device import PAGE

MOST_REPLAYS = 3000
"""The most sequences that are tried for one difference."""


class Shrinker:
    """Shortens one difference.

    :param bench: where sequences are tried.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.replays = 0

    def shrink(self, difference: Difference) -> Difference:
        """Return the shortest difference that is found from *difference*.

        One that cannot be repeated is returned as it is, with a word about that.
        """
        again = self._try(difference.setup, difference.operations)
        if again is None:
            return replace(difference, what=f"{difference.what} (not when it is repeated)")
        best = again
        while self.replays < MOST_REPLAYS:
            smaller = self._plainer(self._fewer(best))
            if smaller == best:
                break
            best = smaller
        return best

    def _try(self, setup: ops.Setup, operations: tuple[ops.Operation, ...]) -> Difference | None:
        self.replays += 1
        return self.bench.replay(setup, operations)

    def _fewer(self, best: Difference) -> Difference:
        """Leave out runs of operations, long ones first, until each single one is needed."""
        length = max(len(best.operations) // 2, 1)
        while self.replays < MOST_REPLAYS:
            before = best
            at = 0
            while at < len(best.operations):
                rest = best.operations[:at] + best.operations[at + length :]
                found = self._try(best.setup, rest) if rest else None
                if found is not None:
                    best = found
                else:
                    at += length
            if length > 1:
                length = max(length // 2, 1)
            elif before == best:
                break
        return best

    def _plainer(self, best: Difference) -> Difference:
        """Replace operations by plainer ones, one at a time."""
        if best.setup.protect:
            found = self._try(ops.Setup(), best.operations)
            best = found or best
        for at in range(len(best.operations)):
            if at >= len(best.operations):
                break
            for plainer in _plainer(best.operations[at]):
                changed = (*best.operations[:at], plainer, *best.operations[at + 1 :])
                found = self._try(best.setup, changed)
                if found is not None and len(found.operations) == len(best.operations):
                    best = found
        return best


def _plainer(operation: ops.Operation) -> Iterator[ops.Operation]:
    """Yield operations that are plainer than *operation*."""
    match operation:
        case ops.SetRegion(r):
            for field, value in (
                ("version", 1),
                ("flags", 0),
                ("size", PAGE),
                ("gpa", ops.WINDOW),
                ("hva", ops.ARENA),
                ("slot", 0),
            ):
                if getattr(r, field) != value and not (field == "size" and r.size == 0):
                    yield ops.SetRegion(replace(r, **{field: value}))  # type: ignore[arg-type]
        case ops.Access(addresses, values):
            for at, address in enumerate(addresses):
                if len(addresses) > 1:
                    yield ops.Access((address,), values[at : at + 1])
        case _:
            return
