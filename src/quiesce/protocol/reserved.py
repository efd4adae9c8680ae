# SPDX-License-Identifier: Apache-2.0
"""The names that ``Protocol``, ``Task`` and ``Scenario`` use themselves.

A protocol that gives one of them a second meaning, a thread called ``start`` or a variable called
``path``, would replace what starts it. It is refused by name, where the name is written.
"""

from __future__ import annotations

import re
import sys
from typing import Any, TypeVar

from quiesce.errors import Diagnostic, Loc, SourceErrors, source_lines

K = TypeVar("K", bound=type)

_reserved: dict[type, frozenset[str]] = {}
_SPECIAL = frozenset(["__new__", "__setattr__"])


def reserve(klass: K) -> K:
    """Let the names that the body of *klass* defines or annotates be its own; return *klass*."""
    names = {*vars(klass), *vars(klass).get("__annotations__", ())}
    _reserved[klass] = frozenset(n for n in names if not n.startswith("__") or n in _SPECIAL)
    return klass


def user_of(name: str, klass: type) -> type | None:
    """Return the class of the language that uses *name* itself in objects of *klass*, if one does."""
    return next((b for b in klass.__mro__ if name in _reserved.get(b, ())), None)


def check_class(klass: type) -> None:
    """Refuse a class that defines a reserved name, in its body or through a base.

    :raises SourceErrors: with a complaint for each name.
    """
    found = []
    for base in klass.__mro__:
        if base in _reserved or base.__module__ in ("builtins", "typing", "abc"):
            continue
        for name, value in vars(base).items():
            owner = user_of(name, klass)
            if owner is not None:
                found.append(_complaint(name, owner, _place(name, value, base.__name__)))
    if found:
        raise SourceErrors(found)


def check_attribute(name: str, klass: type) -> None:
    """Refuse an assignment to the attribute *name* of an object of *klass*, if it is reserved.

    :raises SourceErrors: it is.
    """
    owner = user_of(name, klass)
    if owner is not None:
        raise SourceErrors([_complaint(name, owner, _place(name, None))])


def _complaint(name: str, owner: type, loc: Loc) -> Diagnostic:
    return Diagnostic(
        loc, "reserved-name", f"`{name}` is a name that {owner.__name__} uses itself",
        "quiesce would find this instead of its own", f"another name, such as `{name.strip('_')}_`",
    )  # fmt: skip


def _place(name: str, value: Any, klass: str = "") -> Loc:
    """Return where *name* is given its *value*: a function's `def`, else a line of the code that runs.

    :param klass: the class whose body it is in, if it is in one.
    """
    function = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is not None:
        return _find(code.co_filename, code.co_firstlineno, rf"\bdef\s+({re.escape(name)})\b")
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    if klass:
        body = _find(file, 1, rf"^\s*class\s+({klass})\b", line)
        if not body.end_column:
            return body  # the class is in another file
        line = body.line
    return _find(file, line, rf"(?:^\s*|\bself\.)({re.escape(name)})\s*[:=]", line)


def _find(file: str, line: int, pattern: str, otherwise: int = 0) -> Loc:
    """Return the first place from *line* on that *pattern* matches; else the line *otherwise*, or *line*."""
    try:
        lines = source_lines(file)
    except (OSError, SyntaxError, UnicodeDecodeError):
        lines = []
    for number in range(line, len(lines) + 1):
        match = re.search(pattern, lines[number - 1])
        if match:
            return Loc(file, number, match.start(1), number, match.end(1))
    return Loc(file, otherwise or line)
