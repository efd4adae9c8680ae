# SPDX-License-Identifier: Apache-2.0
"""From physical log lines to clean ones: mail quotes and log prefixes off, numbers kept.

What stands in front of the kernel's text depends on the tool that carried it: ``dmesg`` (``[  781.75] ``),
CONFIG_PRINTK_CALLER (``[ T5115] ``), serial consoles (``<4>``), syslog and journald (``Feb 20
23:47:01 host kernel: ``), the lkp robot (``kern  :warn  : ``), CI systems (an ISO time) and mail
(``> > | ``). Each is recognised by an anchored pattern of its own and taken off; they nest in any
order.

The caller id is kept: by it, lines that another task printed in between can be told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quiesce.explain.read.records import unwrap_record
from quiesce.harmless import one_line

MAX_LINE = 16_000
"""Characters of a line that are looked at; what lockdep prints is far shorter."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log, cleaned.

    :param number: 1-based physical line.
    :param text: what is left after quotes and prefixes, right-stripped; leading blanks are kept.
    :param depth: how many quote marks (``>`` or ``|``) stood in front.
    :param caller: ``T5115`` or ``C0`` of CONFIG_PRINTK_CALLER, else empty.
    :param prefixed: True when a time stamp or another log prefix was taken off.
    :param foreign: True when the prefix says that another program than the kernel wrote the line.
    """

    number: int
    text: str
    depth: int = 0
    caller: str = ""
    prefixed: bool = False
    foreign: bool = False


_RULE = re.compile(r"[=-]{16,200}$")
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        r"<\d{1,3}>",  # priority
        r"\[ {0,12}\d{1,12}\.\d{1,9}(?:,\d+)?\]",  # seconds since boot
        r"\[ {0,12}[+<] {0,12}\d{1,12}\.\d{1,9}>?\]",  # dmesg -d, -e
        # dmesg -T and -e
        rf"\[(?:[A-Z][a-z]{{2}} )?{_MONTH} +\d{{1,2}} \d\d:\d\d(?::\d\d)?(?: \d{{4}})?\]",
        r"\([0-9]\)\[\d{1,7}:[^\]]{1,32}\]",  # Android: (cpu)[pid:name]
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?:Z|[+-]\d\d:?\d\d)?(?= |$)",  # ISO 8601
        r"(?:kernel|vmunix)(?:\[\d+\])?:",
    )
)
_CALLER = re.compile(r"\[ {0,8}([TC]\d{1,8})\]")
_SYSLOG = re.compile(rf"(?:\d{{1,7}} )?{_MONTH} +\d{{1,2}} \d\d:\d\d:\d\d(?:\.\d+)? ")
_HOST = re.compile(r"[\w.-]{1,64} ")
_PROGRAM = re.compile(r"(?P<name>[\w./@()-]{1,48})(?P<pid>\[\d{1,8}\])?: ?")
_LKP = re.compile(r"(?P<facility>kern|user|daemon|syslog|auth|local\d) {0,6}:\w{1,8} {0,4}: ?")
_HOST_KERNEL = re.compile(r"[\w.-]{1,64} kernel:(?= |$)")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]{0,12}[A-Za-z]")
_ENTITIES = (("&gt;", ">"), ("&lt;", "<"), ("&quot;", '"'), ("&amp;", "&"))
_BLANKS = str.maketrans({"\u00a0": " ", "\t": " ", "\u2007": " ", "\u202f": " ", "\ufeff": ""})


def clean_line(number: int, raw: str) -> list[LogLine]:
    """Return the clean line or lines that physical line *number* holds.

    More than one where syslog wrote a newline of the kernel as ``#012``.

    :param raw: the text, with or without its line end; beyond :data:`MAX_LINE` it is cut.
    """
    text = raw[:MAX_LINE].rstrip("\r\n \t\x00")
    record = unwrap_record(text)
    if record is not None:
        text, other_program = record
        if other_program:
            return [LogLine(number, "", foreign=True)]
    if "\x1b" in text:
        text = _ESCAPE.sub("", text)
    if "\r" in text:
        text = text.replace("\r", " ")
    if "&gt;" in text or "&lt;" in text or "&amp;" in text:
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
    if not text.isascii() or "\t" in text:
        text = text.translate(_BLANKS).rstrip()
    # What is left of such characters is not a log's own; from here on it can be shown.
    text = one_line(text)
    depth, text = _strip_quotes(text)
    text, caller, prefixed, foreign = _strip_prefixes(text)
    prefixed = prefixed or record is not None
    if "#012" not in text:
        return [LogLine(number, text, depth, caller, prefixed, foreign)]
    pieces = text.split("#012")
    return [
        LogLine(number, piece.rstrip(), depth, caller, prefixed or index > 0, foreign)
        for index, piece in enumerate(pieces)
        if piece or index > 0
    ]


def _strip_quotes(text: str) -> tuple[int, str]:
    """Take off ``> > | `` and count the marks; one blank after the last belongs to the mark."""
    depth = position = 0
    end = len(text)
    while True:
        probe = position
        while probe < end and probe - position < 4 and text[probe] == " ":
            probe += 1
        if probe < end and text[probe] in ">|":
            depth += 1
            position = probe + 1
        else:
            break
    if depth and position < end and text[position] == " ":
        position += 1
    return depth, text[position:]


def _strip_prefixes(text: str) -> tuple[str, str, bool, bool]:
    """Take off log prefixes; return (text, caller id, whether any was found, foreign program)."""
    caller = ""
    found = foreign = False
    for _ in range(8):
        bare = text.lstrip(" ")
        if not bare:
            break
        first = bare[0]
        rest: str | None = None
        if first in "<[(" or first.isdigit() or bare.startswith(("kernel", "vmunix")):
            rest, who = _bracketed(bare)
            caller = who or caller
        if rest is None and (first.isalpha() or first.isdigit()):
            rest, foreign = _named(bare)
        if rest is None:
            break
        found = True
        text = rest[1:] if rest.startswith(" ") else rest
        if foreign:
            break
    return text, caller, found, foreign


def _bracketed(bare: str) -> tuple[str | None, str]:
    match = _CALLER.match(bare)
    if match is not None:
        return bare[match.end() :], match.group(1)
    for pattern in _PREFIXES:
        match = pattern.match(bare)
        if match is not None:
            return bare[match.end() :], ""
    return None, ""


def _named(bare: str) -> tuple[str | None, bool]:
    """Syslog and lkp prefixes, which name the program or facility that wrote the line."""
    match = _LKP.match(bare)
    if match is not None:
        return bare[match.end() :], match["facility"] != "kern"
    match = _HOST_KERNEL.match(bare)
    if match is not None:
        return bare[match.end() :], False
    match = _SYSLOG.match(bare)
    if match is None:
        return None, False
    rest = bare[match.end() :]
    program = _PROGRAM.match(rest)
    if program is None:
        host = _HOST.match(rest)
        if host is None:
            return rest, False
        rest = rest[host.end() :]
        program = _PROGRAM.match(rest)
    if program is None:
        return rest, False
    name = program["name"]
    if name in ("kernel", "vmunix"):
        return rest[program.end() :], False
    if program["pid"] or name[0].islower():
        return rest, True
    return rest, False  # the kernel's own "WARNING: ..." behind a syslog time without a tag


def is_rule(text: str, char: str = "") -> bool:
    """True for a line of ``====`` or ``----`` as reports have around their headline.

    :param char: ask for one of the two.
    """
    text = text.strip()
    return bool(_RULE.match(text)) and (not char or text[0] == char)
