# SPDX-License-Identifier: Apache-2.0
"""Which names of a running program are replaced while it is watched, and how they are put back."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from quiesce.lockdep.frames import Frame
from quiesce.watch import semaphores
from quiesce.watch.classes import Examiner
from quiesce.watch.lock_base import watch_new_locks
from quiesce.watch.locks import LOCK, wrap_lock
from quiesce.watch.rlocks import WatchedRLock, wrap_rlock
from quiesce.watch.sites import Site

_REAL_LOCK_TYPE = type(_thread.allocate_lock())
_REAL_RLOCK_TYPE = type(threading.RLock())

_LOCKS = (threading.Lock, _thread.allocate_lock)
_RLOCKS = (threading.RLock, _thread.RLock)
_LOW_LEVEL = ("allocate_lock", "allocate", "RLock")

_NOT_TOUCHED = (
    "_thread",
    "threading",
    "_frozen_importlib",
    "_imp",
    "importlib._bootstrap",
    "quiesce.watch",
)
"""Modules, and packages, whose own names stay: they are what the watch stands on."""

_undo: list[tuple[dict[str, Any], str, Any, Any]] = []
"""Namespace, name, what stood there, what stands there now."""


def start(engine: Examiner, *, adopt: bool) -> None:
    """Replace the names of lock factories, wherever a module has imported them.

    :param adopt: replace locks that modules have already made, too.
    """
    watch_new_locks(engine.class_of)
    _put(vars(threading), "Lock", LOCK)
    _put(vars(threading), "RLock", WatchedRLock)
    for name in _LOW_LEVEL:
        if name in vars(_thread):
            _put(vars(_thread), name, WatchedRLock if name == "RLock" else LOCK)
    for module in _modules():
        for name, value in list(module.items()):
            if any(value is one for one in _LOCKS):
                _put(module, name, LOCK)
            elif any(value is one for one in _RLOCKS):
                _put(module, name, WatchedRLock)
    semaphores.start(engine)
    if adopt:
        _adopt(engine)


def stop() -> None:
    """Put back every name. Modules imported meanwhile get the real ones, too."""
    watch_new_locks(None)
    semaphores.stop()
    real_lock, real_rlock = _undo[0][2], _undo[1][2]
    while _undo:
        namespace, name, original, replacement = _undo.pop()
        if namespace.get(name) is replacement:
            namespace[name] = original
    for module in _modules():
        for name, value in list(module.items()):
            if value is LOCK:
                module[name] = real_lock
            elif value is WatchedRLock:
                module[name] = real_rlock


def _put(namespace: dict[str, Any], name: str, value: Any) -> None:
    _undo.append((namespace, name, namespace[name], value))
    namespace[name] = value


def _modules() -> Iterator[dict[str, Any]]:
    for name, module in list(sys.modules.items()):
        touched = not any(name == one or name.startswith(f"{one}.") for one in _NOT_TOUCHED)
        if touched and isinstance(module, ModuleType):
            try:
                yield object.__getattribute__(module, "__dict__")
            except AttributeError:
                continue


def _adopt(engine: Examiner) -> None:
    """Watch the locks that modules made before, and those of logging's handlers."""
    wrapped: dict[int, tuple[Any, Any]] = {}
    for module in _modules():
        for name, value in list(module.items()):
            if type(value) in (_REAL_LOCK_TYPE, _REAL_RLOCK_TYPE):
                lock = _wrap(engine, wrapped, value, module, name)
                if lock is not None:
                    _put(module, name, lock)
    logging = sys.modules.get("logging")
    for reference in list(getattr(logging, "_handlerList", ())):
        handler = reference()
        lock = getattr(handler, "lock", None)
        if type(lock) is _REAL_RLOCK_TYPE and lock.acquire(False):
            # The new lock is of the class of all handlers.
            handler.createLock()
            _undo.append((vars(handler), "lock", lock, handler.lock))
            lock.release()


def _wrap(
    engine: Examiner,
    wrapped: dict[int, tuple[Any, Any]],
    real: Any,
    module: dict[str, Any],
    name: str,
) -> Any:
    """Return a watched lock around *real*; None if *real* is held now."""
    if id(real) in wrapped:
        return wrapped[id(real)][1]
    if not real.acquire(False):
        return None
    real.release()
    owner = str(module.get("__name__", ""))
    at = Frame("<module>", str(module.get("__file__") or f"<{owner}>"), 1)
    cls = engine.class_at(Site(("adopted", owner, name), f"{owner}.{name}", at))
    lock = (wrap_rlock if type(real) is _REAL_RLOCK_TYPE else wrap_lock)(real, cls)
    wrapped[id(real)] = real, lock
    return lock
