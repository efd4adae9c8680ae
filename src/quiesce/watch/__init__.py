# SPDX-License-Identifier: Apache-2.0
"""Lockdep for the locks of a Python program. Start with :func:`watch`.

Inside ``with watch():`` the locks of :mod:`threading` tell the kernel's validator when they are
acquired. Two threads that acquire two locks in opposite orders are reported when both orders were
seen, even if the threads never met.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quiesce.watch.findings import WatchFinding
    from quiesce.watch.ignoring import Rules
    from quiesce.watch.session import Watch, watch

__all__ = ["Rules", "Watch", "WatchFinding", "watch"]

_HOMES = {"WatchFinding": "findings", "Rules": "ignoring", "Watch": "session", "watch": "session"}


def __getattr__(name: str) -> Any:
    # The pytest plugin is imported by every pytest, and needs nothing of this unless it is asked to watch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"quiesce.watch.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
