# SPDX-License-Identifier: Apache-2.0
"""Recording a trace of the running kernel: kprobes on the notifier's callbacks and on the swap.

The probes live in an instance of tracefs of their own, and are removed in the end, also after Ctrl-C. Where
the kernel has no kprobes, or refuses them (lockdown, a kernel built without), the error says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from quiesce.errors import UsageError

TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
"""Where tracefs is mounted."""

BUFFER_KB = 16_384
"""The ring buffer of each core, in KiB: some 200,000 events."""

_PROBES = (
    ("p", "s", "kvm_mmu_notifier_invalidate_range_start"),
    ("r", "rs", "kvm_mmu_notifier_invalidate_range_start"),
    ("p", "e", "kvm_mmu_notifier_invalidate_range_end"),
    ("r", "re", "kvm_mmu_notifier_invalidate_range_end"),
    ("p", "w", "kvm_swap_active_memslots"),
    ("r", "rw", "kvm_swap_active_memslots"),
    ("p", "sync", "synchronize_srcu_expedited"),
)
"""Kind of the probe (entry or return), its name, the function. The last one is the moment of publication
if the task is inside the swap; the reader of ftrace knows that."""


def record_kprobes(seconds: float, pid: int | None = None, root: Path | None = None) -> str:
    """Record for *seconds* and return the text of the trace.

    :param pid: record only the threads of this process and what they fork; None: everything.
    :param root: where tracefs is mounted; None: where it usually is.
    :raises UsageError: the kernel refuses function hooks, or there is no such process.
    """
    tracefs = _tracefs(root)
    group = f"quiesce_{os.getpid()}"
    instance = tracefs / "instances" / group
    with _probes(tracefs, group), _instance(instance):
        (instance / "buffer_size_kb").write_text(str(BUFFER_KB), encoding="ascii")
        (instance / "trace_clock").write_text("mono", encoding="ascii")
        if pid is not None:
            _only(instance, pid)
        enable = instance / "events" / group / "enable"
        enable.write_text("1", encoding="ascii")
        try:
            time.sleep(seconds)
        finally:
            enable.write_text("0", encoding="ascii")
        text = (instance / "trace").read_text(encoding="utf-8", errors="replace")
        missed = _missed(tracefs, group)
    return text + (f"CPU:0 [LOST {missed} EVENTS]\n" if missed else "")


def _tracefs(root: Path | None) -> Path:
    for place in (root,) if root is not None else TRACEFS:
        if (place / "kprobe_events").exists():
            return place
        if (place / "trace").exists():
            raise UsageError(
                f"this kernel refuses function hooks: {place} has no kprobe_events",
                "a kernel with CONFIG_KPROBE_EVENTS; `quiesce kvm trace check` reads a trace from elsewhere",
            )
    raise UsageError(
        "no tracefs with kprobes is mounted here",
        "as root: mount -t tracefs tracefs /sys/kernel/tracing",
    )


@contextlib.contextmanager
def _probes(tracefs: Path, group: str) -> Iterator[None]:
    """Define the probes, and remove them in the end."""
    events = tracefs / "kprobe_events"
    defined = []
    try:
        for kind, name, function in _PROBES:
            try:
                _append(events, f"{kind}:{group}/{name} {function}")
            except OSError as error:
                raise UsageError(
                    f"this kernel refuses function hooks: a probe on {function} fails: {error.strerror}",
                    "root, a kernel without lockdown, and KVM loaded",
                ) from None
            defined.append(name)
        yield
    finally:
        for name in defined:
            with contextlib.suppress(OSError):
                _append(events, f"-:{group}/{name}")


def _append(file: Path, line: str) -> None:
    number = os.open(file, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(number, f"{line}\n".encode())
    finally:
        os.close(number)


@contextlib.contextmanager
def _instance(place: Path) -> Iterator[None]:
    place.mkdir()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            place.rmdir()


def _only(instance: Path, pid: int) -> None:
    """Let the instance record the threads of *pid*, and those that they create."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        raise UsageError(f"there is no process {pid}", "give the process id of a VMM") from None
    (instance / "set_event_pid").write_text(" ".join(threads), encoding="ascii")
    (instance / "options" / "event-fork").write_text("1", encoding="ascii")


def _missed(tracefs: Path, group: str) -> int:
    """Return how many hits the probes have missed, by the kernel's own account."""
    try:
        lines = (tracefs / "kprobe_profile").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    names = {name for _kind, name, _function in _PROBES}
    return sum(
        int(words[2]) for words in map(str.split, lines) if len(words) == 3 and words[0] in names
    )
