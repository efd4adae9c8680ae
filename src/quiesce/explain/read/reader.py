# SPDX-License-Identifier: Apache-2.0
"""Read the lines of one draft into a report: what all kinds have in common.

A report is a sequence of sections, each opened by a fixed phrase; between phrases stand locks and
stack frames. So reading is: a frame goes to the trace that is open, a lock to the place that the
last phrase asked for, a phrase opens the next place. Lines that match none of these are other
people's messages and are skipped; nothing depends on blank lines or on indentation, which mail
destroys.

What only one family of kinds prints is in that family's own module (``circular``, ``irq_order``,
...), which hands its phrases to the reader and says afterwards what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from quiesce.explain.read.draft import Draft
from quiesce.explain.read.frames import is_arm_pair, parse_caller, parse_frame
from quiesce.explain.read.fuzzy import LEAST, nearest
from quiesce.explain.read.lock_text import find_usage, mark_number, parse_lock
from quiesce.explain.read.log_lines import LogLine, is_rule
from quiesce.explain.read.model import (
    ClassBlock,
    Missing,
    PrintedFrame,
    PrintedLink,
    PrintedLock,
    ScenarioStep,
    UsageTrace,
)

Handler = Callable[["ReportReader", str, int], None]
"""Called with the reader, the stripped line and its number when the line contains the phrase."""

_RELEASE = re.compile(r"(\S{1,120}) #\S")
_BARE_RELEASE = re.compile(r"\d{1,2}\.\d{1,3}[\w.+~-]{0,100}$")
_HELD_BY = re.compile(r"(\d{1,4}) locks? held by (.{1,80}?)[:.]?(?: \[.{0,40})?$")
_CPU_LINE = re.compile(
    r"(?:CPU: ?\d+ )?(?:UID: ?\d+ )?(?:PID|Pid|id): (?P<pid>\d+),? [Cc]omm: (?P<comm>.{1,60}?) "
    r"(?:Not tainted|Tainted: [^a-z]{0,60}?) ?(?P<rel>\S{1,120}) #\S"
)
_TASK_END = (
    " is trying to",
    " just changed",
    " is freeing",
    " is leaving",
    " still has locks",
    " [HC",
)
_STATE = re.compile(r"\[(HC\d+\[\d+\]:SC\d+\[\d+\]:HE\d+:SE\d+)\]|\[(HC\d+\[\d+\]:SC\d+\[\d+\])")
_USAGE_AT = re.compile(r"(?P<state>[A-Za-z][A-Za-z_-]{2,20}(?: READ)?(?: [Uu][Ss][Ee])?)\s+at:\s*$")
_SCENARIO = re.compile(r"(?P<op>r?lock|sync)\((?P<name>.{1,400})\);?$")
_END_OF_TRACE = (
    "</TASK>",
    "RIP: 0033",
    "RIP: 002b",
    "RIP: 0023",
    "---[ end trace",
    "Modules linked",
)
_MAX_GAP = 12
_MOST_GUESSES = 40
"""Lines of one report that are compared with garbled phrases."""


@dataclass
class ReportReader:
    """The report as far as it has been read; see :class:`quiesce.explain.read.model.PrintedReport`."""

    draft: Draft
    phrases: dict[str, Handler]
    kernel: str = ""
    task: str = ""
    subjects: dict[str, PrintedLock] = field(default_factory=dict)
    links: list[PrintedLink] = field(default_factory=list)
    held: list[PrintedLock] = field(default_factory=list)
    declared_held: int | None = None
    chain_names: tuple[str, ...] = ()
    chain_so_far: str = ""
    scenario: list[ScenarioStep] = field(default_factory=list)
    traces: dict[str, list[PrintedFrame]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    blocks: list[ClassBlock] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    end_line: int = 0
    line: int = 0

    _sink: list[PrintedFrame] | None = None
    _slot: str = ""
    _in_held: bool = False
    _in_scenario: bool = False
    _in_block: bool = False
    _next_text: Handler | None = None
    _gap: int = 0
    _seen: int = 0

    # What the family modules use.

    def expect(self, slot: str) -> None:
        """The next lock goes to *slot* of ``subjects``; a trace that was open is closed."""
        self._slot, self._sink = slot, None
        self._in_scenario = False

    def trace(self, name: str) -> None:
        """The next frames go to the trace *name*; the first trace of a name is kept."""
        if name in self.traces:
            self._sink = None
            return
        self._sink = self.traces.setdefault(name, [])

    def await_text(self, handler: Handler) -> None:
        """The next line that is neither frame, lock nor phrase goes to *handler*."""
        self._next_text = handler

    def close(self) -> None:
        """No trace and no place is open any more."""
        self._sink, self._slot = None, ""
        self._in_held = self._in_scenario = False

    def lack(self, what: str, line: int = 0) -> None:
        """Note that *what* could not be read."""
        self.missing.append(Missing(what, line or self.line))

    # Reading.

    def read(self, lines: list[LogLine]) -> None:
        """Read all *lines* of the draft, the headline first."""
        self.line = self.end_line = lines[0].number
        for line in lines if self.draft.headless else lines[1:]:
            text = line.text.strip()
            if text:
                self._read_line(text, line)

    def _read_line(self, text: str, line: LogLine) -> None:
        self._seen += 1
        if ("){" in text or ") {" in text) and find_usage(text) is not None:
            self._lock(text, line.number)
        elif (frame := parse_frame(text)) is not None:
            if is_arm_pair(text):
                self._pair(frame, parse_caller(text), line.number)
            else:
                self._frame(frame, line.number)
            return
        elif not self._phrase(text, line):
            self._gap += 1
            if self._gap > _MAX_GAP:
                self._sink = None
            return
        self._gap = 0
        self.end_line = line.number

    def _frame(self, frame: PrintedFrame, number: int) -> None:
        if self._sink is None:
            return
        self._sink.append(frame)
        self._gap = 0
        self.end_line = number

    def _pair(self, frame: PrintedFrame, caller: PrintedFrame | None, number: int) -> None:
        """An arm line names a function and its caller; the next line begins with the caller."""
        last = self._sink[-1] if self._sink else None
        if last is None or last.function != frame.function:
            self._frame(frame, number)
        if caller is not None and caller.function:
            self._frame(caller, number)

    def _lock(self, text: str, number: int) -> None:
        lock = parse_lock(text, number)
        if lock is None:
            self.lack("a lock whose text is damaged", number)
            return
        mark = mark_number(text)
        if text.startswith("->"):
            self._chain_lock(lock, mark, text, number)
        elif mark is not None:
            self._held_lock(lock, mark)
        elif "} -> (" in text:
            other = parse_lock(text[text.find("} -> (") + 4 :], number)
            self.subjects.setdefault("dependency from", lock)
            if other is not None:
                self.subjects.setdefault("dependency to", other)
        elif self._slot:
            self._fill(lock)

    def _fill(self, lock: PrintedLock) -> None:
        """Put *lock* where the last phrase asked; a symboliser's repetition adds its frame."""
        old = self.subjects.get(self._slot)
        if old is None:
            self.subjects[self._slot] = lock
        elif old.name == lock.name and old.address == lock.address and lock.at:
            self.subjects[self._slot] = replace(old, at=old.at + lock.at)

    def _held_lock(self, lock: PrintedLock, mark: int) -> None:
        if not self._in_held:
            return
        if mark == len(self.held):
            self.held.append(lock)
        elif self.held and mark == len(self.held) - 1 and self.held[-1].name == lock.name:
            self.held[-1] = replace(self.held[-1], at=self.held[-1].at + lock.at)
        elif mark > len(self.held):
            self.lack(f"held locks #{len(self.held)} to #{mark - 1}", lock.line)
            self.held.append(lock)

    def _chain_lock(self, lock: PrintedLock, mark: int | None, text: str, number: int) -> None:
        self._slot, self._in_held = "", False
        frames: list[PrintedFrame] = []
        self._sink = frames
        if mark is None:
            self._in_block = True
            self._blocks_frames.append((lock, [], []))
            self._sink = None
            return
        if any(link.number == mark for link, _ in self._link_frames):
            return  # the same report again without a headline; its frames go nowhere
        self._link_frames.append((PrintedLink(mark, lock, (), number), frames))

    _link_frames: list[tuple[PrintedLink, list[PrintedFrame]]] = field(default_factory=list)
    _blocks_frames: list[
        tuple[PrintedLock, list[tuple[str, list[PrintedFrame]]], list[PrintedFrame]]
    ] = field(default_factory=list)

    def _phrase(self, text: str, line: LogLine) -> bool:
        number = line.number
        low = text.lower()
        for needle, handler in self.phrases.items():
            if needle in low:
                handler(self, text, number)
                return True
        if self._next_text is not None:
            handler, self._next_text = self._next_text, None
            handler(self, text, number)
            return True
        if self._garbled_phrase(text, low, number):
            return True
        if self._in_block and self._block_line(text):
            return True
        if text.endswith((");", ")")) or text.startswith("<"):
            step = self._scenario_step(text, line.text)
            if step is not None:
                if not self._scenario_done:
                    self.scenario.append(step)
                return True
        return self._release(text)

    def _garbled_phrase(self, text: str, low: str, number: int) -> bool:
        """A phrase of which a serial console has lost characters."""
        if self._guesses >= _MOST_GUESSES or not LEAST <= len(low) <= 160:
            return False
        self._guesses += 1
        phrase = nearest(low, self.phrases)
        if not phrase:
            return False
        self.phrases[phrase](self, text, number)
        return True

    _guesses: int = 0
    _scenario_done: bool = False

    def _block_line(self, text: str) -> bool:
        """A line inside ``-> (lock) { ... }`` of the irq reports."""
        if not self._blocks_frames:
            return False
        _, usages, acquired = self._blocks_frames[-1]
        if "acquired at:" in text:
            self._sink = acquired
            return True
        if text.startswith("... key"):
            self._sink = None
            return True
        match = _USAGE_AT.match(text)
        if match is None:
            return text == "}"
        frames: list[PrintedFrame] = []
        usages.append((match["state"].upper(), frames))
        self._sink = frames
        return True

    def _scenario_step(self, text: str, raw: str) -> ScenarioStep | None:
        if not self._in_scenario:
            return None
        cpu = 1 if len(raw) - len(raw.lstrip()) >= 20 else 0
        if text.lower() == "<interrupt>":
            return ScenarioStep(cpu, "interrupt", "")
        if text.startswith("local_irq_disable("):
            return ScenarioStep(cpu, "irq-off", "")
        match = _SCENARIO.match(text)
        if match is None:
            return None
        return ScenarioStep(cpu, match["op"], match["name"])

    def _release(self, text: str) -> bool:
        """The line after the headline: ``5.12.0-rc3+ #6 Tainted: G           OE``."""
        if is_rule(text):
            return True
        if self.kernel or self._seen > 6:
            return False
        match = _RELEASE.match(text)
        if match is not None:
            self.kernel = match.group(1)
            return True
        if _BARE_RELEASE.match(text):
            self.kernel = text
            return True
        return False

    # The sections that every kind may have.

    def task_line(self, text: str, number: int) -> None:
        """``qemu-system-x86/3069 [HC0[0]:...] is trying to acquire ...``: the task."""
        positions = [p for end in _TASK_END if (p := text.find(end)) > 0]
        task = text[: min(positions, default=0)].strip()
        if task and not self.task and task.lower() not in ("the task", "task", "this task"):
            self.task = task
        state = _STATE.search(text)
        if state is not None:
            self.facts.setdefault("irq state", state.group(1) or state.group(2))

    def wanted(self, text: str, number: int) -> None:
        self.task_line(text, number)
        self.expect("wanted")

    def already_held(self, text: str, number: int) -> None:
        self.expect("holding")

    def held_by(self, text: str, number: int) -> None:
        self._sink, self._slot, self._in_scenario = None, "", False
        self._in_held = False
        if self.declared_held is not None:
            return
        if text.lower().startswith("no locks held by"):
            self.declared_held = 0
            owner = text[len("no locks held by") :].strip().rstrip(".")
        else:
            match = _HELD_BY.match(text)
            if match is None:
                return
            self.declared_held, owner = int(match.group(1)), match.group(2)
            self._in_held = True
        self.facts.setdefault("holder", owner)

    def possible_scenario(self, text: str, number: int) -> None:
        self._sink, self._slot = None, ""
        self._in_scenario = not self.scenario

    def deadlock_mark(self, text: str, number: int) -> None:
        self._in_scenario = False
        self._scenario_done = bool(self.scenario)

    def other_info(self, text: str, number: int) -> None:
        self._sink, self._slot = None, ""

    def backtrace(self, text: str, number: int) -> None:
        self._in_held = self._in_scenario = self._in_block = False
        self._slot = ""
        if self.traces.get("backtrace"):
            self._sink = None
            return
        self.trace("backtrace")

    def call_trace(self, text: str, number: int) -> None:
        if not self.traces.get("backtrace"):
            self._sink = self.traces.setdefault("backtrace", [])
            self._in_held = self._in_scenario = self._in_block = False

    def end_of_trace(self, text: str, number: int) -> None:
        if self._sink is self.traces.get("backtrace"):
            self._sink = None

    def cpu_line(self, text: str, number: int) -> None:
        match = _CPU_LINE.search(text)
        if match is None:
            return
        self.facts.setdefault("cpu line task", f"{match['comm']}/{match['pid']}")
        self.facts.setdefault("cpu line kernel", match["rel"])

    def finish(self) -> None:
        """Fill in from other lines what the proper ones did not say."""
        for link, frames in self._link_frames:
            self.links.append(replace(link, frames=tuple(frames)))
        for lock, usages, acquired in self._blocks_frames:
            traces = tuple(UsageTrace(state, tuple(frames)) for state, frames in usages)
            self.blocks.append(ClassBlock(lock, traces, tuple(acquired)))
        fallback = self.facts.pop("cpu line kernel", "")
        if not self.kernel or not self.kernel[0].isalnum():
            self.kernel = fallback or self.kernel
        task = self.facts.pop("cpu line task", "")
        self.task = self.task or self.facts.get("holder", "") or task
        self.facts.pop("holder", None)
        if self.declared_held is not None and len(self.held) < self.declared_held:
            self.lack(f"{self.declared_held - len(self.held)} of {self.declared_held} held locks")
        if self.draft.cut:
            self.lack("the rest of the report: too long to be read whole", self.end_line)


COMMON: dict[str, Handler] = {
    "is trying to acquire": ReportReader.wanted,
    "task is already holding": ReportReader.already_held,
    "possible unsafe locking scenario": ReportReader.possible_scenario,
    "possible interrupt unsafe locking": ReportReader.possible_scenario,
    "*** deadlock ***": ReportReader.deadlock_mark,
    "locks held by": ReportReader.held_by,
    "lock held by": ReportReader.held_by,
    "other info that might help": ReportReader.other_info,
    "stack backtrace": ReportReader.backtrace,
    "call trace:": ReportReader.call_trace,
    "backtrace:": ReportReader.call_trace,
    "comm: ": ReportReader.cpu_line,
    **{mark.lower(): ReportReader.end_of_trace for mark in _END_OF_TRACE},
}
