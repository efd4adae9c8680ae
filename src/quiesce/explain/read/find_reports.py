# SPDX-License-Identifier: Apache-2.0
"""Where the reports of a log begin and end.

A log is skimmed in blocks for the few phrases that a headline contains; only around those is it cut
into lines at all, so that a hundred megabytes without a report cost about as much as reading them.

A headline alone proves nothing: patches carry the format strings, mails quote the title, a heading
looks the same. A draft becomes a report when the next lines say so (the rule above, the release,
"is trying to acquire lock"). Lines of other tasks (by caller id), of other programs and of other
quotation depths are left out; a reply written into the middle of a quoted report is one of those.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterable, Iterator

from quiesce.explain.read.draft import Draft, Title
from quiesce.explain.read.kind import kind_named
from quiesce.explain.read.lock_text import find_usage
from quiesce.explain.read.log_lines import LogLine, clean_line, is_rule
from quiesce.explain.read.model import Other
from quiesce.explain.read.others import MOST, find_others
from quiesce.explain.read.reflow import reflow
from quiesce.explain.read.titles import HEADLESS, lead_pattern, nearly_title, parse_title, triggers

MAX_REPORT_LINES = 6000
"""The longest report in the wild has about 1,500 lines; what is longer is cut and said to be."""

_BLOCK = 1 << 20
_IDLE_LINES = 120
_IDLE_AFTER_TRACE = 15
_PROOF_LINES = 16
_PROOFS = re.compile(
    r"(?:CPU|Pid): \d.{1,120} (?:Not tainted|Tainted: )|(?!-)\S{1,120} #\d{1,9}(?: |$)"
    r"|(?!-)\S{1,120} #\S{1,40} {1,2}(?:Not tainted|Tainted: )"
    r"|.{1,80} is trying to (?:acquire|lock|release)\b.{0,300}:$|.{1,80} is freeing memory [0-9a-f(]"
    r"|.{1,80} is leaving the kernel with locks|(?:\d+ locks?|no locks) held by \S"
    r"|.{1,80} just changed the state of lock:|turning off the locking correctness validator"
    r"|the code is fine but needs lockdep annotation|rcu_scheduler_active = \d"
)
"""Lines that only the kernel prints; one of them must follow a headline without a rule above."""

_REPORT_LIKE = ("+0x", "[<", "){", "lock(", ".c:", ".h:", "-> ", "inline]", " at:", "held by")
_TERMINATORS = (
    "------------[ cut here ]",
    "BUG: KASAN",
    "BUG: KMSAN",
    "BUG: KCSAN",
    "BUG: unable to handle",
    "BUG: sleeping function",
    "BUG: scheduling while",
    "BUG: kernel NULL",
    "Unable to handle kernel",
    "Internal error:",
    "general protection fault",
    "Kernel panic",
    "INFO: task ",
    "INFO: rcu",
    "rcu: INFO:",
    "Showing all locks held",
    "INFO: lockdep is turned off",
    "diff --git ",
)


def find_drafts(blocks: Iterable[str], others: list[Other] | None = None) -> Iterator[Draft]:
    """Yield what may be a report, in the order in which they end.

    :param others: takes up what is known but not about waiting.
    :param blocks: the log in pieces of any size; only whole lines are handed on, so a piece may end
        anywhere.
    """
    collector = _Collector()
    rest = ""
    number = 1
    for block in blocks:
        text = rest + block
        cut = text.rfind("\n") + 1
        if not cut and len(text) < 4 * _BLOCK:
            rest = text
            continue
        cut = cut or len(text)
        rest, text = text[cut:], text[:cut]
        _note_others(text, number, others)
        number = yield from collector.block(text, number)
    if rest:
        _note_others(rest, number, others)
        yield from collector.block(rest, number)
    yield from collector.finish()


def _note_others(text: str, number: int, others: list[Other] | None) -> None:
    if others is not None and len(others) < MOST:
        others += find_others(text, number)


def read_blocks(stream: io.TextIOBase) -> Iterator[str]:
    """Yield *stream* in blocks of one million characters."""
    while block := stream.read(_BLOCK):
        yield block


def text_blocks(text: str) -> Iterator[str]:
    """Yield *text* in blocks of one million characters."""
    for start in range(0, len(text), _BLOCK):
        yield text[start : start + _BLOCK]


class _Skim:
    """Finds the next line of a block that contains a trigger, each phrase searched once."""

    def __init__(self, text: str, triggers: tuple[str, ...]) -> None:
        self.text = text
        self.next = {t: text.find(t) for t in triggers}
        self.next = {t: at for t, at in self.next.items() if at >= 0}

    def line_after(self, position: int) -> int:
        """Return the start of the first line from *position* on with a trigger; -1 for none."""
        best = -1
        for trigger in list(self.next):
            at = self.next[trigger]
            if at < position:
                at = self.text.find(trigger, position)
                if at < 0:
                    del self.next[trigger]
                    continue
                self.next[trigger] = at
            if best < 0 or at < best:
                best = at
        return self.text.rfind("\n", 0, best) + 1 if best >= 0 else -1


class _Collector:
    def __init__(self) -> None:
        self.triggers = triggers()
        self.open: list[Draft] = []
        self.rule_at = -9
        """Number of the last line seen that was a ``====`` rule."""

    def block(self, text: str, number: int) -> Generator[Draft, None, int]:
        """Handle whole lines; a generator whose return value is the next line number."""
        if "\u00a0" in text:  # mail programs put these where the kernel has blanks
            text = text.replace("\u00a0", " ")
        skim = _Skim(text, self.triggers)
        position, end = 0, len(text)
        trigger = skim.line_after(0)
        while position < end:
            if 0 <= trigger < position:
                trigger = skim.line_after(position)
            if not self.open:
                start = end if trigger < 0 else trigger
                self._note_rules(text, position, start, number)
                number += text.count("\n", position, start)
                position = start
                if start == end:
                    break
            stop = text.find("\n", position)
            stop = end if stop < 0 else stop
            for line in reflow(clean_line(number, text[position:stop])):
                self._feed(line, position == trigger)
            position = stop + 1
            number += 1
            if any(d.closed for d in self.open):
                yield from self._take_closed()
        return number

    def finish(self) -> Iterator[Draft]:
        for draft in self.open:
            draft.closed = True
        yield from self._take_closed()

    def _take_closed(self) -> Iterator[Draft]:
        done = [d for d in self.open if d.closed]
        self.open = [d for d in self.open if not d.closed]
        for draft in done:
            earlier = draft.interrupted
            if earlier is not None:
                _note_mixed(earlier, draft)
                if earlier.proved:
                    yield earlier
            if draft.proved or (draft.headless and draft.usages >= 2):
                yield draft

    def _note_rules(self, text: str, start: int, stop: int, number: int) -> None:
        """Remember a ``====`` rule in the last three lines before *stop*."""
        at = stop
        for back in range(3):
            line_start = text.rfind("\n", start, max(at - 1, start)) + 1 or start
            for line in clean_line(0, text[line_start:at]):
                if is_rule(line.text, "="):
                    self.rule_at = number + text.count("\n", start, stop) - 1 - back
                    return
            if line_start <= start:
                return
            at = line_start

    def _feed(self, line: LogLine, triggered: bool) -> None:
        if line.foreign:
            return
        title = (parse_title(line.text) or nearly_title(line.text)) if triggered else None
        if title is not None:
            self._begin(line, title)
            return
        if is_rule(line.text, "="):
            self.rule_at = line.number
        draft = self._owner(line)
        if draft is None:
            if any(phrase in line.text for phrase in HEADLESS):
                self.open.append(
                    Draft(Title("", ""), [line], line.caller, line.depth, headless=True)
                )
            return
        self._append(draft, line)

    def _begin(self, line: LogLine, title: Title) -> None:
        last = self._owner(line)
        if last is not None and _goes_on(last, title):
            last.lines.append(line)
            last.titles.append(title.text)
            last.idle, last.traced = 0, False
            return
        for draft in self.open:
            if draft.caller == line.caller or not draft.caller or not line.caller:
                draft.closed = True
        draft = Draft(title, [line], line.caller, line.depth, titles=[title.text])
        if last is not None and not line.caller and _is_incomplete(last):
            draft.interrupted = last
            self.open.remove(last)
        if title.lead:
            draft.lead = lead_pattern(title.lead)
        near_rule = 0 < line.number - self.rule_at <= 3
        proof = kind_named(title.kind).proved_by
        draft.proved = near_rule or bool(proof and proof in title.text)
        self.open.append(draft)

    def _owner(self, line: LogLine) -> Draft | None:
        """The open draft that *line* belongs to: that of its caller, else the last one."""
        live = [d for d in self.open if not d.closed]
        if line.caller:
            live = [d for d in live if d.caller in ("", line.caller)]
        return live[-1] if live else None

    def _append(self, draft: Draft, line: LogLine) -> None:
        text = line.text
        if draft.lead is not None and (match := draft.lead.match(text)) is not None:
            text = text[match.end() :]
            line = LogLine(line.number, text, line.depth, line.caller, True)
        stripped = text.strip()
        if stripped.startswith(_TERMINATORS) and not _contains(draft, stripped):
            draft.closed = True
            return
        like = any(mark in text for mark in _REPORT_LIKE)
        draft.idle = 0 if like else draft.idle + (1 if stripped else 0)
        if line.depth != draft.depth and stripped and not _belongs(draft, line, like):
            pass  # a reply in between, or the mail around the quotation
        else:
            draft.lines.append(line)
        if not draft.proved and len(draft.lines) <= _PROOF_LINES:
            draft.proved = _proofs(draft).match(stripped) is not None
        if like and find_usage(text) is not None:
            draft.usages += 1
        draft.traced = draft.traced or stripped == "</TASK>"
        patience, longest = _IDLE_LINES, MAX_REPORT_LINES
        if not draft.headless:
            kind = kind_named(draft.title.kind)
            patience, longest = kind.patience, kind.longest
            if draft.traced and kind.same_report is None:
                patience = _IDLE_AFTER_TRACE
        if len(draft.lines) >= longest:
            draft.cut = draft.closed = True
        elif draft.idle > patience or (
            not draft.proved and not draft.headless and len(draft.lines) > _PROOF_LINES
        ):
            draft.closed = True


_ONCE = ("other info that might help us", "stack backtrace:", "*** DEADLOCK ***", "locks held by ")
"""What each report prints once."""


def _is_incomplete(draft: Draft) -> bool:
    """Whether *draft*, without caller ids, ends before its backtrace, as if another one came on top."""
    if draft.caller or draft.headless or draft.traced or draft.interrupted is not None:
        return False
    return not any("stack backtrace" in line.text or "</TASK>" in line.text for line in draft.lines)


def _note_mixed(earlier: Draft, later: Draft) -> None:
    """Note if the lines of *later* are those of both: something stands in them twice."""
    counts = [sum(mark in line.text for line in later.lines) for mark in _ONCE]
    if max(counts) >= 2:
        ends = [
            line.number for line in later.lines if any(mark in line.text for mark in _REPORT_LIKE)
        ]
        span = (earlier.lines[0].number, max(ends, default=later.last.number))
        earlier.mixed = later.mixed = span
        earlier.proved = later.proved = True


def _contains(draft: Draft, text: str) -> bool:
    """Whether *text*, the first line of something else, is still a part of *draft*."""
    if draft.headless:
        return False
    kind = kind_named(draft.title.kind)
    return kind.contains_others or text.startswith(kind.goes_on_at)


def _proofs(draft: Draft) -> re.Pattern[str]:
    own = None if draft.headless else kind_named(draft.title.kind).proof_pattern
    return own or _PROOFS


def _goes_on(draft: Draft, title: Title) -> bool:
    """Whether the headline *title* belongs to the report that *draft* is already."""
    if draft.headless or draft.title.kind != title.kind:
        return False
    same = kind_named(title.kind).same_report
    return same is not None and all(same(earlier, title.text) for earlier in draft.titles)


def _belongs(draft: Draft, line: LogLine, like: bool) -> bool:
    """Whether a line of another quotation depth is the wrapped end of a line of the report."""
    if line.depth > draft.depth:
        return False
    previous = draft.last.text.strip()
    text = line.text.strip()
    if previous.endswith(("at:", ",", ">]", "=", "-->")) or text.startswith(("at:", "[")):
        return like or len(text) < 100
    if previous.startswith(("INFO: task ", "1st 0x", "2nd 0x", "3rd 0x")):
        return (
            len(text) < 100
            and previous.endswith(("@", " task", " by"))
            and " " not in text.strip(" ")
        )
    if like and text.startswith("("):
        return find_usage(text) is not None or "+0x" in text
    return like and len(text) < 200 and " " not in text.split(" [")[0]
