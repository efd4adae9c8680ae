# SPDX-License-Identifier: Apache-2.0
"""``pytest --quiesce-lockdep``: watch the locks of every test, and fail those with inversions.

Nothing is imported and no hook is registered unless the option is given.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from quiesce.lockdep.watch_state import Watch

pytest_plugins = ("quiesce.pytest_scenarios",)
"""Scenarios as tests: a plugin of its own."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--quiesce-lockdep",
        action="store_true",
        help="report lock order inversions among the locks that each test makes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the hooks if they are wanted."""
    if config.getoption("--quiesce-lockdep"):
        config.pluginmanager.register(_LockdepHooks(), "quiesce-lockdep-hooks")


class _LockdepHooks:
    """Watch from the set-up of a test to its teardown; the verdict belongs to the test itself."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._watch: Watch | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, None, None]:
        from quiesce.lockdep.watch import watch

        self._watch = self._stack.enter_context(watch(quiet=True))
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        yield
        assert self._watch is not None
        if self._watch.reports:
            from quiesce.harmless import harmless

            texts = [f"{report.text()}{harmless(report.note)}" for report in self._watch.reports]
            pytest.fail("\n".join(texts), pytrace=False)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        try:
            return (yield)
        finally:
            self._stack.close()
