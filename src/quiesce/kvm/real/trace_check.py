# SPDX-License-Identifier: Apache-2.0
"""Is a trace a run of a design? If not: the first event that the design does not allow, and why.

Two kinds of rules. *Order*: what no design can do, whatever it is: a return without a call, a task in two
calls at once, an end without a start, two updates of one VM at a time. *Gate*: what the design demands of an
update (``trace_models.py``). One pass decides for all designs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from quiesce.kvm.real.trace_events import Event, Kind, Trace
from quiesce.kvm.real.trace_models import MODELS, Model, Phased, Underway, Update, Vm

MOST_NAMED = 4
"""How many invalidations a reason names at most."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a trace is not a run of a design.

    :param event: the first event that is not allowed.
    :param index: its place in the trace, from 0 on.
    :param rule: ``order``: no design can do this; ``gate``: the design does not allow it.
    :param reason: one sentence.
    """

    event: Event
    index: int
    rule: str
    reason: str


@dataclass(slots=True)
class TraceResult:
    """What the checker found out.

    :param refused: for each design that the trace rules out, the first event that is not allowed.
    :param updates: updates published.
    :param invalidations: invalidations that have passed the gate.
    :param nested: those whose task had another one under way.
    :param waited: updates that found an invalidation under way when they began.
    :param longest: of these, the longest time from ``swap`` to ``published``, and the line of its ``swap``.
    :param open: invalidations without an end at the end of the trace.
    :param undecided: why nothing can be said from some event on; empty if all was checked.
    """

    events: int = 0
    tasks: int = 0
    vms: int = 0
    updates: int = 0
    invalidations: int = 0
    waited: int = 0
    longest: tuple[int, int] = (0, 0)
    open: int = 0
    nested: int = 0
    undecided: str = ""
    refused: dict[str, Refusal] = field(default_factory=dict)

    def allowed(self, design: str) -> bool:
        """Return whether the trace can be a run of *design*."""
        return design not in self.refused


_RETURN_OF = {
    Kind.START_DONE: Kind.START,
    Kind.END_DONE: Kind.END,
    Kind.PUBLISHED: Kind.SWAP,
    Kind.GRACE_DONE: Kind.PUBLISHED,
}
"""Which event must be the task's latest one before a return."""

_IN_A_CALL = {Kind.START, Kind.END, Kind.SWAP, Kind.PUBLISHED}
"""After one of these events a task is inside a call."""


def check_trace(trace: Trace) -> TraceResult:
    """Check *trace* against every design, in one pass."""
    return _Checker(trace).run()


class _Checker:
    """Walks through a trace once. It stops at a breach of order: what follows has no meaning."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.result = TraceResult(events=len(trace.events))
        self.latest: dict[str, Event] = {}
        """The latest event of each task."""
        self.vms: dict[str, Vm] = {}
        self.models: dict[str, dict[str, Model]] = {}
        self.begun_before = trace.begins_late
        """A call that was not seen to begin may have begun before the first event."""

    def run(self) -> TraceResult:
        """Take note of every event, in order."""
        lost = set(self.trace.lost)
        step = {
            Kind.START: self._nothing,
            Kind.START_DONE: self._start_done,
            Kind.END: self._end,
            Kind.END_DONE: self._nothing,
            Kind.SWAP: self._swap,
            Kind.PUBLISHED: self._published,
            Kind.GRACE_DONE: self._grace_done,
        }
        for index, event in enumerate(self.trace.events):
            if index in lost:
                self._lose(index)
            reason = self._out_of_order(event) or self._take(step, index, event)
            if reason:
                self._refuse_all(event, index, reason)
                break
            self.latest[event.task] = event
        return self._closed()

    def _take(
        self, step: Mapping[Kind, Callable[[Vm, int, Event], str]], index: int, event: Event
    ) -> str:
        vm = self.vms.get(event.vm)
        if vm is None:
            vm = self.vms[event.vm] = Vm()
            self.models[event.vm] = {name: model() for name, model in MODELS.items()}
        return step[event.kind](vm, index, event)

    # --- Order ------------------------------------------------------------------------------------

    def _out_of_order(self, event: Event) -> str:
        """Return why the task cannot do this now; empty if it can."""
        before = self.latest.get(event.task)
        needed = _RETURN_OF.get(event.kind)
        inside = before is not None and before.kind in _IN_A_CALL
        if needed is None:
            if inside and before is not None:
                return (
                    f"{event.task} is still inside a call: `{before.kind.value}`"
                    f"{_at(before.line)} has not returned"
                )
            return ""
        if before is None:
            if self.begun_before:
                return ""
            return f"`{event.kind.value}` without `{needed.value}` before it"
        if before.kind is not needed:
            return (
                f"`{event.kind.value}` must follow `{needed.value}`; the latest event of "
                f"{event.task} is `{before.kind.value}`{_at(before.line)}"
            )
        if before.vm != event.vm:
            return (
                f"the call began at VM {before.vm}{_at(before.line)} and returns at VM {event.vm}"
            )
        return ""

    # --- The events -------------------------------------------------------------------------------

    def _nothing(self, vm: Vm, index: int, event: Event) -> str:
        return ""

    def _start_done(self, vm: Vm, index: int, event: Event) -> str:
        self.result.invalidations += 1
        self.result.nested += bool(vm.open.get(event.task))
        vm.start_done(event.task, _place(event, index))
        return ""

    def _end(self, vm: Vm, index: int, event: Event) -> str:
        if vm.end(event.task):
            for model in self.models[event.vm].values():
                model.end(vm, event.task)
        elif not self.begun_before:
            return f"`end` of {event.task} without an invalidation of it that has started"
        return ""

    def _swap(self, vm: Vm, index: int, event: Event) -> str:
        line = _place(event, index)
        if vm.update is not None:
            return (
                f"two updates of one VM at a time: that of {vm.update.task} since line "
                f"{vm.update.line} has not ended, and slots_lock is held until then"
            )
        vm.update = Update(event.task, line, event.time, vm.count)
        for model in self.models[event.vm].values():
            model.swap(vm)
        return ""

    def _published(self, vm: Vm, index: int, event: Event) -> str:
        result, update = self.result, vm.update
        result.updates += 1
        if update is None:
            return ""
        if update.met > 0:
            result.waited += 1
            result.longest = max(result.longest, (event.time - update.time, update.line))
        for name, model in self.models[event.vm].items():
            against = model.published(vm)
            if against and name not in result.refused:
                place = _place(event, index)
                reason = _why(MODELS[name], update, against, place)
                result.refused[name] = Refusal(event, index, "gate", reason)
        return ""

    def _grace_done(self, vm: Vm, index: int, event: Event) -> str:
        vm.update = None
        return ""

    # --- What is not known ------------------------------------------------------------------------

    def _lose(self, index: int) -> None:
        """Events were lost before this one: forget what is under way, and say so."""
        self.begun_before = True
        self.latest.clear()
        for vm in self.vms.values():
            vm.open.clear()
            vm.count, vm.update = 0, None
        if not self.result.undecided:
            line = _place(self.trace.events[index], index)
            self.result.undecided = f"the source lost events before line {line}"

    def _refuse_all(self, event: Event, index: int, reason: str) -> None:
        for name in MODELS:
            self.result.refused.setdefault(name, Refusal(event, index, "order", reason))

    def _closed(self) -> TraceResult:
        result = self.result
        result.tasks = len({event.task for event in self.trace.events})
        result.vms = len({event.vm for event in self.trace.events})
        result.open = sum(vm.count for vm in self.vms.values())
        return result


def _at(line: int) -> str:
    return f" at line {line}" if line else ""


def _place(event: Event, index: int) -> int:
    """Return where *event* is: its line in the file, or its number in a trace that is from no file."""
    return event.line or index + 1


def _why(model: type[Model], update: Update, against: list[Underway], line: int) -> str:
    """Say why *model* cannot have published *update* by *line*."""
    named = [f"{one.task} since line {one.line}" for one in against[:MOST_NAMED]]
    more = len(against) - len(named)
    shown = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    if model is Phased:
        return (
            f"the update that began at line {update.line} is published by line {line}, and these "
            f"invalidations from before it have not ended: {shown}"
        )
    return (
        f"from line {update.line}, where the update begins, to line {line}, where it is published, "
        f"there is no moment without an invalidation under way; now under way: {shown}"
    )
