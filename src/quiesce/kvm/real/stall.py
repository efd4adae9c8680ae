# SPDX-License-Identifier: Apache-2.0
"""How long memslot updates of this host take while other threads invalidate, and the same at our gates.

The time that was asked for is divided among the phases: for each number of threads the storms on the real
kernel, a control of as many threads that only spin, and the first storm at three native gates. A phase that
takes longer than its share takes it from those after it, so the whole ends in time.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quiesce.kvm.real.stall_measure import measure
from quiesce.kvm.real.stall_result import Group, Measured, predicted_ms, provoked
from quiesce.kvm.real.stall_storm import (
    CONTROL,
    NativeStorm,
    PlainStorm,
    load,
    native_storms,
    storm_memory,
)

GATES = ("always_lock", "count", "phased")
"""The native gates of the table, beside the kernel."""

WEIGHTS = {"storm": 4.0, "control": 2.0, "gate": 2.0}
"""How the time is divided among the phases."""

LEAST_PHASE = 0.1
"""Seconds: a phase that would have less is left out."""

LEAST_FOR_NATIVE = 4.0
"""Seconds that must be left for native storms: loading numba takes 1 to 3 of them."""

LEFT_FOR_THE_END = 0.2
"""Seconds that are kept for closing everything."""

USUAL_SLICE_MS = 2.8
"""The scheduler's slice where it cannot be read (``base_slice_ns`` of EEVDF on a few cores)."""


@dataclass(slots=True)
class Request:
    """What to measure.

    :param threads: numbers of invalidating threads, each a group of phases.
    :param storms: of ``STORMS``.
    :param related: the storm's memory backs slots of the VM.
    :param vcpu: a vCPU runs meanwhile.
    :param load: processes that compete for the cores.
    :param seconds: how long it may take, counted from *began*.
    :param began: when the command began (``time.monotonic``).
    """

    threads: Sequence[int]
    storms: Sequence[str]
    related: bool = False
    vcpu: bool = False
    load: int = 0
    seconds: float = 20.0
    began: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Host:
    """What the result depends on.

    :param preemption: the kernel's preemption model, as far as it can be read.
    :param slice_ms: the scheduler's slice, and whether it was read or is the usual one.
    """

    kernel: str
    flavour: str
    cores: int
    preemption: str
    slice_ms: float
    slice_read: bool


@dataclass(slots=True)
class StallResult:
    """What came of a request.

    :param quiet: updates without any storm.
    :param plain: why the storms were plain threads; empty: they were native.
    :param seconds: how long all took.
    """

    request: Request
    host: Host
    quiet: Measured
    groups: list[Group]
    plain: str
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def prediction(self, storm: Measured) -> float | None:
        """Return how many ms an update is expected to wait in *storm*; None if that is not known."""
        share = storm.looks.share if storm.looks is not None else None
        return predicted_ms(share, storm.threads, self.host.cores, self.host.slice_ms)

    def provoked(self, group: Group, storm: Measured) -> bool:
        """Tell whether *storm* of *group* made updates wait."""
        return provoked(storm, group.control)


def run_stall(request: Request, progress: Callable[[str], None]) -> StallResult:
    """Measure what *request* asks for.

    :param progress: is told what begins.
    :raises UsageError: there is no usable ``/dev/kvm``.
    """
    progress("updates without a storm")
    quiet = measure("none", None, [], time.monotonic() + min(0.3, request.seconds / 20))
    progress("making the native loops ready")
    plain = _native_or_why_not(request)
    result = StallResult(request, host(), quiet, [], plain)
    end = request.began + request.seconds - LEFT_FOR_THE_END
    phases = _phases(request, plain)
    left = sum(WEIGHTS[kind] for _threads, kind, _name in phases)
    with load(request.load, request.seconds + 5):
        for threads, kind, name in phases:
            rest = end - time.monotonic()
            share = rest * WEIGHTS[kind] / left
            left -= WEIGHTS[kind]
            if share < LEAST_PHASE:
                result.notes.append(f"no time was left for {name} with {threads} threads")
                continue
            progress(f"{threads} threads: {name}")
            _run_phase(result, threads, kind, name, time.monotonic() + share)
    result.seconds = time.monotonic() - request.began
    return result


def _native_or_why_not(request: Request) -> str:
    """Make the native loops ready if there is time for it; return why they cannot be used, or nothing."""
    left = request.began + request.seconds - time.monotonic()
    if left < LEAST_FOR_NATIVE:
        return f"there is no time to load numba; give --seconds {LEAST_FOR_NATIVE + 2:.0f} or more"
    return native_storms(0.4 * request.seconds)


def _phases(request: Request, plain: str) -> list[tuple[int, str, str]]:
    phases = []
    for threads in request.threads:
        phases += [(threads, "storm", storm) for storm in request.storms]
        phases.append((threads, "control", CONTROL))
        if not plain:
            phases += [(threads, "gate", gate) for gate in GATES]
    return phases


def _run_phase(result: StallResult, threads: int, kind: str, name: str, deadline: float) -> None:
    group = next((g for g in result.groups if g.threads == threads), None)
    if group is None:
        group = Group(threads)
        result.groups.append(group)
    request = result.request
    if kind == "gate":
        group.gates.append(_measure_gate(name, threads, request.storms[0], deadline))
        return
    with storm_memory(threads) as regions:
        make = PlainStorm if result.plain else NativeStorm
        storm = make(name, threads, deadline, regions)
        measured = measure(
            name, storm, regions, deadline, related=request.related, vcpu=request.vcpu
        )
    if kind == "control":
        group.control = measured
    else:
        group.storms.append(measured)


def _measure_gate(design: str, threads: int, work: str, deadline: float) -> Measured:
    """Measure updates at a native gate, while threads invalidate with the same system call."""
    from quiesce.kvm.real.native_gates import Threads, run_native

    run = run_native(Threads(design, threads, 1, work=work, pause_us=200), deadline)
    waits = [wait / 1e6 for wait in run.waits.tolist()]
    late = run.until_end and bool(waits) and waits[-1] == max(waits)
    return Measured(design, threads, waits, [], run.rate, run.seconds, late, os.getloadavg()[0])


# --- The host -----------------------------------------------------------------------------------------


def host() -> Host:
    """Return what is known of this host."""
    slice_ns = _read("/sys/kernel/debug/sched/base_slice_ns")
    return Host(
        platform.release(),
        _flavour(),
        len(os.sched_getaffinity(0)),
        _preemption(),
        int(slice_ns) / 1e6 if slice_ns.isdigit() else USUAL_SLICE_MS,
        slice_ns.isdigit(),
    )


def _flavour() -> str:
    """Return which KVM it is: the vendor module, and whether it uses two-dimensional paging."""
    for name, parameter in (("kvm_intel", "ept"), ("kvm_amd", "npt"), ("kvm_pvm", "")):
        if Path("/sys/module", name).exists():
            paging = parameter and _read(f"/sys/module/{name}/parameters/{parameter}")
            return f"{name}, {'tdp' if paging in ('Y', '1') else 'shadow paging'}"
    return "unknown flavour"


def _preemption() -> str:
    """Return the preemption model: the one in effect, else what the kernel was built with or told."""
    modes = _read("/sys/kernel/debug/sched/preempt")
    if "(" in modes:
        return modes.partition("(")[2].partition(")")[0]
    told = [word for word in _read("/proc/cmdline").split() if word.startswith("preempt=")]
    if told:
        return told[-1].partition("=")[2]
    version = platform.version()
    built = next((w for w in version.split() if w.startswith("PREEMPT")), "none")
    return f"{built}; the mode in effect cannot be read"


def _read(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text(encoding="ascii").strip()
    return ""


def process_began() -> float:
    """Return when this process began, on ``time.monotonic``: starting Python counts, too."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        if sys.platform == "linux" and 0 <= age < 30:
            return time.monotonic() - age
    return time.monotonic()
