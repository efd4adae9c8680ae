# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm conform``: random and systematic requests on ``/dev/kvm`` and on our memslots.

Compared are the errno of each request, what a guest sees around each change, and the dirty logs. A difference
is shortened before it is reported. A VM lives for some thousand requests and has few, small slots, so that
the kernel's memory stays small; it is closed whatever happens.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from quiesce import stopping
from quiesce.kvm.real import conform_ops as ops
from quiesce.kvm.real.conform_pair import Bench, Difference, OurMaker, Pair
from quiesce.kvm.real.conform_probe import Probed, probe
from quiesce.kvm.real.conform_random import RandomOperations
from quiesce.kvm.real.conform_scenarios import Outcome, run_scenarios
from quiesce.kvm.real.conform_shrink import Shrinker
from quiesce.kvm.real.conform_sides import Arena
from quiesce.kvm.real.conform_source import Follower
from quiesce.kvm.real.conform_systematic import restore, systematic_requests
from quiesce.kvm.real.conform_workers import Counters, Workers
from quiesce.kvm.real.device import Device
from quiesce.kvm.real.requests import Host, Request
from quiesce.kvm.real.requests_table import CHECKS
from quiesce.kvm.real.slots_index import Slot

PER_VM = 2000
"""The requests that are made of one VM."""

PER_BATCH = 200
"""The systematic requests that are made of one VM."""

FEWEST_PER_WORKER = 2 * PER_VM
"""The requests from which on another worker is worth it."""


@dataclass
class Conformance:
    """What came of the comparison.

    :param operations: the requests that were made of both sides.
    :param random: those of them that were random.
    :param dirty_logs: the dirty logs that were read or cleared.
    :param accesses: the bytes that the guest read or wrote.
    :param scenarios: what came of the scenarios of the kernel's self-tests.
    :param ended: why it ended before the number of operations was reached; empty: it was.
    """

    probed: Probed
    operations: int = 0
    random: int = 0
    dirty_logs: int = 0
    accesses: int = 0
    seconds: float = 0.0
    ended: str = ""
    scenarios: list[Outcome] = field(default_factory=list)
    lost_workers: int = 0
    """Workers that were killed: what they did is not known."""
    errnos: Counter[int] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    decided: set[str] = field(default_factory=set)
    """The checks that have decided a request."""

    def not_compared(self) -> list[str]:
        """What this host lacks, and the checks that no request has reached."""
        left = [c.name for c in CHECKS if c.name not in self.decided]
        unreached = [f"the check `{name}`: no request here reached it" for name in left]
        skipped = [f"scenario `{o.name}`: {o.skipped}" for o in self.scenarios if o.skipped]
        return [*self.probed.not_compared, *skipped, *unreached]

    def add(self, other: Conformance) -> None:
        """Add what came of a part of the comparison."""
        self.operations += other.operations
        self.random += other.random
        self.dirty_logs += other.dirty_logs
        self.accesses += other.accesses
        self.ended = self.ended or other.ended
        self.errnos += other.errnos
        self.decided |= other.decided
        known = {(d.operations, d.what) for d in self.differences}
        self.differences += [d for d in other.differences if (d.operations, d.what) not in known]


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    :param operations: how many requests.
    :param seed: of the random ones.
    :param deadline: when to end at the latest, of ``time.monotonic()``; None: no limit.
    :param most_differences: end after so many.
    :param scenarios: begin with the scenarios of the kernel's self-tests.
    :param workers: processes that make random requests, each of VMs of its own and with its own seed.
    """

    operations: int
    seed: str = "0"
    deadline: float | None = None
    most_differences: int = 5
    scenarios: bool = True
    workers: int = 1


Progress = Callable[[int, int], None]
"""Called with the operations that are done, and those that are asked for."""


def conform(
    wanted: Wanted,
    ours: Callable[[Probed], OurMaker] | None = None,
    progress: Progress | None = None,
) -> Conformance:
    """Compare this host's KVM with our memslots.

    :param ours: makes our side for a host; for planted faults.
    :raises UsageError: there is no usable ``/dev/kvm``.
    """
    begun = time.monotonic()
    with Device() as device, Arena() as arena:
        probed = probe(device, arena)
        maker = ours(probed) if ours is not None else probed.ours
        bench = Bench(device, arena, maker, probed.host.guest_memfd)
        run = _Run(wanted, bench, Conformance(probed), progress or (lambda done, of: None))
        run.all()
        run.result.seconds = time.monotonic() - begun
        return run.result


class _Run:
    """One comparison, while it goes on."""

    def __init__(
        self, wanted: Wanted, bench: Bench, result: Conformance, progress: Progress
    ) -> None:
        self.wanted = wanted
        self.bench = bench
        self.result = result
        self.progress = progress
        self.random = RandomOperations(wanted.seed, result.probed.host)
        self.follower = Follower(random.Random(f"places {wanted.seed}"))
        self.setups = self._setups()

    def _setups(self) -> Iterator[ops.Setup]:
        """Yield what VMs are like, in turn."""
        offered = self.result.probed.manual_protect
        modes = [0] + [mode for mode in (1, 3) if mode & offered == mode]
        while True:
            yield from map(ops.Setup, modes)

    def all(self) -> None:
        """Do the scenarios, then make requests, here or in workers."""
        if self.wanted.scenarios:
            self._scenarios()
        workers = min(self.wanted.workers, self.wanted.operations // FEWEST_PER_WORKER)
        if workers > 1 and self._goes_on():
            self._share(workers)
        else:
            self.make_requests()

    def make_requests(self, worker: int = 0, workers: int = 1) -> None:
        """Make this worker's share of the systematic requests, at most half of all, then random ones."""
        half = self.wanted.operations // 2
        requests = list(systematic_requests(self.result.probed.host))
        starts = range(worker * PER_BATCH, len(requests), workers * PER_BATCH)
        for start in starts:
            if self.result.operations >= half or not self._goes_on():
                break
            self._vm(self._from_known_slots(requests[start : start + PER_BATCH]))
        while self._goes_on():
            self._vm(self._random)

    def _share(self, workers: int) -> None:
        """Let *workers* processes make the requests."""
        wanted, counters = self.wanted.operations, Counters(workers)

        def job(number: int) -> Callable[[], Conformance]:
            share = wanted // workers + (number < wanted % workers)
            part = replace(self.wanted, operations=share, seed=f"{self.wanted.seed}/{number}")
            result = Conformance(self.result.probed)
            run = _Run(part, self.bench, result, lambda at, _: counters.note(number, at))

            def work() -> Conformance:
                run.make_requests(number, workers)
                return result

            return work

        def waiting() -> None:
            self.progress(counters.total(), wanted)

        for result in Workers([job(number) for number in range(workers)], waiting).results():
            if result is None:
                self.result.lost_workers += 1
                self.result.ended = "a worker was killed"
            else:
                self.result.add(result)

    def _scenarios(self) -> None:
        """Do the scenarios. A difference in one is not shortened: the scenario is known by its name."""
        for outcome, decided in run_scenarios(self.bench, self.result.probed.host):
            self.result.scenarios.append(outcome)
            self.result.decided |= decided
            if outcome.difference is not None:
                self.result.differences.append(outcome.difference)
            if not self._goes_on():
                return

    def _goes_on(self) -> bool:
        """Return whether there is more to do; if something ends it early, say what."""
        if self.result.operations >= self.wanted.operations:
            return False
        most = self.wanted.most_differences
        if len(self.result.differences) >= most:
            self.result.ended = f"{most} differences were found"
        elif stopping.reason():
            self.result.ended = stopping.reason()
        elif self.wanted.deadline is not None and time.monotonic() >= self.wanted.deadline:
            self.result.ended = "the time is over"
        return not self.result.ended

    def _vm(self, requests: Callable[[Pair], Iterable[Request]]) -> None:
        """Make *requests* of a new VM, until the first difference."""
        found = None
        with self.bench.pair(next(self.setups)) as pair:
            for request in requests(pair):
                found = self._request(pair, request)
                if found is not None or not self._goes_on():
                    break
            self.result.decided |= pair.ours.decided
        self.progress(self.result.operations, self.wanted.operations)
        if found is not None:
            self._report(found)

    def _random(self, pair: Pair) -> Iterator[Request]:
        for _ in range(PER_VM):
            self.result.random += 1
            yield self.random.request(pair.ours.regions)

    def _from_known_slots(self, batch: list[Request]) -> Callable[[Pair], Iterable[Request]]:
        """Return a source that makes each request of *batch* of the same known slots."""
        host = self.result.probed.host

        def requests(pair: Pair) -> Iterator[Request]:
            yield from restore(host, [])
            regions = pair.ours.regions
            for request in batch:
                if request.slot & 0xFFFF == ops.CODE_SLOT:
                    continue
                generation = sum(regions.generations)
                yield request
                if sum(regions.generations) != generation:
                    live = (slot for space in regions.spaces for slot in space.by_id.values())
                    yield from restore(host, [s for s in live if _is_the_callers(s, host)])

        return requests

    def _request(self, pair: Pair, request: Request) -> Difference | None:
        """Make a request and access what it changed."""
        for operation in self.follower.around(pair, request):
            found = pair.do(operation)
            if isinstance(operation, ops.Access):
                self.result.accesses += len(operation.addresses)
            elif isinstance(operation, ops.SetRegion):
                self.result.operations += 1
                self.result.errnos[pair.last.errno] += 1
            else:
                self.result.dirty_logs += 1
            if found is not None:
                return found
        return None

    def _report(self, found: Difference) -> None:
        """Shorten *found*, and note it unless it is one that is known."""
        found = Shrinker(self.bench).shrink(found)
        known = {(d.operations, d.what) for d in self.result.differences}
        if (found.operations, found.what) not in known:
            self.result.differences.append(found)


def _is_the_callers(slot: Slot, host: Host) -> bool:
    """Return whether *slot* is neither the kernel's own nor the guest's program."""
    return slot.id < host.user_slots and slot.id != ops.CODE_SLOT
