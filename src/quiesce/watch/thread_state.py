# SPDX-License-Identifier: Apache-2.0
"""What each thread holds. The state belongs to the thread and dies with it.

A thread writes to its own list of held locks only, apart from a lock that another thread releases.
Nothing here takes a lock. All of it relies on the GIL.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from quiesce.watch.classes import WatchClass

NORMAL = "ordinary code"
IN_GC = "a finaliser in a garbage collection"
IN_SIGNAL = "a signal handler"

_MAIN = threading.main_thread().ident


class ThreadState:
    """One thread.

    :ivar held: its locks, innermost last; those of the current context only.
    :ivar context: NORMAL, IN_GC or IN_SIGNAL: the first part of a key of what is known.
    :ivar took: by class, the first lock that it acquired since the thread or the job began, see
        :mod:`quiesce.watch.endings`.
    :ivar outer: the contexts that the current one interrupts, and what was held in each.
    :ivar busy: the thread is inside quiesce, which watches no lock then.
    """

    __slots__ = (
        "__weakref__",
        "busy",
        "context",
        "held",
        "ident",
        "linked",
        "native_id",
        "outer",
        "prune_at",
        "took",
        "took_outer",
        "waiting",
    )

    def __init__(self) -> None:
        self.held: list[Any] = []
        self.context = NORMAL
        self.took: dict[WatchClass, Any] = {}
        self.took_outer: list[dict[WatchClass, Any]] = []
        self.outer: list[tuple[str, list[Any]]] = []
        self.busy = False
        self.linked = False
        self.prune_at = 64
        self.waiting: Any = None
        self.ident = _thread.get_ident()
        self.native_id = _thread.get_native_id()

    def enter(self, context: str) -> None:
        """Start *context*, which holds nothing yet."""
        self.outer.append((self.context, self.held))
        self.context, self.held = context, []

    def leave(self, context: str) -> None:
        """End *context* if it is the current one. What it still holds stays held."""
        if self.context is context and self.outer:
            still = self.held
            self.context, self.held = self.outer.pop()
            self.held.extend(still)

    def all_held(self) -> list[Any]:
        """Return what the thread holds in all contexts, innermost last."""
        held = [lock for _, outer in self.outer for lock in outer]
        return held + self.held

    def forget(self, lock: Any) -> None:
        """Drop *lock* from wherever the thread holds it."""
        for held in (self.held, *(outer for _, outer in reversed(self.outer))):
            try:
                held.remove(lock)
                return
            except ValueError:
                continue

    def prune(self) -> None:
        """Drop locks that nothing but this list refers to: their program lost them while held."""
        # A lock that is only here has two references: the list and the argument of getrefcount.
        # A variable would be a third.
        held = self.held
        for index in range(len(held) - 1, -1, -1):
            if sys.getrefcount(held[index]) <= 2:
                del held[index]
        self.prune_at = max(64, 2 * len(held))

    def link(self) -> None:
        """Let the Thread object, as soon as threading knows it, have what the thread acquires."""
        thread = threading._active.get(self.ident)  # type: ignore[attr-defined]
        if thread is not None:
            self.linked = True
            whole = self.took_outer[0] if self.took_outer else self.took
            taken = thread.__dict__.setdefault("_quiesce_took", whole)
            taken.update(whole)
            if self.took_outer:
                self.took_outer[0] = taken
            else:
                self.took = taken

    @property
    def name(self) -> str:
        """The name of the thread. No Thread object is made for one that has none."""
        thread = threading._active.get(self.ident)  # type: ignore[attr-defined]
        return thread.name if thread is not None else f"thread {self.native_id}"

    @property
    def is_main(self) -> bool:
        """True if signal handlers run in this thread."""
        return self.ident == _MAIN


LOCAL = _thread._local()
"""Its ``state`` is the ThreadState of the calling thread, once it has one."""

_STATES: set[ref[ThreadState]] = set()


def new_state() -> ThreadState:
    """Give the calling thread a state and return it."""
    state = ThreadState()
    LOCAL.state = state
    _STATES.add(ref(state, _STATES.discard))
    return state


def current() -> ThreadState:
    """Return the state of the calling thread."""
    state: ThreadState | None = getattr(LOCAL, "state", None)
    return state if state is not None else new_state()


def others() -> list[ThreadState]:
    """Return the states of all other threads."""
    mine = current()
    states = [reference() for reference in list(_STATES)]
    return [state for state in states if state is not None and state is not mine]


def after_fork_in_child() -> None:
    """Only the calling thread is left. It keeps what it holds."""
    global _MAIN
    state = current()
    state.busy = False
    state.ident = _MAIN = _thread.get_ident()
    state.native_id = _thread.get_native_id()
    _STATES.clear()
    _STATES.add(ref(state, _STATES.discard))
