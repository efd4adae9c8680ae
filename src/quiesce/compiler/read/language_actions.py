# SPDX-License-Identifier: Apache-2.0
"""Calls that are not inlined: the language's own actions and its few builtins."""

from __future__ import annotations

import ast
from collections.abc import Callable

from quiesce.compiler.read.builder import Builder
from quiesce.compiler.read.builtin_functions import (
    read_bool,
    read_int,
    read_len,
    read_max,
    read_min,
    read_range,
    read_super,
)
from quiesce.compiler.read.lock_events import read_acquires, read_releases
from quiesce.compiler.read.marked_accesses import read_read_once, read_write_once
from quiesce.compiler.read.values import Value
from quiesce.compiler.read.waiting import read_choose, read_current, read_wait_until
from quiesce.protocol import actions

CallReader = Callable[[Builder, ast.Call], Value]

ACTIONS: tuple[tuple[object, CallReader], ...] = (
    (actions.wait_until, read_wait_until),
    (actions.choose, read_choose),
    (actions.current, read_current),
    (actions.READ_ONCE, read_read_once),
    (actions.WRITE_ONCE, read_write_once),
    (actions.acquires, read_acquires),
    (actions.releases, read_releases),
    (range, read_range),
    (len, read_len),
    (super, read_super),
    (bool, read_bool),
    (int, read_int),
    (min, read_min),
    (max, read_max),
)
"""The functions that are actions of the language, each with what reads a call of it."""


def reader_of(function: object) -> CallReader | None:
    """Return what reads calls of *function*, if it is one of the language's actions."""
    return next((reader for known, reader in ACTIONS if known is function), None)
