# SPDX-License-Identifier: Apache-2.0
"""Case files: lock events written down as JSON, as they were recorded from a running kernel.

A file is a list of cases. A case has a ``name``, its ``locks`` and a ``sequence`` of steps ``[op,
lock, mode, context]``; docs/lockdep.md describes them all. A step may have a fifth entry, the stack
that it happened on: a list of frames, innermost first.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quiesce.errors import UsageError
from quiesce.harmless import one_line
from quiesce.lockdep.classes import MAX_SUBCLASSES, LockType, WaitType
from quiesce.lockdep.frames import Frame

LOCK_OPS = ("acquire", "sync", "release", "downgrade", "init_map", "check_not_held")
IRQ_OPS = ("irq_off", "irq_on", "bh_off", "bh_on")
CONTEXT_OPS = ("hardirq_enter", "hardirq_exit", "softirq_enter", "softirq_exit")
TASK_OPS = ("task_exit", "return_to_user", "rcu_suspicious")
WW_OPS = (
    "ww_acquire_init",
    "ww_acquire_done",
    "ww_acquire_fini",
    "ww_lock",
    "ww_lock_slow",
    "ww_trylock",
    "ww_unlock",
    "ww_ret",
)
OPS = (*LOCK_OPS, *IRQ_OPS, *CONTEXT_OPS, *TASK_OPS, *WW_OPS)

_TASK = re.compile(r"([^/\x00]+(/\d{1,10})?)?")
_CONTEXT = re.compile("[H-][S-][h-][s-]")

READ_KINDS = {"W": 0, "r": 1, "R": 2}


@dataclass(frozen=True)
class LockSpec:
    """One lock of a case. Locks of equal keys are of one class; a key of None was never set up."""

    key: str | None
    name: str
    wait_inner: WaitType
    wait_outer: WaitType
    lock_type: LockType


@dataclass(frozen=True)
class CaseMode:
    """How a lock is taken: ``W``, ``r`` or ``R``, and ``:try :nocheck :sub=N :nest=LOCK``.

    :ivar read: 0 writer, 1 reader, 2 recursive reader.
    :ivar nest: name of the lock that it nests under, or empty.
    """

    read: int = 0
    trylock: bool = False
    check: bool = True
    subclass: int = 0
    nest: str = ""


@dataclass(frozen=True)
class CaseStep:
    """One event.

    :ivar mode: how, for acquire and sync; *argument* is the same text, for the other ops.
    :ivar task: ``name`` or ``name/pid``; empty for the one task of the case.
    :ivar cpu: the CPU, or None; *time* is in seconds. Both are only repeated with the report.
    :ivar context: ``Hs`` and so on, the interrupt state before the step; empty where not recorded.
    """

    op: str
    lock: str
    argument: str
    context: str
    stack: tuple[Frame, ...]
    mode: CaseMode
    task: str = ""
    cpu: int | None = None
    time: float | None = None


@dataclass(frozen=True)
class Case:
    """A named sequence of events over some locks."""

    name: str
    locks: dict[str, LockSpec]
    steps: tuple[CaseStep, ...]


def load_cases(path: str) -> list[Case]:
    """Read a case file.

    :raises UsageError: the file cannot be read, is not JSON, or a case or step of it is wrong; the
        text names the case and the step.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return parse_cases(_json_of(text, path), path)


def _json_of(text: str, path: str) -> Any:
    """Return the JSON of *text*: one value, or a case a line."""
    try:
        data = json.loads(text)
        return [data] if isinstance(data, dict) and "sequence" in data else data
    except RecursionError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    except json.JSONDecodeError as error:
        if not text.lstrip().startswith("{"):
            raise UsageError(f"{path} is not JSON: {error}") from error
    cases = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                cases.append(json.loads(line))
            except (json.JSONDecodeError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is not JSON: {error}") from error
    return cases


def parse_cases(data: Any, source: str) -> list[Case]:
    """Return the cases of parsed JSON.

    :param source: what to call it in errors.
    :raises UsageError: a case or step is wrong.
    """
    if not isinstance(data, list):
        raise UsageError(f"{source} is not a list of cases", "put the cases between [ and ]")
    return [_case(case, number) for number, case in enumerate(data)]


def _case(data: Any, number: int) -> Case:
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise UsageError(f"case number {number} is not an object with a name")
    name = data["name"]
    locks = data.get("locks", {})
    if not isinstance(locks, dict):
        raise UsageError(f"case {name}: locks is not an object")
    sequence = data.get("sequence")
    if not isinstance(sequence, list):
        raise UsageError(f"case {name}: sequence is not a list of steps")
    specs = {lock: _lock(spec, f"case {name}: lock {lock}") for lock, spec in locks.items()}
    # The kernel's own name of a demo is demo_NAME; a self-test case is called as its function.
    function = f"demo_{name}" if data.get("family") == "demo" else name
    steps = tuple(
        _step(step, specs, function, f"case {name}: step {index}")
        for index, step in enumerate(sequence)
    )
    return Case(one_line(name), specs, steps)


def _lock(data: Any, where: str) -> LockSpec:
    if not isinstance(data, dict):
        raise UsageError(f"{where} is not an object")
    key = data.get("class_key")
    name = data.get("map_name", key)
    if not isinstance(key, str | None) or not isinstance(name, str):
        raise UsageError(f"{where}: class_key and map_name must be strings")
    try:
        return LockSpec(
            key,
            one_line(name),
            WaitType(data.get("wait_inner", "INV")),
            WaitType(data.get("wait_outer", "INV")),
            LockType(data.get("lock_type", "NORMAL")),
        )
    except ValueError as error:
        waits = ", ".join(wait.value for wait in WaitType)
        kinds = ", ".join(kind.value for kind in LockType)
        raise UsageError(
            f"{where}: {error}", f"a wait type is one of {waits}; a lock_type is one of {kinds}"
        ) from error


def _step(data: Any, locks: dict[str, LockSpec], function: str, where: str) -> CaseStep:
    if isinstance(data, dict):
        return _step_of_object(data, locks, function, where)
    if not isinstance(data, list) or not 1 <= len(data) <= 5:
        raise UsageError(f"{where} is not a list [op, lock, mode, context]")
    words = [*data[:4], *[""] * (4 - len(data))]
    if not all(isinstance(word, str) for word in words):
        raise UsageError(f"{where}: op, lock, mode and context must be strings")
    op, lock, argument, context = words
    if op not in OPS:
        raise UsageError(f"{where}: unknown op {op!r}", f"one of {', '.join(OPS)}")
    if op in LOCK_OPS and lock not in locks:
        known = ", ".join(locks) or "none"
        raise UsageError(f"{where}: unknown lock {lock!r}", f"the locks of this case: {known}")
    stack = data[4] if len(data) == 5 else [function]
    if not isinstance(stack, list) or not all(isinstance(frame, str) for frame in stack):
        raise UsageError(f"{where}: the stack is not a list of strings")
    if context and not _CONTEXT.fullmatch(context):
        raise UsageError(f"{where}: context {context!r} is not four characters, H S h s or -")
    mode = _mode(argument, where) if op in ("acquire", "sync") else CaseMode()
    frames = tuple(Frame.parse(one_line(frame)) for frame in stack)
    return CaseStep(op, lock, argument, context, frames, mode)


_STEP_FIELDS = ("op", "lock", "mode", "context", "stack", "task", "cpu", "time")


def _step_of_object(
    data: dict[str, Any], locks: dict[str, LockSpec], function: str, where: str
) -> CaseStep:
    """Return a step that is written as an object: it can name its task, its CPU and its time."""
    unknown = set(data) - set(_STEP_FIELDS)
    if unknown:
        raise UsageError(f"{where}: unknown field {min(unknown)!r}", ", ".join(_STEP_FIELDS))
    words = [data.get(name, "") for name in ("op", "lock", "mode", "context")]
    step = _step([*words, *([data["stack"]] if "stack" in data else [])], locks, function, where)
    task, cpu, time = data.get("task", ""), data.get("cpu"), data.get("time")
    if not isinstance(task, str) or not _TASK.fullmatch(task):
        raise UsageError(f"{where}: task {task!r} is not a name or name/pid")
    if cpu is not None and (type(cpu) is not int or cpu < 0):
        raise UsageError(f"{where}: cpu {cpu!r} is not a number from 0 on")
    if time is not None and type(time) not in (int, float):
        raise UsageError(f"{where}: time {time!r} is not a number of seconds")
    return replace(step, task=one_line(task), cpu=cpu, time=time)


def _mode(text: str, where: str) -> CaseMode:
    kind, *options = (text or "W").split(":")
    if kind not in READ_KINDS:
        raise UsageError(
            f"{where}: unknown mode {text!r}",
            "W writer, r reader, R recursive reader; then :try :nocheck :sub=N :nest=LOCK",
        )
    trylock, check, subclass, nest = False, True, 0, ""
    for option in options:
        word, _, value = option.partition("=")
        if option == "try":
            trylock = True
        elif option == "nocheck":
            check = False
        elif word == "sub" and value.isdecimal() and int(value) < MAX_SUBCLASSES:
            subclass = int(value)
        elif word == "nest" and value:
            nest = value
        else:
            raise UsageError(
                f"{where}: unknown option {option!r} in mode {text!r}",
                f":try :nocheck :sub=N with N below {MAX_SUBCLASSES}, :nest=LOCK",
            )
    return CaseMode(READ_KINDS[kind], trylock, check, subclass, nest)
