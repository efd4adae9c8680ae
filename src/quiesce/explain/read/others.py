# SPDX-License-Identifier: Apache-2.0
"""What a kernel log says that is known but not about waiting: it is named, not explained."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quiesce.explain.read.log_lines import clean_line
from quiesce.explain.read.model import Other

MOST = 50
"""How many are kept of one log."""

_PHRASES: tuple[tuple[str, str, str], ...] = (
    ("KASAN", "BUG: KASAN:", r"BUG: KASAN: (?P<what>[\w -]{3,60}(?: in [\w.]{1,80})?)"),
    ("KMSAN", "BUG: KMSAN:", r"BUG: KMSAN: (?P<what>[\w -]{3,60}(?: in [\w.]{1,80})?)"),
    ("KCSAN", "BUG: KCSAN:", r"BUG: KCSAN: (?P<what>[\w -]{3,60}(?: in [\w.]{1,80})?)"),
    ("KFENCE", "BUG: KFENCE:", r"BUG: KFENCE: (?P<what>[\w -]{3,60}(?: in [\w.]{1,80})?)"),
    ("UBSAN", "UBSAN:", r"UBSAN: (?P<what>[\w -]{3,60} in \S{1,120})"),
    ("oops", "unable to handle", r"BUG: unable to handle (?P<what>.{3,80})"),
    ("oops", "Unable to handle kernel", r"Unable to handle kernel (?P<what>.{3,80})"),
    ("oops", "general protection fault", r"(?P<what>general protection fault).{0,80}"),
    ("BUG", "kernel BUG at", r"kernel BUG at (?P<what>\S{3,120}:\d{1,6})"),
    (
        "WARNING",
        "WARNING: CPU:",
        r"WARNING: CPU: \d+ PID: \d+ at (?P<what>\S{3,120}:\d{1,6}.{0,80})",
    ),
    ("out of memory", "invoked oom-killer", r"(?P<what>\S{1,40} invoked oom-killer).{0,200}"),
    ("panic", "Kernel panic - not", r"Kernel panic - not syncing: (?P<what>.{3,80})"),
)
_TABLE = tuple((name, phrase, re.compile(pattern)) for name, phrase, pattern in _PHRASES)


def find_others(text: str, number: int) -> Iterator[Other]:
    """Yield what *text*, a block of complete lines from line *number* on, has of the table."""
    for name, phrase, pattern in _TABLE:
        position = text.find(phrase)
        while position >= 0:
            start = text.rfind("\n", 0, position) + 1
            stop = text.find("\n", position)
            line = text[start : stop if stop >= 0 else len(text)]
            for clean in clean_line(0, line):
                match = pattern.match(clean.text.strip())
                if match is not None and "lockdep.c" not in match["what"]:
                    yield Other(name, match["what"].strip(), number + text.count("\n", 0, position))
            position = text.find(phrase, stop) if stop >= 0 else -1
