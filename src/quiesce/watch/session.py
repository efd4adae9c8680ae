# SPDX-License-Identifier: Apache-2.0
"""``watch()``: start and stop watching, and what was found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quiesce.watch import (
    contexts,
    endings,
    event_loop,
    graph,
    patches,
    signals,
    thread_state,
    writer,
)
from quiesce.watch.engine import Engine
from quiesce.watch.findings import WatchFinding
from quiesce.watch.ignoring import Rules


class Watch:
    """One ``watch()`` under way.

    :ivar reports: what was found, in order, each finding once.
    :ivar ignored: what was found and matches a rule.
    :ivar whole_program: it watches from before the program's first import.
    """

    def __init__(self, engine: Engine, *, quiet: bool, kernel_text: bool, rules: Rules) -> None:
        self.reports: list[WatchFinding] = []
        self.rules = rules
        self.ignored: list[WatchFinding] = []
        self.whole_program = False
        self.quiet = quiet
        self._kernel_text = kernel_text
        self._engine = engine

    @property
    def report(self) -> WatchFinding | None:
        """The first report, or None."""
        return self.reports[0] if self.reports else None

    def graph(self, style: str = "text") -> str:
        """Return the lock order of the program: which class was acquired with which held.

        :param style: ``text``, ``dot`` or ``mermaid``.
        :raises ValueError: for any other style.
        """
        return graph.render(self._engine.classes, style)

    @property
    def test(self) -> str:
        """The test that runs now, for a test runner to say."""
        return self._engine.test

    @test.setter
    def test(self, name: str) -> None:
        self._engine.test = name

    @property
    def found(self) -> list[WatchFinding]:
        """All that was found, reported or ignored."""
        return [*self.reports, *self.ignored]

    @property
    def class_count(self) -> int:
        """How many classes of locks there are."""
        return len(self._engine.classes)

    def hear(self, finding: WatchFinding) -> None:
        """Take a new finding in."""
        if self.rules.ignore(finding):
            self.ignored.append(finding)
            return
        self.reports.append(finding)
        if not self.quiet:
            writer.write(finding.kernel_text() if self._kernel_text else finding.text())


_watches: list[Watch] = []
"""The watches under way, outermost first. All of them hear what any watched lock tells."""
_engine: Engine | None = None


def _publish(finding: WatchFinding) -> None:
    for one in list(_watches):
        one.hear(finding)


def begin(
    *,
    quiet: bool = False,
    kernel_text: bool = False,
    rules: Rules | None = None,
    adopt: bool = False,
) -> Watch:
    """Start to watch. See :func:`watch` for the parameters."""
    global _engine
    if _engine is None:
        _engine = Engine(_publish)
        patches.start(_engine, adopt=adopt)
        contexts.start()
        signals.start()
        endings.start(_engine)
        event_loop.start(_engine, load=adopt)
        _register_fork()
    one = Watch(_engine, quiet=quiet, kernel_text=kernel_text, rules=rules or Rules())
    _watches.append(one)
    return one


def end(one: Watch) -> None:
    """Stop *one*; with the last one, put everything back and write what is still to be written."""
    global _engine
    if one in _watches:
        _watches.remove(one)
    if not _watches and _engine is not None:
        engine, _engine = _engine, None
        engine.active = False
        event_loop.stop()
        endings.stop()
        signals.stop()
        contexts.stop()
        patches.stop()
    if not one.quiet:
        writer.flush()


@contextmanager
def watch(
    *, quiet: bool = False, kernel_text: bool = False, rules: Rules | None = None
) -> Iterator[Watch]:
    """Watch the locks that are made inside.

    Yields the :class:`Watch`, whose ``reports`` fill as they are found. The names in :mod:`threading`
    are replaced for all threads. A ``watch()`` inside another one hears, while it lasts, what the other
    one hears.

    :param quiet: do not print each report on standard error when it is found.
    :param kernel_text: print the kernel's text of each report.
    :param rules: what not to report.
    """
    one = begin(quiet=quiet, kernel_text=kernel_text, rules=rules)
    try:
        yield one
    finally:
        end(one)


def current_watch() -> Watch | None:
    """Return the outermost watch under way."""
    return _watches[0] if _watches else None


_registered = False


def _register_fork() -> None:
    global _registered
    if not _registered:
        _registered = True
        os.register_at_fork(
            before=_if_active(endings.before_fork), after_in_child=_after_fork_in_child
        )


def _if_active(hook: Callable[[Engine], None]) -> Callable[[], None]:
    def run() -> None:
        if _engine is not None:
            hook(_engine)

    return run


def _after_fork_in_child() -> None:
    thread_state.after_fork_in_child()
    writer.after_fork_in_child()
    if _engine is not None:
        _engine.after_fork_in_child()
