# SPDX-License-Identifier: Apache-2.0
"""Cut a report that a mail program pasted into one long line back into its lines."""

from __future__ import annotations

import re

from quiesce.explain.read.log_lines import LogLine

_LONG = 300
_MARKS = ("dependency detected", "locking detected", "lock state", "Call Trace:", "held by")
_BREAKS = re.compile(
    r" (?=(?:={20}|-{20}|WARNING: possible |\[ INFO: |but task is already |which lock already "
    r"|the existing dependency |-> #\d|other info that |Chain exists of|Possible unsafe |CPU0 "
    r"|lock\(|rlock\(|\*\*\* DEADLOCK|\d+ locks? held by |#\d+: |stack backtrace:|CPU: \d"
    r"|Hardware name: |Call Trace:|</?TASK>|May be due to |\? \w))"
    r"|(?<!\?) (?=[\w.]{1,80}\+0x[0-9a-f]{1,8}/0x)"
    r"|(?<=[=-]{20}) (?=\S)|(?<=lock:) |(?<=detected) |(?<=lock state) |(?<=RCU usage) "
    r"|(?<=context \]) "
)


def reflow(lines: list[LogLine]) -> list[LogLine]:
    """Return *lines*, each that holds a whole report cut into the lines it was made of."""
    if len(lines) == 1 and len(lines[0].text) < _LONG:
        return lines
    result: list[LogLine] = []
    for line in lines:
        whole = len(line.text) >= _LONG and any(mark in line.text for mark in _MARKS)
        pieces = _BREAKS.split(line.text) if whole else [line.text]
        result += [
            LogLine(line.number, piece, line.depth, line.caller, line.prefixed, line.foreign)
            for piece in pieces
        ]
    return result
