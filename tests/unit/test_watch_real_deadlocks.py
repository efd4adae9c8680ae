# SPDX-License-Identifier: Apache-2.0
"""Deadlocks of public projects, rebuilt from their issues: each is run on a schedule that does not hang.

Six more are programs of tests/data/watch, see test_watch_program.py.
"""

from __future__ import annotations

import gc
import importlib
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from quiesce.watch import watch


def rich_927() -> None:
    """Textualize/rich#927: Live.stop() joins the refresh thread with the lock that it refreshes under."""

    class Live:
        def __init__(self) -> None:
            self._lock = threading.RLock()
            self._refreshed, self._end = threading.Event(), threading.Event()
            self._thread = threading.Thread(target=self._refresh)
            self._thread.start()

        def _refresh(self) -> None:
            with self._lock:
                self._refreshed.set()
            self._end.wait(10)

        def stop(self) -> None:
            with self._lock:
                self._end.set()
                self._thread.join()

    live = Live()
    live._refreshed.wait(10)
    live.stop()


def aiyprojects_287() -> None:
    """google/aiyprojects-raspbian#287: LED.stop() joins the animator, which needs the lock."""

    class Led:
        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.animator: threading.Thread | None = None

        def _set(self) -> None:
            with self.lock:
                pass

        def start(self) -> None:
            self.animator = threading.Thread(target=self._set)
            self.animator.start()

        def stop(self) -> None:
            with self.lock:
                if self.animator is not None:
                    self.animator.join()

    led = Led()
    led.start()
    while led.animator is not None and led.animator.is_alive():
        pass
    led.stop()


class _Handler:
    """loguru's handler: a sink under a Lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.written: list[str] = []

    def emit(self, message: str) -> None:
        with self._lock:
            self.written.append(message)


def loguru_712() -> None:
    """Delgan/loguru#712: a finaliser that a collection runs logs, in the middle of a log call."""
    handler = _Handler()

    class Resource:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            handler.emit("closed")

    Resource()
    gc.collect()
    handler.emit("running")


def loguru_390() -> None:
    """Delgan/loguru#390: a handler of SIGCHLD logs, in the middle of a log call."""
    handler = _Handler()
    before = signal.signal(signal.SIGUSR1, lambda *_: handler.emit("child ended"))
    try:
        handler.emit("running")
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def sawtooth_1896() -> None:
    """hyperledger sawtooth-core#1896: three locks of the BlockManager, in more than one order."""
    references, blocks, stores = threading.RLock(), threading.RLock(), threading.RLock()

    def put() -> None:
        with references, blocks:
            pass

    def persist() -> None:
        with blocks, stores:
            pass

    def unref() -> None:
        with stores, references:
            pass

    for work in (put, persist, unref):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


def kedro_5695(folder: Path) -> None:
    """kedro-org/kedro#5695: a module is imported under a lock that its body acquires."""
    lock = threading.RLock()
    (folder / "pipelines_5695.py").write_text("import builtins\nbuiltins.touch_5695()\n")

    def touch() -> None:
        with lock:
            pass

    import builtins

    vars(builtins)["touch_5695"] = touch
    sys.path.insert(0, str(folder))
    try:
        with lock:
            importlib.import_module("pipelines_5695")
    finally:
        sys.path.remove(str(folder))
        del vars(builtins)["touch_5695"]
        sys.modules.pop("pipelines_5695", None)


@pytest.mark.parametrize(
    ("deadlock", "kind"),
    [
        (rich_927, "wait-for-end"),
        (aiyprojects_287, "wait-for-end"),
        (loguru_712, "inconsistent"),
        (loguru_390, "inconsistent"),
        (sawtooth_1896, "circular"),
    ],
)
def test_told_on_the_run_that_does_not_hang(deadlock: Any, kind: str) -> None:
    with watch(quiet=True) as watched:
        deadlock()
    assert [one.kind for one in watched.reports] == [kind]


def test_not_told_import_locks(tmp_path: Path) -> None:
    """The import system's locks are not watched: what docs/watch.md says."""
    with watch(quiet=True) as watched:
        kedro_5695(tmp_path)
    assert watched.reports == []
