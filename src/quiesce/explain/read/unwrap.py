# SPDX-License-Identifier: Apache-2.0
"""Join what was torn apart: lines of a report that a mailer wrapped or a console split.

lockdep prints a lock in several ``printk`` calls (address, "(", name, "){usage}", ", at: ",
function); a message of another CPU may fall between two of them, and old kernels gave each a line
and a time stamp of its own. Mail programs wrap at 72 columns, mostly before ``at:``.
Either way the text of a lock ends too early, which its grammar shows; the following lines are then
added until it is whole, or until the next line clearly starts something else.
"""

from __future__ import annotations

import re

from quiesce.explain.read.frames import parse_frame
from quiesce.explain.read.lock_text import find_usage
from quiesce.explain.read.log_lines import LogLine

_MAX_PIECES = 12
_MAX_STRAYS = 24
_START = re.compile(
    r"-> #\d{1,4}:?(?= |\(|$)|#\d{1,4}:(?= |\(|$)|-> ?\(|\(|(?:[0-9a-fA-F]{8,16})(?: ?\(|$)"
)
_NEW_THING = re.compile(
    r"(?:-> |#\d+: ?\S|but task is|which lock |other info|the existing|Possible |Chain exists"
    r"|stack back|Call Trace|CPU: |CPU\d|Pid: |Hardware name|\d+ locks? held|no locks held|\*\*\* "
    r"|lock\(|irq event|hardirqs last|softirqs last|and this task|which would|\.\.\. |INFO: "
    r"|WARNING: |RIP: )"
)
_TAIL = re.compile(
    r"(?:\[[A-Za-z_][\w-]{0,60}(?: [0-9a-f]{8,64})?\]|[0-9a-f]{8,64}\]"
    r"|[\w./+-]{3,200}\.(?:[chsS]|rs):\d{1,7}(?: \[inline\])?)$"
)
"""What may be left of a frame on a line of its own: a module, a source line."""

_PHRASE_HEADS = (
    " is trying",
    " is trying to",
    " is trying to acquire",
    "but task is",
    "but task is already",
    "but task is already holding",
    " is trying to release",
    " is trying to release lock",
    "called from invalid",
    "called from invalid context",
    "called from invalid context at",
    " just changed the",
    " just changed the state",
    " just changed the state of",
)
"""Phrases that mean something only whole, cut where a mail program may cut them."""

_ADDRESS = re.compile(r"\[<[0-9a-fA-F]{8,16}>\]$")
_FRAME_HEAD = re.compile(r"[\w.$]{1,200}\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?")
_SOURCE_END = re.compile(r"(?:\[inline\]|\.[chS]:\d{1,7})$")
_SYMBOL = re.compile(r"(?:\? )?[A-Za-z_.$][\w.$]{0,200}$|.{1,400}, at: [A-Za-z_.$][\w.$]{0,200}$")
_RELEASE = re.compile(r"#\d")
_WITNESS_HEAD = re.compile(r"(?:1st|2nd|3rd) 0x[0-9a-f]{4,16} .{1,200} @$")
_TASK_END = re.compile(r"(?:[\w<>\"/.:-]+ ){0,12}(?:seconds|\"?.{1,64}\"?:\d{1,8})\.$")
_PHRASE_END = re.compile(r" is trying| is already| just changed")
_BARE_SYMBOL = re.compile(r"(?:\? )?[A-Za-z_][\w.]{2,200}$")
_DECODED = re.compile(r"\(?[\w./+-]{3,200}\.(?:[chsS]|rs):\d{1,7}")


def join_wrapped(lines: list[LogLine]) -> list[LogLine]:
    """Return *lines* with the torn ones joined; each keeps the number of its first piece."""
    result: list[LogLine] = []
    index = 0
    while index < len(lines):
        taken, used = _take(lines, index)
        index += used
        line = taken[0]
        if result and _TAIL.match(line.text.strip()) and _takes_tail(result[-1].text):
            result[-1] = _with_text(result[-1], f"{result[-1].text} {line.text.strip()}")
            continue
        result += taken
    return result


def _takes_tail(text: str) -> bool:
    """Whether *text* is a frame, or a lock with its place, that may have lost its end."""
    bare = text.strip()
    return "+0x" in bare or bool(_SYMBOL.match(bare)) or bool(_SOURCE_END.search(bare))


def _take(lines: list[LogLine], start: int) -> tuple[list[LogLine], int]:
    """Return the whole line that begins at *start*, and how many lines were used up.

    Frames of another CPU's trace that stand between the pieces of a lock come after it.
    """
    line = lines[start]
    text = line.text
    position = start + 1
    pieces = blanks = 0
    strays: list[LogLine] = []
    while position < len(lines) and pieces < _MAX_PIECES and _is_open(text):
        following = lines[position]
        if not following.text.strip():
            blanks += 1
        elif _is_stray(text, following):
            strays.append(following)
        elif _continues(text, following, line.prefixed):
            text = _glue(text, following)
            pieces += 1
            blanks = 0
        else:
            break
        if blanks > 2 or len(strays) > _MAX_STRAYS:
            break
        position += 1
    if not pieces or (_START.match(line.text.strip()) and find_usage(text) is None):
        return [line], 1  # it never became a lock: prose that happens to begin like one
    return [_with_text(line, text), *strays], position - start


def _is_stray(text: str, following: LogLine) -> bool:
    """A frame where the name or the usage of a lock should go on, not its place."""
    bare = following.text.strip()
    if "+0x" not in bare or bare.startswith((",", "at:", ")")) or find_usage(bare) is not None:
        return False
    open_text = text.strip()
    if not _START.match(open_text):
        return False
    usage = find_usage(open_text)
    if usage is not None and (
        "at:" in open_text[usage.end() :] or open_text.endswith(",") or not following.prefixed
    ):
        return False
    return parse_frame(bare) is not None


def _is_open(text: str) -> bool:
    """Whether the line evidently goes on: half a lock, a lone address, a soft line break."""
    bare = text.strip()
    if _ADDRESS.match(bare) or _BARE_SYMBOL.match(bare) or _half_decoded(bare):
        return True
    if bare == "?" or _soft_break(bare) or bare.endswith(_PHRASE_HEADS):
        return True
    if bare.startswith("INFO: task ") and not bare.endswith("."):
        return True
    if _WITNESS_HEAD.match(bare):
        return True
    if bare.startswith(("CPU: ", "Pid: ")) and ("omm:" in bare or "PID" in bare):
        return _RELEASE.search(bare) is None
    if not _START.match(bare):
        return False
    usage = find_usage(bare)
    if usage is None and bare[0] == "(" and (bare[-1] == ":" or " is " in bare):
        return False
    if usage is None:
        # Half a lock, unless the parenthesis opens an arm frame or some prose.
        return len(bare) < 200 and "+0x" not in bare and not bare.endswith((".", ";"))
    rest = bare[usage.end() :]
    if rest.startswith("-") and usage.group(2) is None:
        return True
    if bare.startswith("->"):
        return bool(rest) and not rest.startswith(":") and "{" not in rest and len(rest) < 12
    if " -> " in rest:
        return False
    place = rest.partition("at:")[2].strip()
    if not place:
        return "{" not in rest
    return _half_place(place)


def _half_decoded(bare: str) -> bool:
    """``f (dir/a.c:12`` of decode_stacktrace.sh, whose list of places goes on in the next line."""
    head, opening, rest = bare.rpartition(" (")
    return bool(opening) and ")" not in rest and bool(head) and _DECODED.match(rest) is not None


def _half_place(place: str) -> bool:
    """``at: blkg`` of a symbol cut in the middle, or ``at: [<addr>]`` alone."""
    if _ADDRESS.match(place):
        return True
    return "+0x" not in place and " " not in place and "(" not in place


def _continues(text: str, following: LogLine, prefixed: bool) -> bool:
    bare = following.text.strip()
    open_text = text.strip()
    if _soft_break(open_text):
        return True
    if _BARE_SYMBOL.match(open_text) and not _PHRASE_END.search(open_text):
        return bare.startswith("(") and _DECODED.match(bare) is not None
    if _half_decoded(open_text):
        return _DECODED.match(bare) is not None
    if _NEW_THING.match(bare):
        return False
    usage = find_usage(open_text)
    if usage is not None:
        rest = open_text[usage.end() :]
        place = rest.partition("at:")[2].strip()
        if place and not _ADDRESS.match(place):
            # Only a symbol cut in the middle goes on, and only on a line without a stamp.
            return not following.prefixed and _FRAME_HEAD.match(bare) is not None
        if place or rest.rstrip().endswith("at:"):
            return True
        return bare.startswith((",", "at:", "-", "{", ":", "[<")) or not following.prefixed
    if open_text == "?" or _ADDRESS.match(open_text) or open_text.endswith(_PHRASE_HEADS):
        return True
    if open_text.startswith("INFO: task "):
        return not following.prefixed and bool(_TASK_END.match(bare))
    if _WITNESS_HEAD.match(open_text):
        return not following.prefixed
    if open_text.startswith(("CPU: ", "Pid: ")):
        return not following.prefixed or not prefixed
    return find_usage(bare) is not None or len(bare) < 120


def _soft_break(text: str) -> bool:
    """Quoted-printable: a line that ends in "=" goes on without a break."""
    return text.endswith("=") and len(text) > 8 and not text.endswith("==")


def _glue(text: str, following: LogLine) -> str:
    bare = following.text.strip()
    head = text.rstrip()
    if _soft_break(head.strip()):
        return head[:-1] + bare
    usage = find_usage(head)
    if usage is not None:
        place = head[usage.end() :].partition("at:")[2].strip()
        if place and not _ADDRESS.match(place):
            return head + bare
    if bare[0] in "){,/:" or head.endswith(("(", "-")):
        return head + bare
    return f"{head} {bare}"


def _with_text(line: LogLine, text: str) -> LogLine:
    return LogLine(line.number, text, line.depth, line.caller, line.prefixed, line.foreign)
