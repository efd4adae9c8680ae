# SPDX-License-Identifier: Apache-2.0
"""``quiesce kvm trace``: is a recorded trace a run of a design, and recording one."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from quiesce.commands.options import seconds
from quiesce.errors import UsageError

if TYPE_CHECKING:
    from quiesce.kvm.real.trace_check import TraceResult
    from quiesce.kvm.real.trace_events import Trace


def add_trace(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``trace`` to the actions of ``quiesce kvm``."""
    trace = actions.add_parser(
        "trace", help="check a recorded trace against the designs, or record one"
    )
    kinds = trace.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = kinds.add_parser(
        "check",
        help="say whether a trace can be a run of a design, and which designs it rules out",
        epilog="exit codes: 0 it can; 1 it cannot; 2 not a trace; 3 events are missing, and what is there "
        "is allowed",
    )
    check.add_argument("file", metavar="FILE", help="ftrace text, event lines, or JSON; - is stdin")
    check.add_argument(
        "--design", default="count", metavar="NAME", help="(count, as in the kernel)"
    )
    check.add_argument("--json", action="store_true")
    check.add_argument("--quiet", "-q", action="store_true", help="print only the verdict")
    check.set_defaults(run=_check)
    record = kinds.add_parser("record", help="record the running kernel with kprobes")
    record.add_argument("file", metavar="FILE", help="where to write the trace")
    record.add_argument(
        "--seconds", type=seconds, default=5.0, metavar="S", help="for how long (5)"
    )
    record.add_argument("--pid", type=int, metavar="PID", help="only this process (all)")
    record.set_defaults(run=_record)


def _check(args: argparse.Namespace) -> int:
    from quiesce.harmless import json_text
    from quiesce.kvm.gates import GATES
    from quiesce.kvm.real.trace_check import check_trace
    from quiesce.kvm.real.trace_read import read_trace

    if args.design not in GATES:
        raise UsageError(f"there is no design `{args.design}`", f"one of {', '.join(GATES)}")
    trace = read_trace(text_of(args.file), args.file, args.design)
    result = check_trace(trace)
    if args.json:
        print(json_text(trace_json(trace, result, args.design)))
    else:
        print(trace_text(args.file, trace, result, args.design, args.quiet), end="")
    if not result.allowed(args.design):
        return 1
    return 3 if result.undecided else 0


def text_of(name: str) -> str:
    """Return the text of the file *name*; ``-`` is standard input."""
    try:
        if name == "-":
            return sys.stdin.read()
        with open(name, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{name} cannot be read: {reason}", "give a trace") from None


def trace_json(trace: Trace, result: TraceResult, design: str) -> dict[str, object]:
    """Return what is known about *trace* as JSON."""
    return {
        "schema": 1,
        "design": design,
        "verdict": "holds"
        if result.allowed(design) and not result.undecided
        else ("incomplete" if result.allowed(design) else "violation"),
        "source": trace.source,
        "events": result.events,
        "tasks": result.tasks,
        "vms": result.vms,
        "updates": result.updates,
        "invalidations": result.invalidations,
        "nested": result.nested,
        "waited": result.waited,
        "open": result.open,
        "longest": {"duration": result.longest[0], "unit": trace.unit, "line": result.longest[1]},
        "undecided": result.undecided,
        "notes": trace.notes,
        "ruled_out": {
            name: {
                "event": refusal.event.kind.value,
                "task": refusal.event.task,
                "line": refusal.event.line or refusal.index + 1,
                "rule": refusal.rule,
                "reason": refusal.reason,
            }
            for name, refusal in result.refused.items()
        },
    }


def trace_text(name: str, trace: Trace, result: TraceResult, design: str, quiet: bool) -> str:
    """Return what is known about *trace* as text for a terminal."""
    lines = [] if quiet else [*_summary(name, trace, result), "", *_designs(result), ""]
    refusal = result.refused.get(design)
    if refusal is not None:
        event = refusal.event
        lines.append(
            f"Not a run of `{design}`. First event that is not allowed: line "
            f"{event.line or refusal.index + 1}, {event.kind.value} of {event.task}:"
        )
        lines.append(f"  {refusal.reason}")
    elif result.undecided:
        lines.append(f"Not decided: {result.undecided}. What is there can be a run of `{design}`.")
    else:
        lines.append(f"The trace can be a run of `{design}`.")
    return "\n".join([*lines, ""])


def _summary(name: str, trace: Trace, result: TraceResult) -> list[str]:
    lines = [
        f"{name}: {trace.source}, {result.events:,} events of {result.tasks} tasks, {result.vms} VM"
        + ("s" if result.vms != 1 else ""),
        f"  {result.updates:,} updates, {result.invalidations:,} invalidations "
        f"({result.nested:,} nested, {result.open:,} not ended)",
    ]
    if result.waited:
        lines.append(
            f"  {result.waited:,} updates met an invalidation; the longest wait: "
            f"{result.longest[0]:,} {trace.unit}, from line {result.longest[1]}"
        )
    if trace.begins_late:
        lines.append(
            "  The trace may begin in the middle of calls: ends without a start are allowed."
        )
    return [*lines, *(f"  note: {note}" for note in trace.notes)]


def _designs(result: TraceResult) -> list[str]:
    lines = []
    for name, model in _models().items():
        refusal = result.refused.get(name)
        if refusal is None:
            lines.append(f"  {name:<16} allowed    demands {model}")
        else:
            line = refusal.event.line or refusal.index + 1
            lines.append(f"  {name:<16} ruled out  by line {line} ({refusal.event.kind.value})")
    return lines


def _models() -> dict[str, str]:
    from quiesce.kvm.real.trace_models import MODELS

    return {name: model.demands for name, model in MODELS.items()}


def _record(args: argparse.Namespace) -> int:
    from quiesce.kvm.real.trace_record import record_kprobes
    from quiesce.outputs import require_writable, write_file

    require_writable("FILE", args.file)
    text = record_kprobes(args.seconds, args.pid)
    write_file(args.file, text)
    print(
        f"{args.file}: {len(text.splitlines()):,} lines; next: quiesce kvm trace check {args.file}"
    )
    return 0
