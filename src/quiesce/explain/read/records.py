# SPDX-License-Identifier: Apache-2.0
r"""Take off what wraps each line of a log that was stored as records.

journald's JSON and export format, docker's JSON, ``dmesg --json``, and the records of /dev/kmsg, which the
extended netconsole sends as well (``4,1000,95314279,-;text``). A newline inside of a message becomes
``#012``, as rsyslog writes it, so that a record stays one line.
"""

from __future__ import annotations

import json
import re

_KMSG = re.compile(r"\d{1,3},\d{1,10},\d{1,16},[-c+](?:,[\w=/.-]{1,80})*;")
_KMSG_FIELD = re.compile(r" [A-Z_]{2,40}=")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_PAIR = re.compile(r'\s*"(?P<key>MESSAGE|msg|log|message)" ?: (?P<value>"(?:[^"\\]|\\.)*"),?$')
_OTHER_PAIR = re.compile(
    r'\s*"(?:pri|time|facility|_?[A-Z_]{2,40})" ?: .{1,200},?$|\s*[\]}],?\{?$|\s*\},\{$'
)
_EXPORT = re.compile(r"MESSAGE=")
_EXPORT_FIELD = re.compile(r"(?:__?[A-Z][A-Z_]{2,40}|PRIORITY|SYSLOG_\w{2,20})=")
_EXPORT_LENGTH = re.compile(r"[^\n]{1,3}\x00{5,7}")
_KEYS = ("MESSAGE", "log", "msg", "message")
_FROM_KERNEL = ("kernel", "kmsg", "")


def unwrap_record(text: str) -> tuple[str, bool] | None:
    """Return the message in *text* and whether another program than the kernel wrote it.

    None if *text* is not a record. A line of a record that has no message is one of another program.
    """
    first = text[:1]
    if first == "{":
        return _json_line(text)
    if first.isdigit():
        match = _KMSG.match(text)
        if match is not None:
            message = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text[match.end() :])
            return _one_line(message), False
    elif first in ' "\t' and '"' in text:
        return _json_pair(text)
    elif first == " " and _KMSG_FIELD.match(text):
        return "", True
    elif first in "M_PS":
        if _EXPORT.match(text):
            return text[len("MESSAGE=") :], False
        if _EXPORT_FIELD.match(text):
            return "", True
    if "\x00" in text[:10]:
        match = _EXPORT_LENGTH.match(text)
        if match is not None:
            return text[match.end() :], False
    return None


def _json_line(text: str) -> tuple[str, bool] | None:
    try:
        data = json.loads(text.rstrip().rstrip(","))
    except (ValueError, RecursionError):  # the latter: a line of nothing but brackets
        return None
    if not isinstance(data, dict):
        return None
    for key in _KEYS:
        value = data.get(key)
        if isinstance(value, list) and all(
            isinstance(one, int) and 0 <= one < 256 for one in value
        ):
            value = bytes(value).decode("utf-8", "replace")
        if isinstance(value, str):
            program = data.get("_TRANSPORT") or data.get("SYSLOG_IDENTIFIER") or ""
            return _one_line(value), isinstance(program, str) and program not in _FROM_KERNEL
    return None


def _json_pair(text: str) -> tuple[str, bool] | None:
    """A line of a record that is spread over several: ``"msg": "text"`` of dmesg --json."""
    match = _PAIR.match(text)
    if match is not None:
        try:
            return _one_line(str(json.loads(match["value"]))), False
        except ValueError:
            return None
    return ("", True) if _OTHER_PAIR.match(text) else None


def _one_line(message: str) -> str:
    return message.rstrip("\n").replace("\r", "").replace("\n", "#012")
