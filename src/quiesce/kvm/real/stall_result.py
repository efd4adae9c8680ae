# SPDX-License-Identifier: Apache-2.0
"""What a measurement of updates came to: times as distributions, and what was seen of late updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

BOUNDS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
"""Upper bounds of the histogram's classes in ms; the last class has none."""


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that *share* of *values* do not exceed; 0 if there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def histogram(values: Sequence[float]) -> list[int]:
    """Return how many of *values*, in ms, are in each class of ``BOUNDS``, and one more."""
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[next((i for i, bound in enumerate(BOUNDS) if value < bound), len(BOUNDS))] += 1
    return counts


@dataclass(slots=True)
class Looks:
    """What the stacks of the threads said.

    :param readable: stacks can be read (root).
    :param between: invalidators seen off the processor between start and end, or about to leave a core there.
    :param outside: invalidators seen elsewhere in the kernel.
    :param counting: looks at a late update that waits for the count.
    :param grace: looks at a late update that waits for the grace period.
    :param elsewhere: looks at a late update that does neither.
    :param latest: of the look at which an update was latest and invalidators were between start and end:
        its age in ms, how many they were, and in which functions.
    """

    readable: bool = True
    between: int = 0
    outside: int = 0
    counting: int = 0
    grace: int = 0
    elsewhere: int = 0
    latest: tuple[float, int, dict[str, int]] = (0.0, 0, {})

    @property
    def share(self) -> float | None:
        """The share of preemptions that fall between start and end; None if none was seen."""
        seen = self.between + self.outside
        return self.between / seen if seen else None


@dataclass(slots=True)
class Measured:
    """The updates of one phase. Times are in ms.

    :param what: the storm, ``spin``, ``none``, or the design of a native gate.
    :param threads: how many threads it has.
    :param updates: the time of each update.
    :param rejected: the time of the rejected request that follows each update; none for native gates.
    :param rate: operations of the storm a second, of all threads together.
    :param seconds: how long the phase took.
    :param until_stopped: the worst update ended only when the storm did.
    :param load: the system's load average at the end of the phase.
    """

    what: str
    threads: int
    updates: list[float]
    rejected: list[float] = field(default_factory=list)
    rate: float = 0.0
    seconds: float = 0.0
    until_stopped: bool = False
    load: float = 0.0
    looks: Looks | None = None

    @property
    def excess(self) -> list[float]:
        """By how much each update took longer than the rejected request that follows it."""
        if not self.rejected:
            return self.updates
        return [max(0.0, u - r) for u, r in zip(self.updates, self.rejected, strict=True)]

    @property
    def worst(self) -> float:
        """The longest update."""
        return max(self.updates, default=0.0)

    def to_dict(self) -> dict[str, object]:
        """Return the phase as JSON."""
        excess = self.excess
        data: dict[str, object] = {
            "what": self.what,
            "threads": self.threads,
            "seconds": round(self.seconds, 3),
            "updates": len(self.updates),
            "invalidations_per_second": round(self.rate, 1),
            "ms": {
                "p50": round(quantile(self.updates, 0.5), 4),
                "p99": round(quantile(self.updates, 0.99), 4),
                "max": round(self.worst, 4),
            },
            "excess_ms": {
                "p50": round(quantile(excess, 0.5), 4),
                "p99": round(quantile(excess, 0.99), 4),
                "max": round(max(excess, default=0.0), 4),
                "histogram": histogram(excess),
            },
            "until_stopped": self.until_stopped,
            "load_average": self.load,
        }
        if self.rejected:
            data["rejected_ms"] = {"max": round(max(self.rejected), 4)}
        if self.looks is not None:
            data["looks"] = _looks_dict(self.looks)
        return data


def _looks_dict(looks: Looks) -> dict[str, object]:
    age, parked, functions = looks.latest
    return {
        "stacks_readable": looks.readable,
        "between_start_and_end": looks.between,
        "elsewhere": looks.outside,
        "share": None if looks.share is None else round(looks.share, 4),
        "late_update_waits_for": {
            "count": looks.counting,
            "grace_period": looks.grace,
            "other": looks.elsewhere,
        },
        "latest": {"ms": round(age, 1), "parked": parked, "functions": functions},
    }


@dataclass(slots=True)
class Group:
    """The phases with one number of threads.

    :param storms: the storms on the real kernel.
    :param control: the same number of threads that only spin; None if the time was not enough.
    :param gates: the same storm at the native gates, by design.
    """

    threads: int
    storms: list[Measured] = field(default_factory=list)
    control: Measured | None = None
    gates: list[Measured] = field(default_factory=list)


PROVOKED = 3.0
"""How many times the control's worst excess the storm's must be to count as a stall."""

LEAST_STALL_MS = 5.0
"""Below this an excess is no stall, whatever the control: it is about one turn of the scheduler."""


def provoked(storm: Measured, control: Measured | None) -> bool:
    """Tell whether *storm* made updates wait longer than competing for the cores explains."""
    worst = max(storm.excess, default=0.0)
    base = max(control.excess, default=0.0) if control is not None else 0.0
    return worst >= LEAST_STALL_MS and worst >= PROVOKED * base


def predicted_ms(share: float | None, threads: int, cores: int, slice_ms: float) -> float | None:
    """Return how long an update is expected to wait, by the share of preemptions between start and end.

    Of the threads that are off the cores, each was preempted between start and end with probability
    *share*; an update gets through when none was. So it takes ``1 / (1 - share) ** waiting`` turns of the
    scheduler. None if the share is not known.
    """
    if share is None:
        return None
    waiting = max(0, threads - cores)
    if share >= 1.0:
        return math.inf if waiting else 0.0
    return float(slice_ms / (1.0 - share) ** waiting) if waiting else 0.0
