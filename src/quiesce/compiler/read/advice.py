# SPDX-License-Identifier: Apache-2.0
"""What to write instead: for what newcomers try most, in the words of what they tried."""

from __future__ import annotations

import collections
import difflib
import random
import threading
import time
from typing import Any

LOCK_METHODS = {
    "acquire": "`lock()`, or `with` the lock",
    "release": "`unlock()`, or `with` the lock",
    "locked": "a lock says nothing about itself; `trylock()` takes it if it is free",
    "notify": "`signal()` of a CondVar",
    "notify_all": "`broadcast()` of a CondVar",
    "wait": "`wait(mutex)` of a CondVar, `wait_event` written out with a WaitQueue, or `wait_until`",
}
"""What Python calls the methods of its locks, and what is meant here."""

WAITS = {
    time.sleep: "leave it out: every thread may be slow at any step, and all speeds are explored",
    print: "leave it out: a trace shows every value that is read or written",
}
"""Functions that a protocol does not need."""

COLLECTIONS = (list, dict, collections.deque, bytearray)

PYTHON_LOCKS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Semaphore,
)


def about_attribute(klass: type, name: str) -> str:
    """Return what to write where *klass* has no attribute *name*."""
    known = sorted(n for n in dir(klass) if not n.startswith("_") and callable(getattr(klass, n)))
    own = [n for n in known if not any(n in vars(base) for base in _language(klass))]
    is_ours = klass.__module__.startswith("quiesce.primitives")
    if is_ours and name in LOCK_METHODS:
        return f"{LOCK_METHODS[name]}; {klass.__name__} has {_listed(own)}"
    close = difflib.get_close_matches(name, own, 1, 0.75)
    if close:
        return f"`{close[0]}`"
    if is_ours:
        return f"{klass.__name__} has {_listed(own)}"
    return f"declare it on the class: `{name} = Int(0)`"


def _listed(methods: list[str]) -> str:
    return ", ".join(f"`{name}()`" for name in methods)


def _language(klass: type) -> list[type]:
    """Return the bases of *klass* that are the language's own: what they define is for no protocol."""
    return [base for base in klass.__mro__ if base.__module__.startswith("quiesce.protocol")]


def about_call(function: Any) -> str:
    """Return what to write instead of a call of *function*, which is outside the language."""
    for known, help in WAITS.items():
        if function is known:
            return help
    owner = getattr(function, "__self__", None)
    if isinstance(owner, random.Random) or getattr(function, "__module__", "") == "random":
        return "choose(0, 1, 2): the environment decides, and every choice is explored"
    if isinstance(owner, COLLECTIONS) or type(owner).__module__.partition(".")[0] == "numpy":
        return "`Array(Int(0), n)`, `Set(n)` or, of the primitives, `Queue(n)`: a state is of a fixed size"
    if isinstance(owner, PYTHON_LOCKS):
        return "a lock of the protocol: `Mutex()`, `SpinLock()`, `CondVar()` of quiesce.primitives"
    return "write it out"


def about_with(managed: object) -> str:
    """Return what to write where ``with`` is given *managed*, which is no lock of the protocol."""
    if isinstance(managed, PYTHON_LOCKS):
        return "`self.lock = Mutex()`, of quiesce.primitives: a lock of Python is not part of the protocol"
    return "with self.lock:"
