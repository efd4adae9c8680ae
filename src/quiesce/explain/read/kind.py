# SPDX-License-Identifier: Apache-2.0
"""What there is to know about a kind of report in order to find it in a log and to read it.

Each file in ``kinds/`` makes one or more :class:`ReportKind` objects and registers them; nothing else in
``read/`` knows a kind by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from quiesce.explain.read.draft import Draft
from quiesce.explain.read.log_lines import LogLine
from quiesce.explain.read.model import PrintedReport
from quiesce.explain.read.reader import Handler, ReportReader

_TAG = r"(?:(?:NMI )?watchdog: |rcu: )?(?:WARNING: |\[? ?(?:INFO|BUG): )"
_END = r"[.!]?(?: ?\])?$"


def _nothing(reader: ReportReader) -> None:
    """Find nothing missing."""


@dataclass(frozen=True)
class ReportKind:
    """One kind of report.

    :param name: the name that users see.
    :param titles: its headlines, as regular expressions without tag, brackets and full stop.
    :param triggers: phrases of which each headline contains one, so that a log can be skimmed at
        memory speed.
    :param headlines: further headlines as regular expressions that include the tag and name the
        headline's text ``text``.
    :param whole_title: the headline in full, where mail programs wrap it.
    :param phrases: what only this kind prints, in lower case, with what reads it.
    :param find_missing: notes the parts of this kind that were not read.
    :param locks: how many locks it is about; each must be there with its place.
    :param lock_has_place: False where the first lock has no place of its own.
    :param has_table: True if the kernel prints a "Possible unsafe locking scenario" for it.
    :param lists_held: False if the held locks are not printed for it.
    :param has_backtrace: False if no backtrace is printed for it.
    :param title_names_task: True if the headline begins with the name of the task.
    :param release_optional: True if the kernel release is not printed on a line of its own.
    :param proved_by: text in the headline which only the kernel prints; empty if there is none.
    :param contains_others: True if the first line of another report does not end it.
    :param headless: phrases by which it is recognized without a headline.
    :param untagged: headlines, as regular expressions of the complete line, that have no tag.
    :param proof: a regular expression of lines that only the kernel prints after such a headline.
    :param same_report: of two headlines of this kind, whether the second is still in the report of
        the first; None if each headline begins a report.
    :param goes_on_at: beginnings of lines that end other reports and not this one.
    :param patience: how many lines in a row may be of no report before it ends.
    :param longest: how many lines are read of one report.
    :param read: makes the report of a draft, where the common reader does not fit.
    :param headless_otherwise: True for the kind of a report without a headline that has no such
        phrase either.
    """

    name: str
    titles: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    headlines: tuple[str, ...] = ()
    whole_title: str = ""
    phrases: Mapping[str, Handler] = field(default_factory=dict)
    find_missing: Callable[[ReportReader], None] = _nothing
    locks: int = 0
    lock_has_place: bool = True
    has_table: bool = False
    lists_held: bool = True
    has_backtrace: bool = True
    title_names_task: bool = False
    release_optional: bool = False
    proved_by: str = ""
    contains_others: bool = False
    headless: tuple[str, ...] = ()
    headless_otherwise: bool = False
    untagged: tuple[str, ...] = ()
    proof: str = ""
    same_report: Callable[[str, str], bool] | None = None
    goes_on_at: tuple[str, ...] = ()
    patience: int = 120
    longest: int = 6000
    read: Callable[[Draft, list[LogLine]], PrintedReport] | None = None

    @cached_property
    def untagged_patterns(self) -> tuple[re.Pattern[str], ...]:
        """The headlines without a tag, compiled."""
        named = (rf"(?P<lead>.{{0,120}}?)(?P<text>{pattern})" for pattern in self.untagged)
        return tuple(re.compile(pattern) for pattern in named)

    @cached_property
    def proof_pattern(self) -> re.Pattern[str] | None:
        """What proves a draft of this kind, compiled; None for the common proofs."""
        return re.compile(self.proof) if self.proof else None

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """The headlines, tag included, compiled; their text is the group ``text``."""
        tagged = (rf"(?:{_TAG})(?P<text>{title}){_END}" for title in self.titles)
        return tuple(re.compile(pattern) for pattern in (*tagged, *self.headlines))


_KINDS: dict[str, ReportKind] = {}


def register(kind: ReportKind) -> ReportKind:
    """Make *kind* known under its name and return it.

    :raises ValueError: another kind has this name.
    """
    if kind.name in _KINDS:
        raise ValueError(f"the kind {kind.name} is registered twice")
    _KINDS[kind.name] = kind
    return kind


def unregister(name: str) -> None:
    """Forget the kind *name*; for tests that add one."""
    del _KINDS[name]


def all_kinds() -> Iterator[ReportKind]:
    """Yield every registered kind."""
    yield from _KINDS.values()


def kind_named(name: str) -> ReportKind:
    """Return the kind *name*, which must be registered."""
    return _KINDS[name]
