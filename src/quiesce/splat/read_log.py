# SPDX-License-Identifier: Apache-2.0
"""Read every lockdep report of a log."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from types import ModuleType

from quiesce.splat import (
    circular,
    held_locks,
    inconsistent,
    irq_order,
    notices,
    rcu,
    recursive,
    wait_context,
)
from quiesce.splat.find_reports import Draft, find_drafts, read_blocks, text_blocks
from quiesce.splat.frames import parse_frame
from quiesce.splat.model import ReadLog, Report
from quiesce.splat.reader import COMMON, Reader
from quiesce.splat.titles import is_rule
from quiesce.splat.unwrap import join_wrapped

MAX_REPORTS = 2000
"""Reports of one log that are read whole; the rest is counted. A boot prints one, RCU a few."""

_FAMILIES: dict[str, ModuleType] = {
    "circular": circular,
    "recursive": recursive,
    "inconsistent": inconsistent,
    "safe-unsafe": irq_order,
    "irq-inversion": irq_order,
    "wait-context": wait_context,
    "unlock-balance": held_locks,
    "nested-not-taken": held_locks,
    "held-freed": held_locks,
    "held-at-exit": held_locks,
    "held-returning-user": held_locks,
    "rcu": rcu,
    "non-static-key": notices,
    "limits": notices,
    "lockdep-warn": notices,
}
_TWO_LOCKS = ("circular", "recursive", "safe-unsafe")
_ONE_LOCK = ("inconsistent", "irq-inversion", "wait-context", "unlock-balance", "held-freed")
_NO_HELD_LIST = ("non-static-key", "limits", "lockdep-warn")
_NO_BACKTRACE = ("held-returning-user",)
_WITH_SCENARIO = (*_TWO_LOCKS, "inconsistent", "irq-inversion")
_VERSION = re.compile(r"(\d{1,2})\.(\d{1,3})(?:\.(\d{1,3}))?")
_HEADLESS_TITLES = {
    "circular": "possible circular locking dependency detected",
    "recursive": "possible recursive locking detected",
}


def read_text(text: str) -> ReadLog:
    """Return every report in *text*, in the order of their headlines."""
    return _read(text_blocks(text))


def read_stream(stream: io.TextIOBase) -> ReadLog:
    """Return every report in *stream*, which is read in blocks and may be of any size."""
    return _read(read_blocks(stream))


def _read(blocks: Iterable[str]) -> ReadLog:
    reports: list[Report] = []
    unread = 0
    for draft in find_drafts(blocks):
        if len(reports) < MAX_REPORTS:
            reports.append(read_draft(draft))
        else:
            unread += 1
    return ReadLog(tuple(sorted(reports, key=lambda report: report.line)), unread)


def read_draft(draft: Draft) -> Report:
    """Return the report that *draft* holds; what is not there is in its ``missing``."""
    lines = join_wrapped(draft.lines)
    kind = draft.title.kind or _headless_kind(draft)
    family = _FAMILIES[kind]
    reader = Reader(draft, {**family.PHRASES, **COMMON})
    reader.read(lines)
    reader.finish()
    title = draft.title.text
    if kind == "lockdep-warn" and "+0x" not in title:
        title = _with_function(title, draft)
    if draft.headless:
        title = _HEADLESS_TITLES[kind]
        reader.lack("the headline", draft.lines[0].number)
    elif kind == "held-at-exit":
        reader.task_line(title, draft.lines[0].number)
    early = _early_layout(draft)
    if not reader.kernel and not early:
        reader.lack("the kernel release")
    if early:
        reader.facts["layout"] = "early"
    _lack_common(reader, kind, early)
    family.find_missing(reader)
    return Report(
        kind=kind,
        title=title,
        kernel=reader.kernel,
        task=reader.task,
        line=draft.lines[0].number,
        end_line=reader.end_line,
        wanted=reader.subjects.pop("wanted", None),
        holding=reader.subjects.pop("holding", None),
        links=tuple(sorted(reader.links, key=lambda link: -link.number)),
        declared_held=reader.declared_held,
        held=tuple(reader.held),
        chain_names=reader.chain_names,
        scenario=tuple(reader.scenario),
        backtrace=tuple(reader.traces.pop("backtrace", ())),
        facts=reader.facts,
        traces={name: tuple(frames) for name, frames in reader.traces.items()},
        subjects=reader.subjects,
        blocks=tuple(reader.blocks),
        missing=tuple(reader.missing),
    )


def _with_function(title: str, draft: Draft) -> str:
    """Add the function that a mail program wrapped onto the line after the headline."""
    following = next((line.text for line in draft.lines[1:] if line.text.strip()), "")
    frame = parse_frame(following)
    return f"{title} {frame.place}" if frame is not None and frame.offset else title


def _early_layout(draft: Draft) -> bool:
    """True for the layout of 2.6 kernels: the rule follows the headline, no release in between."""
    following = next((line.text for line in draft.lines[1:] if line.text.strip()), "")
    return "INFO:" in draft.lines[0].text and is_rule(following, "-")


def _lack_common(reader: Reader, kind: str, early: bool) -> None:
    if kind in _TWO_LOCKS or kind in _ONE_LOCK:
        wanted = reader.subjects.get("wanted")
        if wanted is None:
            reader.lack("the lock it is about")
        elif not wanted.at and kind not in ("unlock-balance",):
            reader.lack(f"where {wanted.name} was taken", wanted.line)
    if kind in _TWO_LOCKS:
        holding = reader.subjects.get("holding")
        if holding is None:
            reader.lack("the lock that is already held")
        elif not holding.at:
            reader.lack(f"where {holding.name} was taken", holding.line)
    prints_table = not early and _prints_scenario(reader.kernel)
    if kind in _WITH_SCENARIO and not reader.scenario and prints_table:
        reader.lack("lockdep's scenario table", reader.end_line)
    if kind not in _NO_HELD_LIST and reader.declared_held is None:
        reader.lack("the list of held locks", reader.end_line)
    if kind not in _NO_BACKTRACE and not reader.traces.get("backtrace"):
        reader.lack("the stack backtrace", reader.end_line)


def _prints_scenario(kernel: str) -> bool:
    """lockdep prints the table since 3.0; unknown releases are taken as new."""
    match = _VERSION.match(kernel)
    return match is None or int(match.group(1)) >= 3


def _headless_kind(draft: Draft) -> str:
    marks = ("dependency chain", "already depends", "-> #")
    has_chain = any(mark in line.text for line in draft.lines for mark in marks)
    return "circular" if has_chain else "recursive"
