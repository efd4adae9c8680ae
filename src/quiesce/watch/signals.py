# SPDX-License-Identifier: Apache-2.0
"""Signal handlers, seen from the locks: a context of their own, as a hard interrupt is to the kernel.

CPython runs a handler in the main thread, between two instructions of whatever Python code runs there.
A handler that raises in the middle of a release would leave the lock held. So a handler that comes in
the code of :data:`DEFERRED`, or inside the engine, waits until that code is done.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from quiesce.watch.thread_state import IN_SIGNAL, current

DEFERRED: set[int] = set()
"""Ids of code objects that no handler interrupts."""
PENDING: list[tuple[WatchedHandler, int]] = []
"""Handlers that came while such code ran."""

_real_signal = signal.signal
_real_getsignal = signal.getsignal


def not_interrupted(*functions: Any) -> None:
    """Let no signal handler run in the code of *functions*, which call :func:`deliver` at their end."""
    DEFERRED.update(id(function.__code__) for function in functions)


class WatchedHandler:
    """A signal handler of the program; the locks that it acquires are acquired in a signal handler."""

    __slots__ = ("user",)

    def __init__(self, user: Callable[[int, FrameType | None], Any]) -> None:
        self.user = user

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        state = current()
        if state.busy or (frame is not None and id(frame.f_code) in DEFERRED):
            PENDING.append((self, number))
            return None
        state.enter(IN_SIGNAL)
        try:
            return self.user(number, frame)
        finally:
            state.leave(IN_SIGNAL)


def deliver(frame: FrameType) -> None:
    """Run the handlers that had to wait. They may raise."""
    while PENDING:
        handler, number = PENDING.pop(0)
        handler(number, frame)


def _unwrapped(handler: Any) -> Any:
    return handler.user if isinstance(handler, WatchedHandler) else handler


def _signal(number: int, handler: Any) -> Any:
    """See ``signal.signal``."""
    if callable(handler) and not isinstance(handler, (WatchedHandler, signal.Handlers)):
        handler = WatchedHandler(handler)
    return _unwrapped(_real_signal(number, handler))


def _getsignal(number: int) -> Any:
    """See ``signal.getsignal``."""
    return _unwrapped(_real_getsignal(number))


def start() -> None:
    """Follow the handlers that are set now and those to come."""
    if signal.signal is not _real_signal:
        return
    vars(signal).update(signal=_signal, getsignal=_getsignal)
    if current().is_main:
        for number in signal.valid_signals():
            handler = _real_getsignal(number)
            if callable(handler) and not isinstance(handler, (WatchedHandler, signal.Handlers)):
                _real_signal(number, WatchedHandler(handler))


def stop() -> None:
    """Put everything back."""
    if signal.signal is _signal:
        vars(signal).update(signal=_real_signal, getsignal=_real_getsignal)
    if current().is_main:
        for number in signal.valid_signals():
            handler = _real_getsignal(number)
            if isinstance(handler, WatchedHandler):
                _real_signal(number, handler.user)
