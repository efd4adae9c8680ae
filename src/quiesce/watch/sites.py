# SPDX-License-Identifier: Apache-2.0
"""Which class a new lock belongs to, and what the class is called.

A class is the instruction that makes the lock. If that instruction is in a factory (a function that
returns the lock) or in a lock of the program's own (a class whose ``acquire`` or ``__enter__``
acquires the lock), the caller is a part of the class: otherwise all locks of a program would be one.
"""

from __future__ import annotations

import ast
import dis
import functools
import itertools
import linecache
import os
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from quiesce.lockdep.frames import Frame
from quiesce.watch.classes import place

_PASSED_OVER = frozenset(
    "CACHE PRECALL CALL NOP COPY PUSH_NULL RESUME EXTENDED_ARG LOAD_FAST LOAD_ATTR LOAD_DEREF LOAD_NAME "
    "LOAD_GLOBAL LOAD_FAST_LOAD_FAST JUMP_FORWARD".split()
)
"""Instructions between making a lock and storing it: ``server.lock = Condition(Lock())``."""
_LOOK_AHEAD = 10
_DEEPEST = 5
_NEVER_HELD_OUTSIDE = (
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
    os.path.join("concurrent", "futures", "_base.py"),
)
_IMPORTLIB = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


@dataclass(frozen=True, slots=True)
class LockTarget:
    """What an instruction does with the lock that it makes.

    :ivar attribute: the attribute that it stores the lock in.
    :ivar variable: or the variable.
    :ivar returned: it hands the lock to its caller.
    """

    attribute: str = ""
    variable: str = ""
    returned: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """Where a lock is made.

    :ivar key: equal for locks of one class.
    :ivar name: ``Server.lock``, ``lock_a``, or empty.
    """

    key: Hashable
    name: str
    made_at: Frame


_targets: dict[tuple[int, int], tuple[CodeType, LockTarget]] = {}
"""By id of the code, which is kept, and instruction. Hashing a code object takes a microsecond."""


def target_of(code: CodeType, lasti: int) -> LockTarget:
    """Return what the instruction at *lasti* does with what it makes."""
    known = _targets.get((id(code), lasti))
    if known is None:
        known = _targets[id(code), lasti] = (code, _find_target(code, lasti))
    return known[1]


def _find_target(code: CodeType, lasti: int) -> LockTarget:
    instructions = [one for one in dis.get_instructions(code) if one.opname != "CACHE"]
    after = [one for one in instructions if one.offset > lasti][:_LOOK_AHEAD]
    loaded = False
    for one in after:
        if one.opname in ("CALL", "PRECALL") and loaded:
            # Another expression: the first of ``a, b = Lock(), Lock()`` is not stored yet.
            break
        loaded = loaded or one.opname.startswith("LOAD_")
        if one.opname == "STORE_ATTR":
            return LockTarget(attribute=str(one.argval))
        if one.opname.startswith("STORE_") and one.opname != "STORE_SUBSCR":
            name = one.argval[0] if isinstance(one.argval, tuple) else str(one.argval)
            return LockTarget(variable=name, returned=_returns(instructions, name))
        if one.opname == "RETURN_VALUE":
            return LockTarget(returned=True)
        if one.opname not in _PASSED_OVER:
            break
    return _target_in_source(code, lasti)


def _target_in_source(code: CodeType, lasti: int) -> LockTarget:
    """Return where ``a, b = Lock(), Lock()`` or ``locks = [Lock(), Lock()]`` stores, from the source line."""
    line, _, column, _ = next(itertools.islice(code.co_positions(), lasti // 2, None))
    text = linecache.getline(code.co_filename, line or 0)
    try:
        statement = ast.parse(text.strip()).body[0]
    except (SyntaxError, ValueError, IndexError):
        return LockTarget()
    if not isinstance(statement, ast.Assign):
        return LockTarget()
    target: ast.expr = statement.targets[0]
    if isinstance(target, ast.Tuple):
        if not isinstance(statement.value, ast.Tuple) or column is None:
            return LockTarget()
        column -= len(text) - len(text.lstrip())
        parts = zip(target.elts, statement.value.elts, strict=False)
        found = [to for to, value in parts
                 if value.col_offset <= column < (value.end_col_offset or 0)]  # fmt: skip
        if not found:
            return LockTarget()
        target = found[0]
    if isinstance(target, ast.Attribute):
        return LockTarget(attribute=target.attr)
    return LockTarget(variable=target.id) if isinstance(target, ast.Name) else LockTarget()


def _returns(instructions: list[dis.Instruction], name: str) -> bool:
    """True if the code has ``return name``."""
    return any(
        one.opname.startswith("LOAD_FAST")
        and one.argval == name
        and following.opname == "RETURN_VALUE"
        for one, following in itertools.pairwise(instructions)
    )


def creation_site(frame: FrameType | None) -> Site | None:
    """Return the site of the lock that *frame* makes; None if the lock is not to be watched.

    Not watched are the locks inside Event, Barrier, Thread, Future and the plain semaphores, which are
    never held while their users run, and those of the import system.
    """
    if frame is not None and frame.f_code.co_filename == threading.__file__:
        if frame.f_code.co_qualname != "Condition.__init__":
            return None
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename == threading.__file__:
        return None
    if frame.f_code.co_filename.endswith(_NEVER_HELD_OUTSIDE):
        return None
    return _site(frame, _DEEPEST)


def _site(frame: FrameType, depth: int) -> Site:
    code, lasti = frame.f_code, frame.f_lasti
    target = target_of(code, lasti)
    key: Hashable = (code.co_filename, code.co_firstlineno, code.co_qualname, lasti)
    made_at = place(code, lasti)
    if code.co_filename.startswith("<"):
        # Code that was generated, for example by dataclasses: all of it has the same place.
        owner = type(_self_of(frame))
        key = (key, owner.__module__, owner.__qualname__)
    caller = None
    if depth:
        if target.returned:
            caller = frame.f_back
        elif target.attribute and _is_lock_of_its_own(frame, target.attribute):
            caller = _maker(frame)
    if caller is not None and caller.f_code.co_filename not in _IMPORTLIB:
        outer = _site(caller, depth - 1)
        return Site((key, outer.key), outer.name, outer.made_at)
    return Site(key, _name(frame, target), made_at)


def _self_of(frame: FrameType) -> Any:
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _name(frame: FrameType, target: LockTarget) -> str:
    """Return ``Server.lock`` for an attribute of self, and the plain name for all else."""
    qualname = frame.f_code.co_qualname
    owner = qualname.rpartition(".")[0]
    if target.variable:
        in_class_body = "__qualname__" in frame.f_code.co_names and "<locals>" not in qualname
        return f"{qualname}.{target.variable}" if in_class_body else target.variable
    if not target.attribute:
        return ""
    if not owner or owner.endswith("<locals>"):
        instance = _self_of(frame) if frame.f_code.co_filename.startswith("<") else None
        return (
            f"{type(instance).__name__}.{target.attribute}"
            if instance is not None
            else target.attribute
        )
    return f"{owner.rpartition('<locals>.')[2]}.{target.attribute}"


def _is_lock_of_its_own(frame: FrameType, attribute: str) -> bool:
    """True if *frame* initializes an object that is itself used as a lock, by way of *attribute*."""
    instance = _self_of(frame)
    if isinstance(instance, functools.cached_property):
        return True
    kind = type(instance)
    if frame.f_globals.get("__name__") == "logging":
        # A Handler has acquire() and release(), but its lock is the one that its emit() runs under.
        return False
    for method, calls in (
        ("acquire", {"acquire", "__enter__"}),
        ("__enter__", {"acquire", "__enter__"}),
    ):
        code = getattr(getattr(kind, method, None), "__code__", None)
        if code is not None and attribute in code.co_names and calls & set(code.co_names):
            return True
    return False


def _maker(frame: FrameType) -> FrameType | None:
    """Return the frame that makes the object that *frame* initializes, past ``super().__init__()``."""
    instance = _self_of(frame)
    caller = frame.f_back
    while caller is not None and instance is not None and _self_of(caller) is instance:
        caller = caller.f_back
    return caller
