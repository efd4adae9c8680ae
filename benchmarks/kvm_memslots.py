# SPDX-License-Identifier: Apache-2.0
"""Memslots measured: ``python -m benchmarks.kvm_memslots [slots] [conform] [faults] [million]``.

* ``slots``: how long our memslots take for a lookup and an update, and how that grows with their number;
* ``conform``: 100,000 random requests beside ``/dev/kvm``, with the kernel's memory meanwhile;
* ``faults``: after how many requests each planted fault is found, and in how many requests it is shown;
* ``million``: 1,000,000 random requests.

CPU seconds are of this process and its workers. The kernel's memory is that of the whole machine.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quiesce.kvm.real.conform import Wanted, conform
from quiesce.kvm.real.device import LOG_DIRTY_PAGES, PAGE
from quiesce.kvm.real.requests import Request
from quiesce.kvm.real.slots import MemoryRegions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

SIZES = (1_000, 5_000, 20_000, 32_000)
WORKERS = 4
HVA = 0x7F00_0000_0000
_KERNEL_MEMORY = ("Slab", "KernelStack", "PageTables", "SecPageTables", "VmallocUsed", "Percpu")


# --- Our memslots -------------------------------------------------------------------------------------


def region(number: int, pages: int = 2, **changes: int) -> Request:
    """Return the request for slot *number*: each second frame is free, each fourth slot shares its memory."""
    values = {"flags": 0, "gpa": number * 4 * PAGE, "size": pages * PAGE} | changes
    hva = HVA + (number // 4 if number % 4 == 0 else number) * 2 * PAGE
    return Request(number, values["flags"], values["gpa"], values["size"], hva)


def microseconds(do: Callable[[int], object], numbers: list[int]) -> float:
    """Return the CPU time of one call of *do*, over all *numbers*."""
    begun = time.process_time()
    for number in numbers:
        do(number)
    return (time.process_time() - begun) / len(numbers) * 1e6


def times(size: int) -> dict[str, float]:
    """Return the microseconds of lookups and updates with *size* slots."""
    regions = MemoryRegions()
    index, ask = regions.spaces[0], regions.set_user_memory_region
    chooser = random.Random(size)
    order = list(range(size))
    chooser.shuffle(order)
    some = chooser.sample(order, 1000)

    def moved(number: int, flags: int = 0, slot: int | None = None) -> Request:
        gpa = (4 * number + 1) * PAGE
        return region(number if slot is None else slot, gpa=gpa, flags=flags)

    return {
        "slots": size,
        "create": microseconds(lambda n: ask(region(n)), order),
        "by id": microseconds(index.by_id.get, some),
        "by gfn": microseconds(lambda n: index.at_gfn(4 * n + 1), some),
        "by hva": microseconds(lambda n: index.at_hva(HVA + 2 * n * PAGE), some),
        "move": microseconds(lambda n: ask(moved(n)), some),
        "flags": microseconds(lambda n: ask(moved(n, LOG_DIRTY_PAGES)), some),
        "overlap": microseconds(lambda n: ask(moved(n, slot=32_001)), some),
        "delete": microseconds(lambda n: ask(region(n, size=0)), some),
    }


def slots() -> list[dict[str, float]]:
    """Measure lookups and updates with more and more slots."""
    rows = [{name: round(value, 2) for name, value in times(size).items()} for size in SIZES]
    growth = {name: round(rows[-1][name] / rows[0][name], 2) for name in rows[0]}
    for row in [*rows, growth]:
        print("  ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
    return [*rows, growth]


# --- Beside the kernel --------------------------------------------------------------------------------


class KernelMemory:
    """The most memory that the kernel has in use, over what it had at the start."""

    def __init__(self) -> None:
        self.before = self.now()
        self.most = self.before
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @staticmethod
    def now() -> int:
        """Return the kernel's memory in bytes."""
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return sum(values.get(name, 0) for name in _KERNEL_MEMORY) << 10

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.most = max(self.most, self.now())

    def __enter__(self) -> KernelMemory:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def requests(wanted: int, seed: str) -> dict[str, Any]:
    """Make at least *wanted* random requests, and as many systematic ones as there are."""
    begun, cpu = time.monotonic(), cpu_seconds()
    with KernelMemory() as memory:
        result = conform(Wanted(wanted, seed, workers=WORKERS))
    found = {
        "requests": result.operations,
        "random": result.random,
        "accesses": result.accesses,
        "dirty_logs": result.dirty_logs,
        "differences": len(result.differences),
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(cpu_seconds() - cpu, 1),
        "kernel_memory_mib": round((memory.most - memory.before) / (1 << 20), 1),
        "load": Path("/proc/loadavg").read_text(encoding="ascii").split()[0],
    }
    print(json.dumps(found), flush=True)
    return found


def faults() -> list[dict[str, Any]]:
    """Find each planted fault."""
    from kvm_mutants import MUTANTS

    rows = []
    for mutant in MUTANTS:
        result = conform(Wanted(20_000, "1", most_differences=1, scenarios=False), mutant.ours)
        shown = result.differences[0] if result.differences else None
        rows.append(
            {
                "fault": mutant.name,
                "found_after": result.operations if shown else None,
                "operations": len(shown.operations) if shown else None,
                "difference": shown.what if shown else None,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


PARTS: dict[str, Callable[[], object]] = {
    "slots": slots,
    "conform": lambda: requests(100_000, "1"),
    "faults": faults,
    "million": lambda: requests(1_050_000, "2"),
}


def main(names: list[str]) -> dict[str, object]:
    """Measure the parts *names*; all but the million if there are none."""
    chosen = names or ["slots", "conform", "faults"]
    return {name: PARTS[name]() for name in chosen}


if __name__ == "__main__":
    main(sys.argv[1:])
