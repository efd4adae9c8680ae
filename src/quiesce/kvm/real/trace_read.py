# SPDX-License-Identifier: Apache-2.0
"""Readers: from the text of a source to a :class:`Trace`. The text itself says which source it is from.

* **ftrace** text (``/sys/kernel/tracing/trace``) with kprobes on the functions, whatever their names: either
  the short names ``s rs e re w g rw``, or any name, with the function in brackets behind it;
* **event lines** of four columns, as quiesce writes them and as the bpftrace script in ``docs/real-kvm.md``
  prints them;
* **JSON** of ``quiesce kvm check --json``: the counterexample is the trace.

A line that is not understood may hide an event. So it counts as a place where events were lost, and the
checker then says that it has not decided all.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from quiesce.errors import UsageError
from quiesce.kvm.real.trace_events import HEADER, Event, Kind, Trace
from quiesce.kvm.real.trace_paths import trace_of_json

_FTRACE = re.compile(
    r"\s*(?P<task>\S.*-\d+)\s+(?:\(\s*[\d-]+\)\s+)?\[\d+\]\s+(?:\S+\s+)?(?P<time>\d+(?:\.\d+)?):"
    r"\s+(?P<event>[\w/.:-]+?)(?P<colon>:)?(?:\s+(?P<rest>.*))?$"
)
_LOST_FTRACE = re.compile(r"CPU:\d+ \[LOST \d+ EVENTS\]")
_ENTRIES = re.compile(r"#\s*entries-in-buffer/entries-written:\s*(\d+)/(\d+)")
_EVENT = re.compile(r"(?P<time>\d+)\s+(?P<task>\S+)\s+(?P<vm>\S+)\s+(?P<event>[a-z_]+)$")
_NOISE_BPFTRACE = re.compile(r"Attach(?:ing|ed) \d+ probes?\.*$|@")
_LOST_BPFTRACE = re.compile(r"Lost \d+ events")
_VM = re.compile(r"\b(?:vm|kvm)=(\S+)")

_SHORT = {
    "s": Kind.START,
    "rs": Kind.START_DONE,
    "e": Kind.END,
    "re": Kind.END_DONE,
    "w": Kind.SWAP,
    "g": Kind.PUBLISHED,
    "rw": Kind.GRACE_DONE,
}
"""The names of the probes in the recorded trace."""

_KINDS = {**_SHORT, **{kind.value: kind for kind in Kind}}

_FUNCTIONS = {
    "kvm_mmu_notifier_invalidate_range_start": (Kind.START, Kind.START_DONE),
    "kvm_mmu_notifier_invalidate_range_end": (Kind.END, Kind.END_DONE),
    "kvm_swap_active_memslots": (Kind.SWAP, Kind.GRACE_DONE),
    "install_new_memslots": (Kind.SWAP, Kind.GRACE_DONE),
}
"""What entering a function and returning from it mean."""

_CALLS = {Kind.START, Kind.END, Kind.SWAP}
"""Events that may carry a field ``vm=``; returns have none, and belong to the VM of their call."""

_GRACE_PERIOD = ("synchronize_srcu_expedited", "synchronize_srcu")
"""Functions whose entry, by a task that swaps memslots, means that the new set is published."""

_ENTRY = re.compile(r"\((?P<function>\w+)\+0x(?P<offset>[0-9a-f]+)/")
_RETURN = re.compile(r"<-\s*(?P<function>\w+)")


def read_trace(text: str, name: str, design: str = "count") -> Trace:
    """Return the trace that *text* is.

    :param name: the file's name, for messages.
    :param design: of a JSON file with several designs, whose counterexample is the trace.
    :raises UsageError: it is none of the formats, or it has no event.
    """
    if text.lstrip()[:1] == "{":
        try:
            return trace_of_json(json.loads(text), name, design)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{name} is not JSON: {error}", _ACCEPTED) from None
    lines = text.splitlines()
    trace = _read_events(lines) if _is_event_lines(lines) else _read_ftrace(lines)
    if not trace.events:
        raise UsageError(f"{name} has no event of a memslot update or an invalidation", _ACCEPTED)
    backwards = next(
        (b.line for a, b in zip(trace.events, trace.events[1:], strict=False) if b.time < a.time),
        None,
    )
    if backwards is not None:
        trace.notes.append(f"times go backwards at line {backwards}; the order of the lines counts")
    return trace


_ACCEPTED = (
    "give ftrace text with kprobes, lines `TIME TASK VM EVENT`, or the JSON of `quiesce kvm check "
    "--json`; docs/real-kvm.md describes all three"
)


def _is_event_lines(lines: list[str]) -> bool:
    """Return whether the first line that is no comment and no noise has the four columns."""
    for line in lines:
        if line.startswith(HEADER):
            return True
        if line.strip() and line[0] != "#" and not _NOISE_BPFTRACE.match(line):
            found = _EVENT.match(line.strip())
            return found is not None and found["event"] in _KINDS
    return False


def _read_events(lines: list[str]) -> Trace:
    """Read event lines. Without our header they are bpftrace's, whose cores print out of order."""
    trace = Trace([], "events" if any(line.startswith(HEADER) for line in lines) else "bpftrace")
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] == "#" or _NOISE_BPFTRACE.match(text):
            continue
        found = _EVENT.match(text)
        kind = _KINDS.get(found["event"]) if found else None
        if found is None or kind is None:
            if _LOST_BPFTRACE.match(text):
                trace.lost.append(len(trace.events))
            else:
                _not_understood(trace, number, len(lines))
            continue
        trace.events.append(Event(kind, found["task"], found["vm"], int(found["time"]), number))
    trace.lost = [index for index in trace.lost if index < len(trace.events)]
    if trace.source == "bpftrace":
        trace.begins_late = True
        if not trace.lost:
            trace.events.sort(key=lambda event: event.time)
    return trace


def _not_understood(trace: Trace, number: int, last: int) -> None:
    """Take note of a line that is not understood; of the last one only that: the trace is cut there."""
    if number == last:
        trace.notes.append(f"line {number}, the last one, is not complete")
        return
    if len(trace.lost) == 0:
        trace.notes.append(f"line {number} is not understood; it may have been an event")
    trace.lost.append(len(trace.events))


def _read_ftrace(lines: list[str]) -> Trace:
    trace = Trace([], "ftrace", unit="us")
    others = 0
    swapping: set[str] = set()
    vm_of: dict[str, str] = {}
    nameless = 0
    names: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        entries = _ENTRIES.match(line)
        if entries and entries[1] != entries[2]:
            trace.begins_late = True
        if not line.strip() or line[0] == "#":
            continue
        if _LOST_FTRACE.match(line):
            trace.lost.append(len(trace.events))
            continue
        found = _FTRACE.match(line)
        if found is None:
            _not_understood(trace, number, len(lines))
            continue
        task, rest = _task(found["task"], names), found["rest"] or ""
        kind = _kind_of(found["event"] if found["colon"] else "", rest, task in swapping)
        if kind is None:
            others += 1
            continue
        if kind is Kind.SWAP:
            swapping.add(task)
        elif kind is Kind.PUBLISHED:
            swapping.discard(task)
        vm = _VM.search(rest)
        if vm is not None:
            vm_of[task] = vm[1]
        elif kind in _CALLS:
            nameless += 1
        time, unit = _time(found["time"])
        trace.unit = unit
        trace.events.append(Event(kind, task, vm_of.get(task, "0"), time, number))
    trace.lost = [index for index in trace.lost if index < len(trace.events)]
    if nameless and vm_of:
        trace.events = [replace(event, vm="0") for event in trace.events]
        trace.notes.append("not every call names its VM, so all are taken to be of one VM")
    if others:
        trace.notes.append(f"{others:,} events of other kinds are left out")
    return trace


def _task(text: str, names: dict[str, str]) -> str:
    """Return the name of a task. Its number identifies it: a task may rename itself while it is traced."""
    number = text.rpartition("-")[2]
    return names.setdefault(number, text.strip().replace(" ", "_"))


def _time(text: str) -> tuple[int, str]:
    """Return a time of ftrace with its unit: seconds with a point, or the ticks of another clock."""
    if "." not in text:
        return int(text), "ticks"
    seconds, fraction = text.split(".")
    return int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0")), "us"


def _kind_of(event: str, rest: str, swapping: bool) -> Kind | None:
    """Return what an event of ftrace means: by the function that it names, else by its own name."""
    returns = _RETURN.search(rest)
    if returns is not None:
        pair = _FUNCTIONS.get(returns["function"])
        return pair[1] if pair else None
    entry = _ENTRY.search(rest)
    if entry is not None:
        if entry["function"] in _GRACE_PERIOD:
            return Kind.PUBLISHED if swapping else None
        pair = _FUNCTIONS.get(entry["function"])
        if pair is not None:
            inside = int(entry["offset"], 16) > MOST_PROLOGUE
            return Kind.PUBLISHED if inside and pair[0] is Kind.SWAP else pair[0]
    return _KINDS.get(event.rpartition("/")[2].rpartition(":")[2])


MOST_PROLOGUE = 16
"""Bytes: a probe at such an offset is still at the entry of a function (``endbr64``, the call of ftrace)."""
