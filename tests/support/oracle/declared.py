# SPDX-License-Identifier: Apache-2.0
"""What a protocol file declares, read from its text."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

from oracle.locks import PRIMITIVES

Value = Any
"""What a variable holds: int, bool, None, str (a constant's name), or one of the classes below."""


class Unsupported(Exception):
    """The file uses what this oracle does not know."""


@dataclass(frozen=True)
class Task:
    """A running thread, as ``current()`` returns it."""

    index: int


@dataclass(frozen=True)
class Component:
    """An object of the scenario; ``""`` is the scenario itself."""

    path: str


@dataclass(frozen=True)
class Elements:
    """An ``Array`` or a ``PerTask``."""

    path: str
    size: int
    by_task: bool


@dataclass(frozen=True)
class Look:
    """An earlier look at a ``Version``, and whether it is still the newest value."""

    version: str
    fresh: bool


@dataclass(frozen=True)
class Slot:
    """One shared variable: its place in the state, and the values that it may have."""

    path: str
    index: int
    low: int | None
    high: int | None
    marked: bool


@dataclass(frozen=True)
class Thread:
    """One running thread."""

    name: str
    method: ast.FunctionDef
    daemon: bool


@dataclass(frozen=True)
class Property:
    """``always``, ``sometimes`` or ``eventually``."""

    kind: str
    name: str
    method: ast.FunctionDef


@dataclass
class Declared:
    """Everything that a file declares."""

    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    members: dict[str, Slot | Component | Elements] = field(default_factory=dict)
    class_of: dict[str, str] = field(default_factory=dict)
    initial: list[Value] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    library: set[int] = field(default_factory=set)
    """The functions (by ``id``) that are part of the locks and not of the file."""

    matched: dict[str, frozenset[int]] = field(default_factory=dict)

    def slots(self, pattern: str) -> frozenset[int]:
        """Return the slots whose paths match a regular expression."""
        if pattern not in self.matched:
            slots = (m for m in self.members.values() if isinstance(m, Slot))
            self.matched[pattern] = frozenset(
                s.index for s in slots if re.fullmatch(pattern, s.path)
            )
        return self.matched[pattern]

    def method(self, component: str, name: str) -> ast.FunctionDef | None:
        """Return a method of the class of *component*."""
        cls = self.classes[self.class_of[component]]
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
        return None


def join(path: str, name: str) -> str:
    """Return the path of an attribute."""
    return f"{path}.{name}" if path else name


def decorator(function: ast.FunctionDef, name: str) -> dict[str, Value] | None:
    """Return the keywords of a decorator, or None if the function does not have it."""
    for node in function.decorator_list:
        call = node if isinstance(node, ast.Call) else ast.Call(func=node, args=[], keywords=[])
        if isinstance(call.func, ast.Name) and call.func.id == name:
            return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    return None


def read(text: str) -> Declared:
    """Return what the file with this *text* declares; it has one scenario."""
    declared = Declared()
    scenario = ""
    for source, library in ((PRIMITIVES, True), (text, False)):
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                declared.classes[node.name] = node
                if any(isinstance(b, ast.Name) and b.id == "Scenario" for b in node.bases):
                    scenario = node.name
            elif isinstance(node, ast.FunctionDef):
                declared.functions[node.name] = node
            if library:
                declared.library |= {
                    id(n) for n in ast.walk(node) if isinstance(n, ast.FunctionDef)
                }
    for alias in ("RawSpinLock", "Mutex"):
        declared.classes[alias] = declared.classes["SpinLock"]
    _threads(declared, declared.classes[scenario])
    _component(declared, "", scenario)
    for i in range(len(declared.threads)):
        _slot(declared, f"task.{i}.state", "TASK_RUNNING", None, None, False)
    return declared


def _threads(declared: Declared, scenario: ast.ClassDef) -> None:
    for node in scenario.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        options = decorator(node, "thread")
        if options is not None:
            for i in range(options.get("count", 1)):
                daemon = options.get("daemon", False)
                declared.threads.append(Thread(f"{node.name}/{i}", node, daemon))
        for kind in ("always", "sometimes", "eventually"):
            if decorator(node, kind) is not None:
                declared.properties.append(Property(kind, node.name, node))


def _component(declared: Declared, path: str, name: str) -> None:
    declared.members[path] = Component(path)
    declared.class_of[path] = name
    for node in declared.classes[name].body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            (target,) = node.targets
            assert isinstance(target, ast.Name)
            _declare(declared, path, join(path, target.id), node.value)


def _declare(declared: Declared, owner: str, path: str, call: ast.Call) -> None:
    if not isinstance(call.func, ast.Name):
        raise Unsupported(ast.unparse(call))
    name = call.func.id
    given = {str(k.arg): k.value for k in call.keywords}
    marked = bool(ast.literal_eval(given["marked"])) if "marked" in given else False

    def value(position: int, key: str, default: Value) -> Value:
        node = call.args[position] if position < len(call.args) else given.get(key)
        if node is None:
            return default
        if isinstance(node, ast.Name) and node.id == "THREADS":
            return len(declared.threads)
        return ast.literal_eval(node)

    if name in declared.classes:
        _component(declared, path, name)
    elif name in ("Array", "PerTask"):
        inner = call.args[0]
        assert isinstance(inner, ast.Call)
        by_task = name == "PerTask"
        size = len(declared.threads) if by_task else value(1, "n", 0)
        for i in range(size):
            _declare(declared, owner, f"{path}.{i}", inner)
        declared.members[path] = Elements(path, size, by_task)
    elif name == "Int":
        low, high = value(1, "low", 0), value(2, "high", 255)
        _slot(declared, path, value(0, "initial", 0), low, high, marked)
    elif name == "Bool":
        _slot(declared, path, value(0, "initial", False), None, None, marked)
    elif name == "TaskRef":
        _slot(declared, path, None, None, None, marked)
    elif name == "Ref":
        array, first = call.args[0], value(1, "initial", None)
        assert isinstance(array, ast.Name)
        start = None if first is None else Component(f"{join(owner, array.id)}.{first}")
        _slot(declared, path, start, None, None, marked)
    elif name in ("Set", "TaskSet"):
        first = value(1, "initial", ()) if name == "Set" else ()
        size = value(0, "size", 0) if name == "Set" else None
        _slot(declared, path, frozenset(first), size, None, marked)
    elif name == "Version":
        _slot(declared, path, Look(path, True), None, None, marked)
    elif name == "Snapshot":
        _slot(declared, path, None, None, None, marked)
    else:
        raise Unsupported(name)


def _slot(
    declared: Declared, path: str, first: Value, low: int | None, high: int | None, marked: bool
) -> None:
    declared.members[path] = Slot(path, len(declared.initial), low, high, marked)
    declared.initial.append(first)
