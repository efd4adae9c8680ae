# SPDX-License-Identifier: Apache-2.0
"""Recognize the headline by which a report announces itself, from 2.6.18 to today.

Brackets came and went (``[ INFO: ... ]`` up to 4.11, ``WARNING: ...`` after, ``[ BUG: Invalid wait
context ]`` still), as did the final full stop of "suspicious RCU usage.".
"""

from __future__ import annotations

import re

from quiesce.explain.read.draft import Title
from quiesce.explain.read.fuzzy import contains_nearly
from quiesce.explain.read.kind import all_kinds
from quiesce.explain.read.kinds import load_kinds

_MAX_LEAD = 120
_LEAD_ENDS = (":", "]", "|", ">", ")", ":[")
_LEAD_PIECES = re.compile(r"\d+| +|[^\d ]+")

HEADLESS = ("is trying to acquire lock", "existing dependency chain")
"""Phrases that start a report whose headline is lost."""

_GARBLED = (
    "dependency detected",
    "locking detected",
    "lock state",
    "unlock balance",
    "wait context",
    "WARNING: possible",
    "WARNING: inconsistent",
    "WARNING: bad unlock",
)
"""Beginnings and ends of headlines, of which the rest may be garbled."""


def triggers() -> tuple[str, ...]:
    """Return the phrases of which a line that starts a report contains one."""
    load_kinds()
    return tuple(
        dict.fromkeys((*(t for kind in all_kinds() for t in kind.triggers), *HEADLESS, *_GARBLED))
    )


def parse_title(text: str) -> Title | None:
    """Return the headline that *text* is, or None.

    :param text: a clean line. Something unknown may stand before the tag when it ends like a log
        prefix or has a number: it comes back as *lead*, to be taken off the other lines.
    """
    text = text.strip()
    if len(text) > 300:
        return None
    load_kinds()
    for kind in all_kinds():
        for pattern in kind.untagged_patterns:
            match = pattern.fullmatch(text)
            if match is not None and (not match["lead"] or _is_lead(match["lead"])):
                return Title(kind.name, match["text"], match["lead"])
    start = _tag_position(text)
    if start is None:
        return None
    lead, body = text[:start], text[start:]
    for kind in all_kinds():
        for pattern in kind.patterns:
            match = pattern.match(body)
            if match is not None:
                return Title(kind.name, kind.whole_title or match["text"], lead)
    return None


_PLAIN = re.compile(r"[A-Za-z ]{14,80}")


def nearly_title(text: str) -> Title | None:
    """Return the headline that *text* nearly is, of which some characters are lost or garbled."""
    text = text.strip()
    if not 20 <= len(text) <= 120 or not text.startswith(("W", "ARN")):
        return None  # a patch or a quotation is not a damaged headline
    load_kinds()
    for kind in all_kinds():
        for title in (kind.whole_title, *kind.titles):
            headline = f"WARNING: {title}"
            if _PLAIN.fullmatch(title) and abs(len(text) - len(headline)) <= 6:
                if contains_nearly(text, headline):
                    return Title(kind.name, title)
    return None


def _tag_position(text: str) -> int | None:
    for tag in (
        "watchdog: BUG: ",
        "NMI watchdog: BUG: ",
        "rcu: INFO: ",
        "WARNING: ",
        "[ INFO: ",
        "[ BUG: ",
        "INFO: ",
        "BUG: ",
    ):
        position = text.find(tag)
        if position < 0:
            continue
        lead = text[:position]
        if not lead or (position <= _MAX_LEAD and _is_lead(lead)):
            return position
    return None


def _is_lead(lead: str) -> bool:
    """Whether *lead* may be a log prefix that we do not know: it ends like one, or has a number."""
    if not lead.endswith(" "):
        return False
    if lead.rstrip().endswith(_LEAD_ENDS):
        return True
    return any(char.isdigit() for char in lead) and '"' not in lead


def lead_pattern(lead: str) -> re.Pattern[str]:
    """Return the pattern of prefixes like *lead*: other numbers, other numbers of blanks."""
    parts = []
    for piece in _LEAD_PIECES.findall(lead.rstrip()):
        if piece[0].isdigit():
            parts.append(r"\d{1,20}")
        else:
            parts.append(" {0,20}" if piece[0] == " " else re.escape(piece))
    return re.compile("".join(parts) + " ?")
