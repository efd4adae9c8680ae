# SPDX-License-Identifier: Apache-2.0
"""Read dumps of tasks: which tasks are blocked, in which stack, and which locks are listed for each.

The hung task detector, SysRq-w and SysRq-t print the same blocks in slightly different words, in every
layout since 2.6; "Showing all locks held in the system" may follow. A block is opened by a line that
names its task, and the frames after it are its stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from quiesce.explain.read.draft import Draft
from quiesce.explain.read.frames import is_arm_pair, parse_caller, parse_frame
from quiesce.explain.read.lock_text import find_usage, mark_number, parse_lock
from quiesce.explain.read.log_lines import LogLine
from quiesce.explain.read.model import Missing, PrintedFrame, PrintedLock, PrintedReport, StuckTask

_HUNG = re.compile(
    r"INFO: task \"?(?P<comm>.{1,64}?)\"?:(?P<pid>\d{1,8}) blocked(?: in I/O wait)? for more than "
    r"(?P<seconds>\d{1,7}) seconds"
)
_OWNER = re.compile(
    r"INFO: task \"?(?P<comm>.{1,64}?)\"?:(?P<pid>\d{1,8}) (?:is blocked|<writer> blocked|<reader> blocked"
    r"|blocked) on an? (?P<what>[\w -]{1,30}?) likely (?:owned|last held) by task "
    r"\"?(?P<owner>.{1,64}?)\"?:(?P<owner_pid>\d{1,8})"
)
_STATE = re.compile(
    r"task:(?P<comm>.{1,64}?) +state:(?P<state>[A-Z]\+?)\b.*?\bpid: ?(?P<pid>\d{1,8})"
)
_OLD_STATE = re.compile(
    r"(?P<comm>\S.{0,30}?) +(?P<state>[RSDTtZXIPW])(?: +(?:[0-9a-f]{8,16}|0x[0-9a-f]+|running task))?"
    r"(?: +\d{1,6})? +(?P<pid>\d{1,8}) +\d{1,8} 0x[0-9a-f]{4,16}$"
)
_HELD_BY = re.compile(
    r"(?P<count>\d{1,4}) locks? held by (?P<name>.{1,80}?/\d{1,8})[:.]?(?: .{0,40})?$"
)
_WORK = re.compile(
    r"Workqueue: .{1,80}? (?P<function>[A-Za-z_][\w.]*)(?: \[[\w-]+\])?(?: \(.*\))?$"
)
_RELEASE = re.compile(r"(?:Not tainted|Tainted: [^a-z]{0,60}?) ?(?P<release>\S{1,120})(?: #\S.*)?$")
_LOCKS = "showing all locks held"
_ANOTHER = re.compile(
    r"(?:Sending NMI|NMI backtrace|Kernel panic|NMI watchdog|CPU: ?\d+ .*omm: |Rebooting )"
)
"""Lines after which a stack is no longer that of the task that was named last."""


@dataclass
class _DumpTask:
    """A task as far as it has been read."""

    name: str
    line: int
    state: str = ""
    seconds: int = 0
    frames: list[PrintedFrame] = field(default_factory=list)
    held: list[PrintedLock] = field(default_factory=list)
    owner: str = ""
    owned: str = ""
    work: str = ""
    listed: bool = False


class _DumpReader:
    """Goes through the lines of a dump; see the module."""

    def __init__(self) -> None:
        self.tasks: dict[str, _DumpTask] = {}
        self.kernel = ""
        self.all_locks = False
        self.end_line = 0
        self._stack: list[PrintedFrame] | None = None
        self._block: _DumpTask | None = None
        self._holder: _DumpTask | None = None

    def line(self, text: str, number: int) -> None:
        """Read one line."""
        low = text.lower()
        if _ANOTHER.match(text):
            self._stack = self._block = None
        if self._header(text, number) or self._locks(text, low, number):
            self.end_line = number
            return
        frame = parse_frame(text)
        if frame is not None and self._stack is not None:
            self._frame(frame, text)
            self.end_line = number
            return
        if low.startswith(("call trace", "backtrace", "</irq>", "<task>")):
            self._stack = self._block.frames if self._block is not None else None
        elif low.startswith(("</task>", "rip:", "pc :", "modules linked")) and self._stack:
            self._stack = None
        work = _WORK.match(text)
        if work is not None and self._block is not None:
            self._block.work = work["function"]
        release = _RELEASE.search(text)
        if release is not None and not self.kernel and release["release"][:1].isalnum():
            self.kernel = release["release"]

    def _header(self, text: str, number: int) -> bool:
        """The lines that open a block: INFO: task ..., task:..., and the one of old kernels."""
        match = _OWNER.search(text)
        if match is not None:
            waiter = self._task(match, number)
            waiter.owner = f"{match['owner'].strip()}/{match['owner_pid']}"
            waiter.owned = match["what"].strip()
            return True
        match = _HUNG.search(text)
        if match is not None:
            self._open(self._task(match, number))
            assert self._block is not None
            self._block.seconds = int(match["seconds"])
            return True
        match = _STATE.match(text) or _OLD_STATE.match(text)
        if match is not None:
            self._open(self._task(match, number))
            assert self._block is not None
            self._block.state = match["state"]
            return True
        return False

    def _task(self, match: re.Match[str], number: int) -> _DumpTask:
        name = f"{match['comm'].strip()}/{match['pid']}"
        return self.tasks.setdefault(name, _DumpTask(name, number))

    def _open(self, task: _DumpTask) -> None:
        if self._block is not task:
            task.frames.clear()
        self._block = task
        self._stack = task.frames
        self._holder = None

    def _frame(self, frame: PrintedFrame, text: str) -> None:
        assert self._stack is not None
        last = self._stack[-1] if self._stack else None
        if is_arm_pair(text):
            if last is None or last.function != frame.function:
                self._stack.append(frame)
            caller = parse_caller(text)
            if caller is not None and caller.function:
                self._stack.append(caller)
        else:
            self._stack.append(frame)

    def _locks(self, text: str, low: str, number: int) -> bool:
        """The list of held locks: of one task, or of all."""
        if _LOCKS in low:
            self.all_locks, self._stack, self._block = True, None, None
            return True
        match = _HELD_BY.match(text)
        if match is not None:
            name = match["name"].strip()
            self._holder = self.tasks.setdefault(name, _DumpTask(name, number))
            self._holder.listed = True
            self._holder.held.clear()
            self._stack = None
            return True
        if self._holder is None or find_usage(text) is None:
            return False
        lock, mark = parse_lock(text, number), mark_number(text)
        if lock is None or mark is None:
            return False
        held = self._holder.held
        if held and mark == len(held) - 1 and held[-1].name == lock.name:
            held[-1] = replace(held[-1], at=held[-1].at + lock.at)
        else:
            held.append(lock)
        return True


def read_stuck_tasks(draft: Draft, lines: list[LogLine]) -> PrintedReport:
    """Return the dump that *lines* are: every task that is named, with its stack and its locks."""
    reader = _DumpReader()
    first = lines[0].number
    reader.end_line = first
    for line in lines:
        text = line.text.strip()
        if text:
            reader.line(text, line.number)
    tasks = tuple(_finished(task, reader.all_locks) for task in reader.tasks.values())
    missing = []
    if not reader.kernel:
        missing.append(Missing("the kernel release", first))
    missing += [
        Missing(f"the stack of {task.name}", task.line)
        for task in tasks
        if not task.frames and (task.seconds or task.owner)
    ]
    if draft.cut:
        missing.append(Missing("the rest of the dump: too long to be read", reader.end_line))
    blocked = [task for task in tasks if task.seconds or task.frames]
    return PrintedReport(
        kind=draft.title.kind,
        title=draft.title.text,
        kernel=reader.kernel,
        task=blocked[0].name if blocked else "",
        line=first,
        end_line=reader.end_line,
        tasks=tasks,
        missing=tuple(missing),
    )


def _finished(task: _DumpTask, all_locks: bool) -> StuckTask:
    return StuckTask(
        name=task.name,
        state=task.state,
        seconds=task.seconds,
        frames=tuple(task.frames),
        held=tuple(task.held),
        owner=task.owner,
        owned=task.owned,
        work=task.work,
        line=task.line,
        lists_held=task.listed or all_locks,
    )
