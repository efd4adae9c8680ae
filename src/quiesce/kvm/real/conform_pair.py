# SPDX-License-Identifier: Apache-2.0
"""Both sides side by side: an operation is done to both, and what it led to is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_sides import Arena, Observed, OurSide, RealSide, difference
from quiesce.kvm.real.device import Device

OurMaker = Callable[[ops.Setup, Arena], OurSide]
"""Makes our side: in tests, one with a planted fault."""


@dataclass(frozen=True)
class Difference:
    """Where the two sides differ.

    :param setup: what the VM is like.
    :param operations: what was done to it; the last one shows the difference.
    :param what: ``ours | the kernel's``.
    """

    setup: ops.Setup
    operations: tuple[ops.Operation, ...]
    what: str


class Pair:
    """A VM on ``/dev/kvm`` and our memslots, both new.

    :param memfds: the host has guest_memfd.
    """

    def __init__(
        self, device: Device, setup: ops.Setup, arena: Arena, ours: OurMaker, memfds: bool
    ) -> None:
        self.arena = arena
        self.setup = setup
        self.real = RealSide(device, setup, arena, memfds)
        self.ours = ours(setup, arena)
        self.done: list[ops.Operation] = []
        self.last = Observed()
        """What the last operation led to on our side."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.real.close()

    def do(self, operation: ops.Operation) -> Difference | None:
        """Do *operation* to both sides; return in which they differ."""
        self.done.append(operation)
        self.last = self.ours.do(operation)
        real = self.real.do(operation)
        what = difference(operation, self.last, real, self.arena)
        return Difference(self.setup, tuple(self.done), what) if what else None


@dataclass(frozen=True)
class Bench:
    """What pairs are made of: the device, the memory, our side."""

    device: Device
    arena: Arena
    ours: OurMaker
    memfds: bool

    def pair(self, setup: ops.Setup) -> Pair:
        """Return a new pair."""
        return Pair(self.device, setup, self.arena, self.ours, self.memfds)

    def replay(self, setup: ops.Setup, operations: Sequence[ops.Operation]) -> Difference | None:
        """Do *operations* to a new pair; return the first difference."""
        with self.pair(setup) as pair:
            for operation in operations:
                found = pair.do(operation)
                if found is not None:
                    return found
        return None
