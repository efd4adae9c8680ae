# SPDX-License-Identifier: Apache-2.0
"""The lines that may be one report, before they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from quiesce.explain.read.log_lines import LogLine


@dataclass(frozen=True)
class Title:
    """A recognized headline.

    :param kind: the name of a kind, see :mod:`quiesce.explain.read.kind`.
    :param text: the headline without tag and brackets.
    :param lead: what stood before the tag: a log prefix that we did not know, usually empty.
    """

    kind: str
    text: str
    lead: str = ""


@dataclass
class Draft:
    """The lines that may be one report.

    :param title: the headline; its kind is empty while a headless report has not shown it.
    :param lines: the clean lines from the headline on, foreign ones left out.
    :param proved: True once a line has shown that this is a report and not a quoted headline.
    :param titles: the texts of all headlines in it; kinds with several have more than one.
    :param interrupted: the draft that this one's headline ended before it was complete.
    :param mixed: the lines in which those of two reports alternate, so that they cannot be told apart.
    :param cut: True when the draft was ended because it was too long.
    """

    title: Title
    lines: list[LogLine]
    caller: str = ""
    depth: int = 0
    proved: bool = False
    headless: bool = False
    cut: bool = False
    idle: int = 0
    closed: bool = False
    traced: bool = False
    lead: re.Pattern[str] | None = None
    usages: int = field(default=0)
    titles: list[str] = field(default_factory=list)
    interrupted: Draft | None = None
    mixed: tuple[int, int] | None = None

    @property
    def last(self) -> LogLine:
        return self.lines[-1]
