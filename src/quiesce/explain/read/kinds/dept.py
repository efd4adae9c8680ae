# SPDX-License-Identifier: Apache-2.0
"""The reports of DEPT, the dependency tracker: contexts, each with a start, a wait and an event.

``[S]`` begins a context that has to bring about an event, ``[W]`` is where it waits, ``[E]`` the event
that it then does not reach. So a context holds the class of its event and waits for the class of its
wait: a link of a cycle, and is read as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from quiesce.explain.read.draft import Draft
from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import ReportKind, register
from quiesce.explain.read.lock_text import split_name
from quiesce.explain.read.log_lines import LogLine
from quiesce.explain.read.model import (
    Missing,
    PrintedFrame,
    PrintedLink,
    PrintedLock,
    PrintedReport,
)

_CONTEXT = re.compile(r"context (?P<name>[A-Z]{1,3})$")
_STEP = re.compile(
    r"\[(?P<what>[SWE])\] (?P<call>.{0,80}?)\((?P<name>.{1,120}):(?P<sub>\d{1,2})\)(?P<detail>:?)$"
)
_RELEASE = re.compile(r"(?P<release>\d{1,2}\.\d{1,3}\S{0,80})(?: #.*)?$")


@dataclass
class _DeptContext:
    """One context: the classes of its wait and of its event, and the stack of its wait."""

    wait: str = ""
    wait_call: str = ""
    event: str = ""
    frames: list[PrintedFrame] = field(default_factory=list)


def _read(draft: Draft, lines: list[LogLine]) -> PrintedReport:
    contexts: dict[str, _DeptContext] = {}
    current: _DeptContext | None = None
    sink: list[PrintedFrame] | None = None
    kernel, end = "", lines[0].number
    for line in lines[1:]:
        text = line.text.strip()
        context, step = _CONTEXT.match(text), _STEP.match(text)
        if context is not None:
            current, sink = contexts.setdefault(context["name"], _DeptContext()), None
        elif step is not None and current is not None:
            sink = _step(current, step)
        elif sink is not None and (frame := parse_frame(text)) is not None and "+0x" in text:
            if not sink or sink[-1].function != frame.function:
                sink.append(frame)
        else:
            release = _RELEASE.match(text)
            if release is not None and not kernel:
                kernel = release["release"]
            continue
        end = line.number
    return _report(draft, list(contexts.values()), kernel, end)


def _step(context: _DeptContext, step: re.Match[str]) -> list[PrintedFrame] | None:
    if step["what"] == "W":
        context.wait, context.wait_call = step["name"], step["call"].strip()
        return context.frames if step["detail"] and not context.frames else None
    if step["what"] == "E":
        context.event = step["name"]
    return None


def _report(draft: Draft, contexts: list[_DeptContext], kernel: str, end: int) -> PrintedReport:
    number = draft.lines[0].number
    order = _in_order(contexts)
    links = [
        PrintedLink(index, _lock(context.wait, number), _frames(context), number)
        for index, context in enumerate(order)
    ]
    missing = []
    if len(order) != len(contexts) or not order:
        missing.append(Missing("a context of the cycle", end))
    missing += [Missing(f"the stack of link #{x.number}", end) for x in links if len(x.frames) < 2]
    if not kernel:
        missing.append(Missing("the kernel release", number))
    return PrintedReport(
        kind=draft.title.kind,
        title=draft.title.text,
        kernel=kernel,
        line=number,
        end_line=end,
        wanted=links[0].lock if links else None,
        holding=_lock(order[0].event, number) if order else None,
        links=tuple(sorted(links, key=lambda link: -link.number)),
        backtrace=links[0].frames if links else (),
        missing=tuple(missing),
    )


def _frames(context: _DeptContext) -> tuple[PrintedFrame, ...]:
    """Return the stack of the wait, below the function that waits, by which the mode is known."""
    call = context.wait_call.rpartition(" ")[2]
    first = (PrintedFrame(call),) if re.fullmatch(r"[A-Za-z_]\w*", call) and call != "lock" else ()
    return (*first, *context.frames)


def _in_order(contexts: list[_DeptContext]) -> list[_DeptContext]:
    """Return the contexts from the first on, each followed by the one whose event it waits for."""
    order = contexts[:1]
    while order:
        following = [c for c in contexts if c.event == order[-1].wait and c not in order]
        if not following:
            break
        order.append(following[0])
    return order


def _lock(name: str, number: int) -> PrintedLock:
    base, version, subclass = split_name(name)
    return PrintedLock(name, base, version, subclass, line=number)


register(
    ReportKind(
        "dept",
        untagged=(r"DEPT: .{0,40}[Dd]ependency has been detected.{0,20}",),
        triggers=("DEPT: ",),
        proof=r"\*\*\* (?:AA )?DEADLOCK \*\*\*|context [A-Z]$|summary$|\[S\]: start of the event",
        read=_read,
    )
)
