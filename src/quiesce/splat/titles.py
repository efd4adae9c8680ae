# SPDX-License-Identifier: Apache-2.0
"""The headlines by which a lockdep report announces itself, from 2.6.18 to today.

Brackets came and went (``[ INFO: ... ]`` up to 4.11, ``WARNING: ...`` after, ``[ BUG: Invalid wait
context ]`` still), as did the final full stop of "suspicious RCU usage.".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TRIGGERS = (
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "irq lock inversion",
    "-unsafe lock order",
    "Invalid wait context",
    "bad unlock balance",
    "bad contention detected",
    "ested lock was not taken",
    "held lock freed",
    "still has locks held",
    "lock held at task exit",
    "lock held when returning to user",
    "suspicious RCU usage",
    "suspicious rcu_dereference",
    "non-static key",
    " too low!",
    "locking/lockdep.c:",
    "kernel/lockdep.c:",
    "looking up invalid subclass",
    "has not been registered!",
    " not in .data!",
    "is trying to acquire lock",
    "existing dependency chain",
)
"""A line that starts a report contains one of these, so a log can be skimmed at memory speed."""


@dataclass(frozen=True)
class Title:
    """A recognised headline.

    :param kind: one of :data:`quiesce.splat.model.KINDS`.
    :param text: the headline without tag and brackets.
    :param lead: what stood before the tag: a log prefix that we did not know, usually empty.
    """

    kind: str
    text: str
    lead: str = ""


_TAG = r"(?:WARNING: |\[? ?(?:INFO|BUG): )"
_END = r"[.!]?(?: ?\])?$"
_PHRASES: tuple[tuple[str, str], ...] = (
    ("circular", r"possible circular locking(?: dependency(?: detected)?)?"),
    ("recursive", r"possible recursive locking(?: detected)?"),
    ("inconsistent", r"inconsistent lock state"),
    ("irq-inversion", r"possible irq lock inversion(?: dependency(?: detected)?)?"),
    ("safe-unsafe", r"[\w-]{1,24}-safe -> [\w-]{1,24}-unsafe lock order(?: detected)?"),
    ("wait-context", r"Invalid wait context"),
    ("unlock-balance", r"bad unlock balance(?: detected)?"),
    ("lockdep-warn", r"bad contention detected"),
    ("nested-not-taken", r"Nested lock was not taken"),
    ("held-freed", r"held lock freed"),
    ("held-at-exit", r".{1,64} still has locks held"),
    ("held-at-exit", r"lock held at task exit time"),
    ("held-returning-user", r"lock held when returning to user(?: space)?"),
    ("rcu", r"suspicious RCU usage"),
    ("rcu", r"suspicious rcu_dereference_check\(\) usage"),
    ("non-static-key", r"trying to register non-static key"),
    ("limits", r"MAX_\w{1,40} too low"),
    ("lockdep-warn", r"looking up invalid subclass: \d{1,9}"),
    ("lockdep-warn", r"key [0-9a-fx]{1,20} (?:has not been registered|not in \.data)"),
)
_TITLES = tuple(
    (kind, re.compile(rf"(?:{_TAG})(?P<text>{phrase}){_END}")) for kind, phrase in _PHRASES
)
_WARN_AT = re.compile(
    r"WARNING: (?:CPU: \d+ PID: \d+ )?(?:at )?(?P<text>(?:kernel/)?(?:kernel/locking/|kernel/)?"
    r"lockdep\.c:\d+(?:(?: at)? [\w.+/]{1,200})?)"
)
_RULE = re.compile(r"[=-]{16,200}$")
_MAX_LEAD = 120
_LEAD_ENDS = (":", "]", "|", ">", ")", ":[")
_WHOLE = {
    "circular": "possible circular locking dependency detected",
    "recursive": "possible recursive locking detected",
    "irq-inversion": "possible irq lock inversion dependency detected",
}
"""Headlines that mail programs wrap, in full."""

_LEAD_PIECES = re.compile(r"\d+| +|[^\d ]+")


def parse_title(text: str) -> Title | None:
    """Return the headline that *text* is, or None.

    :param text: a clean line. Something unknown may stand before the tag when it ends like a log
        prefix or has a number: it comes back as *lead*, to be taken off the other lines.
    """
    text = text.strip()
    if len(text) > 300:
        return None
    start = _tag_position(text)
    if start is None:
        return None
    lead, body = text[:start], text[start:]
    for kind, pattern in _TITLES:
        match = pattern.match(body)
        if match is not None:
            return Title(kind, _WHOLE.get(kind, match["text"]), lead)
    match = _WARN_AT.match(body)
    return Title("lockdep-warn", match["text"], lead) if match is not None else None


def is_rule(text: str, char: str = "") -> bool:
    """True for a line of ``====`` or ``----`` as reports have around their headline.

    :param char: ask for one of the two.
    """
    text = text.strip()
    return bool(_RULE.match(text)) and (not char or text[0] == char)


def _tag_position(text: str) -> int | None:
    for tag in ("WARNING: ", "[ INFO: ", "[ BUG: ", "INFO: ", "BUG: "):
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
