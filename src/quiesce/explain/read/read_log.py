# SPDX-License-Identifier: Apache-2.0
"""Read every lockdep report of a log."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import IO

from quiesce.explain.read.draft import Draft
from quiesce.explain.read.find_reports import find_drafts, read_blocks, text_blocks
from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.kind import ReportKind, all_kinds, kind_named
from quiesce.explain.read.log_lines import is_rule
from quiesce.explain.read.model import Missing, Other, PrintedReport, ReadLog
from quiesce.explain.read.others import MOST
from quiesce.explain.read.reader import COMMON, ReportReader
from quiesce.explain.read.sources import log_text
from quiesce.explain.read.titles import parse_title
from quiesce.explain.read.unwrap import join_wrapped

MAX_REPORTS = 2000
"""Reports of one log that are read whole; the rest is counted. A boot prints one, RCU a few."""

_VERSION = re.compile(r"(\d{1,2})\.(\d{1,3})(?:\.(\d{1,3}))?")


def read_text(text: str) -> ReadLog:
    """Return every report in *text*, in the order of their headlines."""
    return _read(text_blocks(text))


def read_stream(stream: io.TextIOBase) -> ReadLog:
    """Return every report in *stream*, which is read in blocks and may be of any size."""
    return _read(read_blocks(stream))


def read_bytes(stream: IO[bytes], name: str) -> ReadLog:
    """Return every report in the log *stream*, which may be compressed and in any encoding.

    :param name: what the log is called in a message.
    :raises UsageError: it is not a log.
    """
    return _read(log_text(stream, name))


def _read(blocks: Iterable[str]) -> ReadLog:
    reports: list[PrintedReport] = []
    others: list[Other] = []
    unread = 0
    for draft in find_drafts(blocks, others):
        if len(reports) < MAX_REPORTS:
            reports.append(read_draft(draft))
        else:
            unread += 1
    ordered = tuple(sorted(reports, key=lambda report: report.line))
    others.sort(key=lambda other: other.line)
    return ReadLog(ordered, unread, tuple(others[:MOST]))


def read_draft(draft: Draft) -> PrintedReport:
    """Return the report that *draft* holds; what is not there is in its ``missing``."""
    lines = join_wrapped(draft.lines)
    joined = None if draft.headless else parse_title(lines[0].text)
    if joined is not None and joined.kind == draft.title.kind:
        draft.title = joined  # its end was on the next line
    kind = kind_named(draft.title.kind) if draft.title.kind else _headless_kind(draft)
    if draft.mixed is not None:
        return _mixed(draft, kind, draft.mixed)
    if kind.read is not None:
        return kind.read(draft, lines)
    reader = ReportReader(draft, {**kind.phrases, **COMMON})
    reader.read(lines)
    reader.finish()
    title = draft.title.text
    if kind.proved_by and kind.proved_by not in title:
        title = _with_function(title, draft)
    if draft.headless:
        title = kind.whole_title
        reader.lack("the headline", draft.lines[0].number)
    elif kind.title_names_task:
        reader.task_line(title, draft.lines[0].number)
    early = _early_layout(draft)
    if not reader.kernel and not early and not kind.release_optional:
        reader.lack("the kernel release")
    if early:
        reader.facts["layout"] = "early"
    _lack_common(reader, kind, early)
    kind.find_missing(reader)
    return PrintedReport(
        kind=kind.name,
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


def _mixed(draft: Draft, kind: ReportKind, span: tuple[int, int]) -> PrintedReport:
    """Return what is known of a report whose lines are mixed with another's: its headline."""
    where = f"{span[0]}-{span[1]}"
    return PrintedReport(
        kind=kind.name,
        title=draft.title.text,
        line=draft.lines[0].number,
        end_line=span[1],
        facts={"mixed": where},
        missing=(Missing(f"its own lines: two reports are mixed in lines {where}", span[0]),),
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


def _lack_common(reader: ReportReader, kind: ReportKind, early: bool) -> None:
    if kind.locks >= 1:
        wanted = reader.subjects.get("wanted")
        if wanted is None:
            reader.lack("the lock it is about")
        elif not wanted.at and kind.lock_has_place:
            reader.lack(f"where {wanted.name} was taken", wanted.line)
    if kind.locks >= 2:
        holding = reader.subjects.get("holding")
        if holding is None:
            reader.lack("the lock that is already held")
        elif not holding.at:
            reader.lack(f"where {holding.name} was taken", holding.line)
    prints_table = not early and _prints_scenario(reader.kernel)
    if kind.has_table and not reader.scenario and prints_table:
        reader.lack("lockdep's scenario table", reader.end_line)
    if kind.lists_held and reader.declared_held is None:
        reader.lack("the list of held locks", reader.end_line)
    if kind.has_backtrace and not reader.traces.get("backtrace"):
        reader.lack("the stack backtrace", reader.end_line)


def _prints_scenario(kernel: str) -> bool:
    """lockdep prints the table since 3.0; unknown releases are taken as new."""
    match = _VERSION.match(kernel)
    return match is None or int(match.group(1)) >= 3


def _headless_kind(draft: Draft) -> ReportKind:
    """Return the kind whose phrases *draft* has, else the one for reports without such phrases."""
    otherwise = [kind for kind in all_kinds() if kind.headless_otherwise]
    marked = (
        kind
        for kind in all_kinds()
        if any(mark in line.text for line in draft.lines for mark in kind.headless)
    )
    return next(marked, otherwise[0])
