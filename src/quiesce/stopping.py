# SPDX-License-Identifier: Apache-2.0
"""Requests to end early: Ctrl-C, SIGTERM, and a time limit. One way to end for all three.

A request is acted on in one of two ways. Where data must stay whole, it is only *noted*
(:func:`noted`): the code asks :func:`reason` now and then, and ends where it can. Elsewhere
(:func:`immediately`) :class:`Stopped` is raised, which is a ``KeyboardInterrupt``. A second Ctrl-C or
SIGTERM is always raised.

Signal handlers are installed only while one of these ``with`` statements is in effect, and only on the
main thread: Python runs them nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""For each signal that asks for an early end, the word for it."""


class Stopped(KeyboardInterrupt):
    """The request to end, raised. Its text is the reason."""


class _Stopping:
    """What was asked for, and how it is acted on now."""

    def __init__(self) -> None:
        self.reason = ""
        self.noting = False
        self.handlers: dict[int, Any] = {}
        """What was there before our handlers; empty: they are not installed."""


_state = _Stopping()


def reason() -> str:
    """Why the command is to end early, in a few words; empty if it is not."""
    return _state.reason


def is_request(error: BaseException) -> bool:
    """Tell whether *error* is a request to end, and not a ``KeyboardInterrupt`` that other code raised."""
    if isinstance(error, Stopped):
        return True
    return isinstance(error, KeyboardInterrupt) and not _state.handlers


def _arrived(number: int, _frame: object) -> None:
    again = bool(_state.reason)
    _state.reason = _state.reason or REASONS[signal.Signals(number)]
    if again or not _state.noting:
        _stop()


def _stop() -> NoReturn:
    _say_nothing_of_what_is_left()
    raise Stopped(_state.reason)


_LEFT_HALF_DONE = ("numba", "llvmlite")
"""Packages that a request may leave in the middle: some of their objects are then half made."""


@functools.cache
def _say_nothing_of_what_is_left() -> None:
    """Drop what Python says about a request that was raised in a finalizer, or about half made objects.

    The request is noted as well, and acted on at the next occasion.
    """
    before = sys.unraisablehook

    def say(lost: sys.UnraisableHookArgs) -> None:
        package = str(getattr(lost.object, "__module__", "")).partition(".")[0]
        if not isinstance(lost.exc_value, Stopped) and package not in _LEFT_HALF_DONE:
            before(lost)

    sys.unraisablehook = say


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def orderly(*signals: int) -> Iterator[None]:
    """Let *signals* be requests to end, until the end of the ``with`` statement.

    A signal that is ignored, as ``nohup`` does it, stays ignored. An inner ``with`` changes nothing.

    :param signals: without any: Ctrl-C and SIGTERM.
    """
    if _state.handlers or not _on_main_thread():
        yield
        return
    try:
        for number in signals or REASONS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and before is not None:
                _state.handlers[number] = before
                signal.signal(number, _arrived)
        yield
    finally:
        for number, before in _state.handlers.items():
            signal.signal(number, before)
        _state.handlers.clear()
        _state.reason = ""


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Let a first request only be noted, until the end of the ``with`` statement.

    A program that uses the library gets Ctrl-C noted; its SIGTERM stays its own.
    """
    with orderly(signal.SIGINT), _noting(True):
        yield


@contextlib.contextmanager
def immediately() -> Iterator[None]:
    """Let a request be raised, until the end of the ``with`` statement; one that was noted is.

    :raises Stopped: on entry or later.
    """
    with _noting(False):
        if _state.reason and _on_main_thread():
            _stop()
        yield


@contextlib.contextmanager
def _noting(on: bool) -> Iterator[None]:
    if not _on_main_thread():
        yield
        return
    before, _state.noting = _state.noting, on
    try:
        yield
    finally:
        _state.noting = before


@contextlib.contextmanager
def time_limit(deadline: float | None, why: str) -> Iterator[None]:
    """Make a request at *deadline* (of ``time.monotonic()``), until the end of the ``with`` statement.

    Only on the main thread and where the system has timers; elsewhere nothing happens, so loops have to
    look at the clock as well.

    :param why: the reason that is given.
    """
    timers = hasattr(signal, "setitimer") and _on_main_thread()
    if deadline is None or not timers or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def over(_number: int, _frame: object) -> None:
        _state.reason = _state.reason or why
        if not _state.noting:
            _stop()

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-3))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if _state.reason == why:
            _state.reason = ""
