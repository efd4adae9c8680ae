# SPDX-License-Identifier: Apache-2.0
"""Writes the scenario of a report as an ordinary protocol file, for people to read and to change.

Names come out of logs, which may contain anything: into the source go only identifiers that we made
and string literals, and comments lose whatever could end them.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence

from quiesce.explain.prove.lock_classes import PRIMITIVES
from quiesce.explain.prove.plan import (
    AS_DRAWN,
    PARAMETERS,
    ModelLock,
    ModelThread,
    Nest,
    ScenarioModel,
)

CLASS = "Report"
"""The scenario's class in the file."""

_WIDTH = 98
_CODE_WIDTH = 100
_LONGEST_NAME = 300
_LONGEST_TEXT = 2000
_OTHERS = {"False": "true", "True": "false", "1": "0"}
_INDENT = "    "


def render_source(model: ScenarioModel) -> str:
    """Return *model* as the text of a protocol file."""
    lines = [
        *_docstring(model),
        "",
        *_imports(model),
        "",
        "",
        f"class {CLASS}(Scenario):",
        *_constructor(model),
    ]
    for thread in model.threads:
        lines += ["", *_thread(thread)]
    return "\n".join(lines) + "\n"


def _docstring(model: ScenarioModel) -> Iterator[str]:
    yield from _text(f'"""{_clean(model.title)}', "")
    yield ""
    yield from _text(
        "The scenario of a lockdep report, as `quiesce explain --model FILE` writes it: one thread "
        "for each path of the report. Check it, change it, check it again:",
        "",
    )
    yield ""
    yield f"{_INDENT}quiesce check FILE"
    for name in model.parameters:
        _, default, meaning = PARAMETERS[name]
        other = _OTHERS[default]
        yield f"{_INDENT}quiesce check FILE --set {name}={other}"
        yield f"{_INDENT * 2}({meaning}; {default.lower()} unless set)"
    for note in model.notes:
        yield ""
        yield from _text(_clean(note), "")
    yield '"""'


def _imports(model: ScenarioModel) -> Iterator[str]:
    used = {name for lock in model.locks for name in (lock.stands_for, lock.drawn) if name}
    used |= set(re.findall(r"\b(Cpu|IrqState|Turns)\(", " ".join(model.attributes)))
    primitives, others = sorted(used & PRIMITIVES), sorted(used - PRIMITIVES)
    if primitives:
        yield f"from quiesce.primitives import {', '.join(primitives)}"
    yield "from quiesce.protocol import Scenario, thread"
    if others:
        yield f"from quiesce.primitives.annotations import {', '.join(others)}"


def _constructor(model: ScenarioModel) -> Iterator[str]:
    arguments = "".join(
        f", {name}: {PARAMETERS[name][0]} = {PARAMETERS[name][1]}" for name in model.parameters
    )
    yield f"{_INDENT}def __init__(self{arguments}) -> None:"
    for attribute in model.attributes:
        yield f"{_INDENT * 2}self.{attribute}"
    for lock in model.locks:
        yield from _lock(lock)


def _lock(lock: ModelLock) -> Iterator[str]:
    if lock.comment:
        yield from _text(_clean(lock.comment), f"{_INDENT * 2}# ")
    name = json.dumps(_printable(lock.name[:_LONGEST_NAME]), ensure_ascii=False)
    made = f"{lock.stands_for}({name})"
    target = f"{_INDENT * 2}self.{lock.attribute} ="
    if not lock.drawn:
        yield f"{target} {made}"
        return
    drawn = f"{lock.drawn}({name})"
    choice = f"{drawn} if {AS_DRAWN} else {made}"
    if len(target) + 1 + len(choice) <= _CODE_WIDTH:
        yield f"{target} {choice}"
        return
    yield f"{target} ("
    if len(_INDENT * 3) + len(choice) <= _CODE_WIDTH:
        yield f"{_INDENT * 3}{choice}"
    else:
        yield f"{_INDENT * 3}{drawn}"
        yield f"{_INDENT * 3}if {AS_DRAWN}"
        yield f"{_INDENT * 3}else {made}"
    yield f"{_INDENT * 2})"


def _thread(thread: ModelThread) -> Iterator[str]:
    count = json.dumps(thread.count) if thread.count else ""
    yield f"{_INDENT}@thread({count})"
    yield f"{_INDENT}def {thread.name}(self) -> None:"
    yield from _text(f'"""{_clean(thread.text)}"""', _INDENT * 2)
    yield from _body(_with_turn(thread), _INDENT * 2)


def _with_turn(thread: ModelThread) -> tuple[Nest, ...]:
    if thread.turn < 0:
        return thread.body
    first, rest = thread.body[:1], thread.body[1:]
    begin = Nest(f"self.turns.wait_for({thread.turn})")
    return (begin, *first, Nest("self.turns.begin_next()"), *rest)


def _body(body: Sequence[Nest], indent: str) -> Iterator[str]:
    nest, rest = body[0], body[1:]
    if nest.comment:
        yield from _text(_clean(nest.comment), f"{indent}# ")
    yield f"{indent}{nest.take}"
    inner = indent + _INDENT if nest.take.endswith(":") else indent
    if rest:
        yield from _body(rest, inner)
    if nest.release:
        yield f"{inner}{nest.release}"
    elif not rest and inner != indent:
        yield f"{inner}pass"


def _text(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [indent.rstrip()]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _clean(text: str) -> str:
    """Return *text* in one line that can stand in a comment or a docstring."""
    shown = _printable(text[:_LONGEST_TEXT]).replace("\\", " ").replace('"', "'")
    return " ".join(shown.split())
