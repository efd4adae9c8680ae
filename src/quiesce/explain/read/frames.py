# SPDX-License-Identifier: Apache-2.0
"""One stack frame from one line of text, whatever the architecture or the symboliser made of it.

The shapes, all met in real logs::

    down_read+0x48/0x250                                     x86 since 4.14
    ? find_held_lock+0x40/0xb0 [mod]                         unreliable
    [<ffffffff82d4e304>] f+0x0/0x1b [mod]                    before 4.14, s390
    [c00000000adc2be0] [c000000000940868] f+0xec/0x144 (unreliable)      powerpc
    [<c0107008>] (f+0x0/0x8) from [<c0107010>] (g+0x0/0x8)   arm
    f from g+0x1/0x2                                         arm since 5.16
    [<none>] f+0x1/0x2      [< inline >] f file.c:12         early syzkaller
    f+0x1/0x2 dir/file.c:12         f dir/file.c:12 [inline] syzbot
    f (dir/file.c:12 dir/b.h:3) mod                          decode_stacktrace.sh
"""

from __future__ import annotations

import re

from quiesce.explain.read.demangle import demangled
from quiesce.explain.read.model import PrintedFrame

# Anchored, without nested repetition: each is linear in the length of the line.
_SYMBOL = re.compile(
    r"(?P<fn>[A-Za-z_.$][\w.$@:<>~]*?)(?P<off>\+0x[0-9a-fA-F]+/0x[0-9a-fA-F]+|\+0x[0-9a-fA-F]+)"
)
_BARE = re.compile(r"(?P<fn>[A-Za-z_.$][\w.$@]*)")
_ADDRESS = re.compile(r"\[<?\s*(?:0x)?(?:[0-9a-fA-F]{8,16}|none|inline)\s*>?\]\s*")
_SOURCE = re.compile(r"[\w./+-]+:\d+")
_SUFFIXES = (".c", ".h", ".S", ".rs", ".s")
_RAW = re.compile(r"0x[0-9a-fA-F]{6,16}$")
_DECODED = re.compile(r"(?P<fn>[A-Za-z_.$][\w.$@]*) \((?P<src>[^()]*\.[chS]:\d+)")

_MAX_FRAME = 4000
_NOT_FUNCTIONS = {"at", "from", "to", "the", "and", "Code", "RIP", "RSP", "Modules", "Workqueue"}


def parse_frame(text: str) -> PrintedFrame | None:
    """Return the frame that *text* is, or None when it is something else.

    :param text: one line without its log prefix; longer than 4000 characters is no frame.
    """
    text = text.strip()
    if not text or len(text) > _MAX_FRAME:
        return None
    inlined = text.startswith("[< inline >]") or "[inline]" in text
    had_address = False
    while (match := _ADDRESS.match(text)) is not None:
        had_address = True
        text = text[match.end() :]
    reliable = True
    if text.startswith("? "):
        reliable, text = False, text[2:].lstrip()
    if text.startswith("("):  # arm: (symbol+0x1/0x2) from [<...>] (...)
        text = text[1:]
    if text.endswith("(unreliable)"):
        reliable, text = False, text[: -len("(unreliable)")].rstrip()
    frame = _with_offset(text, inlined, reliable) or _symbolised(text, inlined, reliable)
    if frame is None and (had_address or _RAW.match(text)):
        frame = _raw(text, reliable)
    return frame


def parse_caller(text: str) -> PrintedFrame | None:
    """Return the caller that an arm line names after its frame: ``f from g+0x1/0x2``, else None."""
    _, separator, rest = text.strip().partition(" from ")
    return parse_frame(rest) if separator else None


def is_arm_pair(text: str) -> bool:
    """True for a line (or the first half of one) that names a function and its caller."""
    return " from " in text or text.rstrip().endswith(" from")


def _with_offset(text: str, inlined: bool, reliable: bool) -> PrintedFrame | None:
    match = _SYMBOL.match(text)
    if match is None:
        return None
    rest = text[match.end() :]
    if rest[:1] not in ("", " ", ")", "[", "\t"):
        return None
    return PrintedFrame(
        function=demangled(match["fn"].lstrip(".")),
        offset=match["off"],
        module=_module(rest),
        source=_source(rest),
        reliable=reliable,
        inlined=inlined,
    )


def _symbolised(text: str, inlined: bool, reliable: bool) -> PrintedFrame | None:
    decoded = _DECODED.match(text)
    if decoded is not None:
        rest = text[decoded.end() :]
        close = rest.rfind(")")
        tail = rest[close + 1 :].strip(" []") if close >= 0 else ""
        source = decoded["src"].split()[-1]
        return PrintedFrame(
            demangled(decoded["fn"].lstrip(".")), "", tail, source, reliable, inlined
        )
    match = _BARE.match(text)
    if (
        match is None
        or match["fn"] in _NOT_FUNCTIONS
        or text[match.end() : match.end() + 1].strip()
    ):
        return None
    rest = text[match.end() :].strip()
    if inlined or rest.startswith("at "):
        source = _source(rest)
        if source:
            return PrintedFrame(demangled(match["fn"]), "", "", source, reliable, inlined)
    if rest.startswith("from ") and "+0x" in rest:  # arm since 5.16
        return PrintedFrame(demangled(match["fn"]), "", _module(rest), "", reliable, inlined)
    if " " not in rest and (source := _source(rest)):
        return PrintedFrame(demangled(match["fn"]), "", "", source, reliable, inlined)
    return None


def _raw(text: str, reliable: bool) -> PrintedFrame | None:
    """A frame that shows only an address, or a name without offset after one."""
    if not text:
        return None
    if text.startswith("0x"):
        return PrintedFrame("", reliable=reliable)
    match = _BARE.fullmatch(text.split(" ")[0].rstrip(")"))
    return PrintedFrame(demangled(match["fn"].lstrip(".")), reliable=reliable) if match else None


def _module(rest: str) -> str:
    """Return ``kvm`` of ``... [kvm]`` or ``[kvm 5f1d19776772]`` (build id); not of ``[inline]``."""
    start = rest.find("[")
    end = rest.find("]", start)
    if start < 0 or end < 0:
        return ""
    words = rest[start + 1 : end].split()
    name = words[0] if words else ""
    return name if name[:1].isalpha() and name != "inline" and "<" not in name else ""


def _source(rest: str) -> str:
    """Return the first ``dir/file.c:12`` among the words of *rest*, or an empty text."""
    for word in rest.split():
        word = word.strip("()")
        if ":" not in word:
            continue
        path, _, number = word.partition(":")
        digits = number.partition(":")[0]
        if path.endswith(_SUFFIXES) and digits.isdecimal() and _SOURCE.match(word):
            return f"{path}:{digits}"
    return ""
