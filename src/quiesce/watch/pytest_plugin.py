# SPDX-License-Identifier: Apache-2.0
"""``pytest --quiesce-lockdep``: watch the locks of the whole session, and fail the tests with findings.

One watch lasts from before the first conftest is imported to the end. Each report is attached to the
test during which it was found: in its fixtures, in the test, in its teardown, or in a thread that ran
meanwhile. A test that fails for another reason gets the report as a section.

Nothing of quiesce is imported and no hook is registered unless the option is given.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quiesce.watch.findings import WatchFinding
    from quiesce.watch.session import Watch

_OPTION = "--quiesce-lockdep"
_hooks: list[SessionHooks] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("quiesce", "deadlocks among the locks of the program (quiesce)")
    group.addoption(_OPTION, action="store_true", help="report locks that can deadlock")
    group.addoption(
        "--quiesce-ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="do not report findings with a lock name or a file that matches; may be repeated",
    )
    group.addoption(
        "--quiesce-baseline", metavar="FILE", help="do not report the findings listed in FILE"
    )
    group.addoption(
        "--quiesce-write-baseline", metavar="FILE", help="write all that is found to FILE"
    )
    group.addoption(
        "--quiesce-kernel-text", action="store_true", help="print reports as the kernel prints them"
    )
    group.addoption("--quiesce-graph", metavar="FILE", help="write the lock order of the program")
    parser.addini(
        "quiesce_ignore", type="linelist", default=[], help="patterns as of --quiesce-ignore"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start before any conftest of the program makes a lock."""
    _begin(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the hooks if they are wanted."""
    _begin(config)
    if _hooks and not config.pluginmanager.has_plugin("quiesce-watch"):
        config.pluginmanager.register(_hooks[0], "quiesce-watch")


def _begin(config: pytest.Config) -> None:
    options = config.known_args_namespace
    # Under `quiesce watch -m pytest` the process is watched already.
    session = sys.modules.get("quiesce.watch.session")
    outer = session.current_watch() if session is not None else None
    runs = outer is not None and outer.whole_program
    if _hooks or not (getattr(options, "quiesce_lockdep", False) or runs):
        return
    from quiesce.errors import QuiesceError
    from quiesce.watch.ignoring import Rules, read_baseline
    from quiesce.watch.session import begin

    try:
        known = read_baseline(options.quiesce_baseline) if options.quiesce_baseline else frozenset()
    except QuiesceError as error:
        raise pytest.UsageError(str(error)) from error
    rules = Rules((*options.quiesce_ignore, *config.getini("quiesce_ignore")), known)
    if outer is not None and runs:
        outer.quiet = True
        rules = outer.rules.and_also(rules)
    watch = begin(quiet=True, rules=rules, adopt=True)
    _hooks.append(SessionHooks(watch, options))


class SessionHooks:
    """Give each report to the test during which it was found."""

    def __init__(self, watch: Watch, options: Any) -> None:
        self._watch = watch
        self._options = options
        self._seen = 0
        self._not_in_a_test: list[WatchFinding] = []

    def _new(self) -> list[WatchFinding]:
        new = self._watch.reports[self._seen :]
        self._seen += len(new)
        return new

    def _text(self, found: list[WatchFinding]) -> str:
        kernel = self._options.quiesce_kernel_text
        return "\n".join(one.kernel_text() if kernel else one.text() for one in found)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """What was found before the first test belongs to no test."""
        if not self._watch.test:
            self._not_in_a_test += self._new()
        self._watch.test = nodeid

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what was found in this phase of the test."""
        report = yield
        if report.when == "setup" and report.passed:
            # A set-up that is said to have failed is not followed by its test.
            return report
        new = self._new()
        if new:
            text = self._text(new)
            for one in new:
                one.during = item.nodeid
                report.user_properties.append(("quiesce", one.key))
            if report.outcome == "passed":
                report.outcome = "failed"
                report.longrepr = text
            else:
                report.sections.append(("quiesce watch", text))
            if report.outcome == "skipped":
                self._not_in_a_test += new
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the session for what no test was failed for; write the files that are asked for."""
        self._not_in_a_test += self._new()
        if self._not_in_a_test and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._options.quiesce_write_baseline:
            from quiesce.watch.ignoring import write_baseline

            write_baseline(self._options.quiesce_write_baseline, self._watch.found)
        if self._options.quiesce_graph:
            from quiesce.outputs import write_file
            from quiesce.watch.graph import style_of

            path = self._options.quiesce_graph
            write_file(path, self._watch.graph(style_of(path)))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was found, and print what belongs to no test."""
        watch = self._watch
        known = f", {len(watch.ignored)} ignored" if watch.ignored else ""
        terminalreporter.section("quiesce watch")
        terminalreporter.line(
            f"{len(watch.reports)} finding(s){known}; {watch.class_count} lock classes"
        )
        if self._not_in_a_test:
            terminalreporter.line("found while no test ran, or in a test that was skipped:")
            terminalreporter.line(self._text(self._not_in_a_test))

    def pytest_unconfigure(self) -> None:
        """Stop to watch."""
        from quiesce.watch.session import end

        end(self._watch)
        _hooks.clear()
