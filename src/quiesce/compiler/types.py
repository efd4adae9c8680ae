# SPDX-License-Identifier: Apache-2.0
"""The types of values in a protocol, and how each is kept as an integer and shown again."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntType:
    """Integers; the range is known for cells, and found by ``ranges.py`` for locals."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class BoolType:
    """0 or 1."""


@dataclass(frozen=True, slots=True)
class EnumType:
    """A member of *members*, kept as its position."""

    members: tuple[enum.Enum, ...]


@dataclass(frozen=True, slots=True)
class TaskType:
    """A task's number plus one, or 0 for None."""


@dataclass(frozen=True, slots=True)
class RefType:
    """An index plus one into an array of components, or 0 for None.

    :param first: component number of element 0, which identifies the array.
    :param length: number of elements.
    """

    first: int
    length: int


@dataclass(frozen=True, slots=True)
class SetType:
    """A bit mask of *size* bits; *of_tasks*: bit i is task i."""

    size: int
    of_tasks: bool


@dataclass(frozen=True, slots=True)
class SnapshotType:
    """1 while the version has not changed since; *version* -1: not known yet which."""

    version: int


@dataclass(frozen=True, slots=True)
class NoneType:
    """Only None, so far."""


Type = IntType | BoolType | EnumType | TaskType | RefType | SetType | SnapshotType | NoneType


def bounds(type_: Type, threads: int) -> tuple[int, int]:
    """Return the smallest and the largest integer that stands for a value of *type_*."""
    match type_:
        case IntType(low=low, high=high):
            return low, high
        case BoolType() | SnapshotType():
            return 0, 1
        case EnumType(members=members):
            return 0, len(members) - 1
        case TaskType():
            return 0, threads
        case RefType(length=length):
            return 0, length
        case SetType(size=size):
            return 0, (1 << size) - 1
    return 0, 0


def join(a: Type, b: Type) -> Type | None:
    """Return the type of a variable that holds values of both; None if there is none."""
    if a == b:
        return a
    match a, b:
        case (IntType(), IntType()):
            return IntType(min(a.low, b.low), max(a.high, b.high))
        case (IntType() | BoolType(), IntType() | BoolType()):
            integer = a if isinstance(a, IntType) else b
            assert isinstance(integer, IntType)
            return IntType(min(integer.low, 0), max(integer.high, 1))
        case (NoneType(), TaskType() | RefType()):
            return b
        case (TaskType() | RefType(), NoneType()):
            return a
        case (SnapshotType(), SnapshotType()) if -1 in (a.version, b.version):
            return SnapshotType(max(a.version, b.version))
        case (SetType(), SetType()) if a.of_tasks == b.of_tasks:
            return SetType(max(a.size, b.size), a.of_tasks)
    return None


def describe(type_: Type) -> str:
    """Return the words for *type_* in an error message."""
    match type_:
        case IntType():
            return "an integer"
        case BoolType():
            return "a boolean"
        case EnumType(members=members):
            return f"a {type(members[0]).__name__}"
        case TaskType():
            return "a task"
        case RefType():
            return "a reference"
        case SetType():
            return "a set"
        case SnapshotType():
            return "a snapshot of a version"
    return "None"


def show(value: int, type_: Type, task_names: tuple[str, ...]) -> object:
    """Return *value* as people read it, and as JSON takes it."""
    match type_:
        case BoolType():
            return bool(value)
        case EnumType(members=members):
            return members[value].name
        case TaskType():
            return task_names[value - 1] if value else None
        case RefType():
            return value - 1 if value else None
        case SetType(of_tasks=of_tasks):
            items = [i for i in range(value.bit_length()) if value >> i & 1]
            return [task_names[i] for i in items] if of_tasks else items
        case SnapshotType():
            return "unchanged" if value else "changed"
        case NoneType():
            return None
    return value
