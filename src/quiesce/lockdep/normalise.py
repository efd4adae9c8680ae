# SPDX-License-Identifier: Apache-2.0
"""Take out of a kernel report what no two runs share, so that reports can be compared line by line.

Only this goes: addresses, offsets and sizes, process ids, the kernel's release, build and taint,
interrupt event stamps, and the lines of call traces. Everything else has to be equal.
"""

from __future__ import annotations

import re

_TRACE_LINE = re.compile(r"\s+(\? )?\S+\+0x[0-9a-f]+/0x[0-9a-f]+( \[[\w-]+\])?")
_TAINT = r"(?:Not tainted|Tainted:(?: [A-Z ]+?)?)"
_IDENT_LINE = re.compile(rf"\S+ #\d+ {_TAINT}")

_REPLACEMENTS = [
    (re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+"), "+OFFSET"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "ADDRESS"),
    (re.compile(r"^(irq event stamp:) \d+$"), r"\1 STAMP"),
    (re.compile(r"^((?:hard|soft)irqs last (?: enabled|disabled) at) \(\d+\)"), r"\1 (STAMP)"),
    (re.compile(rf"^(CPU: )\d+( (?:UID: \d+ )?PID: )\d+( Comm: .+?) {_TAINT} \S+ #\d+"),
     r"\1N\2PID\3 KERNEL"),
    (re.compile(r"^((?:WARNING: )?\S.*?)/\d+ (?=is |just |still |\[HC)"), r"\1/PID "),
    (re.compile(r"^(no locks held by .*)/\d+\.$"), r"\1/PID."),
    (re.compile(r"^(\d+ locks? held by .*)/\d+:$"), r"\1/PID:"),
]  # fmt: skip


def normalise(text: str) -> list[str]:
    """Return the lines of one report in comparable form.

    :param text: the report, with or without blank lines around it.
    """
    lines = []
    for line in text.strip("\n").split("\n"):
        if _TRACE_LINE.fullmatch(line):
            continue
        if _IDENT_LINE.fullmatch(line):
            line = "KERNEL"
        for pattern, replacement in _REPLACEMENTS:
            line = pattern.sub(replacement, line)
        lines.append(line)
    return lines
